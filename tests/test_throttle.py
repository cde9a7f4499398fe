"""Guessing is slow, and signing in is not: what a guesser, an owner and an operator see."""

import asyncio
import json
import re
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tornado.httpclient import HTTPResponse
from tornado.web import create_signed_value

from server.accounts import Device, DeviceCookie, Failures, HashQueueFull, Throttle
from server.accounts.guard import network_of
from server.accounts.throttle import Counter as Count
from server.app import make_app
from server.services import Services, open_services
from server.sessions import StoreUnavailable
from settings import Settings
from tests.client import PASSWORD, Browser

pytestmark = pytest.mark.gen_test

ANN = "ann@example.com"
BOB = "bob@example.com"
WRONG = "not the password at all"


@pytest.fixture
def counters(services: Services) -> Any:
    """The collection of counters, for looking and for letting time pass."""
    return services.database["throttle"]


@pytest.fixture
def held(services: Services, monkeypatch: pytest.MonkeyPatch) -> tuple[asyncio.Event, asyncio.Event]:
    """Attempts at Bob's account are held: the first event says that there is one, the second ends them."""
    under_way, go_on = asyncio.Event(), asyncio.Event()
    authenticate = services.accounts.authenticate

    async def slow_for_bob(email: str, password: str) -> Any:
        if email == BOB:
            under_way.set()
            await go_on.wait()
        return await authenticate(email, password)

    monkeypatch.setattr(services.accounts, "authenticate", slow_for_bob)
    return under_way, go_on


async def guess(browser: Browser, email: str = ANN, password: str = WRONG) -> HTTPResponse:
    return await browser.call("POST", "/api/session", {"email": email, "password": password})


async def guess_often(browser: Browser, times: int, email: str = ANN) -> list[int]:
    return [(await guess(browser, email)).code for _ in range(times)]


async def make_account(browser: Browser, email: str = ANN) -> None:
    """An account whose owner has never signed in from this browser again."""
    await browser.call("POST", "/api/users", {"email": email, "password": PASSWORD})
    browser.cookies.clear()


async def let_pass(counters: Any, seconds: int) -> None:
    """Makes everything counted so much older."""
    earlier = {"$subtract": ["$$this.at", seconds * 1000]}
    attempts = {"$map": {"input": "$attempts", "in": {"$mergeObjects": ["$$this", {"at": earlier}]}}}
    until = {"$subtract": ["$refused_until", seconds * 1000]}
    await counters.update_many({}, [{"$set": {"attempts": attempts, "refused_until": until}}])


@pytest.mark.covers("THR-1")
async def test_after_five_wrong_passwords_even_the_right_one_has_to_wait(browser: Browser) -> None:
    await make_account(browser)

    codes = await guess_often(browser, 6)
    right = await guess(browser, password=PASSWORD)

    assert codes == [401] * 5 + [429]
    assert right.code == 429
    assert json.loads(right.body)["code"] == "too_many_attempts"
    assert 50 < int(right.headers["Retry-After"]) <= 60


@pytest.mark.covers("THR-1", "THR-2")
async def test_each_failure_after_a_refusal_refuses_for_twice_as_long_up_to_a_quarter_of_an_hour(
    browser: Browser, counters: Any
) -> None:
    assert await guess_often(browser, 5) == [401] * 5
    waits = []
    for _ in range(6):
        wait = int((await guess(browser)).headers["Retry-After"])
        waits.append(wait)
        await let_pass(counters, wait)
        assert (await guess(browser)).code == 401

    assert waits == pytest.approx([60, 120, 240, 480, 900, 900], abs=3)


@pytest.mark.covers("THR-1")
async def test_asking_while_refused_does_not_make_it_longer(browser: Browser, counters: Any) -> None:
    await guess_often(browser, 5)
    (before,) = [found["refused_until"] async for found in counters.find({"refusals": 1})]

    assert await guess_often(browser, 5) == [429] * 5
    assert [found["refused_until"] async for found in counters.find({"refusals": 1})] == [before]


@pytest.mark.covers("THR-6")
async def test_a_refusal_ends_by_itself_and_its_memory_an_hour_later(browser: Browser, counters: Any) -> None:
    await make_account(browser)
    await guess_often(browser, 5)
    await let_pass(counters, 61)

    assert (await guess(browser, password=PASSWORD)).code == 201
    browser.cookies.clear()

    await guess_often(browser, 5)
    await let_pass(counters, 3700)
    assert await guess_often(browser, 6) == [401] * 5 + [429]


@pytest.mark.covers("THR-16")
async def test_a_success_clears_the_account(browser: Browser) -> None:
    await make_account(browser)
    for _ in range(2):
        assert await guess_often(browser, 4) == [401] * 4
        assert (await guess(browser, password=PASSWORD)).code == 201
        browser.cookies.clear()


async def test_old_failures_are_forgiven(browser: Browser, counters: Any) -> None:
    for _ in range(3):
        assert await guess_often(browser, 4) == [401] * 4
        await let_pass(counters, 61)


@pytest.mark.covers("THR-3", "THR-4")
async def test_one_password_tried_on_many_accounts_is_caught_by_the_address(browser: Browser) -> None:
    codes = [(await guess(browser, f"person{number}@example.com")).code for number in range(30)]

    assert codes == [401] * 10 + [429] * 20


async def test_successful_sign_ins_have_no_limit(browser: Browser) -> None:
    await make_account(browser)
    strangers = [Browser(browser.base_url) for _ in range(30)]

    codes = [(await guess(browser, password=PASSWORD)).code for _ in range(15)]
    at_once = await asyncio.gather(*(guess(stranger, password=PASSWORD) for stranger in strangers))

    assert codes == [201] * 15
    assert [answer.code for answer in at_once] == [201] * 30


@pytest.mark.parametrize("settings", [{"throttle_account_failures": 2}], indirect=True)
async def test_who_waits_to_sign_in_is_not_overtaken(browser: Browser) -> None:
    await make_account(browser)

    async def again_and_again(person: Browser) -> set[int]:
        codes = set()
        for _ in range(10):
            person.cookies.clear()  # or it would be a known browser
            codes.add((await guess(person, password=PASSWORD)).code)
        return codes

    people = [Browser(browser.base_url) for _ in range(8)]
    assert await asyncio.gather(*map(again_and_again, people)) == [{201}] * 8


@pytest.mark.covers("THR-5")
async def test_forged_addresses_move_no_counter(browser: Browser) -> None:
    codes = []
    for number in range(12):
        forged = f"9.9.9.{number}"
        headers = {"X-Forwarded-For": forged, "X-Real-Ip": forged, "Forwarded": f"for={forged}"}
        body = {"email": f"person{number}@example.com", "password": WRONG}
        codes.append((await browser.call("POST", "/api/session", body, headers)).code)

    assert codes == [401] * 10 + [429] * 2


@pytest.mark.covers("THR-6")
async def test_a_stranger_does_not_lock_the_owner_out_of_a_known_browser(
    browser: Browser, other_browser: Browser
) -> None:
    await browser.sign_up(ANN)
    await browser.sign_out()
    await guess_often(other_browser, 6)
    await guess_often(other_browser, 6, BOB)

    assert (await guess(other_browser, password=PASSWORD)).code == 429
    assert (await browser.sign_in(ANN)).code == 303


@pytest.mark.covers("THR-6")
async def test_a_known_browser_guesses_no_faster_and_only_at_its_own_accounts(
    browser: Browser, other_browser: Browser
) -> None:
    await other_browser.sign_up(BOB)
    await browser.sign_up(ANN)

    assert await guess_often(browser, 6, BOB) == [401] * 5 + [429]
    assert await guess_often(browser, 6, ANN) == [401] * 5 + [429]
    assert (await browser.sign_in(ANN)).code == 429


@pytest.mark.covers("THR-6")
async def test_one_known_browser_does_not_lock_another_out(browser: Browser, other_browser: Browser) -> None:
    await browser.sign_up(ANN)
    await other_browser.sign_in(ANN)

    assert await guess_often(browser, 6) == [401] * 5 + [429]
    assert (await other_browser.sign_in(ANN)).code == 303


@pytest.mark.covers("THR-4")
async def test_a_known_browser_is_a_stranger_to_all_other_accounts(browser: Browser) -> None:
    await browser.sign_up(ANN)

    codes = [(await guess(browser, f"person{number}@example.com")).code for number in range(12)]

    assert codes == [401] * 10 + [429] * 2


def test_a_device_remembers_ten_accounts_under_names_of_its_own() -> None:
    device = Device("one")
    for number in [*range(12), 5]:
        device = device.having(f"person{number}@example.com")

    known = [number for number in range(12) if device.knows(f"person{number}@example.com")]
    assert known == list(range(2, 12))
    assert len(device.marks) == 10
    assert not set(device.marks) & set(Device("two").having("person5@example.com").marks)


def test_a_device_is_forgotten_after_180_days() -> None:
    cookie = DeviceCookie(["a secret"])

    def aged(days: float) -> str:
        now = time.time() - days * 86400
        return create_signed_value(cookie._keys[0], "device", "name", version=2, clock=lambda: now).decode()

    assert cookie.read(aged(179)) == Device("name")
    assert cookie.read(aged(181)) is None


@pytest.mark.parametrize("value", ["", "x", "2|1:0|10:1|6:device|4:YQ==|00", "a:b:c"])
async def test_a_forged_device_cookie_is_none(browser: Browser, value: str) -> None:
    browser.cookies["device"] = value

    assert await guess_often(browser, 6) == [401] * 5 + [429]


async def test_the_device_cookie_names_nobody_and_opens_nothing(browser: Browser) -> None:
    await browser.sign_up(ANN)
    device = browser.cookies["device"]
    browser.cookies = {"device": device}

    assert not await browser.is_signed_in()
    assert "ann" not in device


@pytest.mark.covers("THR-7", "THR-10")
async def test_an_unknown_name_is_counted_and_refused_like_a_real_one(browser: Browser) -> None:
    await make_account(browser)

    real = [await guess(browser, ANN) for _ in range(6)]
    unknown = [await guess(browser, "nobody@example.com") for _ in range(6)]

    assert [answer.code for answer in real[:5]] == [answer.code for answer in unknown[:5]]
    assert real[5].code == unknown[5].code == 429
    assert real[5].body == unknown[5].body
    assert set(real[5].headers) == set(unknown[5].headers)


async def test_what_is_no_address_has_a_counter_of_its_own_too(browser: Browser) -> None:
    assert await guess_often(browser, 6, "nonsense") == [401] * 5 + [429]
    assert await guess_often(browser, 1, "other nonsense") == [401]


@pytest.mark.covers("THR-11")
async def test_however_a_name_is_written_it_has_one_counter(browser: Browser) -> None:
    spellings = [
        "ann@example.com",
        "ANN@example.com",
        " ann@EXAMPLE.com ",
        "Ann@Example.Com",
        "aNN@example.com",
    ]

    codes = [(await guess(browser, spelling)).code for spelling in [*spellings, *spellings]]

    assert codes == [401] * 5 + [429] * 5


@pytest.mark.covers("THR-12")
async def test_form_and_api_count_together_and_the_page_keeps_the_form(browser: Browser) -> None:
    await guess_often(browser, 3)
    pages = [await browser.sign_in(ANN, WRONG, remember="1") for _ in range(3)]

    assert [page.code for page in pages] == [401, 401, 429]
    text = pages[2].body.decode()
    assert int(pages[2].headers["Retry-After"]) > 0
    assert "Wait a minute" in text
    assert f'value="{ANN}"' in text
    assert re.search(r'name="remember"[^>]*checked', text)
    assert WRONG not in text


@pytest.mark.covers("THR-13", "THR-14")
async def test_of_fifty_guesses_at_once_only_five_are_tried(
    browser: Browser, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_account(browser)
    tried: list[str] = []
    authenticate = services.accounts.authenticate

    async def counting(email: str, password: str) -> Any:
        tried.append(email)
        return await authenticate(email, password)

    monkeypatch.setattr(services.accounts, "authenticate", counting)
    answers = await asyncio.gather(*(guess(Browser(browser.base_url)) for _ in range(50)))

    assert Counter(answer.code for answer in answers) == {401: 5, 429: 45}
    assert len(tried) == 5


@pytest.mark.covers("THR-13")
@pytest.mark.parametrize("settings", [{"throttle_address_failures": 2}], indirect=True)
async def test_an_attempt_under_way_is_no_failure_yet(
    browser: Browser, held: tuple[asyncio.Event, asyncio.Event]
) -> None:
    await make_account(browser, BOB)
    under_way, go_on = held
    right = asyncio.ensure_future(guess(Browser(browser.base_url), BOB, PASSWORD))
    await under_way.wait()
    wrong = await guess(browser, ANN)
    waits = asyncio.ensure_future(guess(browser, "third@example.com"))
    go_on.set()

    assert [(await right).code, wrong.code, (await waits).code] == [201, 401, 401]


@pytest.mark.covers("THR-6")
@pytest.mark.parametrize("settings", [{"trusted_proxies": ("127.0.0.1",)}], indirect=True)
async def test_what_is_refused_for_its_address_does_not_count_for_the_account(
    browser: Browser, counters: Any
) -> None:
    body = {"email": ANN, "password": WRONG}
    for number in range(10):
        await guess(browser, f"person{number}@example.com")

    assert await guess_often(browser, 6) == [429] * 6
    elsewhere = {"X-Forwarded-For": "192.0.2.1"}
    codes = [(await browser.call("POST", "/api/session", body, elsewhere)).code for _ in range(6)]
    assert codes == [401] * 5 + [429]


async def test_an_attempt_that_nobody_could_look_at_is_no_failure(
    browser: Browser, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def too_busy(*_: str) -> Any:
        raise HashQueueFull

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(services.accounts, "authenticate", too_busy)
        assert await guess_often(browser, 6) == [503] * 6

    assert await guess_often(browser, 6) == [401] * 5 + [429]


@pytest.mark.parametrize("settings", [{"throttle_account_failures": 1}], indirect=True)
async def test_only_so_many_stand_in_line(
    browser: Browser, held: tuple[asyncio.Event, asyncio.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.accounts.guard.MAX_QUEUED", 2)
    monkeypatch.setattr("server.accounts.guard.QUEUE_SECONDS", 60)
    under_way, go_on = held
    first = asyncio.ensure_future(guess(browser, BOB))
    await under_way.wait()

    waiting = {asyncio.ensure_future(guess(Browser(browser.base_url), BOB)) for _ in range(4)}
    done, waiting = await asyncio.wait(waiting, timeout=15, return_when=asyncio.FIRST_COMPLETED)
    turned_away = [answer.result() for answer in done]
    assert (len(waiting), turned_away[0].code) == (3, 503)
    assert int(turned_away[0].headers["Retry-After"]) > 0
    go_on.set()
    assert (await first).code == 401
    assert {answer.code for answer in await asyncio.gather(*waiting)} == {429}


@pytest.mark.parametrize(
    "settings", [{"trusted_proxies": ("127.0.0.1",), "throttle_address_failures": 1}], indirect=True
)
async def test_who_has_stood_in_line_in_vain_has_not_failed(
    browser: Browser, held: tuple[asyncio.Event, asyncio.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    under_way, go_on = held
    first = asyncio.ensure_future(guess(browser, BOB))
    await under_way.wait()
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr("server.accounts.guard.QUEUE_SECONDS", 0.1)
        assert await guess_often(browser, 5) == [503] * 5
    go_on.set()
    assert (await first).code == 401

    body = {"email": ANN, "password": WRONG}
    for number in range(5):
        elsewhere = {"X-Forwarded-For": f"192.0.2.{number}"}
        assert (await browser.call("POST", "/api/session", body, elsewhere)).code == 401


@pytest.mark.covers("THR-15")
async def test_another_process_and_a_restart_go_on_counting(browser: Browser, settings: Settings) -> None:
    await guess_often(browser, 5)

    async with open_services(settings, settings.mongodb_uri) as services:
        app = make_app(settings, services)
        server = app.listen(0, address="127.0.0.1")
        (listening,) = server._sockets.values()
        other = Browser(f"http://127.0.0.1:{listening.getsockname()[1]}")
        assert (await guess(other)).code == 429
        server.stop()
        await server.close_all_connections()


@pytest.mark.covers("THR-9", "THR-17")
@pytest.mark.parametrize("settings", [{"throttle_signups": 3}], indirect=True)
async def test_sign_ups_of_one_address_are_limited(browser: Browser, counters: Any) -> None:
    await make_account(browser)
    taken = await browser.call("POST", "/api/users", {"email": ANN, "password": PASSWORD})
    weak = await browser.sign_up(BOB, "too short")
    third = await browser.sign_up("taken by nobody", PASSWORD), await browser.sign_up(ANN)
    page = await browser.sign_up(BOB)
    call = await browser.call("POST", "/api/users", {"email": BOB, "password": PASSWORD})

    assert (taken.code, weak.code, third[0].code, third[1].code) == (409, 422, 422, 422)
    assert (page.code, call.code) == (429, 429)
    assert f'value="{BOB}"' in page.body.decode()
    assert 0 < int(call.headers["Retry-After"]) <= 60
    assert json.loads(call.body)["code"] == "too_many_attempts"

    await let_pass(counters, 61)
    assert (await browser.sign_up(BOB)).code == 303


@pytest.mark.covers("THR-17")
@pytest.mark.parametrize(
    "settings", [{"trusted_proxies": ("127.0.0.1",), "throttle_signups": 1}], indirect=True
)
async def test_sign_ups_are_limited_for_each_address_and_not_for_all(browser: Browser) -> None:
    codes = []
    for number, address in enumerate(["192.0.2.1", "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"]):
        account = {"email": f"person{number}@example.com", "password": PASSWORD}
        forwarded = {"X-Forwarded-For": address}
        codes.append((await browser.call("POST", "/api/users", account, forwarded)).code)

    assert codes == [201, 429, 201, 201, 429]


@pytest.mark.covers("THR-3")
async def test_the_counters_name_neither_address_nor_account_and_clean_themselves_up(
    browser: Browser, counters: Any
) -> None:
    await make_account(browser)
    await guess_often(browser, 5)

    documents = await counters.find().to_list(None)
    assert len(documents) == 3
    assert not [text for text in map(str, documents) if "ann" in text or "127.0.0.1" in text]
    assert all(len(found["_id"]) == 32 for found in documents)
    assert all(found["expires_at"] < datetime.now(UTC) + timedelta(hours=1.1) for found in documents)
    (refused,) = [found for found in documents if found["refusals"]]
    assert refused["expires_at"] - refused["refused_until"] == timedelta(hours=1)
    assert (await counters.index_information())["expiry"]["expireAfterSeconds"] == 0


@pytest.mark.covers("LOG-11")
def test_names_of_counters_are_keyed(services: Services) -> None:
    """Who has a copy of the database, or a log, cannot try addresses until one fits."""
    kept, secrets = services.database["throttle"], ["one secret", "another one"]

    labels = {Throttle(kept, 1, [secret]).label(ANN) for secret in secrets}
    ids = {Throttle(kept, 1, [secret])._id(Count("account", ANN, 5)) for secret in secrets}
    ids |= {Failures(kept, 1, [secret])._id(ANN) for secret in secrets}

    assert len(labels) == 2
    assert len(ids) == 4


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
    ],
)
@pytest.mark.covers("TRN-9")
def test_an_ipv6_network_counts_as_one_address(address: str, network: str) -> None:
    assert network_of(address) == network


@pytest.mark.covers("REA-4", "THR-17")
async def test_passwords_typed_again_count_like_those_at_sign_in(browser: Browser) -> None:
    await browser.sign_up(ANN)

    confirmed = [(await browser.submit("/confirm", {"password": WRONG})).code for _ in range(3)]
    fields = {"current_password": WRONG, "new_password": "another long password"}
    changed = [(await browser.submit("/account/password", fields)).code for _ in range(3)]
    last = await browser.submit("/confirm", {"password": PASSWORD})

    assert (confirmed, changed, last.code) == ([401] * 3, [422, 422, 429], 429)
    assert int(last.headers["Retry-After"]) > 0
    assert "Wait a minute" in last.body.decode()


@pytest.mark.covers("THR-18")
async def test_the_account_page_tells_of_wrong_passwords_since_the_sign_in_before(
    browser: Browser, other_browser: Browser
) -> None:
    await browser.sign_up(ANN)
    await guess_often(other_browser, 2)
    await other_browser.sign_in("ANN@example.com", WRONG)
    before = await browser.get("/account")

    await browser.sign_in(ANN)
    told = (await browser.get("/account")).body.decode()
    await browser.submit("/confirm", {"password": PASSWORD})
    still_told = (await browser.get("/account")).body.decode()
    await browser.sign_in(ANN)
    later = await browser.get("/account")

    assert "wrong password" not in before.body.decode()
    assert f'3 wrong passwords<small>The last one: <time datetime="{datetime.now(UTC):%Y-%m-%dT}' in told
    assert "3 wrong passwords" in still_told
    assert "wrong password" not in later.body.decode()


@pytest.mark.covers("THR-18")
async def test_wrong_passwords_are_told_wherever_they_were_typed_and_to_the_owner_only(
    browser: Browser, other_browser: Browser
) -> None:
    await other_browser.sign_up(BOB)
    await browser.sign_up(ANN)
    await browser.submit("/confirm", {"password": WRONG})
    await other_browser.sign_in(BOB)
    await browser.call("POST", "/api/session", {"email": ANN, "password": PASSWORD})

    assert "1 wrong password<" in (await browser.get("/account")).body.decode()
    assert "wrong password" not in (await other_browser.get("/account")).body.decode()


@pytest.mark.covers("THR-18")
async def test_what_was_refused_unread_or_tried_before_there_was_an_account_is_not_told(
    browser: Browser, other_browser: Browser, counters: Any
) -> None:
    await guess_often(other_browser, 2)
    await browser.sign_up(ANN)
    signed_up = await browser.get("/account")

    assert await guess_often(other_browser, 7) == [401] * 3 + [429] * 4
    await let_pass(counters, 61)
    await browser.sign_in(ANN)

    assert "wrong password" not in signed_up.body.decode()
    assert "3 wrong passwords" in (await browser.get("/account")).body.decode()


@pytest.mark.covers("THR-18")
async def test_a_sign_in_that_comes_to_nothing_uses_up_no_news(
    browser: Browser, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cannot(*_: Any) -> None:
        raise StoreUnavailable("no answer in time")

    await make_account(browser)
    await guess(browser)
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(services.sessions.store, "insert", cannot)
        assert (await guess(browser, password=PASSWORD)).code == 503
    await guess(browser)
    await browser.sign_in(ANN)

    assert "2 wrong passwords" in (await browser.get("/account")).body.decode()
    assert await services.database["failures"].count_documents({}) == 0


@pytest.mark.covers("THR-18")
async def test_failures_are_kept_for_a_month_under_a_keyed_hash_for_unknown_names_too(
    browser: Browser, services: Services
) -> None:
    await make_account(browser)
    await guess(browser, ANN)
    await guess(browser, "nobody@example.com")

    kept = services.database["failures"]
    documents = await kept.find().to_list(None)
    assert [set(document) for document in documents] == [{"_id", "count", "last_at", "expires_at"}] * 2
    assert [document["count"] for document in documents] == [1, 1]
    assert all(len(document["_id"]) == 32 for document in documents)
    month = timedelta(days=30)
    assert all(document["expires_at"] - document["last_at"] == month for document in documents)
    assert (await kept.index_information())["expiry"]["expireAfterSeconds"] == 0
