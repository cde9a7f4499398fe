"""Which database to use: the one that is configured, or one of our own."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from server.mongod import EmbeddedMongod, FolderInUse, remembered_port, uri_of
from settings import Settings


@dataclass(frozen=True)
class DatabaseAddress:
    """Where the database is. `description` is one line for the person at the terminal, without secrets."""

    uri: str
    description: str


@asynccontextmanager
async def open_shared_uri(settings: Settings) -> AsyncIterator[DatabaseAddress]:
    """Like `open_uri`, but uses the embedded database of a site that is running, if one is."""
    async with AsyncExitStack() as stack:
        try:
            address = await stack.enter_async_context(open_uri(settings))
        except FolderInUse:
            port = remembered_port(settings.data_dir)
            if port is None:
                raise
            address = DatabaseAddress(uri_of(port), "the embedded MongoDB of the running site")
        yield address


@asynccontextmanager
async def open_uri(settings: Settings) -> AsyncIterator[DatabaseAddress]:
    """The database's address; an embedded mongod runs as long as the block does. Raises `StartError`."""
    if settings.mongodb_uri:
        host = settings.mongodb_uri.partition("://")[2].partition("/")[0].rpartition("@")[2]
        yield DatabaseAddress(settings.mongodb_uri, f"MongoDB at {host}")
        return
    async with EmbeddedMongod(settings.data_dir, settings.mongod_path) as mongod:
        description = f"Embedded MongoDB {mongod.version} in {settings.data_dir}, for development only"
        yield DatabaseAddress(mongod.uri, description)
