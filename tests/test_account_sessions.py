"""Where somebody is signed in, as a page and as a call: see it, end one, end all others."""

import asyncio
import json
import re
from base64 import b64decode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server.services import Services
from tests.client import PASSWORD, Browser

pytestmark = pytest.mark.gen_test

ANN = "ann@example.com"
BOB = "bob@example.com"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
PAGE = "/account/sessions"


@pytest.fixture
def new_browser(app: Any, http_server: Any, base_url: str) -> Callable[[], Browser]:
    return lambda: Browser(base_url)


async def listed(browser: Browser) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((await browser.call("GET", "/api/sessions")).body)["sessions"]
    return rows


async def make_stale(sessions: Any) -> None:
    """Makes it longer than the window ago that anybody typed a password."""
    old = datetime.now(UTC) - timedelta(minutes=11)
    await sessions.update_many({}, {"$set": {"created_at": old}})


async def revoke(browser: Browser, handle: str) -> Any:
    return await browser.submit(f"{PAGE}/{handle}/revoke", {}, page=PAGE)


@pytest.mark.covers("LST-1")
async def test_everybody_sees_all_own_sessions_and_nobody_elses_this_one_first(
    new_browser: Callable[[], Browser],
) -> None:
    first, second, third, stranger = (new_browser() for _ in range(4))
    await first.sign_up(ANN)
    await second.sign_in(ANN)
    await third.sign_in(ANN)
    await stranger.sign_up(BOB)

    rows = await listed(first)
    page = (await first.get(PAGE)).body.decode()

    assert [row["current"] for row in rows] == [True, False, False]
    assert page.count("This device") == 1
    assert page.count("127.0.0.1") == 3
    assert page.count("<time datetime=") == 5  # this one is in use now
    assert len(re.findall(r"<li>\s*<div class=\"device\">", page)) == 3
    assert page.index("This device") < page.index('/revoke"', page.index('<ul class="sessions">'))
    assert len(await listed(stranger)) == 1


@pytest.mark.covers("LST-14")
async def test_a_session_in_the_list_has_exactly_these_fields(browser: Browser) -> None:
    await browser.sign_up(ANN)

    (row,) = await listed(browser)

    assert set(row) == {
        "id", "current", "device", "ip", "created_at", "last_seen_at", "last_active_at", "expires_at",
    }  # fmt: skip
    assert row["ip"] == "127.0.0.1"
    assert row["expires_at"] == (await browser.state())["expires_at"]


@pytest.mark.covers("LST-2", "LST-10")
async def test_one_device_is_signed_out_and_the_page_says_so_once(
    browser: Browser, other_browser: Browser, sessions: Any
) -> None:
    await browser.sign_up(ANN)
    await other_browser.sign_in(ANN)
    await sessions.update_one(
        {"handle": (await listed(other_browser))[0]["id"]}, {"$set": {"client.label": "Firefox on Linux"}}
    )
    (_, other) = await listed(browser)
    revoke_address = f"{PAGE}/{other['id']}/revoke"

    assert (await browser.get(revoke_address)).code == 405
    assert (await browser.post(revoke_address, {})).code == 403
    assert await other_browser.is_signed_in()
    answer = await revoke(browser, other["id"])

    assert (answer.code, answer.headers["Location"]) == (303, PAGE)
    assert not await other_browser.is_signed_in()
    assert "Firefox on Linux has been signed out." in (await browser.get(PAGE)).body.decode()
    page = (await browser.get(PAGE)).body.decode()
    assert "has been signed out" not in page
    assert "only signed in on this device" in page


@pytest.mark.covers("LST-3", "END-13")
async def test_all_other_devices_are_signed_out_in_one_step(new_browser: Callable[[], Browser]) -> None:
    first, second, third, stranger = (new_browser() for _ in range(4))
    await first.sign_up(ANN)
    await second.sign_in(ANN)
    await third.sign_in(ANN, remember="1")
    await stranger.sign_up(BOB)

    answer = await first.submit(f"{PAGE}/revoke-others", {}, page=PAGE)

    assert (answer.code, answer.headers["Location"]) == (303, PAGE)
    assert "2 other devices have been signed out." in (await first.get(PAGE)).body.decode()
    assert [await b.is_signed_in() for b in (first, second, third, stranger)] == [True, False, False, True]


async def test_a_program_signs_other_devices_out(new_browser: Callable[[], Browser]) -> None:
    first, second, third = (new_browser() for _ in range(3))
    await first.sign_up(ANN)
    await second.sign_in(ANN)
    await third.sign_in(ANN)
    handle = (await listed(third))[0]["id"]

    one = await first.call("DELETE", f"/api/sessions/{handle}")
    again = await first.call("DELETE", f"/api/sessions/{handle}")
    rest = await first.call("DELETE", "/api/sessions")

    assert (one.code, one.body, again.code) == (204, b"", 404)
    assert (rest.code, json.loads(rest.body)) == (200, {"ended": 1})
    assert [await b.is_signed_in() for b in (first, second, third)] == [True, False, False]


@pytest.mark.covers("LST-9")
async def test_ending_ones_own_session_is_signing_out(
    browser: Browser, other_browser: Browser, sessions: Any
) -> None:
    await browser.sign_up(ANN)
    await other_browser.sign_in(ANN)
    await make_stale(sessions)  # nobody is asked for a password to leave

    by_page = await revoke(browser, (await listed(browser))[0]["id"])
    by_call = await other_browser.call("DELETE", f"/api/sessions/{(await listed(other_browser))[0]['id']}")

    assert (by_page.code, by_page.headers["Location"], by_call.code) == (303, "/", 204)
    assert "sid" not in browser.cookies
    assert "sid" not in other_browser.cookies
    assert await sessions.count_documents({}) == 0


@pytest.mark.covers("LST-4", "LST-5")
@pytest.mark.parametrize(
    "handle", ["theirs", "0" * 16, "f" * 24, "zzz", "x" * 5000, "%2e%2e%2fx", "%24ne", "revoke-others%00"]
)
async def test_a_session_of_somebody_else_is_as_unknown_as_any_other(
    browser: Browser, other_browser: Browser, handle: str
) -> None:
    await browser.sign_up(ANN)
    await other_browser.sign_up(BOB)
    if handle == "theirs":
        handle = (await listed(browser))[0]["id"]

    by_page = await revoke(other_browser, handle)
    by_call = await other_browser.call("DELETE", f"/api/sessions/{handle}")
    unknown = await other_browser.call("DELETE", f"/api/sessions/{'1' * 16}")

    assert (by_page.code, by_call.code) == (404, 404)
    assert by_call.body == unknown.body
    assert await browser.is_signed_in()


@pytest.mark.covers("LST-6", "TOK-5", "TOK-8")
async def test_the_public_name_of_a_session_opens_nothing(
    browser: Browser, services: Services, sessions: Any
) -> None:
    await browser.sign_up(ANN)
    (document,) = await sessions.find().to_list(None)
    pages = ("/", PAGE, "/api/sessions", "/api/session", "/account", "/account/password", "/account/delete")
    answers = [await browser.get(path) for path in pages]
    shown = [answer.body.decode() + str(list(answer.headers.get_all())) for answer in answers]
    handle = document["handle"]

    token = b64decode(browser.cookies["sid"].split("|")[4].partition(":")[2]).decode()
    for secret in (document["_id"].hex(), browser.cookies["sid"], token):
        assert not any(secret in text for text in shown)
    for value in (handle, handle * 3, document["_id"].hex()):
        line = services.sessions.cookie.set_line(value, None)  # as if the signing key had leaked
        for cookie in (f"sid={value}", line.partition(";")[0]):
            answer = await browser.get("/account", {"Cookie": cookie})
            assert answer.code == 302


@pytest.mark.covers("LST-7")
async def test_a_session_past_its_time_is_not_listed(
    browser: Browser, other_browser: Browser, sessions: Any
) -> None:
    await browser.sign_up(ANN)
    await other_browser.sign_in(ANN)
    handle = (await listed(other_browser))[0]["id"]
    await sessions.update_one(
        {"handle": handle}, {"$set": {"expires_at": datetime.now(UTC) - timedelta(seconds=1)}}
    )

    assert len(await listed(browser)) == 1
    assert (await revoke(browser, handle)).code == 404


async def test_a_full_list_is_still_a_light_page(browser: Browser, sessions: Any) -> None:
    await browser.sign_up(ANN)
    mine = await sessions.find_one({"user_id": {"$exists": True}})
    agent = {"label": "Chrome Mobile WebView on Android", "ip": "2001:db8:85a3:1234:5678:8a2e:370:7334"}
    await sessions.insert_many(
        mine | {"_id": bytes([number] * 32), "handle": f"{number:016x}", "client": mine["client"] | agent}
        for number in range(19)
    )

    page = await browser.get(PAGE)

    assert page.body.count(b'/revoke"') == 19
    assert len(page.body) <= 16_000, "with the files, which take 14 KB, a first view is to stay within 30 KB"


@pytest.mark.covers("LST-8")
@pytest.mark.parametrize("agent", ["<img src=x onerror=alert(1)>", "x" * 8000, "Lynx/2 <b>", FIREFOX])
async def test_what_a_browser_calls_itself_is_only_ever_text(
    browser: Browser, sessions: Any, agent: str
) -> None:
    await browser.get("/signup")
    token = (await browser.state())["csrf_token"]
    form = {"_csrf": token, "email": ANN, "password": PASSWORD}
    assert (await browser.post("/signup", form, {"User-Agent": agent})).code == 303

    page = await browser.get(PAGE)

    assert page.code == 200
    assert b"<img src=x" not in page.body
    assert b"<b>" not in page.body
    assert len((await sessions.find_one({}))["client"]["user_agent"]) <= 255
    assert (b"Firefox on Linux" in page.body) == (agent == FIREFOX)


@pytest.mark.covers("LST-11", "R18")
@pytest.mark.parametrize("settings", [{"session_max_per_user": 3}], indirect=True)
async def test_a_sign_in_too_many_ends_the_least_recently_active_session(
    new_browser: Callable[[], Browser], sessions: Any
) -> None:
    first, second, third, fourth = (new_browser() for _ in range(4))
    await first.sign_up(ANN)
    await second.sign_in(ANN)
    await third.sign_in(ANN)
    idle = datetime.now(UTC) - timedelta(minutes=5)
    handle = (await listed(second))[0]["id"]
    await sessions.update_one({"handle": handle}, {"$set": {"active_at": idle}})

    await fourth.sign_in(ANN)

    assert [await b.is_signed_in() for b in (first, second, third, fourth)] == [True, False, True, True]


@pytest.mark.covers("R18")
@pytest.mark.parametrize("settings", [{"session_max_per_user": 3}], indirect=True)
async def test_ten_sign_ins_at_once_leave_no_more_sessions_than_allowed(
    new_browser: Callable[[], Browser], sessions: Any
) -> None:
    browsers = [new_browser() for _ in range(10)]
    await browsers[0].sign_up(ANN)
    await browsers[0].sign_out()

    answers = await asyncio.gather(*(browser.sign_in(ANN) for browser in browsers))

    assert {answer.code for answer in answers} == {303}
    assert await sessions.count_documents({"user_id": {"$exists": True}}) == 3
    assert sum([await browser.is_signed_in() for browser in browsers]) == 3


@pytest.mark.covers("LST-12")
@pytest.mark.parametrize("settings", [{"trusted_proxies": ("127.0.0.1",)}], indirect=True)
async def test_a_change_of_address_or_browser_ends_no_session(browser: Browser) -> None:
    await browser.sign_up(ANN)

    moved = await browser.get("/account", {"User-Agent": "another", "X-Forwarded-For": "192.0.2.1"})

    assert moved.code == 200
    assert await browser.is_signed_in()


async def test_calls_for_members_say_what_is_missing(browser: Browser, sessions: Any) -> None:
    never = await browser.call("GET", "/api/sessions")
    await browser.sign_up(ANN)
    await sessions.delete_many({})
    ended = await browser.call("GET", "/api/sessions")
    page = await browser.get(PAGE)

    assert (never.code, json.loads(never.body)["code"]) == (401, "unauthenticated")
    assert (ended.code, json.loads(ended.body)["code"]) == (401, "session_ended")
    assert (page.code, page.headers["Location"]) == (302, "/login?next=%2Faccount%2Fsessions")


@pytest.mark.covers("REA-3", "LST-2")
async def test_signing_others_out_needs_a_password_typed_lately(
    browser: Browser, other_browser: Browser, sessions: Any
) -> None:
    await browser.sign_up(ANN)
    await other_browser.sign_in(ANN)
    handle = (await listed(other_browser))[0]["id"]
    await make_stale(sessions)

    pages = [
        await revoke(browser, handle),
        await browser.submit(f"{PAGE}/revoke-others", {}, page=PAGE),
    ]
    calls = [
        await browser.call("DELETE", f"/api/sessions/{handle}"),
        await browser.call("DELETE", f"/api/sessions/{'0' * 16}"),
        await browser.call("DELETE", "/api/sessions"),
    ]

    assert {(page.code, page.headers["Location"]) for page in pages} == {
        (303, "/confirm?next=%2Faccount%2Fsessions")
    }
    assert {(call.code, json.loads(call.body)["code"]) for call in calls} == {(403, "reauth_required")}
    assert await other_browser.is_signed_in()
