"""The MongoDB client: the only module that imports motor, and its time limits.

Motor gets critical fixes only, until May 2027. Everything else uses what it shares with
`pymongo.AsyncMongoClient`, so that this module is all that has to change.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.errors import ConfigurationError, InvalidURI, OperationFailure, PyMongoError
from pymongo.monitoring import CommandListener

from server.errors import SettingsError, StartError

HEARTBEAT_MS = 1000
LONGEST_AWAIT_MS = 500


@asynccontextmanager
async def open_database(
    uri: str, name: str, deadline: float, listeners: Sequence[CommandListener] = ()
) -> AsyncIterator[Any]:
    """The database `name` at `uri`, reached and ready; the client closes at the end.

    No operation takes longer than `deadline` seconds. `listeners` hear of every command. Raises `StartError`
    if it cannot be reached and `SettingsError` for a URI that is none; neither shows the URI, which may hold
    a password.
    """
    client = _client(uri, deadline, listeners)
    try:
        await _reach(client, uri)
        yield client[name]
    finally:
        client.close()


async def ping(database: Any) -> bool:
    """Whether the database answers within its deadline."""
    try:
        await database.command("ping")
    except PyMongoError:
        return False
    return True


@asynccontextmanager
async def open_stream(
    database: Any, pipeline: list[dict[str, Any]], deadline: float
) -> AsyncIterator[AsyncIterator[Any]]:
    """The changes in `database` that pass the pipeline, from now on; the stream closes with the block.

    Never more than one a process: each keeps one of motor's few threads busy. Raises `PyMongoError`, when it
    is opened and while it is read.
    """
    # Not `watch`: motor takes that through a thread and back for every change, a cursor for every batch, and
    # when all sessions end at once there are thousands in one.
    cursor = await database.cursor_command(
        {"aggregate": 1, "pipeline": [{"$changeStream": {}}, *pipeline], "cursor": {}},
        # The server answers after this time even if nothing happened: well before the client's own limit.
        max_await_time_ms=min(LONGEST_AWAIT_MS, int(deadline * 500)),
    )
    try:
        yield _all_of(cursor)
    finally:
        await cursor.close()


async def _all_of(cursor: Any) -> AsyncIterator[Any]:
    while cursor.alive:
        async for change in cursor:  # ends whenever nothing has happened for a while
            yield change


def _client(uri: str, deadline: float, listeners: Sequence[CommandListener]) -> Any:
    try:
        return AsyncIOMotorClient(
            uri,
            appname="latchkey",
            tz_aware=True,
            event_listeners=list(listeners),
            # Without it motor's threads stay blocked on a server that hangs, and the process cannot exit.
            timeoutMS=int(deadline * 1000),
            # The time limit above does not cover saying goodbye to a server that is away.
            serverSelectionTimeoutMS=int(deadline * 1000),
            # A new primary must be noticed well within one request's deadline.
            heartbeatFrequencyMS=HEARTBEAT_MS,
        )
    except (InvalidURI, ConfigurationError, ValueError, TypeError, OSError):
        # The driver's own message may repeat parts of the URI, and with them the password.
        raise SettingsError(
            "MONGODB_URI is (not shown); expected mongodb://USER:PASSWORD@HOST:PORT/, percent-encoded"
        ) from None


async def _reach(client: Any, uri: str) -> None:
    hosts = urlsplit(uri).netloc.rpartition("@")[2]
    try:
        await client.admin.command("ping")
    except OperationFailure as error:
        reason = (error.details or {}).get("errmsg", "no reason given")
        raise StartError(f"MongoDB at {hosts} refused: {reason}; correct MONGODB_URI") from None
    except PyMongoError as error:
        reason = str(error).partition(",")[0].partition(" (")[0]
        raise StartError(f"MongoDB at {hosts} cannot be reached: {reason}") from None
