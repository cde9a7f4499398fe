"""Two requests at a time: each race is held open inside the handlers and then let run."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from tornado.httpclient import HTTPResponse
from tornado.web import Application

from server.sessions import Lifetime, MongoSessionStore, SessionCookie, SessionHandler, Sessions
from tests.client import Browser
from tests.conftest import SECRET
from tests.sessions.tools import Commands, Gate, age, closing, failing, restart

pytestmark = pytest.mark.gen_test


class Page(SessionHandler):
    async def get(self, action: str) -> None:
        await getattr(self, action)()

    async def nothing(self) -> None:
        self.write("nothing")

    async def read(self) -> None:
        self.write(str(self.session.get("n", "none")))

    async def start(self) -> None:
        self.session.update({"n": 1, "cart": {}, "message": "Welcome"})

    async def write_key(self) -> None:
        self.session[self.get_query_argument("key", "late")] = 1

    async def write_inside(self) -> None:
        self.session["cart"][self.get_query_argument("key")] = 1

    async def modify_inside(self) -> None:
        key = self.get_query_argument("key")
        await self.session.modify(lambda data: data["cart"].update({key: 1}))

    async def save(self) -> None:
        self.session["late"] = 1
        await self.session.save()

    async def increment(self) -> None:
        await self.session.increment("n")

    async def show_message(self) -> None:
        self.write(await self.session.pop_atomic("message", ""))

    async def rotate(self) -> None:
        await self.session.regenerate()

    async def write_and_rotate(self) -> None:
        self.session["mine"] = 1
        await self.session.regenerate()

    async def sign_in(self) -> None:
        who = {"user_id": "ann", "epoch": 0, "lifetime": Lifetime(600, 3600), "client": self.client()}
        await self.session.start({"n": "signed in"}, **who)

    async def destroy(self) -> None:
        await self.session.destroy()

    async def write_and_redirect(self) -> None:
        self.session["n"] = 1
        self.redirect("/read")


class Slow(Page):
    """Does the same, once the gate is open."""

    async def get(self, action: str) -> None:
        await self.settings["gate"].wait()
        await super().get(action)

    def on_connection_close(self) -> None:
        self.settings["gate"].left.set()

    def on_finish(self) -> None:
        self.settings["gate"].done.set()


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def app(store: MongoSessionStore, gate: Gate, opened: Callable[[Any], Any]) -> Application:
    cookie = SessionCookie("sid", [SECRET], max_age=86400, secure=False)
    sessions = partial(Sessions, store, cookie, Lifetime(600, 3600))
    application = Application(
        [("/slow/(.*)", Slow), ("/(.*)", Page)],
        sessions=sessions(),
        restarted=sessions,
        gate=gate,
        log_function=lambda _: None,
    )
    opened(closing(application))
    return application


@pytest.fixture
def together(browser: Browser, gate: Gate) -> Any:
    """`async with together("read", ...)`: these requests of one browser have all read their session, and
    go on at the end of the block. Gives the list in which their answers then are."""

    @asynccontextmanager
    async def held(*actions: str) -> AsyncIterator[list[HTTPResponse]]:
        requests = [asyncio.ensure_future(browser.copy().get(f"/slow/{action}")) for action in actions]
        await gate.held(len(requests))
        answers: list[HTTPResponse] = []
        yield answers
        gate.open()
        answers += await asyncio.gather(*requests)

    return held


def set_cookies(answer: HTTPResponse) -> list[str]:
    return answer.headers.get_list("Set-Cookie")


async def live(sessions: Any) -> list[Any]:
    """The data of all sessions that are no marks of retired ones."""
    return [found["data"] for found in await sessions.find({"retired": {"$exists": False}}).to_list(None)]


class TestEnds:
    """Gone is gone."""

    @pytest.mark.covers("R1", "S135")
    @pytest.mark.parametrize(
        "action", ["nothing", "write_key", "save", "increment", "modify_inside?key=a", "rotate"]
    )
    @pytest.mark.parametrize("is_touch_due", [True, False])
    async def test_nothing_a_late_request_does_brings_back_an_ended_session(
        self,
        app: Application,
        browser: Browser,
        sessions: Any,
        together: Any,
        action: str,
        is_touch_due: bool,
    ) -> None:
        await browser.get("/start")
        if is_touch_due:
            await age(sessions, 100)
        thief = browser.copy()

        async with together(action) as answers:
            await browser.get("/destroy")
        await restart(app)

        assert (answers[0].code, set_cookies(answers[0])) == (200, [])
        assert await sessions.count_documents({}) == 0
        assert (await thief.get("/read")).body == b"none"

    @pytest.mark.covers("R4", "C25")
    async def test_a_touch_of_a_session_that_vanished_is_no_error(
        self, app: Application, browser: Browser, sessions: Any, together: Any, commands: Commands
    ) -> None:
        await browser.get("/start")
        await age(sessions, 100)

        async with together("nothing") as answers:
            await sessions.delete_many({})
        commands.take()
        await restart(app)

        assert answers[0].code == 200
        assert commands.take() == ["update"]
        assert await sessions.count_documents({}) == 0

    @pytest.mark.covers("S135")
    async def test_what_a_request_writes_is_stored_although_the_client_has_left(
        self, browser: Browser, http_port: int, gate: Gate, sessions: Any
    ) -> None:
        await browser.get("/start")
        _, writer = await asyncio.open_connection("127.0.0.1", http_port)
        cookie = f"sid={browser.cookies['sid']}"
        writer.write(f"GET /slow/write_key HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\n\r\n".encode())
        await gate.held()
        writer.close()
        await gate.left.wait()

        gate.open()
        await gate.done.wait()

        assert (await live(sessions))[0]["late"] == 1


class TestWrites:
    """Nothing is lost."""

    @pytest.mark.covers("R2")
    async def test_two_requests_that_write_different_keys_both_count(
        self, browser: Browser, sessions: Any, together: Any
    ) -> None:
        await browser.get("/start")

        async with together("write_key?key=a", "write_key?key=b"):
            pass

        assert [(data["a"], data["b"]) for data in await live(sessions)] == [(1, 1)]

    @pytest.mark.covers("R2")
    async def test_twenty_increments_at_once_make_twenty(
        self, browser: Browser, sessions: Any, together: Any
    ) -> None:
        await browser.get("/start")

        async with together(*["increment"] * 20):
            pass

        assert [data["n"] for data in await live(sessions)] == [21]

    @pytest.mark.covers("R3")
    @pytest.mark.parametrize(("action", "kept"), [("write_inside", 1), ("modify_inside", 2)])
    async def test_inside_one_value_the_last_writer_wins_and_modify_keeps_both(
        self, browser: Browser, sessions: Any, together: Any, action: str, kept: int
    ) -> None:
        await browser.get("/start")

        async with together(f"{action}?key=a", f"{action}?key=b"):
            pass

        assert [len(data["cart"]) for data in await live(sessions)] == [kept]

    @pytest.mark.covers("R28")
    async def test_a_message_is_shown_by_exactly_one_of_ten_requests(
        self, browser: Browser, together: Any
    ) -> None:
        await browser.get("/start")

        async with together(*["show_message"] * 10) as answers:
            pass

        assert sorted(answer.body for answer in answers) == [b""] * 9 + [b"Welcome"]

    @pytest.mark.covers("S130", "R8")
    async def test_who_has_the_headers_of_a_redirect_finds_the_session_stored(
        self, app: Application, browser: Browser, http_port: int, sessions: Any, mongodb_uri: str
    ) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", http_port)
        with failing(mongodb_uri, "findAndModify", blockConnection=True, blockTimeMS=200):
            writer.write(b"GET /write_and_redirect HTTP/1.1\r\nHost: x\r\n\r\n")
            headers = await reader.readuntil(b"\r\n")
            stored = await live(sessions)
        writer.close()

        assert (headers, stored) == (b"HTTP/1.1 302 Found\r\n", [{"n": 1}])

    @pytest.mark.covers("R19")
    async def test_ten_first_visits_at_once_leave_nothing(
        self, browser: Browser, sessions: Any, together: Any
    ) -> None:
        async with together(*["read"] * 10) as answers:
            pass

        assert [set_cookies(answer) for answer in answers] == [[]] * 10
        assert await sessions.count_documents({}) == 0


class TestNewTokens:
    """Rotation and sign-in while other requests are under way."""

    @pytest.mark.covers("R5")
    @pytest.mark.parametrize("change", ["/rotate", "/sign_in"])
    @pytest.mark.parametrize("action", ["nothing", "write_key", "save", "rotate", "increment"])
    async def test_a_late_request_with_the_old_token_leaves_the_new_cookie_and_session_alone(
        self, app: Application, browser: Browser, sessions: Any, together: Any, change: str, action: str
    ) -> None:
        await browser.get("/start")
        await age(sessions, 100)

        async with together(action) as answers:
            await browser.get(change)
            stored = await sessions.find().to_list(None)
        await restart(app)

        assert (answers[0].code, set_cookies(answers[0])) == (200, [])
        assert await sessions.find().to_list(None) == stored
        assert (await browser.get("/read")).body in {b"1", b"signed in"}

    @pytest.mark.covers("R5")
    @pytest.mark.parametrize("change", ["/rotate", "/sign_in"])
    async def test_whoever_keeps_the_old_token_is_a_stranger_at_once_and_later(
        self, browser: Browser, sessions: Any, change: str
    ) -> None:
        await browser.get("/start")
        attacker = browser.copy()
        await browser.get(change)

        assert (await attacker.get("/read")).body == b"none"
        assert set_cookies(await attacker.get("/write_key")) == []
        await sessions.delete_many({"retired": True})
        assert (await attacker.get("/read")).body == b"none"

    @pytest.mark.covers("R5")
    async def test_of_three_rotations_at_once_one_wins(
        self, browser: Browser, sessions: Any, together: Any
    ) -> None:
        await browser.get("/start")

        async with together(*["rotate"] * 3) as answers:
            pass

        assert sorted(len(set_cookies(answer)) for answer in answers) == [0, 0, 1]
        assert len(await live(sessions)) == 1

    @pytest.mark.covers("R5", "R6")
    @pytest.mark.parametrize("step", ["findAndModify", "update"])
    async def test_a_rotation_that_fails_halfway_signs_nobody_out(
        self, browser: Browser, mongodb_uri: str, step: str
    ) -> None:
        await browser.get("/start")
        with failing(mongodb_uri, step):
            answer = await browser.get("/write_and_rotate")

        assert (answer.code, set_cookies(answer)) == (503, [])
        assert (await browser.get("/read")).body == b"1"

    @pytest.mark.covers("R7")
    @pytest.mark.parametrize("change", ["/rotate", "/sign_in", "/destroy"])
    async def test_a_cookie_is_not_signed_anew_for_a_session_that_ended_meanwhile(
        self, app: Application, browser: Browser, store: MongoSessionStore, together: Any, change: str
    ) -> None:
        await browser.get("/start")
        cookie = SessionCookie("sid", ["n" * 40, SECRET], max_age=86400, secure=False)
        app.settings["sessions"] = Sessions(store, cookie, Lifetime(600, 3600))

        async with together("nothing") as answers:
            await browser.get(change)

        assert set_cookies(answers[0]) == []
