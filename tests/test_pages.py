"""The pages as a person meets them: through HTTP, with a small browser."""

import asyncio
import gzip
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from tornado.httpclient import HTTPResponse
from tornado.web import create_signed_value

from server.accounts import Passwords
from server.services import Services
from settings import Settings
from tests.client import PASSWORD, Browser

pytestmark = pytest.mark.gen_test

ANN = "ann@example.com"


def text_of(response: HTTPResponse) -> str:
    return response.body.decode()


async def test_a_person_signs_up_sees_the_account_signs_out_and_is_sent_to_the_login_page(
    browser: Browser,
) -> None:
    welcome = await browser.sign_up(ANN)
    account = await browser.get("/account")
    goodbye = await browser.sign_out()
    locked = await browser.get("/account")

    assert (welcome.code, welcome.headers["Location"]) == (303, "/account")
    assert (account.code, ANN in text_of(account)) == (200, True)
    assert (goodbye.code, goodbye.headers["Location"]) == (303, "/")
    assert (locked.code, locked.headers["Location"]) == (302, "/login?next=%2Faccount")


async def test_the_front_page_says_who_is_signed_in(browser: Browser) -> None:
    assert "Create account" in text_of(await browser.get("/"))
    await browser.sign_up(ANN)
    assert ANN in text_of(await browser.get("/"))


@pytest.mark.covers("RED-2", "RED-7")
async def test_signing_in_leads_back_to_the_wanted_page(browser: Browser) -> None:
    await browser.sign_up(ANN)
    await browser.sign_out()

    page = "/login?next=" + quote("/account?tab=1", safe="")
    back = await browser.submit("/login", {"email": ANN, "password": PASSWORD}, page=page)

    assert (back.code, back.headers["Location"]) == (303, "/account?tab=1")


@pytest.mark.covers("RED-1", "RED-3", "RED-7", "RED-8")
@pytest.mark.parametrize(
    "wanted",
    [
        "//e.test", "///e.test", "/\\e.test", "\\\\e.test", "https:e.test", "https:///e.test", "http://e.test",
        "/%09/e.test", "/\t/e.test", " //e.test", "javascript:alert(1)", "//a@e.test", "/..//e.test",
        "/./account", "//e.test%2f@own", "/account //e.test", "/account\r\nX: y", "/é", "/logout", "/login",
        "/api/session", "/static/app.css", "/nowhere", "/healthz", "account", "", "/account?" + "x" * 512,
        "/account\0",
    ],
)  # fmt: skip
async def test_next_leads_nowhere_but_to_a_page_of_this_site(browser: Browser, wanted: str) -> None:
    await browser.sign_up(ANN)

    answer = await browser.submit("/login", {"email": ANN, "password": PASSWORD, "next": wanted})

    assert (answer.code, answer.headers["Location"]) == (303, "/account")


async def test_a_form_that_is_refused_comes_back_with_the_address_but_not_the_password(
    browser: Browser,
) -> None:
    answer = await browser.sign_up("not an address", "too short")

    assert answer.code == 422
    assert 'value="not an address"' in text_of(answer)
    assert "too short" not in text_of(answer)
    assert 'aria-invalid="true"' in text_of(answer)
    assert "at least 15 characters" in text_of(answer)


@pytest.mark.covers("INP-10")
async def test_an_address_has_one_account_however_it_is_written(
    browser: Browser, other_browser: Browser
) -> None:
    await browser.sign_up("Ann@Example.com")

    again = await other_browser.sign_up("ann@EXAMPLE.COM ")

    assert again.code == 422
    assert "already an account" in text_of(again)


async def test_unknown_address_and_wrong_password_get_the_same_answer(browser: Browser) -> None:
    await browser.sign_up(ANN)
    await browser.sign_out()

    unknown = await browser.sign_in("bob@example.com")
    wrong = await browser.sign_in(ANN, "another password entirely")

    def faceless(response: HTTPResponse, address: str) -> str:
        body = text_of(response).replace(address, "ADDRESS")
        return re.sub(r'name="_csrf" value="\w+"', "", body)

    assert unknown.code == wrong.code == 401
    assert faceless(unknown, "bob@example.com") == faceless(wrong, ANN)
    assert "sid" not in browser.cookies


async def test_missing_fields_are_named(browser: Browser) -> None:
    answer = await browser.submit("/login", {})

    assert answer.code == 422
    assert "Enter your email address" in text_of(answer)
    assert "Enter your password" in text_of(answer)


async def test_a_password_counts_to_the_last_byte(browser: Browser) -> None:
    odd = "  Passwörter\tsind\x01länger  " + "x" * 80
    await browser.sign_up(ANN, odd)
    await browser.sign_out()

    assert (await browser.sign_in(ANN, odd.strip())).code == 401
    assert (await browser.sign_in(ANN, odd[:-1])).code == 401
    assert (await browser.sign_in(ANN, odd)).code == 303


@pytest.mark.covers("PWD-17", "INP-13")
async def test_credentials_in_the_address_are_not_looked_at(browser: Browser) -> None:
    await browser.sign_up(ANN)
    await browser.sign_out()

    query = f"email={quote(ANN)}&password={quote(PASSWORD)}"
    assert (await browser.submit("/login?" + query, {}, page="/login")).code == 422
    assert (await browser.get("/login?" + query)).code == 200
    assert not await browser.is_signed_in()


@pytest.mark.covers("FIX-1", "FIX-2", "FIX-3")
@pytest.mark.parametrize("signs_up", [False, True])
async def test_signing_in_or_up_gives_a_new_token_and_ends_the_session_before(
    browser: Browser, signs_up: bool
) -> None:
    await browser.sign_up(ANN)
    planted = browser.copy()

    await (browser.sign_up("bob@example.com") if signs_up else browser.sign_in(ANN))

    assert browser.cookies["sid"] != planted.cookies["sid"]
    assert await browser.is_signed_in()
    assert not await planted.is_signed_in()


@pytest.mark.covers("FIX-1")
async def test_a_late_request_with_the_old_token_gets_no_cookie(browser: Browser) -> None:
    await browser.sign_up(ANN)
    late = browser.copy()
    await browser.sign_in(ANN)

    answer = await late.get("/")

    assert answer.code == 200
    assert not answer.headers.get_list("Set-Cookie")


@pytest.mark.covers("END-1")
async def test_signing_out_ends_the_session_for_whoever_kept_the_cookie(
    browser: Browser, sessions: Any
) -> None:
    await browser.sign_up(ANN)
    thief = browser.copy()

    await browser.sign_out()

    assert "sid" not in browser.cookies
    assert not await thief.is_signed_in()
    assert await sessions.count_documents({}) == 0


@pytest.mark.covers("END-4")
async def test_signing_out_twice_is_no_error(browser: Browser) -> None:
    await browser.sign_up(ANN)
    second = browser.copy()
    await browser.sign_out()

    answer = await second.post("/logout", {})

    assert (answer.code, answer.headers["Location"]) == (303, "/")


@pytest.mark.covers("END-2")
async def test_nothing_is_done_by_get(browser: Browser) -> None:
    await browser.sign_up(ANN)

    answer = await browser.get("/logout")

    assert (answer.code, answer.headers["Allow"]) == (405, "POST")
    assert await browser.is_signed_in()


@pytest.mark.covers("CSR-4", "CSR-5", "CSR-7")
async def test_a_form_without_its_token_changes_nothing(browser: Browser, other_browser: Browser) -> None:
    await browser.sign_up(ANN)
    await other_browser.sign_up("bob@example.com")
    bobs = (await other_browser.state())["csrf_token"]
    mine = (await browser.state())["csrf_token"]

    for token in ("", "abc", bobs):
        assert (await browser.post("/logout", {"_csrf": token})).code == 403
    assert (await browser.post(f"/logout?_csrf={mine}", {})).code == 403
    assert await browser.is_signed_in()
    assert (await browser.post("/logout", {"_csrf": mine})).code == 303


@pytest.mark.covers("FIX-7", "CSR-5")
async def test_a_form_made_before_signing_in_is_worthless_afterwards(browser: Browser) -> None:
    await browser.get("/login")
    before = (await browser.state())["csrf_token"]
    await browser.sign_up(ANN)
    signed_in = (await browser.state())["csrf_token"]

    assert (await browser.post("/logout", {"_csrf": before})).code == 403
    assert (await browser.post("/logout", {"_csrf": signed_in})).code == 303
    form = {"_csrf": signed_in, "email": ANN, "password": PASSWORD}
    assert (await browser.post("/login", form)).code == 403


@pytest.mark.covers("FIX-8", "CSR-2", "CSR-3")
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
async def test_a_form_from_another_site_is_refused(browser: Browser, headers: dict[str, str]) -> None:
    await browser.get("/login")
    token = (await browser.state())["csrf_token"]
    form = {"_csrf": token, "email": ANN, "password": PASSWORD}

    answer = await browser.post("/login", form, headers)

    assert answer.code == 403
    assert not answer.headers.get_list("Set-Cookie")


@pytest.mark.covers("TOK-11")
async def test_pages_are_there_for_a_session_that_has_lost_its_profile(
    browser: Browser, sessions: Any
) -> None:
    await browser.sign_up("ann@example.com")
    await sessions.update_many({}, {"$set": {"data": {"language": "de"}}})

    assert [(await browser.get(path)).code for path in ("/", "/login", "/nothing")] == [200, 200, 404]


async def test_visitors_leave_no_sessions_behind(browser: Browser, sessions: Any) -> None:
    for path in ("/", "/login", "/signup", "/account", "/nowhere", "/api/session"):
        answer = await browser.get(path)
        assert not [line for line in answer.headers.get_list("Set-Cookie") if line.startswith("sid=")]

    assert await sessions.count_documents({}) == 0


@pytest.mark.covers("TOK-9")
@pytest.mark.parametrize(
    "cookie",
    ["sid=abc", "sid=a|b|c", "sid=" + "x" * 9000, 'sid="open', "sid=" + "2|" * 50, "sid={$ne:1}", "=;;="],
)  # fmt: skip
async def test_a_hostile_cookie_is_no_cookie_and_asks_no_database(
    browser: Browser, services: Services, cookie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def must_not_be_asked(_ids: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr(services.sessions.store, "find", must_not_be_asked)

    assert (await browser.get("/", {"Cookie": cookie})).code == 200
    assert (await browser.get("/account", {"Cookie": cookie})).code == 302


async def test_a_cookie_that_is_no_longer_good_is_left_alone(browser: Browser, sessions: Any) -> None:
    await browser.sign_up(ANN)
    await sessions.delete_many({})

    answer = await browser.get("/")

    assert not answer.headers.get_list("Set-Cookie")


@pytest.mark.covers("TMO-1", "TMO-3", "TMO-4", "TMO-9")
async def test_without_activity_the_session_ends_and_the_login_page_knows_the_way_back(
    browser: Browser, other_browser: Browser, sessions: Any
) -> None:
    await browser.sign_up(ANN)
    await sessions.update_many({}, {"$set": {"expires_at": datetime.now(UTC) - timedelta(seconds=1)}})

    answer = await browser.get("/account")

    assert (answer.code, answer.headers["Location"]) == (302, "/login?next=%2Faccount")
    assert "Your session has ended." in text_of(await browser.get("/login?next=%2Faccount"))
    assert "Your session has ended." not in text_of(await other_browser.get("/login"))
    assert await sessions.count_documents({}) == 1


@pytest.mark.covers("TMO-2")
async def test_activity_keeps_the_session_alive_but_not_past_its_absolute_end(
    browser: Browser, sessions: Any, services: Services
) -> None:
    await browser.sign_up(ANN)
    now = datetime.now(UTC)
    old = {"seen_at": now - timedelta(minutes=20), "expires_at": now + timedelta(minutes=10)}
    await sessions.update_many({}, {"$set": old | {"ends_at": now + timedelta(minutes=15)}})

    await browser.get("/account")
    await services.sessions.flush()

    (document,) = await sessions.find().to_list(None)
    assert document["expires_at"] == document["ends_at"]
    assert document["seen_at"] > now - timedelta(minutes=1)


@pytest.mark.covers("TMO-8")
async def test_within_the_touch_interval_nothing_is_written(browser: Browser, sessions: Any) -> None:
    await browser.sign_up(ANN)
    before = await sessions.find().to_list(None)

    for _ in range(5):
        await browser.get("/account")

    assert await sessions.find().to_list(None) == before


@pytest.mark.covers("CK-6", "CK-7")
async def test_remember_me_lasts_longer_and_survives_the_browser(browser: Browser, sessions: Any) -> None:
    for_now = await browser.sign_up(ANN)
    answer = await browser.sign_in(ANN, remember="1")

    (line,) = (line for line in answer.headers.get_list("Set-Cookie") if line.startswith("sid="))
    (document,) = await sessions.find({"user_id": {"$exists": True}}).to_list(None)
    assert "Max-Age=2592000;" in line
    assert document["ends_at"] - document["created_at"] == timedelta(seconds=2592000)
    assert document["expires_at"] - document["created_at"] == timedelta(days=7)
    (line,) = (line for line in for_now.headers.get_list("Set-Cookie") if line.startswith("sid="))
    assert not re.search("Max-Age|Expires", line)


@pytest.mark.covers("INP-11")
async def test_twenty_sign_ups_at_once_make_one_account(browser: Browser, services: Services) -> None:
    await browser.get("/signup")
    token = (await browser.state())["csrf_token"]
    form = {"_csrf": token, "email": ANN, "password": PASSWORD}
    visitors = [browser.copy() for _ in range(20)]

    answers = await asyncio.gather(*(visitor.post("/signup", form) for visitor in visitors))

    assert sorted(answer.code for answer in answers) == [303] + [422] * 19
    assert await services.database["users"].count_documents({}) == 1


@pytest.mark.covers("PWD-3")
async def test_a_hash_made_with_weaker_parameters_is_renewed_at_sign_in(
    browser: Browser, services: Services
) -> None:
    await browser.sign_up(ANN)
    async with Passwords(memory_kib=7168 * 2, time_cost=1) as weaker:
        users = services.database["users"]
        await users.update_one({}, {"$set": {"password_hash": await weaker.hash(PASSWORD)}})

        await browser.sign_in(ANN)

        assert "m=7168," in (await users.find_one({}))["password_hash"]


@pytest.mark.parametrize("damaged", ["x", "$argon2id$v=19$broken", ""])
async def test_a_damaged_hash_is_a_failed_sign_in(browser: Browser, services: Services, damaged: str) -> None:
    await browser.sign_up(ANN)
    await browser.sign_out()
    await services.database["users"].update_one({}, {"$set": {"password_hash": damaged}})

    assert (await browser.sign_in(ANN)).code == 401


@pytest.mark.covers("END-10")
async def test_a_disabled_account_cannot_sign_in(browser: Browser, services: Services) -> None:
    await browser.sign_up(ANN)
    await browser.sign_out()
    wrong = await browser.sign_in(ANN, "another password entirely")
    await services.database["users"].update_one({}, {"$set": {"disabled": True}})

    disabled = await browser.sign_in(ANN)

    assert disabled.code == wrong.code == 401
    assert "Check your email address and password" in text_of(disabled)
    assert text_of(disabled) == text_of(wrong)


@pytest.mark.parametrize("body", [b"email=%FF", b"email=a&email=b", b"password=%ff%fe", b"_csrf=%ff"])
async def test_fields_that_are_no_single_text_are_a_400(browser: Browser, body: bytes) -> None:
    await browser.get("/login")
    token = (await browser.state())["csrf_token"]
    form = {"Content-Type": "application/x-www-form-urlencoded", "X-CSRF-Token": token}
    if body.startswith(b"_csrf"):
        del form["X-CSRF-Token"]

    assert (await browser.request("POST", "/login", body, form)).code == 400


@pytest.mark.parametrize(
    ("path", "method", "code"),
    [("/nowhere", "GET", 404), ("/nowhere", "POST", 404), ("/account", "DELETE", 405), ("/", "POST", 405)],
)
async def test_errors_are_pages(browser: Browser, path: str, method: str, code: int) -> None:
    answer = await browser.request(method, path, b"" if method != "GET" else None)

    assert answer.code == code
    assert f"Error {code}" in text_of(answer)
    assert answer.headers["X-Request-ID"] in text_of(answer)
    assert ("Allow" in answer.headers) == (code == 405)


async def test_head_is_a_get_without_the_body(browser: Browser) -> None:
    await browser.sign_up(ANN)

    got, head = await browser.get("/account"), await browser.request("HEAD", "/account")

    assert (head.code, head.body) == (200, b"")
    assert head.headers["Content-Length"] == got.headers["Content-Length"]


@pytest.mark.covers("RED-5", "TRN-4")
@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "localhost.evil.example", ""])
async def test_an_unknown_host_name_is_refused_and_not_repeated(browser: Browser, host: str) -> None:
    answer = await browser.get("/login", {"Host": host})

    assert answer.code in {400, 421}
    assert "evil" not in text_of(answer)
    assert (await browser.get("/healthz", {"Host": "10.0.0.1"})).code == 200


@pytest.mark.covers("HDR-1", "HDR-6", "CSR-20")
async def test_every_answer_has_the_security_headers(browser: Browser) -> None:
    paths = [
        "/",
        "/account",
        "/nowhere",
        "/static/app.css",
        "/static/none",
        "/api/session",
        "/api/x",
        "/healthz",
    ]
    for path in paths:
        headers = (await browser.get(path)).headers
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"], path
        assert "unsafe" not in headers["Content-Security-Policy"], path
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert headers["Referrer-Policy"] == "same-origin", path
        assert "Server" not in headers, path
        assert "Etag" not in headers or path.startswith("/static/"), path
        assert "Strict-Transport-Security" not in headers, path


@pytest.mark.covers("HDR-11")
async def test_pages_are_kept_by_no_cache_and_files_for_a_year(browser: Browser) -> None:
    page = await browser.get("/")
    (style,) = re.findall(r'href="(/static/app\.css\?v=\w+)"', text_of(page))

    assert page.headers["Cache-Control"] == "no-store"
    assert "Cookie" in page.headers["Vary"]
    assert "immutable" in (await browser.get(style)).headers["Cache-Control"]
    assert (await browser.get("/static/app.css")).headers["Cache-Control"] == "no-cache"


@pytest.mark.covers("HDR-4", "HDR-16")
async def test_pages_contain_no_inline_code_and_nothing_from_elsewhere(browser: Browser) -> None:
    pages = ["/", "/login", "/signup", "/nowhere"]
    bodies = [text_of(await browser.get(page)) for page in pages]
    await browser.sign_up(ANN)
    await browser.submit("/account/sessions/revoke-others", {}, page="/account/sessions")
    members_pages = ["/", "/account", "/account/sessions", "/account/password", "/account/delete", "/confirm"]
    bodies += [text_of(await browser.get(page)) for page in members_pages]
    bodies.append(text_of(await browser.submit("/account/password", {"new_password": "x"})))
    assert all("</html>" in body for body in bodies)
    for body in bodies:
        assert not re.search(r"<script(?! src=)|<style|\sstyle=|\son\w+=|javascript:", body)
        assert not re.search(r'(?:src|href|action)="(?!/|#)', body)


@pytest.mark.covers("AV-12")
async def test_the_health_of_process_and_database_can_be_asked(browser: Browser) -> None:
    assert (await browser.get("/healthz")).body == b"alive\n"
    assert (await browser.get("/readyz")).body == b"ready\n"


@pytest.mark.parametrize("settings", [{"registration": "closed"}], indirect=True)
async def test_closed_registration_hides_the_page(browser: Browser) -> None:
    assert (await browser.get("/signup")).code == 404
    assert "/signup" not in text_of(await browser.get("/")) + text_of(await browser.get("/login"))


@pytest.mark.covers("CK-1", "CK-2", "CK-3", "CK-4", "HDR-10")
@pytest.mark.parametrize("settings", [{"public_url": "https://localhost"}], indirect=True)
async def test_over_https_every_cookie_is_secure_and_bound_to_the_host(
    browser: Browser, settings: Settings
) -> None:
    shown = await browser.get("/signup")
    answer = await browser.sign_up(ANN)

    lines = shown.headers.get_list("Set-Cookie") + answer.headers.get_list("Set-Cookie")
    assert len(lines) == 3
    for line in lines:
        assert line.startswith("__Host-")
        assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= {part.strip() for part in line.split(";")}
    assert "max-age=63072000" in answer.headers["Strict-Transport-Security"]


@pytest.mark.covers("SEC-3")
async def test_a_cookie_signed_by_an_old_key_is_signed_anew(
    browser: Browser, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await browser.sign_up(ANN)
    before = browser.cookies["sid"]
    cookie = services.sessions.cookie
    monkeypatch.setattr(cookie, "_secrets", ("a newer secret of more than 32 bytes", *cookie._secrets))

    await browser.get("/")

    assert browser.cookies["sid"] != before
    monkeypatch.setattr(cookie, "_secrets", cookie._secrets[:1])
    assert await browser.is_signed_in()


async def test_odd_addresses_and_origins_are_no_server_errors(browser: Browser) -> None:
    assert (await browser.get("/static/%00")).code == 404
    assert (await browser.post("/login", {}, {"Origin": "http://["})).code == 403
    assert (await browser.get("/%ff")).code in {400, 404}


async def test_files_are_served_under_our_names_only_and_kept_under_their_own_fingerprint_only(
    browser: Browser,
) -> None:
    assert (await browser.get("/static/app.css", {"Host": "evil.example"})).code == 421
    assert (await browser.get("/static/app.css?v=of-another-version")).headers["Cache-Control"] == "no-cache"


@pytest.mark.covers("INP-4")
async def test_a_large_body_is_refused_in_words(browser: Browser) -> None:
    answer = await browser.post("/login", {"email": "x" * 70_000})

    assert answer.code == 413
    assert "larger than" in text_of(answer)


async def test_addresses_that_only_look_alike_to_some_are_two_accounts(
    browser: Browser, other_browser: Browser
) -> None:
    assert (await browser.sign_up("straße@example.com")).code == 303
    assert (await other_browser.sign_up("strasse@example.com")).code == 303


async def test_a_form_open_for_a_while_still_works(browser: Browser, services: Services) -> None:
    """The nonce keeps its value and gets a new date, so that forms in other tabs stay good."""
    csrf = services.csrf
    nonce = csrf.new_nonce()
    old = create_signed_value(csrf._keys[0], "csrf", nonce, version=2, clock=lambda: time.time() - 2000)
    browser.cookies["csrf"] = old.decode()
    first_tab = csrf.token(nonce)

    await browser.get("/login")

    assert browser.cookies["csrf"] != old.decode()
    form = {"_csrf": first_tab, "email": ANN, "password": PASSWORD}
    assert (await browser.post("/signup", form)).code == 303


@pytest.mark.covers("TMO-13")
async def test_a_nonce_has_its_time(browser: Browser, services: Services) -> None:
    csrf = services.csrf
    (line,) = (await browser.get("/login")).headers.get_list("Set-Cookie")
    assert line.startswith("csrf=")
    assert "Max-Age=3600;" in line + ";"
    signed = create_signed_value(csrf._keys[0], "csrf", b"n", version=2, clock=lambda: time.time() - 3700)

    assert csrf.read_nonce(signed.decode()) is None


async def test_no_page_with_a_token_is_compressed(browser: Browser) -> None:
    for path in ("/login?next=/account", "/signup", "/api/session"):
        assert "Content-Encoding" not in (await browser.get(path, {"Accept-Encoding": "gzip"})).headers


async def test_files_are_compressed_for_who_can_read_that(browser: Browser) -> None:
    plain = await browser.get("/static/app.css")
    packed = await browser.get("/static/app.css", {"Accept-Encoding": "gzip"})
    part = await browser.get("/static/app.css", {"Accept-Encoding": "gzip", "Range": "bytes=0-2999"})
    known = {"Accept-Encoding": "gzip", "If-None-Match": packed.headers["Etag"]}

    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"
    assert gzip.decompress(packed.body) == plain.body
    assert (part.code, part.body) == (206, plain.body[:3000])
    assert (await browser.get("/static/app.css", known)).code == 304
    # Weak: the same file, but not the same bytes, so nobody joins a part of one to a part of the other.
    assert packed.headers["Etag"].startswith('W/"')
