"""What people notice when the database fails: a 503, and never a sign-out."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from pymongo import MongoClient
from tornado.httpclient import HTTPResponse

from handlers.base import BaseHandler
from server.accounts import HashQueueFull
from server.app import make_app
from server.services import Services
from server.sessions import StoreUnavailable
from settings import Settings
from tests.client import PASSWORD, Browser

pytestmark = pytest.mark.gen_test

ANN = "ann@example.com"


@pytest.fixture
def failing(mongodb_uri: str) -> Any:
    """`with failing("find"):` makes these commands of the site fail as a broken connection does."""

    @contextmanager
    def fail(*commands: str, **how: Any) -> Iterator[None]:
        data = {"failCommands": list(commands), "appName": "latchkey", **(how or {"closeConnection": True})}
        with MongoClient[dict[str, Any]](mongodb_uri) as client:
            client.admin.command({"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": data})
            try:
                yield
            finally:
                client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})

    return fail


def set_cookies(answer: HTTPResponse) -> list[str]:
    return answer.headers.get_list("Set-Cookie")


@pytest.mark.covers("S167", "R9", "AV-3")
async def test_when_sessions_cannot_be_read_members_get_a_503_and_stay_signed_in(
    browser: Browser, failing: Any
) -> None:
    await browser.sign_up(ANN)
    with failing("find"):
        began = time.monotonic()
        page, call = await browser.get("/account"), await browser.get("/api/session")
        took = time.monotonic() - began

    for answer in (page, call):
        assert (answer.code, set_cookies(answer)) == (503, [])
        assert int(answer.headers["Retry-After"]) > 0
    assert b'"code": "unavailable"' in call.body
    assert b"still are" in page.body
    assert took < 2 * 2.5
    assert await browser.is_signed_in()


@pytest.mark.covers("S174", "R9")
async def test_pages_without_a_session_work_during_an_outage(browser: Browser, failing: Any) -> None:
    with failing("find", "insert", "update", "findAndModify", "delete"):
        assert (await browser.get("/")).code == 200
        assert (await browser.get("/login")).code == 200
        assert (await browser.get("/healthz")).code == 200


@pytest.mark.covers("R9")
async def test_one_broken_connection_is_not_noticed(browser: Browser, mongodb_uri: str) -> None:
    await browser.sign_up(ANN)
    once = {"failCommands": ["find"], "appName": "latchkey", "closeConnection": True}
    with MongoClient[dict[str, Any]](mongodb_uri) as client:
        client.admin.command({"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": once})

        assert (await browser.get("/account")).code == 200


async def test_a_sign_up_that_worked_is_not_refused_for_what_could_not_be_tidied_up(
    browser: Browser, failing: Any
) -> None:
    with failing("delete"):
        answer = await browser.call("POST", "/api/users", {"email": ANN, "password": PASSWORD})

    assert answer.code == 201


@pytest.mark.covers("S169", "CK-10")
async def test_a_sign_in_that_cannot_be_stored_gives_no_cookie(browser: Browser, failing: Any) -> None:
    await browser.sign_up(ANN)
    await browser.sign_out()
    with failing("findAndModify"):
        answer = await browser.sign_in(ANN)

    assert answer.code == 503
    assert not [line for line in set_cookies(answer) if line.startswith("sid=")]
    assert (await browser.sign_in(ANN)).code == 303


@pytest.mark.covers("CK-10")
async def test_a_sign_in_whose_session_cannot_be_stored_gives_no_cookie(
    browser: Browser, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await browser.sign_up(ANN)
    await browser.sign_out()

    async def cannot(*_: Any) -> None:
        raise StoreUnavailable("no answer in time")

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(services.sessions.store, "insert", cannot)
        page = await browser.sign_in(ANN)
        call = await browser.call("POST", "/api/session", {"email": ANN, "password": PASSWORD})

    assert [(answer.code, set_cookies(answer)) for answer in (page, call)] == [(503, [])] * 2
    assert (await browser.sign_in(ANN)).code == 303


async def test_while_guesses_cannot_be_counted_no_password_is_tried(
    browser: Browser, services: Services, failing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await browser.sign_up(ANN)
    tried: list[str] = []

    async def must_not_be_tried(email: str, _password: str) -> None:
        tried.append(email)

    monkeypatch.setattr(services.accounts, "authenticate", must_not_be_tried)
    with failing("findAndModify"):
        answers = [await browser.sign_in(ANN, word) for word in (PASSWORD, "a wrong one")]

    assert [answer.code for answer in answers] == [503, 503]
    assert not tried


@pytest.mark.covers("S154")
async def test_a_sign_out_that_cannot_be_stored_is_not_claimed(browser: Browser, failing: Any) -> None:
    await browser.sign_up(ANN)
    with failing("delete"):
        answer = await browser.sign_out()

    assert (answer.code, set_cookies(answer)) == (503, [])
    assert await browser.is_signed_in()


async def test_a_touch_that_cannot_wait_and_fails_is_a_503_with_the_cookie_untouched(
    browser: Browser, sessions: Any, failing: Any
) -> None:
    await browser.sign_up(ANN)
    """With time to spare the touch travels later and alone; with none left the request waits for it."""
    soon = {"seen_at": {"$subtract": ["$$NOW", 600_000]}, "expires_at": {"$add": ["$$NOW", 1900]}}
    await sessions.update_many({}, [{"$set": soon}])
    with failing("update"):
        answer = await browser.get("/account")

    assert (answer.code, set_cookies(answer)) == (503, [])
    assert await browser.is_signed_in()


@pytest.mark.covers("S173", "AV-4")
@pytest.mark.parametrize("settings", [{"store_deadline": 0.3}], indirect=True)
async def test_a_database_that_hangs_is_given_up_in_time(browser: Browser, failing: Any) -> None:
    await browser.sign_up(ANN)
    with failing("find", blockConnection=True, blockTimeMS=1500):
        began = time.monotonic()
        answer = await browser.get("/account")

        assert answer.code == 503
        assert time.monotonic() - began < 1.2


async def test_readiness_tells_of_the_outage(browser: Browser, failing: Any) -> None:
    with failing("ping"):
        answer = await browser.get("/readyz")
    assert (answer.code, answer.body) == (503, b"no database\n")
    assert (await browser.get("/readyz")).code == 200


@pytest.mark.covers("AV-2")
async def test_too_many_hashes_at_once_are_refused_not_queued(
    browser: Browser, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: Any) -> None:
        raise HashQueueFull

    monkeypatch.setattr(services.accounts, "authenticate", full)

    page = await browser.sign_in(ANN)
    call = await browser.call("POST", "/api/session", {"email": ANN, "password": PASSWORD})

    assert (page.code, call.code) == (503, 503)
    assert int(page.headers["Retry-After"]) > 0


class Slow(BaseHandler):
    """Waits inside the handler, then writes to the session."""

    async def get(self) -> None:
        self.settings["entered"].set()
        await self.settings["go_on"].wait()
        self.session["late"] = 1
        if self.get_query_argument("fail", ""):
            raise RuntimeError("on purpose")
        self.write("done")


@pytest.fixture
def app(settings: Settings, services: Services) -> Any:
    site = make_app(settings, services)
    site.add_handlers(".*", [("/slow", Slow)])
    site.settings |= {"entered": asyncio.Event(), "go_on": asyncio.Event()}
    return site


@asynccontextmanager
async def slow_request(
    app: Any, browser: Browser, path: str = "/slow"
) -> AsyncIterator["asyncio.Task[HTTPResponse]"]:
    request = asyncio.ensure_future(browser.copy().get(path))
    await app.settings["entered"].wait()
    yield request
    app.settings["go_on"].set()
    await request


@pytest.mark.covers("R1", "END-7")
async def test_a_request_under_way_cannot_bring_back_a_session_that_was_signed_out(
    app: Any, browser: Browser, sessions: Any
) -> None:
    await browser.sign_up(ANN)
    thief = browser.copy()
    async with slow_request(app, browser) as request:
        await browser.sign_out()

    assert (request.result().code, set_cookies(request.result())) == (200, [])
    assert await sessions.count_documents({}) == 0
    assert not await thief.is_signed_in()


async def test_a_request_under_way_during_a_sign_in_leaves_the_new_session_alone(
    app: Any, browser: Browser, sessions: Any
) -> None:
    await browser.sign_up(ANN)
    async with slow_request(app, browser) as request:
        await browser.sign_in(ANN)

    assert set_cookies(request.result()) == []
    assert await browser.is_signed_in()
    assert await sessions.count_documents({"data.late": 1}) == 0


@pytest.mark.covers("S134", "R24")
async def test_an_answer_with_an_error_stores_nothing(
    app: Any, browser: Browser, sessions: Any, expected_errors: list[str]
) -> None:
    expected_errors.append("Uncaught exception GET /slow")
    app.settings["go_on"].set()

    answer = await browser.get("/slow?fail=1")

    assert (answer.code, set_cookies(answer)) == (500, [])
    assert b"on purpose" not in answer.body
    assert await sessions.count_documents({}) == 0


@pytest.mark.covers("S130", "R8")
async def test_what_a_redirects_target_reads_is_already_saved(
    app: Any, browser: Browser, failing: Any, sessions: Any
) -> None:
    """The insert is slow; the redirect waits for it."""
    await browser.get("/signup")
    with failing("findAndModify", blockConnection=True, blockTimeMS=300):
        began = time.monotonic()
        answer = await browser.sign_up(ANN)

    assert answer.code == 303
    assert time.monotonic() - began >= 0.3
    assert await sessions.count_documents({}) == 1


@pytest.mark.covers("R27")
async def test_a_client_that_leaves_during_the_commit_disturbs_nobody(
    app: Any, browser: Browser, http_port: int, failing: Any, sessions: Any
) -> None:
    app.settings["go_on"].set()
    with failing("findAndModify", blockConnection=True, blockTimeMS=300):
        _, writer = await asyncio.open_connection("127.0.0.1", http_port)
        writer.write(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await app.settings["entered"].wait()
        writer.close()
        await app.settings["in_flight"].wait_empty()

    assert await sessions.count_documents({"data.late": 1}) == 1
