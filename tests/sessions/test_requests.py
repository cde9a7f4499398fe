"""What one request after another sees, stores and sends, in an application with small handlers."""

import asyncio
import base64
import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from bson import encode
from tornado.httpclient import HTTPResponse
from tornado.web import Application, HTTPError

from server.sessions import (
    Lifetime,
    MongoSessionStore,
    Options,
    SessionCookie,
    SessionHandler,
    Sessions,
    StoreUnavailable,
)
from server.sessions.token import digest
from tests.client import Browser
from tests.conftest import SECRET
from tests.sessions.tools import WRITES, Commands, age, closing, failing, restart

pytestmark = pytest.mark.gen_test

LOOP: list[Any] = []
LOOP.append(LOOP)
ROUND_TRIP = {
    "date": datetime(2026, 1, 2, 3, 4, 5, 678000, UTC),
    "bytes": b"\0\xff",
    "numbers": [2**31, 2**63 - 1, -(2**63), 1.5],
    "text": "größer 日本 🍎",
    "nested": [[1, [2, {"a.b": None}]], {}],
}


class Page(SessionHandler):
    async def get(self, action: str) -> None:
        await getattr(self, action)()

    head = get

    async def nothing(self) -> None:
        self.write("nothing")

    async def read(self) -> None:
        self.write(str(self.session.get("n", "none")))

    async def count(self) -> None:
        self.session["n"] = self.session.get("n", 0) + 1
        self.write(str(self.session["n"]))

    async def start_cart(self) -> None:
        self.session["cart"] = {"items": [{"name": "apple"}]}

    async def change_inside(self) -> None:
        self.session["cart"]["items"][0]["name"] = "pear"

    async def odd_names(self) -> None:
        self.session.update({"cookie": {"cookie": 1}, "save": "text", "id": 5, "_record": None})

    async def change_odd_name(self) -> None:
        self.session["cookie"]["cookie"] += 1
        self.write({"names": list(self.session), "save": self.session["save"]})

    async def forget_name(self) -> None:
        del self.session["n"]

    async def loop(self) -> None:
        self.session["n"] = LOOP

    async def too_large(self) -> None:
        self.session["n"] = "x" * 17_000_000

    async def keep_all(self) -> None:
        self.session.update(ROUND_TRIP)

    async def compare_all(self) -> None:
        self.write(str(dict(self.session) == ROUND_TRIP))

    async def many_tokens(self) -> None:
        self.session["n"] = 1
        await self.session.save()
        await self.session.regenerate()
        await self.session.regenerate()

    async def empty(self) -> None:
        self.session["n"] = 1
        self.set_header("Content-Length", "0")

    async def none(self) -> None:
        self.session["n"] = 1
        self.finish(None)

    async def in_pieces(self) -> None:
        self.session["n"] = 1
        self.set_header("Content-Length", "6")
        self.write("one")
        self.write("two")

    async def in_one_piece(self) -> None:
        self.session["n"] = 1
        self.finish("whole")

    async def no_content(self) -> None:
        self.session["n"] = 1
        self.set_status(204)

    async def count_for_caches(self) -> None:
        self.set_header("Cache-Control", self.get_query_argument("say"))
        await self.count()

    async def same_text(self) -> None:
        self.session["n"] = self.session.get("n", 0) + 1
        self.write("the same every time")

    async def destroy(self) -> None:
        await self.session.destroy()
        self.write(str((dict(self.session), self.session.is_new)))

    async def rotate(self) -> None:
        await self.session.regenerate()

    async def start_afresh(self) -> None:
        self.session["mine"] = 2
        await self.session.regenerate(keep=["mine"])

    async def reload_after_end(self) -> None:
        await self.settings["sessions"].store.end(self.session.id)
        reloads = [await self.session.reload() for _ in range(20)]
        self.write(str(any(reloads)))

    async def save_and_look(self) -> None:
        self.session["n"] = 7
        await self.session.save()
        assert self.session.id
        found = await self.settings["sessions"].store.find([self.session.id])
        self.write(str(found[self.session.id].data))

    async def save_and_reload(self) -> None:
        self.session["n"] = 7
        await self.session.save()
        await self.session.reload()

    async def save_and_rotate(self) -> None:
        self.session["n"] = 7
        await self.session.save()
        await self.session.regenerate()

    async def save_then_change(self) -> None:
        self.session["n"] = 7
        await self.session.save()
        self.session["n"] = 8

    async def save_then_fail(self) -> None:
        self.session["n"] = 7
        await self.session.save()
        self.session["n"] = 8
        raise HTTPError(500)


class Poll(Page):
    session_touch = False

    async def touch(self) -> None:
        await self.session.touch()


class Without(SessionHandler):
    uses_session = False

    def get(self) -> None:
        self.write("x")


class Wrapped(Page):
    """Code of others around writing and finishing."""

    def write(self, chunk: Any) -> None:
        super().write(str(chunk).upper())

    def finish(self, chunk: Any = None) -> "asyncio.Future[None]":
        self.set_header("X-Wrapped", "yes")
        return super().finish(chunk)


@pytest.fixture
def lifetime(request: pytest.FixtureRequest) -> Lifetime:
    return Lifetime(600, 3600, **getattr(request, "param", {}))


@pytest.fixture
def options(request: pytest.FixtureRequest) -> Options:
    return Options(**getattr(request, "param", {}))


@pytest.fixture
def app(
    store: MongoSessionStore, lifetime: Lifetime, options: Options, opened: Callable[[Any], Any]
) -> Application:
    sessions = partial(Sessions, store, cookie(SECRET), lifetime, options)
    routes: list[Any] = [
        ("/poll/(.*)", Poll),
        ("/wrapped/(.*)", Wrapped),
        ("/without", Without),
        ("/(.*)", Page),
    ]
    application = Application(
        routes, sessions=sessions(), restarted=sessions, compress_response=True, log_function=lambda _: None
    )
    opened(closing(application))
    return application


@pytest.fixture
def passing(app: Application, sessions: Any) -> Any:
    """`await passing(seconds)`: what was collected gets written, and all sessions get older."""

    async def passing(seconds: int, *names: str) -> None:
        await restart(app)
        await age(sessions, seconds, *names)

    return passing


def cookie(*secrets: str, **attributes: Any) -> SessionCookie:
    return SessionCookie("sid", secrets, **{"max_age": 86400, "secure": False, **attributes})


def set_cookies(answer: HTTPResponse) -> list[str]:
    return answer.headers.get_list("Set-Cookie")


async def all_data(sessions: Any) -> list[Any]:
    return [document.get("data") for document in await sessions.find().to_list(None)]


class TestStoring:
    """When something is written, and what."""

    @pytest.mark.covers("S94", "S99", "S115")
    async def test_the_first_write_stores_one_session_and_sends_its_cookie(
        self, browser: Browser, sessions: Any
    ) -> None:
        answer = await browser.get("/count")

        assert (len(set_cookies(answer)), await all_data(sessions)) == (1, [{"n": 1}])

    @pytest.mark.covers("S96")
    async def test_each_visitor_has_a_session_of_their_own(
        self, browser: Browser, other_browser: Browser
    ) -> None:
        await browser.get("/count")
        await other_browser.get("/count")

        assert (await browser.get("/count")).body == b"2"
        assert browser.cookies != other_browser.cookies

    @pytest.mark.covers("S98", "S100")
    async def test_a_visit_that_writes_nothing_leaves_no_trace(
        self, browser: Browser, commands: Commands
    ) -> None:
        answer = await browser.get("/nothing")

        assert (set_cookies(answer), commands.take()) == ([], [])

    @pytest.mark.covers("S102", "S103", "S116")
    async def test_reading_writes_nothing_and_a_later_change_is_written(
        self, browser: Browser, commands: Commands
    ) -> None:
        await browser.get("/count")
        commands.take()

        assert set_cookies(await browser.get("/read")) == []
        assert commands.take() == ["find"]
        assert set_cookies(await browser.get("/count")) == []
        assert commands.take() == ["find", "findAndModify"]

    @pytest.mark.covers("S109")
    async def test_a_handler_that_says_it_uses_no_session_asks_the_database_nothing(
        self, browser: Browser, commands: Commands
    ) -> None:
        await browser.get("/count")
        commands.take()

        await browser.get("/without")

        assert commands.take() == []

    @pytest.mark.covers("S104")
    async def test_a_change_deep_inside_a_value_is_stored(self, browser: Browser, sessions: Any) -> None:
        await browser.get("/start_cart")
        await browser.get("/change_inside")

        assert await all_data(sessions) == [{"cart": {"items": [{"name": "pear"}]}}]

    @pytest.mark.covers("S105", "S106", "S107")
    async def test_no_name_of_a_key_is_special(self, browser: Browser, sessions: Any) -> None:
        await browser.get("/odd_names")
        answer = await browser.get("/change_odd_name")

        assert answer.body == b'{"names": ["cookie", "save", "id", "_record"], "save": "text"}'
        assert await all_data(sessions) == [
            {"cookie": {"cookie": 2}, "save": "text", "id": 5, "_record": None}
        ]

    @pytest.mark.covers("S110")
    async def test_a_key_removed_is_removed_from_the_database(self, browser: Browser, sessions: Any) -> None:
        await browser.get("/count")
        await browser.get("/forget_name")

        assert await all_data(sessions) == [{}]

    @pytest.mark.covers("S111", "S112", "R30")
    @pytest.mark.parametrize("path", ["/loop", "/too_large"])
    async def test_what_cannot_be_stored_fails_before_the_headers_and_changes_nothing(
        self, browser: Browser, sessions: Any, expected_errors: list[str], path: str
    ) -> None:
        expected_errors.append(f"Uncaught exception GET {path}")
        await browser.get("/count")

        answer = await browser.get(path)

        assert (answer.code, set_cookies(answer)) == (500, [])
        assert await all_data(sessions) == [{"n": 1}]

    @pytest.mark.covers("S113")
    async def test_dates_bytes_large_numbers_and_any_text_come_back_equal(self, browser: Browser) -> None:
        await browser.get("/keep_all")

        assert (await browser.get("/compare_all")).body == b"True"

    @pytest.mark.covers("S161")
    async def test_what_was_saved_is_in_the_database_within_the_same_handler(self, browser: Browser) -> None:
        assert (await browser.get("/save_and_look")).body == b"{'n': 7}"

    @pytest.mark.covers("S162", "S163", "S164", "S165")
    @pytest.mark.parametrize(
        ("path", "writes"),
        [
            ("/save_and_look", ["findAndModify"]),
            ("/save_and_reload", ["findAndModify"]),
            ("/save_and_rotate", ["findAndModify", "findAndModify", "update"]),
        ],
    )
    async def test_what_was_saved_is_not_written_again_at_the_end(
        self, browser: Browser, commands: Commands, path: str, writes: list[str]
    ) -> None:
        await browser.get(path)
        assert [name for name in commands.take() if name in WRITES] == writes

        await browser.get("/count")
        commands.take()
        await browser.get(path)
        assert [name for name in commands.take() if name in WRITES] == writes

    @pytest.mark.covers("S166", "R24")
    async def test_a_save_counts_even_if_the_request_then_fails_and_what_followed_it_does_not(
        self, browser: Browser, sessions: Any
    ) -> None:
        assert (await browser.get("/save_then_fail")).code == 500
        assert await all_data(sessions) == [{"n": 7}]

        assert (await Browser(browser.base_url).get("/save_then_change")).code == 200
        assert {"n": 8} in await all_data(sessions)


class TestEndOfTheRequest:
    """The answer waits for the store, however the handler ends."""

    @pytest.mark.covers("S126", "S127", "S128", "S129", "S132")
    @pytest.mark.parametrize(
        ("path", "body"),
        [("/empty", b""), ("/none", b""), ("/in_pieces", b"onetwo"), ("/in_one_piece", b"whole")],
    )
    async def test_who_has_the_answer_finds_the_session_stored(
        self, browser: Browser, sessions: Any, mongodb_uri: str, path: str, body: bytes
    ) -> None:
        with failing(mongodb_uri, "findAndModify", blockConnection=True, blockTimeMS=200):
            answer = await browser.get(path)
            stored = await all_data(sessions)

        assert (answer.body, stored) == (body, [{"n": 1}])
        assert "sid" in browser.cookies

    @pytest.mark.covers("S133")
    async def test_other_code_may_wrap_the_writing_of_the_answer(self, browser: Browser) -> None:
        await browser.get("/wrapped/count")
        answer = await browser.get("/wrapped/same_text", {"Accept-Encoding": "gzip"})

        assert (answer.headers["X-Wrapped"], answer.body) == ("yes", b"THE SAME EVERY TIME")
        assert {"Accept-Encoding", "Cookie"} <= set(re.split(", ?", answer.headers["Vary"]))
        assert (await browser.get("/read")).body == b"2"

    @pytest.mark.covers("S136")
    @pytest.mark.parametrize(
        ("method", "path", "code"),
        [("HEAD", "/same_text", 200), ("GET", "/no_content", 204), ("GET", "/same_text", 304)],
    )
    async def test_an_answer_without_a_body_commits_and_carries_the_cookie(
        self, browser: Browser, sessions: Any, method: str, path: str, code: int
    ) -> None:
        etag = (await Browser(browser.base_url).get("/same_text")).headers["Etag"]
        await sessions.delete_many({})

        answer = await browser.request(method, path, headers={"If-None-Match": etag} if code == 304 else {})

        assert (answer.code, answer.body, len(set_cookies(answer))) == (code, b"", 1)
        assert await all_data(sessions) == [{"n": 1}]

    @pytest.mark.covers("S124", "R31")
    @pytest.mark.parametrize(
        ("chosen", "sent"),
        [
            ("public,max-age=60", "no-store"),
            ("max-age=60", "no-store"),
            ("private,max-age=60", "private,max-age=60"),
        ],
    )
    async def test_an_answer_with_a_cookie_is_for_no_shared_cache_whatever_the_handler_said(
        self, browser: Browser, chosen: str, sent: str
    ) -> None:
        path = f"/count_for_caches?say={chosen}"
        first, later = await browser.get(path), await browser.get(path)

        assert (first.headers["Cache-Control"], later.headers["Cache-Control"]) == (sent, chosen)
        assert "Cookie" in first.headers["Vary"]
        assert "Cookie" in later.headers["Vary"]

    @pytest.mark.covers("S123")
    async def test_an_answer_carries_the_last_token_and_no_other(
        self, browser: Browser, sessions: Any
    ) -> None:
        answer = await browser.get("/many_tokens")

        assert len(set_cookies(answer)) == 1
        assert (await browser.get("/count")).body == b"2"


class TestTime:
    """Sessions made old in the database."""

    @pytest.mark.covers("S138", "S144", "R11")
    async def test_an_expired_session_is_refused_while_its_document_is_still_there(
        self, browser: Browser, sessions: Any, passing: Any
    ) -> None:
        await browser.get("/count")
        before = browser.cookies["sid"]
        await passing(601, "expires_at")

        assert (await browser.get("/read")).body == b"none"
        assert (await browser.get("/count")).body == b"1"
        assert browser.cookies["sid"] != before
        assert await sessions.count_documents({}) == 2

    @pytest.mark.covers("S141", "C21", "C22", "C24")
    async def test_a_visit_moves_the_idle_end_on_and_leaves_the_data_alone(
        self, browser: Browser, sessions: Any, passing: Any
    ) -> None:
        await browser.get("/count")
        await passing(100)
        before = await sessions.find_one()

        answer = await browser.get("/nothing")
        await passing(0)

        after = await sessions.find_one()
        assert (after["expires_at"] - before["expires_at"]).total_seconds() >= 100
        assert after["seen_at"] > before["seen_at"]
        assert (after["data"], after["rev"], set_cookies(answer)) == (before["data"], before["rev"], [])

    @pytest.mark.covers("C23")
    async def test_within_the_touch_interval_a_visit_writes_nothing(
        self, browser: Browser, commands: Commands, passing: Any
    ) -> None:
        await browser.get("/count")
        await passing(50)
        commands.take()

        await browser.get("/nothing")
        await passing(0)

        assert commands.take() == ["find"]

    @pytest.mark.covers("S147", "R13")
    async def test_fifty_visits_at_once_past_the_touch_interval_cause_one_write(
        self, browser: Browser, commands: Commands, passing: Any
    ) -> None:
        await browser.get("/count")
        await passing(100)
        commands.take()

        await asyncio.gather(*(browser.get("/nothing") for _ in range(50)))
        await passing(0)

        assert [name for name in commands.take() if name != "find"] == ["update"]

    @pytest.mark.covers("S142")
    async def test_a_handler_can_move_the_idle_end_on_by_itself(
        self, browser: Browser, sessions: Any, passing: Any
    ) -> None:
        await browser.get("/count")
        await passing(400)

        await browser.get("/poll/touch")
        await passing(300)

        assert (await browser.get("/read")).body == b"1"

    @pytest.mark.covers("S143")
    async def test_a_visit_whose_touch_fails_is_answered_and_the_touch_is_tried_again(
        self, browser: Browser, app: Application, mongodb_uri: str, passing: Any
    ) -> None:
        await browser.get("/count")
        await passing(400)
        with failing(mongodb_uri, "update"):
            assert (await browser.get("/read")).code == 200
            with pytest.raises(StoreUnavailable):
                await app.settings["sessions"].flush()

        await passing(300)

        assert (await browser.get("/read")).body == b"1"

    @pytest.mark.covers("S145", "R15")
    async def test_activity_keeps_a_session_alive_but_never_past_its_absolute_end(
        self, browser: Browser, passing: Any
    ) -> None:
        await browser.get("/count")
        alive = []
        for path in ("/read", "/read", "/rotate", "/read", "/read", "/read", "/read", "/read"):
            await passing(500)
            await browser.get(path)
            alive.append((await browser.get("/read")).body == b"1")

        assert alive == [True] * 7 + [False]

    @pytest.mark.covers("S145")
    async def test_without_activity_a_session_ends_after_its_idle_time(
        self, browser: Browser, passing: Any
    ) -> None:
        await browser.get("/count")
        await passing(590)
        assert (await browser.get("/read")).body == b"1"
        await passing(610)
        assert (await browser.get("/read")).body == b"none"

    @pytest.mark.covers("S146", "R14")
    async def test_a_handler_can_leave_the_idle_time_alone(self, browser: Browser, passing: Any) -> None:
        await browser.get("/count")
        await passing(400)
        assert (await browser.get("/poll/read")).body == b"1"
        await passing(300)
        assert (await browser.get("/poll/read")).body == b"none"

    @pytest.mark.covers("S140", "R16")
    @pytest.mark.parametrize("lifetime", [{"persistent": True}], indirect=True)
    async def test_a_cookie_that_outlives_the_browser_ends_with_its_session(
        self, browser: Browser, passing: Any
    ) -> None:
        first = await browser.get("/count")
        await passing(500)
        later = await browser.get("/rotate")

        ages = [int(re.search(r"Max-Age=(\d+)", line)[1]) for line in set_cookies(first) + set_cookies(later)]
        assert ages[0] == 3600
        assert 3090 <= ages[1] <= 3100

    @pytest.mark.covers("R12")
    async def test_the_clock_of_the_database_decides_and_not_that_of_a_server(
        self, browser: Browser, store: MongoSessionStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class HourAhead(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return datetime.fromtimestamp(datetime.now(UTC).timestamp() + 3600, tz)

        await browser.get("/count")
        now = HourAhead.now().timestamp()
        monkeypatch.setattr("time.time", lambda: now)
        monkeypatch.setattr("server.sessions.mongo.datetime", HourAhead)

        assert await store.sweep() == 0
        assert (await browser.get("/read")).body == b"1"

    @pytest.mark.covers("C32", "C33")
    async def test_a_counter_counts_on_while_the_times_only_go_forward(
        self, browser: Browser, sessions: Any, passing: Any
    ) -> None:
        seen = []
        for n in range(1, 4):
            assert (await browser.get("/count")).body == str(n).encode()
            await browser.get("/nothing")
            await passing(0)
            seen.append(await sessions.find_one())
            await passing(70, "seen_at")

        assert len({document["created_at"] for document in seen}) == 1
        assert [document["seen_at"] for document in seen] == sorted(document["seen_at"] for document in seen)


class TestEndingAndRenewing:
    """Destroyed sessions and new tokens."""

    @pytest.mark.covers("S148", "S149", "S155")
    async def test_a_destroyed_session_is_gone_at_once_and_for_good(
        self, browser: Browser, sessions: Any
    ) -> None:
        nothing = await browser.get("/destroy")
        assert (nothing.code, set_cookies(nothing)) == (200, [])
        await browser.get("/count")
        thief = browser.copy()

        assert (await browser.get("/destroy")).body == b"({}, True)"

        assert await all_data(sessions) == []
        assert (await thief.get("/read")).body == b"none"
        before = thief.cookies["sid"]
        assert (await thief.get("/count")).body == b"1"
        assert thief.cookies["sid"] != before

    @pytest.mark.covers("S150")
    async def test_the_cookie_is_cleared_with_the_attributes_it_was_set_with(
        self, app: Application, browser: Browser, store: MongoSessionStore
    ) -> None:
        attributes = {
            "secure": True, "samesite": "none", "path": "/", "domain": "example.com", "partitioned": True,
        }  # fmt: skip
        app.settings["sessions"] = Sessions(store, cookie(SECRET, **attributes), Lifetime(600, 3600))
        (made,) = set_cookies(await browser.get("/count"))
        (cleared,) = set_cookies(await browser.get("/destroy"))

        def kept(line: str) -> list[str]:
            name, *rest = line.split("; ")
            return [name.partition("=")[0], *(part for part in rest if not part.startswith(("Max", "Exp")))]

        assert kept(cleared) == kept(made)
        assert "Max-Age=0" in cleared

    @pytest.mark.covers("S156")
    async def test_after_a_rotation_only_the_new_token_works(self, browser: Browser, sessions: Any) -> None:
        await browser.get("/count")
        old = browser.copy()

        answer = await browser.get("/rotate")

        assert len(set_cookies(answer)) == 1
        assert (await old.get("/read")).body == b"none"
        assert (await browser.get("/read")).body == b"1"

    @pytest.mark.covers("S157")
    async def test_a_rotation_can_start_afresh_with_the_keys_that_were_named(
        self, browser: Browser, sessions: Any
    ) -> None:
        await browser.get("/count")
        await browser.get("/start_afresh")

        (fresh,) = await sessions.find({"retired": {"$exists": False}}).to_list(None)
        assert fresh["data"] == {"mine": 2}
        assert (await browser.get("/count")).body == b"1"

    @pytest.mark.covers("S159", "S160")
    async def test_reloading_an_ended_session_says_so_each_time_and_the_answer_goes_out(
        self, browser: Browser
    ) -> None:
        await browser.get("/count")

        answer = await browser.get("/reload_after_end")

        assert (answer.code, answer.body, set_cookies(answer)) == (200, b"False", [])


class TestTokens:
    """What is worth something as a cookie, and what is not."""

    @pytest.mark.covers("S168", "R21")
    @pytest.mark.parametrize("is_signed", [True, False])
    async def test_a_token_that_somebody_else_chose_is_never_adopted(
        self, browser: Browser, is_signed: bool
    ) -> None:
        token = "chosen-by-an-attacker-0123456789"
        line = cookie(SECRET).set_line(token, None) if is_signed else f"sid={token}"
        browser.cookies["sid"] = line.partition(";")[0].removeprefix("sid=")
        attacker = browser.copy()

        assert (await browser.get("/count")).body == b"1"

        assert browser.cookies["sid"] != attacker.cookies["sid"]
        assert (await attacker.get("/read")).body == b"none"

    @pytest.mark.covers("R20", "C30", "C39")
    async def test_nothing_in_the_database_opens_a_session_even_with_the_signing_key(
        self, browser: Browser, sessions: Any, store: MongoSessionStore
    ) -> None:
        await browser.get("/count")
        document = await sessions.find_one()
        values = [document["_id"], document["handle"].encode(), encode(document)]
        encodings = (base64.b64encode, base64.urlsafe_b64encode, base64.b16encode)
        texts = {form(value).decode() for value in values for form in encodings} | {document["_id"].hex()}
        texts |= set(re.findall(r"[\w-]{16,}", values[-1].decode("latin-1"), re.ASCII))

        for text in texts:
            browser.cookies["sid"] = text
            assert (await browser.get("/read")).body == b"none"
            signed = cookie(SECRET).set_line(text.rstrip("="), None).partition(";")[0]
            assert (await browser.get("/read", {"Cookie": signed})).body == b"none"
        assert await store.find([digest(text.rstrip("=")) for text in texts]) == {}

    @pytest.mark.covers("R22")
    async def test_a_cookie_signed_with_an_old_key_is_replaced_by_one_signed_with_the_new(
        self, app: Application, browser: Browser, store: MongoSessionStore
    ) -> None:
        new = "n" * 40
        await browser.get("/count")
        for keys in [(new, SECRET), (new,)]:
            app.settings["sessions"] = Sessions(store, cookie(*keys), Lifetime(600, 3600))
            assert (await browser.get("/read")).body == b"1"

        assert set_cookies(await browser.get("/read")) == []

    @pytest.mark.covers("R23")
    @pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
    async def test_of_several_cookies_the_one_with_a_live_session_counts(
        self, browser: Browser, order: tuple[int, ...]
    ) -> None:
        await browser.get("/count")
        dead = cookie(SECRET).set_line("d" * 43, None).partition(";")[0]
        sent = [f"sid={browser.cookies['sid']}", dead, "sid=nonsense"]

        answer = await browser.get("/read", {"Cookie": "; ".join(sent[index] for index in order)})

        assert answer.body == b"1"


class TestOutages:
    """A database that does not answer, or answers nonsense."""

    @pytest.mark.covers("S167", "S170", "S171", "R9")
    async def test_without_the_database_no_handler_runs_and_afterwards_all_is_as_before(
        self, browser: Browser, sessions: Any, mongodb_uri: str
    ) -> None:
        await browser.get("/count")
        with failing(mongodb_uri, "find"):
            answer = await browser.get("/count")
            assert (answer.code, set_cookies(answer)) == (503, [])

        assert (await browser.get("/count")).body == b"2"

    @pytest.mark.covers("S169", "R9")
    async def test_a_session_that_cannot_be_stored_is_a_503_without_a_cookie(
        self, browser: Browser, sessions: Any, mongodb_uri: str
    ) -> None:
        with failing(mongodb_uri, "findAndModify"):
            answer = await browser.get("/count")

        assert (answer.code, set_cookies(answer), await all_data(sessions)) == (503, [], [])

    @pytest.mark.covers("S174")
    async def test_who_has_no_cookie_is_served_during_an_outage(
        self, browser: Browser, mongodb_uri: str
    ) -> None:
        with failing(mongodb_uri, "find", *WRITES):
            assert (await browser.get("/nothing")).code == 200
            assert (await browser.get("/without")).code == 200

    @pytest.mark.covers("S154", "R25")
    async def test_an_end_that_a_failover_could_undo_is_not_claimed(
        self, browser: Browser, mongodb_uri: str
    ) -> None:
        await browser.get("/count")
        late = {"code": 64, "errmsg": "waiting for replication timed out"}
        with failing(mongodb_uri, "delete", writeConcernError=late):
            answer = await browser.get("/destroy")

        assert (answer.code, set_cookies(answer)) == (503, [])

    @pytest.mark.covers("S172")
    @pytest.mark.parametrize("damage", [{"data": "garbage"}, {"lifetime": 5}, {"client": None}])
    async def test_a_damaged_session_is_gone_and_the_log_names_it(
        self, browser: Browser, sessions: Any, caplog: pytest.LogCaptureFixture, damage: dict[str, Any]
    ) -> None:
        await browser.get("/count")
        handle = (await sessions.find_one())["handle"]
        await sessions.update_many({}, {"$set": damage})

        with caplog.at_level(logging.WARNING, "latchkey.sessions"):
            answer = await browser.get("/read")

        assert (answer.code, answer.body) == (200, b"none")
        assert [handle in record.getMessage() for record in caplog.records] == [True]
        assert (await browser.get("/count")).body == b"1"
