"""What the tests of this folder share: a gate inside handlers, and a look at what the database is asked."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from pymongo import AsyncMongoClient, MongoClient
from pymongo.monitoring import CommandListener
from tornado.web import Application

from server.sessions import MongoSessionStore
from settings import Settings

WRITES = {"insert", "update", "delete", "findAndModify"}


class Commands(CommandListener):
    """The finds and writes that a store sent, in their order."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def started(self, event: Any) -> None:
        if event.command_name in {"find", *WRITES}:
            self.sent.append(event.command)

    def succeeded(self, event: Any) -> None: ...

    def failed(self, event: Any) -> None: ...

    def take(self) -> list[str]:
        """The names of the commands since the last call."""
        names = [next(iter(command)) for command in self.sent]
        self.sent.clear()
        return names


@asynccontextmanager
async def watched_store(settings: Settings, commands: Commands) -> AsyncIterator[MongoSessionStore]:
    """A store on the test's database whose commands can be looked at, and hit by fail points."""
    async with AsyncMongoClient[dict[str, Any]](
        settings.mongodb_uri,
        appname="latchkey",
        event_listeners=[commands],
        heartbeatFrequencyMS=500,
    ) as client:
        yield MongoSessionStore(client[settings.mongodb_database]["sessions"], settings.store_deadline)


@contextmanager
def failing(uri: str, *commands: str, mode: Any = "alwaysOn", **how: Any) -> Iterator[None]:
    """Makes these commands of the site fail: as a broken connection does, or as `how` says."""
    data = {"failCommands": list(commands), "appName": "latchkey", **(how or {"closeConnection": True})}
    with MongoClient[dict[str, Any]](uri) as client:
        client.admin.command({"configureFailPoint": "failCommand", "mode": mode, "data": data})
        try:
            yield
        finally:
            client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


class Gate:
    """Holds requests inside their handlers until the test lets them go on."""

    def __init__(self) -> None:
        self._arrived = asyncio.Semaphore(0)
        self._is_open = asyncio.Event()
        self.left = asyncio.Event()
        self.done = asyncio.Event()

    async def wait(self) -> None:
        self._arrived.release()
        await self._is_open.wait()

    async def held(self, requests: int = 1) -> None:
        """Returns once so many requests are waiting."""
        for _ in range(requests):
            await self._arrived.acquire()

    def open(self) -> None:
        self._is_open.set()


async def age(sessions: Any, seconds: int, *names: str) -> None:
    """Makes all sessions older, or only these of their times."""
    times = names or ("created_at", "seen_at", "active_at", "expires_at", "ends_at")
    older = {name: {"$subtract": [f"${name}", seconds * 1000]} for name in times}
    await sessions.update_many({}, [{"$set": older}])


async def restart(app: Application) -> None:
    """Ends the application's sessions as a server that stops does, and begins anew."""
    await app.settings["sessions"].close()
    app.settings["sessions"] = app.settings["restarted"]()


@asynccontextmanager
async def closing(app: Application) -> AsyncIterator[None]:
    yield
    await app.settings["sessions"].close()
