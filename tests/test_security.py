"""Attacks on sessions and forms, and the headers of every kind of answer: docs/security.md lists them."""

import asyncio
import json
import re
from base64 import b64decode
from typing import Any

import bson
import pytest
from tornado.httpclient import HTTPResponse

from server.app import ROUTES
from server.services import Services
from server.sessions.token import digest, new_token
from tests.client import PASSWORD, Browser

pytestmark = pytest.mark.gen_test

ANN, BOB = "ann@example.com", "bob@example.com"
MEMBERS_PAGES = ["/", "/account", "/account/sessions", "/account/password", "/account/delete", "/confirm"]
STEPS = {"POST": "post", "PUT": "put", "PATCH": "patch", "DELETE": "delete"}
SAMPLE = "0123456789abcdef"
WRITES = [
    (pattern.replace("([0-9a-f]{16})", SAMPLE), method)
    for pattern, handler in ROUTES
    for method, name in STEPS.items()
    if name in vars(handler)
]


def token_in(browser: Browser) -> str:
    """The token in the cookie: Tornado's signed value is fields with their length, the fifth is the value."""
    fields = browser.cookies["sid"].split("|")
    return b64decode(fields[4].partition(":")[2]).decode()


def csp(answer: HTTPResponse) -> dict[str, list[str]]:
    parts = (part.split() for part in answer.headers["Content-Security-Policy"].split(";"))
    return {name: values for name, *values in parts}


@pytest.mark.covers("TOK-1", "TOK-3", "CK-5")
async def test_tokens_are_random_and_carry_nothing_else(browser: Browser) -> None:
    await browser.sign_up(ANN)
    tokens = []
    for _ in range(10):
        line = (await browser.sign_in(ANN)).headers["Set-Cookie"]
        assert len(line) < 1024
        tokens.append(token_in(browser))

    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", token) for token in tokens)
    assert len({token[:4] for token in tokens} | {token[-4:] for token in tokens}) == 20
    assert sorted(tokens) not in (tokens, tokens[::-1])


@pytest.mark.covers("TOK-4")
async def test_the_database_has_the_digest_of_a_token_and_never_the_token(
    browser: Browser, services: Services
) -> None:
    await browser.sign_up(ANN)
    token = token_in(browser)

    stored = b""
    for name in await services.database.list_collection_names():
        for document in await services.database[name].find().to_list(None):
            stored += bson.encode(document)

    assert token.encode() not in stored
    assert browser.cookies["sid"].encode() not in stored
    assert digest(token) in stored


@pytest.mark.covers("TOK-6", "FIX-10")
async def test_a_token_we_did_not_make_is_never_adopted(
    browser: Browser, services: Services, sessions: Any
) -> None:
    chosen = new_token()
    line = services.sessions.cookie.set_line(chosen, None).partition(";")[0]
    browser.cookies["sid"] = line.partition("=")[2]

    assert (await browser.get("/account")).code == 302
    assert await sessions.count_documents({}) == 0
    await browser.sign_up(ANN)

    assert token_in(browser) != chosen
    assert await sessions.count_documents({"_id": digest(chosen)}) == 0


@pytest.mark.covers("TOK-7", "TOK-12")
async def test_a_token_counts_in_its_cookie_and_nowhere_else(browser: Browser) -> None:
    await browser.sign_up(ANN)
    sid = browser.cookies["sid"]
    stranger = Browser(browser.base_url)

    for headers in ({"Authorization": f"Bearer {sid}"}, {"X-Session": sid}, {"X-API-Key": sid},
                    {"Authorization": "Basic YWRtaW46YWRtaW4="}, {"X-Debug": "1"}):  # fmt: skip
        assert (await stranger.call("GET", f"/api/sessions?sid={sid}", headers=headers)).code == 401
    body = {"email": ANN, "password": "wrong", "sid": sid}
    assert (await stranger.call("POST", "/api/session", body)).code == 401


@pytest.mark.covers("FIX-6")
async def test_whoever_signs_in_next_finds_nothing_of_whoever_was_there_before(
    browser: Browser, other_browser: Browser, sessions: Any
) -> None:
    await other_browser.sign_up(BOB)
    await browser.sign_up(ANN)
    await sessions.update_many({}, {"$set": {"data.cart": "of Ann", "data.notice": "for Ann"}})
    anns = browser.copy()

    await browser.sign_in(BOB)

    bobs = await sessions.find_one({"_id": digest(token_in(browser))})
    assert set(bobs["data"]) == {"user"}
    assert "for Ann" not in (await browser.get("/account")).body.decode()
    assert not await anns.is_signed_in()


@pytest.mark.covers("TMO-11", "TMO-14")
async def test_after_its_time_a_session_is_over_whatever_the_client_says_of_the_clock(
    browser: Browser, sessions: Any
) -> None:
    await browser.sign_up(ANN)
    await sessions.update_many({}, [{"$set": {"expires_at": {"$subtract": ["$$NOW", 1]}}}])
    date = {"Date": "Thu, 01 Jan 1970 00:00:00 GMT"}

    page, call = await browser.get("/account", date), await browser.call("GET", "/api/sessions", headers=date)

    assert (page.code, page.headers["Location"]) == (302, "/login?next=%2Faccount")
    assert (call.code, json.loads(call.body)["code"]) == (401, "session_ended")


@pytest.mark.covers("END-5")
async def test_every_page_offers_to_sign_out(browser: Browser) -> None:
    await browser.sign_up(ANN)

    for path in (*MEMBERS_PAGES, "/login", "/signup", "/nowhere"):
        page = (await browser.get(path)).body.decode()
        assert re.search(r'<nav.*action="/logout".*</nav>', page, re.DOTALL), path


@pytest.mark.covers("END-6", "CK-8")
@pytest.mark.parametrize("settings", [{"public_url": "https://localhost"}], indirect=True)
async def test_signing_out_clears_the_cookie_and_what_the_browser_kept(browser: Browser) -> None:
    await browser.sign_up(ANN)
    by_page = await browser.sign_out()
    await browser.sign_in(ANN)
    by_call = await browser.call("DELETE", "/api/session")

    for answer in (by_page, by_call):
        (line,) = answer.headers.get_list("Set-Cookie")
        assert line.startswith("__Host-sid=;")
        assert {"Max-Age=0", "Path=/", "Secure", "SameSite=Lax"} <= {part.strip() for part in line.split(";")}
        assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.covers("CSR-1", "CSR-2", "CSR-3", "END-3", "LST-10")
@pytest.mark.parametrize(("path", "method"), WRITES)
@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.test"}],
    ids=str,
)
async def test_no_step_can_be_taken_from_another_site(
    browser: Browser, sessions: Any, path: str, method: str, headers: dict[str, str]
) -> None:
    await browser.sign_up(ANN)
    before = await sessions.find().to_list(None)
    token = (await browser.state())["csrf_token"]

    answer = await browser.request(method, path, b"", {"X-CSRF-Token": token, **headers})

    assert answer.code == 403
    assert await sessions.find().to_list(None) == before


@pytest.mark.covers("CSR-1", "CSR-4")
@pytest.mark.parametrize(
    "path", [path for path, method in WRITES if method == "POST" and not path.startswith("/api")]
)
async def test_no_form_counts_without_its_token(browser: Browser, path: str) -> None:
    await browser.sign_up(ANN)

    assert (await browser.post(path, {})).code == 403


@pytest.mark.covers("CSR-6")
async def test_a_token_of_ones_own_choice_in_cookie_and_form_is_refused(browser: Browser) -> None:
    form = {"_csrf": "abc", "_xsrf": "abc", "email": ANN, "password": PASSWORD}

    for cookie in ("_xsrf=abc", "csrf=abc", "_csrf=abc"):
        assert (await browser.post("/signup", form, {"Cookie": cookie})).code == 403


@pytest.mark.covers("CSR-9")
async def test_looking_at_pages_changes_nothing(browser: Browser, services: Services) -> None:
    await browser.sign_up(ANN)

    async def stored() -> list[Any]:
        return [await services.database[name].find().to_list(None) for name in ("users", "sessions")]

    before = await stored()
    for method in ("GET", "HEAD", "OPTIONS"):
        for path in (*MEMBERS_PAGES, "/login", "/signup", "/logout", "/api/session", "/api/sessions"):
            await browser.request(method, path)
    assert await stored() == before


@pytest.mark.covers("CSR-10")
async def test_no_header_or_field_turns_one_method_into_another(browser: Browser) -> None:
    await browser.sign_up(ANN)

    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        await browser.call("GET", "/api/session?_method=delete", headers={name: "DELETE"})
        await browser.call("POST", "/api/session", {"_method": "delete"}, {name: "DELETE"})

    assert await browser.is_signed_in()


@pytest.mark.covers("CSR-17")
async def test_a_script_can_fetch_the_token_and_send_it_in_a_header(browser: Browser) -> None:
    await browser.sign_up(ANN)
    token = (await browser.state())["csrf_token"]

    assert (await browser.post("/logout", {}, {"X-CSRF-Token": token})).code == 303


@pytest.mark.covers("CSR-19", "HDR-19")
async def test_data_is_never_a_script_or_a_page(browser: Browser) -> None:
    await browser.sign_up(ANN)

    for path in ("/api/session?callback=x", "/api/sessions?callback=x", "/api/nothing?callback=x"):
        answer = await browser.get(path)
        assert answer.headers["Content-Type"] in {"application/json", "application/problem+json"}
        assert answer.body.startswith(b"{")
        assert csp(answer) == {"default-src": ["'none'"], "frame-ancestors": ["'none'"]}


@pytest.mark.covers(
    "HDR-2", "HDR-3", "HDR-5", "HDR-7", "HDR-8", "HDR-9", "HDR-13", "HDR-14", "HDR-15", "HDR-18"
)
async def test_every_kind_of_answer_has_the_headers(
    browser: Browser, services: Services, expected_errors: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await browser.sign_up(ANN)
    expected_errors.append("Uncaught exception")

    async def broken(*_: Any) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr(services.access, "sessions", broken)
    kinds: list[tuple[int, str, str, dict[str, str]]] = [
        (200, "GET", "/", {}),
        (200, "HEAD", "/account", {}),
        (302, "GET", "/account", {"Cookie": ""}),
        (303, "POST", "/logout", {"Cookie": ""}),
        (403, "POST", "/account/delete", {}),
        (404, "GET", "/nowhere", {}),
        (404, "GET", "/favicon.ico", {}),
        (405, "DELETE", "/account", {}),
        (421, "GET", "/", {"Host": "evil"}),
        (500, "GET", "/account/sessions", {}),
        (200, "GET", "/api/session", {}),
        (204, "OPTIONS", "/api/session", {}),
        (404, "GET", "/api/x", {}),
        (405, "PUT", "/api/session", {}),
        (500, "GET", "/api/sessions", {}),
        (200, "GET", "/static/app.css", {}),
        (403, "GET", "/static/%2e%2e/run.py", {}),
        (404, "GET", "/static/none", {}),
        (405, "POST", "/static/app.css", {}),
        (200, "GET", "/healthz", {}),
    ]
    for code, method, path, headers in kinds:
        answer = await browser.request(method, path, b"" if method not in {"GET", "HEAD"} else None, headers)
        case = (method, path, answer.code)
        got = answer.headers
        assert answer.code == code, case
        assert csp(answer)["frame-ancestors"] == ["'none'"], case
        assert csp(answer)["default-src"] == ["'none'"], case
        assert not re.search("unsafe|[*]|https?:|data:", got["Content-Security-Policy"]), case
        assert got["X-Frame-Options"] == "DENY", case
        assert got["X-Content-Type-Options"] == "nosniff", case
        assert got["Cross-Origin-Opener-Policy"] == "same-origin", case
        assert got["Cross-Origin-Resource-Policy"] == "same-origin", case
        assert "camera=()" in got["Permissions-Policy"], case
        assert not {"Server", "X-Powered-By", "X-Xss-Protection"} & set(got), case
        assert "Etag" not in got or path.startswith("/static/"), case
        if answer.body:
            kind = got["Content-Type"].lower()
            assert "charset=utf-8" in kind or "json" in kind or kind == "text/css", case


@pytest.mark.covers("HDR-1")
async def test_the_policy_of_pages_allows_own_files_and_nothing_else(browser: Browser) -> None:
    policy = csp(await browser.get("/login"))

    assert policy["default-src"] == policy["object-src"] == policy["base-uri"] == ["'none'"]
    assert policy["script-src"] == policy["style-src"] == policy["form-action"] == ["'self'"]


@pytest.mark.covers("HDR-12", "HDR-11")
async def test_no_address_beneath_a_page_is_the_page(browser: Browser) -> None:
    await browser.sign_up(ANN)

    for path in (
        "/account/x.css",
        "/account/sessions/x.css",
        "/account/",
        "/api/session/x.js",
        "/account;x.css",
    ):
        answer = await browser.get(path)
        assert answer.code == 404, path
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.covers("HDR-14")
@pytest.mark.parametrize(
    "sent",
    [b"nonsense\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
     b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"],
)  # fmt: skip
async def test_a_request_that_is_no_http_learns_nothing_of_the_server(
    app: Any, http_server: Any, http_port: int, sent: bytes
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", http_port)
    writer.write(sent)
    writer.write_eof()

    answer = await reader.read()

    writer.close()
    await writer.wait_closed()
    assert b"tornado" not in answer.lower()
    assert b"server:" not in answer.lower()


@pytest.mark.covers("CK-9")
async def test_files_set_no_cookie(browser: Browser) -> None:
    for _ in range(2):
        for path in ("/static/app.css", "/static/app.js", "/static/favicon.svg", "/static/none"):
            assert "Set-Cookie" not in (await browser.get(path)).headers
        await browser.sign_up(ANN)
