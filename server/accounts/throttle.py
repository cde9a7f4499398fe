"""Counts attempts in MongoDB, so that all processes refuse together and a restart forgets nothing."""

import hmac
import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import Any

from pymongo import ReadPreference, ReturnDocument, WriteConcern

from server.sessions import store_errors

WINDOW_SECONDS = 60
FIRST_REFUSAL_SECONDS = 60
LONGEST_REFUSAL_SECONDS = 900
MEMORY_SECONDS = 3600
LABEL_LENGTH = 16
_MOST_DOUBLINGS = math.ceil(math.log2(LONGEST_REFUSAL_SECONDS / FIRST_REFUSAL_SECONDS))


class Outcome(Enum):
    """What came of asking for an attempt."""

    GRANTED = auto()
    REFUSED = auto()  # too many have failed
    BUSY = auto()  # too many are under way; who has to wait depends on how those end


@dataclass(frozen=True, slots=True)
class Answer:
    """To an attempt. `wait` is how many seconds from now another one has a chance; 0 if granted."""

    outcome: Outcome
    wait: int


@dataclass(frozen=True, slots=True)
class Counter:
    """Whose attempts are counted: `kind` and `key` name it, `free` failures within a minute cost nothing."""

    kind: str
    key: str
    free: int


class Throttle:
    """The counters. Each is one document, each verb one atomic write judged by the database's clock.

    `free` failures within 60 seconds are forgiven. Then attempts are refused for 60 seconds, and after that
    each single failure refuses them for twice as long as before, up to 15 minutes, until there was no refusal
    for an hour. Asking while refused changes nothing.

    An attempt counts from `attempt` on, before anybody knows how it ends: of any number of parallel guesses
    no more are granted than may fail. It is ended by `failed`, `reset` or `withdraw`; one that never ends, as
    in a crash, counts for a minute.

    Documents: {"_id": keyed digest, "attempts": [{"id", "at", "failed"}], "refusals", "refused_until",
    "asked_at", "expires_at"}. The digest is keyed: a copy of the database tells no address or account.
    Every method raises `StoreUnavailable` if the database does not answer within `deadline` seconds.
    """

    def __init__(self, collection: Any, deadline: float, site_secrets: Sequence[str]) -> None:
        # A count that a failover takes back is worth one more guess; it need not slow every sign-in down.
        self._collection = collection.with_options(
            read_preference=ReadPreference.PRIMARY, write_concern=WriteConcern(1)
        )
        self._deadline = deadline
        self._key = hmac.digest(site_secrets[0].encode(), b"latchkey throttle", "sha256")

    async def create_indexes(self) -> None:
        """Creates what is missing; safe to repeat and from several processes at once."""
        async with store_errors(self._deadline):
            await self._collection.create_index([("expires_at", 1)], name="expiry", expireAfterSeconds=0)

    def new_attempt(self) -> str:
        """A name for one attempt, to be used with all counters it counts on."""
        return secrets.token_hex(8)

    async def attempt(self, counter: Counter, attempt: str) -> Answer:
        """Counts the attempt, if there is room for it."""
        document = await self._update(counter, _counting(attempt, counter.free))
        if any(known["id"] == attempt for known in document["attempts"]):
            return Answer(Outcome.GRANTED, 0)
        is_refused = document["refused_until"] > document["asked_at"]
        oldest = min((known["at"] for known in document["attempts"]), default=document["asked_at"])
        until = document["refused_until"] if is_refused else oldest + timedelta(seconds=WINDOW_SECONDS)
        wait = math.ceil((until - document["asked_at"]).total_seconds())  # at least 1: both are ahead
        return Answer(Outcome.REFUSED if is_refused else Outcome.BUSY, wait)

    async def failed(self, counter: Counter, attempt: str) -> bool:
        """The attempt failed. True if it was one too many: from now on attempts are refused."""
        document = await self._update(counter, _failing(attempt, counter.free))
        return not document["attempts"]

    async def withdraw(self, counter: Counter, attempt: str) -> None:
        """The attempt does not count: it succeeded, or did not take place."""
        async with store_errors(self._deadline):
            await self._collection.update_one(
                {"_id": self._id(counter)}, {"$pull": {"attempts": {"id": attempt}}}
            )

    async def reset(self, counter: Counter) -> None:
        """Forgets everything counted here."""
        async with store_errors(self._deadline):
            await self._collection.delete_one({"_id": self._id(counter)})

    def label(self, key: str) -> str:
        """A name for a key in logs: the first characters of its keyed digest."""
        return self._digest(f"label:{key}").hex()[:LABEL_LENGTH]

    async def _update(self, counter: Counter, pipeline: list[dict[str, Any]]) -> dict[str, Any]:
        async with store_errors(self._deadline):
            document: dict[str, Any] = await self._collection.find_one_and_update(
                {"_id": self._id(counter)}, pipeline, upsert=True, return_document=ReturnDocument.AFTER
            )
        return document

    def _id(self, counter: Counter) -> bytes:
        return self._digest(f"{counter.kind}:{counter.key}")

    def _digest(self, text: str) -> bytes:
        return hmac.digest(self._key, text.encode(errors="replace"), "sha256")


_IS_REFUSED = {"$gt": ["$refused_until", "$$NOW"]}
_TIDY: dict[str, Any] = {
    "$set": {
        "asked_at": "$$NOW",
        "attempts": {
            "$filter": {
                "input": {"$ifNull": ["$attempts", []]},
                "cond": {"$gt": ["$$this.at", {"$subtract": ["$$NOW", WINDOW_SECONDS * 1000]}]},
            }
        },
        "refused_until": {"$ifNull": ["$refused_until", "$$NOW"]},
        "refusals": {
            "$cond": [
                {"$gt": ["$refused_until", {"$subtract": ["$$NOW", MEMORY_SECONDS * 1000]}]},
                {"$ifNull": ["$refusals", 0]},
                0,
            ]
        },
    }
}
_KEEP: dict[str, Any] = {
    "$set": {"expires_at": {"$add": [{"$max": ["$refused_until", "$$NOW"]}, MEMORY_SECONDS * 1000]}}
}


def _counting(attempt: str, free: int) -> list[dict[str, Any]]:
    has_room = {"$and": [{"$not": [_IS_REFUSED]}, {"$lt": [{"$size": "$attempts"}, _allowed(free)]}]}
    added = {"$concatArrays": ["$attempts", [{"id": attempt, "at": "$$NOW", "failed": False}]]}
    return [_TIDY, {"$set": {"attempts": {"$cond": [has_room, added, "$attempts"]}}}, _KEEP]


def _failing(attempt: str, free: int) -> list[dict[str, Any]]:
    others = {"$filter": {"input": "$attempts", "cond": {"$ne": ["$$this.id", attempt]}}}
    added = {"$concatArrays": [others, [{"id": attempt, "at": "$$NOW", "failed": True}]]}
    failures = {"$size": {"$filter": {"input": "$attempts", "cond": "$$this.failed"}}}
    is_too_many = {"$and": [{"$not": [_IS_REFUSED]}, {"$gte": [failures, _allowed(free)]}]}
    doublings = {"$min": ["$refusals", _MOST_DOUBLINGS]}
    seconds = {
        "$min": [{"$multiply": [FIRST_REFUSAL_SECONDS, {"$pow": [2, doublings]}]}, LONGEST_REFUSAL_SECONDS]
    }
    refusal = {
        "refused_until": {"$add": ["$$NOW", {"$multiply": [seconds, 1000]}]},
        "refusals": {"$add": ["$refusals", 1]},
        "attempts": [],
    }
    return [
        _TIDY,
        {"$set": {"attempts": added}},
        {"$set": {name: {"$cond": [is_too_many, value, f"${name}"]} for name, value in refusal.items()}},
        _KEEP,
    ]


def _allowed(free: int) -> dict[str, Any]:
    """After a refusal the free failures are used up: one at a time."""
    return {"$cond": [{"$gt": ["$refusals", 0]}, 1, free]}
