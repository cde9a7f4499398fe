"""Sessions in Tornado's request cycle, in an application that has nothing else of this project."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from tornado.web import Application, Finish, HTTPError

from server.services import Services
from server.sessions import (
    Lifetime,
    Options,
    SessionCookie,
    SessionEvents,
    SessionHandler,
    Sessions,
    StoreUnavailable,
)
from tests.client import Browser
from tests.conftest import SECRET

pytestmark = pytest.mark.gen_test


class Handler(SessionHandler):
    async def get(self, action: str) -> None:
        await getattr(self, action)()

    async def nothing(self) -> None:
        self.write("nothing")

    async def count(self) -> None:
        self.session["n"] = self.session.get("n", 0) + 1
        self.write(str(self.session["n"]))

    async def redirect_away(self) -> None:
        self.session["n"] = 7
        self.redirect("/nothing")

    async def unset(self) -> None:
        self.session["n"] = 99
        self.session = None

    async def stream(self) -> None:
        self.session["n"] = 5
        await self.session.save()
        self.write("first ")
        await self.flush()
        self.write("second")

    async def stream_carelessly(self) -> None:
        self.session["n"] = 5
        self.write("first")
        await self.flush()

    async def stream_then_change(self) -> None:
        self.write("first")
        await self.flush()
        self.session["n"] = self.session.get("n", 0) + 1

    async def empty(self) -> None:
        self.session["n"] = 1
        self.set_status(204)

    async def body_with_204(self) -> None:
        self.session["n"] = 1
        self.set_status(204)
        self.write("must not be")

    async def refuse(self) -> None:
        self.session["n"] = 1
        raise HTTPError(403)

    async def finish_early(self) -> None:
        self.session["n"] = 1
        raise Finish

    async def finish_twice(self) -> None:
        self.session["n"] = 1
        self.finish("once")
        self.finish("twice")

    async def write_after(self) -> None:
        self.session["n"] = 1
        await self.finish("awaited")

    async def unstorable(self) -> None:
        self.session["thing"] = object()

    async def unstorable_and_not_found(self) -> None:
        self.session["thing"] = object()
        raise HTTPError(404)

    async def unstorable_and_done(self) -> None:
        self.session["thing"] = object()
        raise Finish

    async def impatient(self) -> None:
        self.session["n"] = 1
        with suppress(TimeoutError):
            await asyncio.wait_for(self.finish("done"), 0.0001)

    async def cacheable(self) -> None:
        self.set_header("Cache-Control", "public, max-age=60")
        self.session["n"] = 1

    async def destroy(self) -> None:
        await self.session.destroy()

    async def rotate(self) -> None:
        await self.session.regenerate()

    async def rotate_and_fail(self) -> None:
        await self.session.regenerate()
        raise HTTPError(500)


class Guarded(Handler):
    """Redirects from `prepare`, as a page for members does."""

    async def prepare(self) -> None:
        await super().prepare()
        self.session["seen"] = 1
        self.redirect("/nothing")


class Without(SessionHandler):
    uses_session = False

    def get(self) -> None:
        self.write("x" if not self.has_session else "y")

    def post(self) -> None:
        self.write(str(self.session))


@pytest.fixture
def options(request: pytest.FixtureRequest) -> Options:
    return Options(**getattr(request, "param", {}))


@pytest.fixture
def app(services: Services, options: Options) -> Application:
    cookie = SessionCookie("sid", [SECRET], max_age=86400, secure=False)
    sessions = Sessions(services.sessions.store, cookie, Lifetime(600, 3600), options)
    routes: list[Any] = [("/guarded/(.*)", Guarded), ("/without", Without), ("/(.*)", Handler)]
    return Application(routes, sessions=sessions, log_function=lambda _: None)


async def data_of(sessions: Any) -> list[Any]:
    return [document.get("data") for document in await sessions.find().to_list(None)]


@pytest.mark.covers("S95")
async def test_what_one_request_writes_the_next_one_reads(browser: Browser) -> None:
    assert [(await browser.get("/count")).body for _ in range(3)] == [b"1", b"2", b"3"]


async def test_a_redirect_carries_the_cookie_of_a_stored_session(browser: Browser, sessions: Any) -> None:
    answer = await browser.get("/redirect_away")

    assert answer.code == 302
    assert await data_of(sessions) == [{"n": 7}]
    assert (await browser.get("/count")).body == b"8"


async def test_a_redirect_from_prepare_runs_no_handler(browser: Browser, sessions: Any) -> None:
    answer = await browser.get("/guarded/count")

    assert (answer.code, await data_of(sessions)) == (302, [{"seen": 1}])


@pytest.mark.covers("S134")
@pytest.mark.parametrize("path", ["/empty", "/refuse", "/finish_early", "/write_after"])
async def test_every_way_to_end_a_request_commits(browser: Browser, sessions: Any, path: str) -> None:
    await browser.get(path)

    assert await data_of(sessions) == [{"n": 1}]
    assert "sid" in browser.cookies


@pytest.mark.covers("S131")
async def test_finishing_twice_is_an_error_in_the_log_and_one_answer(
    browser: Browser, expected_errors: list[str]
) -> None:
    expected_errors.append("Uncaught exception GET /finish_twice")

    answer = await browser.get("/finish_twice")

    assert (answer.code, answer.body) == (200, b"once")


async def test_an_answer_that_cannot_be_sent_becomes_a_500_and_not_a_silence(
    browser: Browser, expected_errors: list[str]
) -> None:
    expected_errors.append("Uncaught exception GET /body_with_204")

    assert (await browser.get("/body_with_204")).code == 500


@pytest.mark.covers("S111")
async def test_a_value_that_cannot_be_stored_is_a_500_that_stores_nothing(
    browser: Browser, sessions: Any, expected_errors: list[str]
) -> None:
    expected_errors.append("Uncaught exception GET /unstorable")

    assert (await browser.get("/unstorable")).code == 500
    assert (await data_of(sessions), browser.cookies) == ([], {})


@pytest.mark.parametrize("path", ["/unstorable_and_not_found", "/unstorable_and_done"])
async def test_a_value_that_cannot_be_stored_never_leaves_a_request_without_an_answer(
    browser: Browser, expected_errors: list[str], path: str
) -> None:
    expected_errors.append("Uncaught exception GET")

    assert (await browser.get(path)).code == 500


async def test_whoever_stops_waiting_for_the_answer_does_not_stop_the_commit(
    browser: Browser, sessions: Any
) -> None:
    assert (await browser.get("/impatient")).body == b"done"
    assert await data_of(sessions) == [{"n": 1}]


async def test_no_answer_with_a_cookie_may_be_kept_by_a_shared_cache(browser: Browser) -> None:
    assert (await browser.get("/cacheable")).headers["Cache-Control"] == "no-store"


FAILING = ["insert", "update", "touch", "end"]


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({}, "/stream_then_change"),
        ({}, "/count"),
        ({"touch_interval": 0}, "/nothing"),
        ({"save_uninitialized": True}, "/nothing"),
        ({"unset": "destroy"}, "/unset"),
    ],
    indirect=["options"],
)
@pytest.mark.parametrize("is_new", [True, False])
async def test_a_commit_that_fails_is_tried_once(
    browser: Browser, services: Services, monkeypatch: pytest.MonkeyPatch, path: str, is_new: bool,
    expected_errors: list[str], options: Options,
) -> None:  # fmt: skip
    expected_errors += ["Cannot send error response", "changed a new session after its first flush"]
    if not is_new:
        await browser.get("/count")
    before = dict(browser.cookies)
    calls = []

    async def fail(*_: Any, **__: Any) -> Any:
        calls.append(1)
        raise StoreUnavailable("on purpose")

    for name in FAILING:
        monkeypatch.setattr(services.sessions.store, name, fail)

    answer = await browser.get(path)

    assert answer.code in {200, 503}
    assert len(calls) <= 1
    assert browser.cookies == before


async def test_pipelined_requests_are_answered_in_order(browser: Browser, http_port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", http_port)
    request = b"GET /%s HTTP/1.1\r\nHost: x\r\n%s\r\n"
    writer.write(request % (b"count", b"") + request % (b"nothing", b"Connection: close\r\n"))
    text = (await reader.read()).decode()
    writer.close()

    assert text.count("HTTP/1.1 200 OK") == 2
    assert text.index("\r\n\r\n1") < text.index("nothing")


async def test_a_handler_that_saves_before_it_streams_gets_its_cookie(
    browser: Browser, sessions: Any
) -> None:
    answer = await browser.get("/stream")

    assert answer.body == b"first second"
    assert "sid" in browser.cookies
    assert await data_of(sessions) == [{"n": 5}]


async def test_a_cookie_of_an_old_key_does_not_disturb_a_handler_that_streams(
    browser: Browser, app: Application, sessions: Any
) -> None:
    await browser.get("/count")
    cookie = app.settings["sessions"].cookie
    cookie._secrets = ("a newer secret of more than 32 bytes", *cookie._secrets)

    assert (await browser.get("/stream_then_change")).code == 200
    assert await data_of(sessions) == [{"n": 2}]


async def test_a_handler_that_forgets_to_save_before_it_streams_is_told(
    browser: Browser, sessions: Any, expected_errors: list[str]
) -> None:
    expected_errors.append("Uncaught exception GET /stream_carelessly")

    assert (await browser.get("/stream_carelessly")).code == 500
    assert await data_of(sessions) == []


async def test_changes_after_the_first_flush_count_for_a_session_that_exists(
    browser: Browser, sessions: Any, expected_errors: list[str]
) -> None:
    await browser.get("/count")
    await browser.get("/stream_then_change")
    assert await data_of(sessions) == [{"n": 2}]

    expected_errors.append("changed a new session after its first flush")
    await Browser(browser.base_url).get("/stream_then_change")
    assert await data_of(sessions) == [{"n": 2}]


async def test_a_handler_without_a_session_says_so(browser: Browser, expected_errors: list[str]) -> None:
    expected_errors.append("Uncaught exception POST /without")

    assert (await browser.get("/without")).body == b"x"
    assert (await browser.post("/without", {})).code == 500


@pytest.mark.covers("S124")
async def test_answers_differ_by_cookie_and_say_so(browser: Browser) -> None:
    first, second = await browser.get("/count"), await browser.get("/nothing")

    assert (first.headers["Vary"], first.headers["Cache-Control"]) == ("Cookie", "no-store")
    assert second.headers["Vary"] == "Cookie"
    assert "Set-Cookie" not in second.headers


@pytest.mark.covers("R31")
async def test_a_304_says_so_too(browser: Browser) -> None:
    etag = (await browser.get("/nothing")).headers["Etag"]

    answer = await browser.get("/nothing", {"If-None-Match": etag})

    assert (answer.code, answer.headers["Vary"]) == (304, "Cookie")


@pytest.mark.covers("S148")
async def test_the_answer_that_ends_a_session_clears_its_cookie(browser: Browser, sessions: Any) -> None:
    await browser.get("/count")

    answer = await browser.get("/destroy")

    assert answer.headers["Set-Cookie"].startswith("sid=; Max-Age=0;")
    assert (browser.cookies, await data_of(sessions)) == ({}, [])


async def test_an_error_after_a_rotation_signs_nobody_out(browser: Browser) -> None:
    await browser.get("/count")
    before = browser.cookies["sid"]

    assert (await browser.get("/rotate_and_fail")).code == 500

    assert browser.cookies["sid"] != before
    assert (await browser.get("/count")).body == b"2"


@pytest.mark.covers("S151")
async def test_unset_keeps_what_is_stored(browser: Browser, sessions: Any) -> None:
    await browser.get("/count")
    await browser.get("/unset")

    assert await data_of(sessions) == [{"n": 1}]


@pytest.mark.covers("S152", "S153")
@pytest.mark.parametrize("options", [{"unset": "destroy"}], indirect=True)
async def test_unset_can_mean_destroy(browser: Browser, sessions: Any) -> None:
    assert not (await browser.get("/unset")).headers.get_list("Set-Cookie")
    await browser.get("/count")
    await browser.get("/unset")

    assert (await data_of(sessions), browser.cookies) == ([], {})


@pytest.mark.covers("S97")
@pytest.mark.parametrize("options", [{"save_uninitialized": True}], indirect=True)
async def test_visitors_can_be_given_a_session_at_once(browser: Browser, sessions: Any) -> None:
    await browser.get("/nothing")
    await browser.get("/nothing")

    assert await data_of(sessions) == [{}]
    await browser.get("/destroy")
    assert await data_of(sessions) == []


@pytest.mark.parametrize("options", [{"genid": lambda: "chosen-by-the-application"}], indirect=True)
async def test_tokens_can_be_made_by_the_application(browser: Browser) -> None:
    await browser.get("/count")

    assert (await browser.get("/count")).body == b"2"


@pytest.mark.parametrize(
    ("chosen", "error"),
    [
        ({"unset": "forget"}, ValueError),
        ({"touch_interval": -1}, ValueError),
        ({"genid": "abc"}, TypeError),
        ({"genid": lambda: "short"}, ValueError),
    ],
)
async def test_an_option_that_cannot_work_is_refused_by_name(chosen: dict[str, Any], error: type) -> None:
    with pytest.raises(error, match=next(iter(chosen))):
        Options(**chosen)


heard: list[tuple[str, Any]] = []
LISTENERS = SessionEvents(
    created=lambda record: heard.append(("created", record.handle)),
    renewed=lambda record, before: heard.append(("renewed", (before, record.handle))),
    destroyed=lambda record: heard.append(("destroyed", record.handle)),
    expired_seen=lambda: heard.append(("expired_seen", None)),
)


@pytest.mark.covers("C7")
@pytest.mark.parametrize("options", [{"events": LISTENERS}], indirect=True)
async def test_the_application_hears_what_happens_to_sessions(browser: Browser, sessions: Any) -> None:
    heard.clear()
    await browser.get("/count")
    await browser.get("/count")
    await browser.get("/rotate")
    kept = browser.copy()
    await browser.get("/destroy")
    await kept.get("/nothing")

    (_, first), (_, (before, second)), (_, last), _ = heard
    assert [what for what, _ in heard] == ["created", "renewed", "destroyed", "expired_seen"]
    assert (before, last) == (first, second)


def fail(*_: Any) -> None:
    raise LookupError


@pytest.mark.parametrize("options", [{"events": SessionEvents(created=fail)}], indirect=True)
async def test_a_listener_that_fails_does_not_disturb_the_request(
    browser: Browser, expected_errors: list[str]
) -> None:
    expected_errors.append("a listener to session events failed")

    assert (await browser.get("/count")).body == b"1"
    assert (await browser.get("/count")).body == b"2"
