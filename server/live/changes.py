"""What changes in the database wakes those who wait: one change stream for the whole process.

The stream is a hint and nothing more. A poll that it wakes looks for itself, and whenever the stream has been
opened, all look once: what happened while it was away is found, without resume tokens.
"""

import asyncio
import logging
import random
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Any, Self, TypeVar

from pymongo.errors import OperationFailure, PyMongoError

from server.database import open_stream
from server.live.hub import Hub
from server.live.mailbox import Mailboxes
from server.sessions import SessionRecord, SessionStore, StoreUnavailable

FIRST_DELAY_SECONDS = 0.1
LONGEST_DELAY_SECONDS = 5.0
ASKING_SECONDS = 1.0
ASKED_AT_ONCE = 1000

# A standalone server has no oplog to read changes from, or the user of the database may not read it.
_NO_CHANGE_STREAMS = {40573, 13}

# An ended session is deleted; one with a new token is replaced by a mark. A touch concerns nobody.
_RETIRED = [{"fullDocument.retired": True}, {"updateDescription.updatedFields.retired": True}]
_PIPELINE: list[dict[str, Any]] = [
    {
        "$match": {
            "$or": [
                {"ns.coll": "sessions", "operationType": "delete"},
                {"ns.coll": "sessions", "operationType": {"$in": ["update", "replace"]}, "$or": _RETIRED},
                {"ns.coll": "mailboxes", "operationType": {"$in": ["insert", "update", "replace"]}},
            ]
        }
    },
    {"$project": {"ns": 1, "operationType": 1, "documentKey": 1}},
]

T = TypeVar("T")

logger = logging.getLogger("latchkey.live")


class Changes:
    """Watches `database` while its block runs, and wakes in `hub` whom a change concerns.

    A stream that breaks is opened again; a server that has none is asked once a second for all who wait.
    """

    def __init__(
        self, database: Any, hub: Hub, store: SessionStore, mailboxes: Mailboxes, deadline: float
    ) -> None:
        self._database = database
        self._hub = hub
        self._store = store
        self._mailboxes = mailboxes
        self._deadline = deadline
        self._seen: dict[str, int] = {}
        self._delay = FIRST_DELAY_SECONDS
        self._task: asyncio.Task[None] | None = None
        self.is_watching = asyncio.Event()
        """Set while the stream is open."""

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while True:
            try:
                await self._watch()
            except OperationFailure as error:
                if error.code in _NO_CHANGE_STREAMS:
                    logger.warning(
                        "this MongoDB shows no change streams (%s): asking it every second",
                        _first_line(error),
                    )
                    await self._ask_for_ever()
                logger.warning("the change stream broke and is opened again: %s", _first_line(error))
            except PyMongoError as error:
                logger.warning("the change stream broke and is opened again: %s", _first_line(error))
            except Exception:  # whatever it was, those who wait must not be forgotten
                logger.exception("the change stream failed and is opened again")
            await asyncio.sleep(self._delay * random.uniform(0.5, 1))  # noqa: S311 - spreads load, hides nothing
            self._delay = min(self._delay * 2, LONGEST_DELAY_SECONDS)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with open_stream(self._database, _PIPELINE, self._deadline) as stream:
                self.is_watching.set()
                self._hub.wake_all()
                # Once it has held for a while, as after a change, the next break is a new one.
                held = loop.call_later(LONGEST_DELAY_SECONDS, self._forget_breaks)
                try:
                    async for change in stream:
                        self._forget_breaks()
                        self._tell(change)
                finally:
                    held.cancel()
        finally:
            self.is_watching.clear()

    def _forget_breaks(self) -> None:
        self._delay = FIRST_DELAY_SECONDS

    def _tell(self, change: dict[str, Any]) -> None:
        key = change["documentKey"]["_id"]
        if change["ns"]["coll"] == "sessions":
            self._hub.wake_session(key)
        else:
            self._hub.wake_user(key)

    async def _ask_for_ever(self) -> None:
        while True:
            await asyncio.sleep(ASKING_SECONDS)
            try:
                await self._ask_about_sessions()
                await self._ask_about_mailboxes()
            except StoreUnavailable as error:
                logger.warning("asking for changes failed: %s", error)

    async def _ask_about_sessions(self) -> None:
        for ids in _batches(self._hub.session_ids()):
            found = await self._store.find(ids)
            for session_id in ids:
                if not isinstance(found.get(session_id), SessionRecord):
                    self._hub.wake_session(session_id)

    async def _ask_about_mailboxes(self) -> None:
        newest: dict[str, int] = {}
        for ids in _batches(self._hub.user_ids()):
            newest |= await self._mailboxes.newest(ids)
        for user_id, seq in newest.items():
            if seq != self._seen.get(user_id):  # the first time too: it may be newer than what the poll read
                self._hub.wake_user(user_id)
        self._seen = newest


def _batches(items: list[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, ASKED_AT_ONCE)):
        yield batch


def _first_line(error: PyMongoError) -> str:
    return str(error).partition("\n")[0].partition(", full error")[0]
