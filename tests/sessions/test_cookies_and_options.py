"""What is chosen when sessions are set up, and what browsers see of it: the cookie, its token, its keys."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tornado.httpclient import HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.routing import PathMatches, Rule
from tornado.web import Application

import server.sessions as package
from server.services import Services
from server.sessions import Lifetime, Options, SessionCookie, SessionHandler, Sessions, SessionStore
from server.sessions.token import new_token
from settings import Settings
from tests.client import Browser
from tests.sessions.tools import Commands, age, watched_store

OLD, NEW = "an old secret of more than 32 bytes", "a new secret of more than 32 bytes"
MONTH = 30 * 86400
REMEMBERED = Lifetime(600, MONTH, persistent=True)
CHOSEN = "chosen_by-the-application_42"

gen_test = pytest.mark.gen_test


class Handler(SessionHandler):
    async def get(self, action: str) -> None:
        await getattr(self, action.rpartition("/")[2] or "count")()

    async def nothing(self) -> None:
        self.write(self.session.handle or "none")

    async def count(self) -> None:
        self.session["n"] = self.session.get("n", 0) + 1
        self.write(str(self.session["n"]))

    async def cookies_of_its_own(self) -> None:
        self.set_cookie("theme", "dark")
        self.add_header("Set-Cookie", "language=en")
        await self.count()

    async def sign_in(self) -> None:
        lifetime = REMEMBERED if self.get_argument("remember", "") else Lifetime(600, 3600)
        await self.session.start({}, user_id="ann", epoch=0, lifetime=lifetime, client=self.client())

    async def destroy(self) -> None:
        await self.session.destroy()

    async def lifetime(self) -> None:
        session = self.session
        if session.setdefault("n", 0) == 0:
            await session.save()
        assert session.lifetime
        assert session.created_at
        assert session.ends_at
        absolute = (session.ends_at - session.created_at).total_seconds()
        self.write({"chosen": session.lifetime.absolute, "real": absolute, "left": session.cookie_max_age})

    async def protocol(self) -> None:
        await self.count()
        self.write(self.request.protocol)


class Late(Handler):
    """Sets a cookie at the last moment, when the headers are being written."""

    def flush(self, include_footers: bool = False) -> "asyncio.Future[None]":
        self.set_cookie("late", "1")
        return super().flush(include_footers)


def made(store: SessionStore, *, name: str = "sid", **chosen: Any) -> Sessions:
    secrets, lifetime = chosen.pop("secrets", [NEW]), chosen.pop("lifetime", Lifetime(600, 3600))
    options = Options(**chosen.pop("options", {}))
    cookie = SessionCookie(name, secrets, **{"max_age": 2 * MONTH, "secure": False} | chosen)
    return Sessions(store, cookie, lifetime, options)


def site(sessions: Sessions) -> Application:
    routes: list[Any] = [("/late/(.*)", Late), ("/?(.*)", Handler)]
    return Application(routes, sessions=sessions, log_function=lambda _: None)


@pytest.fixture
def layer(request: pytest.FixtureRequest, services: Services) -> Sessions:
    return made(services.sessions.store, **getattr(request, "param", {}))


@pytest.fixture
def app(layer: Sessions) -> Application:
    return site(layer)


def chosen(**what: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("layer", [what], indirect=True)


def cookie(*secrets: str, **options: Any) -> SessionCookie:
    return SessionCookie("sid", secrets or (NEW,), **{"max_age": 86400, "secure": False} | options)


def line_of(answer: HTTPResponse) -> str:
    (line,) = answer.headers.get_list("Set-Cookie")
    return line


def attributes_of(line: str) -> set[str]:
    return {part.strip() for part in line.split(";")[1:]}


def value_of(line: str) -> str:
    return line.partition("=")[2].partition(";")[0]


def token_in(value: str, *secrets: str) -> str:
    (token,) = cookie(*secrets).read([f"sid={value}"])
    return token.value


# Construction and configuration


@pytest.mark.covers("S1")
def test_all_that_an_application_needs_comes_from_one_package() -> None:
    assert {"Sessions", "SessionHandler", "SessionStore", "MongoSessionStore"} <= set(package.__all__)
    assert [name for name in package.__all__ if not hasattr(package, name)] == []


@pytest.mark.covers("S2", "S3")
def test_without_a_secret_nothing_starts() -> None:
    with pytest.raises(ValueError, match="at least one secret"):
        SessionCookie("sid", [], max_age=60, secure=False)
    with pytest.raises(TypeError, match="secrets"):
        SessionCookie("sid", max_age=60, secure=False)  # type: ignore[call-arg]


@pytest.mark.covers("S4", "S5", "S79")
@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("genid", "abc", TypeError),
        ("genid", lambda: "; Domain=evil.example; " + "x" * 22, ValueError),
        ("genid", lambda: "é" * 22, ValueError),
        ("unset", "forget", ValueError),
    ],
)
def test_an_option_that_cannot_work_is_refused_by_name(option: str, value: Any, error: type) -> None:
    with pytest.raises(error, match=option):
        Options(**{option: value})


@pytest.mark.covers("S92")
@pytest.mark.parametrize("token", [7, None, b"x" * 43])
def test_a_generator_of_anything_but_text_is_refused_at_start(token: Any) -> None:
    with pytest.raises(TypeError):
        Options(genid=lambda: token)


@pytest.mark.covers("S7")
@chosen(name="visit")
@gen_test
async def test_the_cookie_has_the_name_that_was_chosen(browser: Browser) -> None:
    await browser.get("/count")

    assert list(browser.cookies) == ["visit"]
    assert (await browser.get("/count")).body == b"2"


@pytest.mark.covers("S10")
def test_an_unknown_attribute_is_refused_and_not_sent() -> None:
    with pytest.raises(TypeError, match="data"):
        cookie(data="x")


@pytest.mark.covers("S11")
@pytest.mark.parametrize("max_age", ["60", None, lambda: 60])
def test_an_age_that_is_no_number_is_refused_at_start(max_age: Any) -> None:
    with pytest.raises(TypeError):
        cookie(max_age=max_age)


@pytest.mark.covers("S13")
def test_what_was_given_is_neither_changed_nor_looked_at_again() -> None:
    secrets, options = [NEW, OLD], Options()
    made = SessionCookie("sid", secrets, max_age=60, secure=False)
    assert secrets == [NEW, OLD]

    secrets.clear()

    assert made.read([f"sid={value_of(made.set_line(new_token(), None))}"])
    with pytest.raises(AttributeError):
        options.unset = "destroy"  # type: ignore[misc]


class TestTwoLayersOnOneStore:
    @pytest.fixture
    def app(self, services: Services) -> Application:
        store = services.sessions.store
        lax = site(made(store, name="one", options={"genid": lambda: CHOSEN}))
        strict = site(made(store, name="two", samesite="strict", path="/two", priority="high"))
        return Application([Rule(PathMatches("/one/.*"), lax), Rule(PathMatches("/two/.*"), strict)])

    @pytest.mark.covers("S14")
    @gen_test
    async def test_each_keeps_its_cookie_and_its_generator(self, browser: Browser) -> None:
        first, second = line_of(await browser.get("/one/count")), line_of(await browser.get("/two/count"))

        assert attributes_of(first) == {"Path=/", "SameSite=Lax", "HttpOnly"}
        assert attributes_of(second) == {"Path=/two", "SameSite=Strict", "Priority=High", "HttpOnly"}
        (token,) = SessionCookie("two", [NEW], max_age=60, secure=False).read([second.partition(";")[0]])
        assert token.value != CHOSEN


# The cookie and its attributes


@pytest.mark.covers("S15", "S16", "S17", "S18")
@gen_test
async def test_a_plain_cookie_is_for_every_path_not_for_scripts_and_ends_with_the_browser(
    browser: Browser,
) -> None:
    line = line_of(await browser.get("/count"))

    assert attributes_of(line) == {"Path=/", "SameSite=Lax", "HttpOnly"}


@pytest.mark.covers("S19")
def test_secure_is_said_by_the_application_and_has_no_default() -> None:
    assert "Secure" in attributes_of(cookie(secure=True).set_line(new_token(), None))
    assert "Secure" not in attributes_of(cookie(secure=False).set_line(new_token(), None))
    with pytest.raises(TypeError, match="secure"):
        SessionCookie("sid", [NEW], max_age=60)  # type: ignore[call-arg]


@pytest.mark.covers("S20")
@pytest.mark.parametrize(
    ("options", "is_there"), [({}, False), ({"partitioned": False}, False), ({"partitioned": True}, True)]
)
def test_partitioned_is_there_if_asked_for(options: dict[str, bool], is_there: bool) -> None:
    line = cookie(secure=True, **options).set_line(new_token(), None)

    assert ("Partitioned" in attributes_of(line)) == is_there


@pytest.mark.covers("S21", "S22", "S28")
@chosen(
    secure=True,
    samesite="none",
    path="/shop",
    domain="example.com",
    partitioned=True,
    priority="high",
    lifetime=REMEMBERED,
)
@gen_test
async def test_all_attributes_together_and_nothing_else(browser: Browser) -> None:
    line = line_of(await browser.get("/count"))

    assert line.startswith("__Secure-sid=")
    assert attributes_of(line) == {
        f"Max-Age={MONTH}",
        "Path=/shop",
        "Domain=example.com",
        "SameSite=None",
        "Priority=High",
        "HttpOnly",
        "Secure",
        "Partitioned",
    }


@pytest.mark.covers("S33")
@pytest.mark.parametrize(
    ("samesite", "sent"), [("strict", "SameSite=Strict"), ("lax", "SameSite=Lax"), ("none", "SameSite=None")]
)
def test_samesite_is_always_sent(samesite: str, sent: str) -> None:
    assert sent in attributes_of(cookie(secure=True, samesite=samesite).set_line(new_token(), None))


@pytest.mark.covers("S33", "S38", "S55")
@pytest.mark.parametrize(
    "options", [{"samesite": "none"}, {"partitioned": True}, {"samesite": "auto"}, {"samesite": False}]
)
def test_a_combination_that_browsers_drop_is_refused_at_start(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"(?i)samesite"):
        cookie(secure=False, **options)


@pytest.mark.covers("S43", "S53")
@pytest.mark.parametrize(
    ("layer", "seconds"),
    [({"lifetime": Lifetime(600, seconds, persistent=True)}, seconds) for seconds in (2, 5, 3_000_000)],
    indirect=["layer"],
)
@gen_test
async def test_a_cookie_that_outlives_the_browser_says_how_many_seconds(
    browser: Browser, seconds: int
) -> None:
    line = line_of(await browser.get("/count"))

    assert f"Max-Age={seconds}" in attributes_of(line)
    assert "Expires" not in line


@pytest.mark.covers("S30", "S32")
@gen_test
async def test_cookies_of_the_handler_go_out_beside_the_session_each_on_its_own_line(
    browser: Browser,
) -> None:
    lines = (await browser.get("/cookies_of_its_own")).headers.get_list("Set-Cookie")

    assert sorted(line.partition("=")[0] for line in lines) == ["language", "sid", "theme"]


@pytest.mark.covers("S31")
@gen_test
async def test_a_cookie_set_as_the_headers_are_written_goes_out_too(browser: Browser) -> None:
    await browser.get("/late/count")

    assert sorted(browser.cookies) == ["late", "sid"]


@pytest.mark.covers("S44")
@gen_test
async def test_a_cookie_is_removed_by_age_and_by_the_oldest_date(browser: Browser) -> None:
    await browser.get("/count")

    line = line_of(await browser.get("/destroy"))

    assert {"Max-Age=0", "Expires=Thu, 01 Jan 1970 00:00:00 GMT"} <= attributes_of(line)


@pytest.mark.covers("S45", "S52")
@gen_test
async def test_signing_in_decides_anew_how_long_the_cookie_lasts(browser: Browser) -> None:
    first = line_of(await browser.get("/count"))
    remembered = line_of(await browser.get("/sign_in?remember=1"))
    forgotten = line_of(await browser.get("/sign_in"))

    assert ["Max-Age" in line for line in (first, remembered, forgotten)] == [False, True, False]
    assert f"Max-Age={MONTH}" in attributes_of(remembered)


@pytest.mark.covers("S46", "S47", "S48")
@gen_test
async def test_a_cookie_that_ends_with_the_browser_is_sent_once(browser: Browser) -> None:
    await browser.get("/count")

    for path in ("/nothing", "/count", "/deeper/nothing"):
        assert "Set-Cookie" not in (await browser.get(path)).headers


@pytest.mark.covers("S25", "S49", "S50", "S51")
@chosen(lifetime=REMEMBERED)
@gen_test
async def test_a_lifetime_is_the_one_configured_and_only_what_is_left_of_it_shrinks(
    browser: Browser, sessions: Any
) -> None:
    first = json.loads((await browser.get("/lifetime")).body)
    await age(sessions, 1000, "created_at", "ends_at")
    later = json.loads((await browser.get("/lifetime")).body)

    assert first == {"chosen": MONTH, "real": MONTH, "left": MONTH}
    assert (later["chosen"], later["real"]) == (MONTH, MONTH)
    assert later["left"] in range(MONTH - 1060, MONTH - 999)


@pytest.mark.covers("S54")
@pytest.mark.parametrize("name", ["__Host-sid", "__Secure-sid", "__host-sid"])
@pytest.mark.parametrize("secure", [True, False])
def test_a_name_that_brings_its_own_prefix_is_refused_at_start(name: str, secure: bool) -> None:
    with pytest.raises(ValueError, match="prefix"):
        SessionCookie(name, [NEW], max_age=60, secure=secure)


@pytest.mark.covers("S56", "S79")
@chosen(options={"genid": lambda: "-_-" * 42}, name="a!#$%&'*+-.^_`|~z")
@gen_test
async def test_the_cookie_has_only_characters_that_need_no_quotes(browser: Browser) -> None:
    line = line_of(await browser.get("/count"))

    assert re.fullmatch(r"[\x21\x23-\x2B\x2D-\x3A\x3C-\x5B\x5D-\x7E]+", value_of(line))
    assert (await browser.get("/count")).body == b"2"


# Paths


@pytest.mark.covers("S59", "S63")
@pytest.mark.parametrize("layer", [{}, {"path": "/foo/bar"}], indirect=True)
@gen_test
async def test_one_session_serves_every_path_that_the_browser_sends_its_cookie_to(browser: Browser) -> None:
    paths = ("/foo/bar/count", "/foo/bar/baz/count", "/count")
    counts = [(await browser.get(path)).body for path in paths]

    assert counts == [b"1", b"2", b"3"]


@pytest.mark.covers("S64")
@gen_test
async def test_a_request_with_an_empty_path_has_its_session(browser: Browser, http_port: int) -> None:
    await browser.get("/count")
    reader, writer = await asyncio.open_connection("localhost", http_port)
    cookie_header = f"Cookie: sid={browser.cookies['sid']}"
    writer.write(f"GET ?q HTTP/1.1\r\nHost: x\r\n{cookie_header}\r\nConnection: close\r\n\r\n".encode())
    text = (await reader.read()).decode()
    writer.close()

    assert text.startswith("HTTP/1.1 200 OK")
    assert text.endswith("\r\n\r\n2")


# Secure


class TestBehindAProxyThatIsTrusted:
    @pytest.fixture
    def http_server(self, app: Application, io_loop: IOLoop, _unused_port: Any) -> Iterator[HTTPServer]:
        server = HTTPServer(app, xheaders=True)
        server.add_socket(_unused_port[0])
        yield server
        server.stop()
        io_loop.run_sync(server.close_all_connections)

    @pytest.mark.covers("S65", "S66", "S67", "S68", "S69", "S70", "S71", "S72", "S73")
    @pytest.mark.parametrize("layer", [{"secure": True}, {"secure": False}], indirect=True)
    @pytest.mark.parametrize(
        ("header", "protocol"), [("", "http"), ("https", "https"), ("http", "http"), ("http,https", "https")]
    )
    @gen_test
    async def test_secure_is_as_configured_whatever_the_connection_looks_like(
        self, browser: Browser, layer: Sessions, header: str, protocol: str
    ) -> None:
        answer = await browser.get("/protocol", {"X-Forwarded-Proto": header} if header else {})

        assert answer.body.decode() == "1" + protocol
        assert ("Secure" in attributes_of(line_of(answer))) == layer.cookie.name.startswith("__Host-")


# The token, its signature and the keys


@pytest.mark.covers("S78")
@chosen(options={"genid": lambda: CHOSEN})
@gen_test
async def test_the_token_of_the_application_goes_out_signed(browser: Browser) -> None:
    await browser.get("/count")

    assert token_in(browser.cookies["sid"]) == CHOSEN
    assert browser.cookies["sid"] != CHOSEN


@pytest.mark.covers("S81")
def test_tokens_have_256_bits_and_never_repeat() -> None:
    tokens = [Options().genid() for _ in range(1000)]

    assert {len(token) for token in tokens} == {43}
    assert len(set(tokens)) == 1000


@pytest.mark.covers("S84", "S85", "S86")
@chosen(secrets=[NEW, OLD])
@gen_test
async def test_a_cookie_signed_with_an_old_key_comes_back_signed_with_the_new_one(browser: Browser) -> None:
    await browser.get("/count")
    token = token_in(browser.cookies["sid"])
    browser.cookies["sid"] = value_of(cookie(OLD).set_line(token, None))

    answer = await browser.get("/nothing")

    assert answer.body != b"none"
    assert token_in(value_of(line_of(answer)), NEW) == token
    assert not cookie(OLD).read([f"sid={browser.cookies['sid']}"])
    assert "Set-Cookie" not in (await browser.get("/nothing")).headers


@pytest.mark.covers("S87")
@gen_test
async def test_a_token_without_a_signature_opens_and_becomes_nothing(browser: Browser, sessions: Any) -> None:
    await browser.get("/count")
    token = token_in(browser.cookies["sid"])
    thief = Browser(browser.base_url)
    thief.cookies["sid"] = token

    assert (await thief.get("/count")).body == b"1"
    assert token_in(thief.cookies["sid"]) != token
    assert await sessions.count_documents({}) == 2


class TestForgedCookies:
    @pytest.fixture
    def commands(self) -> Commands:
        return Commands()

    @pytest.fixture
    def layer(
        self, services: Services, opened: Callable[[Any], Any], settings: Settings, commands: Commands
    ) -> Sessions:
        return made(opened(watched_store(settings, commands)))

    @pytest.mark.covers("S88")
    @gen_test
    async def test_they_open_nothing_and_never_reach_the_database(
        self, browser: Browser, commands: Commands
    ) -> None:
        await browser.get("/count")
        token, forger = token_in(browser.cookies["sid"]), browser.copy()
        forger.cookies["sid"] = value_of(
            cookie("a guess of more than thirty-two bytes").set_line(token, None)
        )
        commands.take()

        assert (await forger.get("/nothing")).body == b"none"
        assert commands.take() == []
        assert (await browser.get("/nothing")).body != b"none"
        assert commands.take() == ["find"]


@pytest.mark.covers("S89")
@gen_test
async def test_a_signed_token_of_no_session_is_not_taken_up(browser: Browser) -> None:
    token = new_token()
    browser.cookies["sid"] = value_of(cookie().set_line(token, None))

    assert "Set-Cookie" not in (await browser.get("/nothing")).headers
    assert token_in(value_of(line_of(await browser.get("/count")))) != token


@pytest.mark.covers("S90", "TOK-10")
@pytest.mark.parametrize("is_good_first", [True, False])
@pytest.mark.parametrize("bad", ["2|bad", value_of(cookie().set_line("nobody" * 7, None))])
@gen_test
async def test_of_two_cookies_the_one_with_a_session_counts(
    browser: Browser, is_good_first: bool, bad: str
) -> None:
    await browser.get("/count")
    values = [browser.cookies["sid"], bad] if is_good_first else [bad, browser.cookies["sid"]]

    answer = await browser.get("/count", {"Cookie": "; ".join(f"sid={value}" for value in values)})

    assert answer.body == b"2"


@pytest.mark.covers("S91")
@pytest.mark.parametrize("value", ["x" * 9000, "\xff\xfe", '"open', "2|1:0|" * 99, "%00", "=;=;", ""])
@gen_test
async def test_any_odd_cookie_is_no_cookie_and_no_error(browser: Browser, value: str) -> None:
    answer = await browser.get("/count", {"Cookie": f"sid={value}"})

    assert (answer.code, answer.body) == (200, b"1")
    assert "sid" in browser.cookies
