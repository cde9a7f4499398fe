"""What a session store promises beyond reading and writing: write concerns, times, recovery."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import MongoClient
from pymongo.uri_parser import parse_uri
from tornado.testing import bind_unused_port
from tornado.web import Application

from server.services import Services
from server.sessions import (
    Client,
    Lifetime,
    MongoSessionStore,
    Options,
    Session,
    SessionCookie,
    SessionDraft,
    SessionEvents,
    SessionHandler,
    SessionRecord,
    Sessions,
    StoreUnavailable,
)
from server.sessions.token import digest, new_handle, new_token
from settings import Settings
from tests.client import Browser
from tests.conftest import SECRET
from tests.sessions.tools import Commands, age, failing

pytestmark = pytest.mark.gen_test


def draft(data: dict[str, Any] | None = None, **more: Any) -> SessionDraft:
    return SessionDraft(digest(new_token()), new_handle(), data or {}, Lifetime(600, 3600), Client(), **more)


@pytest.mark.covers("C3", "C4", "C5")
async def test_a_session_is_there_from_its_insert_to_its_end(store: MongoSessionStore) -> None:
    made = draft({"a": 1}, user_id="ann", epoch=0)
    assert (await store.count(), await store.find([made.id]), await store.list_user("ann")) == (0, {}, [])

    await store.insert(made)
    await store.update(made.id, set_keys={"a": 2})

    (listed,) = await store.list_user("ann")
    assert (await store.count(), listed.id, listed.data) == (1, made.id, {"a": 2})
    assert await store.end(made.id)
    assert (await store.count(), await store.find([made.id]), await store.list_user("ann")) == (0, {}, [])


@pytest.mark.covers("C38", "S139")
async def test_an_expired_session_is_neither_counted_nor_listed(
    store: MongoSessionStore, sessions: Any
) -> None:
    await store.insert(draft(user_id="ann", epoch=0))
    await age(sessions, 601, "expires_at")

    assert (await store.count(), await store.list_user("ann")) == (0, [])
    assert await sessions.count_documents({}) == 1


@pytest.mark.covers("C12")
async def test_a_session_expires_its_idle_time_after_the_databases_now(store: MongoSessionStore) -> None:
    before = datetime.now(UTC).timestamp()
    made = await store.insert(draft())
    after = datetime.now(UTC).timestamp()

    assert before - 0.001 <= made.expires_at.timestamp() - 600 <= after


@pytest.mark.covers("C9")
async def test_writing_leaves_the_age_of_a_session_alone(store: MongoSessionStore, sessions: Any) -> None:
    made = await store.insert(draft())
    await age(sessions, 100)
    old = (await store.find([made.id]))[made.id]
    assert isinstance(old, SessionRecord)

    written = await store.update(made.id, set_keys={"a": 1})
    await store.touch([made.id])
    touched = (await store.find([made.id]))[made.id]

    assert written
    assert isinstance(touched, SessionRecord)
    assert old.created_at == written.created_at == touched.created_at
    assert touched.seen_at > written.seen_at == old.seen_at


@pytest.mark.covers("R25", "C31")
async def test_what_makes_or_ends_a_session_waits_for_the_majority_and_a_touch_does_not(
    store: MongoSessionStore, commands: Commands
) -> None:
    one, two = await store.insert(draft()), await store.insert(draft())
    await store.retire(one.id)
    await store.end(two.id)
    await store.end_user("ann")
    waited = [command.get("writeConcern") for command in commands.sent]
    assert waited == [{"w": "majority"}] * 6  # end_user looks twice

    commands.sent.clear()
    await store.touch([two.id])
    assert [command.get("writeConcern", {"w": 1}) for command in commands.sent] == [{"w": 1}]


@pytest.mark.covers("C16")
async def test_a_sweep_that_fails_says_so_and_can_be_repeated(
    store: MongoSessionStore, sessions: Any, mongodb_uri: str
) -> None:
    await store.insert(draft())
    await age(sessions, 601, "expires_at")
    with failing(mongodb_uri, "delete"), pytest.raises(StoreUnavailable):
        await store.sweep()

    assert await store.sweep() == 1


@pytest.mark.covers("C37", "S171")
async def test_a_store_that_never_reached_its_database_works_as_soon_as_it_can(
    services: Services, settings: Settings
) -> None:
    host, port = parse_uri(settings.mongodb_uri)["nodelist"][0]
    unused, own_port = bind_unused_port()
    unused.close()
    options = "directConnection=true&heartbeatFrequencyMS=500&timeoutMS=1500"
    client = AsyncIOMotorClient(f"mongodb://127.0.0.1:{own_port}/?{options}")
    store = MongoSessionStore(client[settings.mongodb_database]["sessions"], 5)
    with pytest.raises(StoreUnavailable):
        await store.count()

    async with Proxy(host, port, own_port):
        assert await store.count() == 0
    client.close()


class Proxy:
    """Passes on to the database what comes to another port."""

    def __init__(self, host: str, port: int, own_port: int) -> None:
        self._to, self._own_port = (host, port), own_port
        self._writers: list[asyncio.StreamWriter] = []
        self._pipes: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._own_port)

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._to)
        self._writers += [writer, far_writer]
        self._pipes |= {
            asyncio.create_task(_pipe(reader, far_writer)),
            asyncio.create_task(_pipe(far_reader, writer)),
        }


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


@pytest.mark.covers("C40")
async def test_the_lifetime_chosen_at_sign_in_stays_with_the_session(
    store: MongoSessionStore, sessions: Any
) -> None:
    def session(record: Any = None) -> Session:
        return Session(store, Lifetime(600, 3600), Options(), Client, record=record)

    month = Lifetime(7 * 86400, 30 * 86400, persistent=True)
    first = session()
    await first.start({}, user_id="ann", epoch=0, lifetime=month, client=Client())
    for _ in range(3):
        await age(sessions, 86400)
        assert first.id
        again = session((await store.find([first.id]))[first.id])
        await again.touch()
        assert await again.regenerate()
        first = again

    assert first.lifetime == month
    assert first.cookie_max_age in range(27 * 86400 - 10, 27 * 86400 + 1)


class Count(SessionHandler):
    def get(self) -> None:
        self.session["n"] = 1


class TestEvents:
    @pytest.fixture
    def seen(self) -> list[bool]:
        return []

    @pytest.fixture
    def app(self, store: MongoSessionStore, settings: Settings, seen: list[bool]) -> Application:
        def look(record: SessionRecord) -> None:
            with MongoClient[dict[str, Any]](settings.mongodb_uri) as client:
                found = client[settings.mongodb_database]["sessions"].find_one({"handle": record.handle})
            seen.append(found is not None)

        cookie = SessionCookie("sid", [SECRET], max_age=86400, secure=False)
        options = Options(events=SessionEvents(created=look))
        return Application(
            [("/", Count)],
            sessions=Sessions(store, cookie, Lifetime(600, 3600), options),
            log_function=lambda _: None,
        )

    @pytest.mark.covers("C6")
    async def test_who_hears_of_a_session_can_read_it(self, browser: Browser, seen: list[bool]) -> None:
        await browser.get("/")

        assert seen == [True]
