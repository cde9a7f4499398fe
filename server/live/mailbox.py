"""Events that wait for people: one mailbox a user, the last 100 events in it, numbered without gaps."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pymongo import ReadPreference, ReturnDocument, WriteConcern
from pymongo.errors import DuplicateKeyError

from server.sessions import Lookups, StoreUnavailable, store_errors

MAILBOX_EVENTS = 100
MAX_EVENT_BYTES = 4096
MAX_TYPE_LENGTH = 64


class UnsendableEvent(ValueError):
    """An event that no mailbox takes: its data are no JSON, or it is too large. Nothing was sent."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something a user should hear of. `seq` counts the user's events from 1; `data` is what JSON can say."""

    seq: int
    type: str
    at: datetime
    data: Any


@dataclass(frozen=True, slots=True)
class Mailbox:
    """What was in a mailbox. `seq` is the number of the newest event that it ever got, 0 for none."""

    seq: int = 0
    events: tuple[Event, ...] = ()

    def after(self, cursor: int) -> "News":
        """What somebody has not seen yet who has seen the events up to `cursor`.

        `missed`: more happened than is still here, or the cursor is ahead of the mailbox, which then is not
        the one it came from (a backup was restored). Then everything that is here is given.
        """
        oldest = self.events[0].seq if self.events else self.seq + 1
        missed = cursor > self.seq or cursor < oldest - 1
        seen = 0 if missed else cursor
        return News(tuple(event for event in self.events if event.seq > seen), self.seq, missed)


@dataclass(frozen=True, slots=True)
class News:
    """The events after a cursor, the cursor to ask with next time, and whether events are lost in between."""

    events: tuple[Event, ...]
    cursor: int
    missed: bool = False


class Mailboxes:
    """The collection of mailboxes. Every method raises `StoreUnavailable` if the database does not answer
    within `deadline` seconds. Lookups that come together travel together."""

    def __init__(self, collection: Any, deadline: float) -> None:
        # Whoever was told of an event must find it, after a failover too.
        self._collection = collection.with_options(
            read_preference=ReadPreference.PRIMARY, write_concern=WriteConcern("majority")
        )
        self._deadline = deadline
        self._lookups: Lookups[str, Mailbox] = Lookups(self._fetch, lambda mailbox: mailbox, deadline)

    async def put(self, user_id: str, event_type: str, data: Any) -> int:
        """Adds an event and returns its number. Raises `UnsendableEvent`.

        One atomic write, so that parallel events get numbers without gaps, and a mailbox never has more
        than the last 100.
        """
        entry = {"type": _checked_type(event_type), "at": datetime.now(UTC), "data": _encoded(data)}
        change = {"$inc": {"seq": 1}, "$push": {"events": {"$each": [entry], "$slice": -MAILBOX_EVENTS}}}
        async with store_errors(self._deadline):
            try:
                return await self._change(user_id, change)
            except DuplicateKeyError:  # two first events at once: now the mailbox is there
                return await self._change(user_id, change)

    async def find(self, user_id: str) -> Mailbox:
        """The user's mailbox; an empty one if nothing was ever sent."""
        try:
            return (await self._lookups.find([user_id])).get(user_id, Mailbox())
        except TimeoutError:
            raise StoreUnavailable("no answer in time") from None

    async def newest(self, user_ids: Collection[str]) -> dict[str, int]:
        """The number of the newest event of each of these users that has a mailbox."""
        async with store_errors(self._deadline):
            documents = await self._collection.find(
                {"_id": {"$in": list(user_ids)}}, {"seq": 1}, batch_size=len(user_ids) + 1
            ).to_list(None)
        return {document["_id"]: document["seq"] for document in documents}

    async def remove(self, user_id: str) -> None:
        """Throws the mailbox away, when its user goes."""
        async with store_errors(self._deadline):
            await self._collection.delete_one({"_id": user_id})

    async def _change(self, user_id: str, change: dict[str, Any]) -> int:
        document = await self._collection.find_one_and_update(
            {"_id": user_id}, change, {"seq": 1}, upsert=True, return_document=ReturnDocument.AFTER
        )
        return int(document["seq"])

    async def _fetch(self, user_ids: Collection[str]) -> dict[str, Mailbox]:
        async with store_errors(self._deadline):
            documents = await self._collection.find(
                {"_id": {"$in": list(user_ids)}}, batch_size=len(user_ids) + 1
            ).to_list(None)
        return {document["_id"]: _mailbox(document) for document in documents}


def _checked_type(event_type: str) -> str:
    if not 1 <= len(event_type) <= MAX_TYPE_LENGTH:
        raise UnsendableEvent(f"an event's type has 1 to {MAX_TYPE_LENGTH} characters, not {event_type!r}")
    return event_type


def _encoded(data: Any) -> str:
    # As text: what the database would make of dots, dollar signs and large numbers is none of its business.
    try:
        text = json.dumps(data, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UnsendableEvent(f"the data of an event are no JSON: {error}") from None
    if len(text) > MAX_EVENT_BYTES:
        raise UnsendableEvent(
            f"the data of an event have {len(text)} bytes as JSON; at most {MAX_EVENT_BYTES} travel. "
            "Send what changed, and have the receiver ask for the rest"
        )
    return text


def _mailbox(document: dict[str, Any]) -> Mailbox:
    entries, seq = document["events"], document["seq"]
    first = seq - len(entries) + 1  # an event's number follows from its place
    return Mailbox(
        seq,
        tuple(
            Event(number, entry["type"], entry["at"], json.loads(entry["data"]))
            for number, entry in enumerate(entries, first)
        ),
    )
