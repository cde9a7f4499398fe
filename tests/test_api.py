"""The JSON API as a program meets it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tornado.httpclient import HTTPResponse

from server.services import Services
from tests.client import PASSWORD, Browser

pytestmark = pytest.mark.gen_test

ANN = {"email": "ann@example.com", "password": PASSWORD}
FRIEND = "https://app.example.com"
PATHS = ["/api/session", "/api/users"]


def problem(answer: HTTPResponse) -> tuple[int, str]:
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = json.loads(answer.body)
    assert set(body) == {"type", "title", "status", "detail", "code"}
    assert body["status"] == answer.code
    return answer.code, body["code"]


def moment(text: str) -> datetime:
    assert text.endswith("Z")
    return datetime.fromisoformat(text)


async def test_a_program_makes_an_account_signs_out_and_in(browser: Browser) -> None:
    made = await browser.call("POST", "/api/users", ANN)
    out = await browser.call("DELETE", "/api/session")
    anonymous = await browser.call("GET", "/api/session")
    back = await browser.call("POST", "/api/session", ANN)

    assert (made.code, out.code, out.body, anonymous.code, back.code) == (201, 204, b"", 200, 201)
    assert json.loads(made.body)["user"] == json.loads(back.body)["user"]
    assert set(json.loads(back.body)["user"]) == {"id", "email"}


async def test_an_anonymous_session_is_described_too(browser: Browser) -> None:
    state = await browser.state()

    assert set(state) == {"authenticated", "user", "csrf_token", "expires_at", "ends_at", "server_time"}
    assert (state["authenticated"], state["user"], state["expires_at"], state["ends_at"]) == (
        False,
        None,
        None,
        None,
    )


async def test_times_are_utc_and_fit_together(browser: Browser) -> None:
    state = json.loads((await browser.call("POST", "/api/users", ANN)).body)

    now = moment(state["server_time"])
    assert abs(now - datetime.now(UTC)) < timedelta(seconds=10)
    assert moment(state["expires_at"]) - now == timedelta(seconds=1800)
    assert moment(state["ends_at"]) - now == timedelta(seconds=86400)


async def test_the_told_expiry_is_what_this_request_makes_of_it(
    browser: Browser, sessions: Any, services: Services
) -> None:
    await browser.call("POST", "/api/users", ANN)
    old = datetime.now(UTC) - timedelta(minutes=20)
    await sessions.update_many({}, {"$set": {"seen_at": old}})

    told = moment((await browser.state())["expires_at"])
    await services.sessions.flush()

    (document,) = await sessions.find().to_list(None)
    assert abs(told - document["expires_at"]) < timedelta(seconds=1)
    assert document["seen_at"] > old


async def test_remember_is_kept_by_the_browser(browser: Browser) -> None:
    await browser.call("POST", "/api/users", ANN)

    plain = await browser.call("POST", "/api/session", ANN)
    kept = await browser.call("POST", "/api/session", ANN | {"remember": True})

    assert "Max-Age" not in plain.headers.get_list("Set-Cookie")[0]
    assert "Max-Age=2592000" in kept.headers.get_list("Set-Cookie")[0]


async def test_wrong_credentials_are_told_apart_by_nothing(browser: Browser) -> None:
    await browser.call("POST", "/api/users", ANN)

    wrong = await browser.call("POST", "/api/session", ANN | {"password": "something else"})
    unknown = await browser.call("POST", "/api/session", ANN | {"email": "bob@example.com"})

    assert problem(wrong) == problem(unknown) == (401, "invalid_credentials")
    assert wrong.body == unknown.body


async def test_a_taken_address_is_a_conflict(browser: Browser) -> None:
    await browser.call("POST", "/api/users", ANN)

    assert problem(await browser.call("POST", "/api/users", ANN | {"email": "ANN@example.com"})) == (
        409,
        "email_taken",
    )


@pytest.mark.parametrize("settings", [{"registration": "closed"}], indirect=True)
async def test_closed_registration_is_said(browser: Browser) -> None:
    assert problem(await browser.call("POST", "/api/users", ANN)) == (403, "registration_closed")


@pytest.mark.covers("INP-1", "INP-2")
@pytest.mark.parametrize(
    "value",
    [None, 1, True, ["ann@example.com"], {"$ne": None}, {"$gt": ""}, {"$regex": "^a"}, {"$where": "1"}],
)
@pytest.mark.parametrize("field", ["email", "password", "remember"])
async def test_a_value_of_another_type_reaches_no_database(browser: Browser, field: str, value: Any) -> None:
    if (field, value) == ("remember", True):
        return
    await browser.call("POST", "/api/users", ANN)

    assert problem(await browser.call("POST", "/api/session", ANN | {field: value})) == (422, "invalid_input")


@pytest.mark.covers("INP-8", "INP-9", "INP-12")
@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"\xff", b'{"email": NaN}', b'{"a": 1, "a": 2}', b"[" * 50_000, b'{"email": "\\ud800"}',
        b'{"email": 1e999}{',
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", PATHS)
async def test_what_is_no_json_is_malformed(browser: Browser, path: str, body: bytes) -> None:
    answer = await browser.request("POST", path, body, {"Content-Type": "application/json"})

    assert problem(answer) == (400, "malformed")


@pytest.mark.covers("INP-12")
@pytest.mark.parametrize("body", [[], "text", 1, None, True])
async def test_what_is_no_object_is_invalid(browser: Browser, body: Any) -> None:
    encoded = json.dumps(body).encode()
    answer = await browser.request("POST", "/api/session", encoded, {"Content-Type": "application/json"})

    assert problem(answer) == (422, "invalid_input")


@pytest.mark.covers("CSR-8", "INP-12")
@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data",
     "multipart/form-data; boundary=x", "application/jsonx", ""],
)  # fmt: skip
@pytest.mark.parametrize("path", PATHS)
async def test_any_other_kind_of_body_is_unsupported(browser: Browser, path: str, kind: str) -> None:
    answer = await browser.request("POST", path, json.dumps(ANN).encode(), {"Content-Type": kind})

    assert problem(answer) == (415, "unsupported_media_type")


@pytest.mark.covers("INP-14")
async def test_a_method_that_does_not_exist_comes_before_the_kind_of_body(browser: Browser) -> None:
    for kind in ("text/plain", "multipart/form-data"):
        answer = await browser.request("PUT", "/api/session", b"x", {"Content-Type": kind})
        assert problem(answer) == (405, "method_not_allowed")
        assert answer.headers["Allow"] == "GET, HEAD, POST, DELETE"


async def test_an_unknown_address_is_a_problem_document_too(browser: Browser) -> None:
    for path in ("/api/nothing", "/api", "/api/session/x"):
        assert problem(await browser.call("GET", path)) == (404, "not_found")


@pytest.mark.covers("END-4")
async def test_signing_out_without_a_session_is_no_error(browser: Browser) -> None:
    assert (await browser.call("DELETE", "/api/session")).code == 204


@pytest.mark.covers("TOK-8")
async def test_the_token_is_in_no_body(browser: Browser, sessions: Any) -> None:
    made = await browser.call("POST", "/api/users", ANN)
    (document,) = await sessions.find().to_list(None)

    assert document["_id"].hex() not in made.body.decode()
    assert browser.cookies["sid"] not in made.body.decode()


@pytest.mark.covers("CSR-11", "CSR-14", "CSR-15")
@pytest.mark.parametrize("settings", [{"trusted_origins": (FRIEND,)}], indirect=True)
async def test_a_trusted_origin_may_read_every_answer_errors_too(browser: Browser) -> None:
    calls = [
        ("GET", "/api/session", None, 200), ("POST", "/api/session", ANN, 401), ("GET", "/api/x", None, 404),
        ("PUT", "/api/session", None, 405), ("POST", "/api/session", [], 422),
    ]  # fmt: skip
    for method, path, body, code in calls:
        answer = await browser.call(method, path, body, {"Origin": FRIEND})
        assert answer.code == code
        assert answer.headers["Access-Control-Allow-Origin"] == FRIEND
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"
        assert "Origin" in ",".join(answer.headers.get_list("Vary"))


@pytest.mark.covers("CSR-11", "CSR-12", "CSR-14")
@pytest.mark.parametrize("settings", [{"trusted_origins": (FRIEND,)}], indirect=True)
@pytest.mark.parametrize(
    "origin",
    ["https://app.example.com.evil.test", "https://evilapp.example.com", "http://app.example.com", "null",
     "https://app.example.com:8443", "https://app.example.com.", "https://APP.example.com"],
)  # fmt: skip
async def test_any_other_origin_may_read_nothing_and_change_nothing(browser: Browser, origin: str) -> None:
    read = await browser.call("GET", "/api/session", headers={"Origin": origin})
    write = await browser.call("POST", "/api/users", ANN, {"Origin": origin})

    for answer in (read, write):
        assert not [name for name in answer.headers if name.startswith("Access-Control")]
        assert "Origin" in ",".join(answer.headers.get_list("Vary"))
    assert problem(write) == (403, "csrf_failed")


@pytest.mark.covers("CSR-13")
@pytest.mark.parametrize("settings", [{"trusted_origins": (FRIEND,)}], indirect=True)
async def test_a_preflight_asks_no_database_and_lists_what_is_allowed(
    browser: Browser, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await browser.call("POST", "/api/users", ANN)

    async def must_not_be_asked(_ids: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr(services.sessions.store, "find", must_not_be_asked)
    answer = await browser.call("OPTIONS", "/api/session", headers={"Origin": FRIEND})

    assert answer.code == 204
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, HEAD, POST, DELETE"
    assert answer.headers["Access-Control-Allow-Headers"] == "Content-Type, X-CSRF-Token"
    assert int(answer.headers["Access-Control-Max-Age"]) > 0


@pytest.mark.covers("CSR-16")
@pytest.mark.parametrize("settings", [{"trusted_origins": (FRIEND,)}], indirect=True)
async def test_pages_and_files_have_no_cors(browser: Browser) -> None:
    await browser.call("POST", "/api/users", ANN)

    for path in ("/", "/account", "/login", "/nowhere", "/static/app.css", "/static/none", "/healthz"):
        answer = await browser.get(path, {"Origin": FRIEND})
        assert not [name for name in answer.headers if name.startswith("Access-Control")], path
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin", path


async def test_a_large_body_is_a_problem_document(browser: Browser) -> None:
    answer = await browser.call("POST", "/api/session", ANN | {"password": "x" * 70_000})

    assert problem(answer) == (413, "payload_too_large")


@pytest.mark.parametrize("settings", [{"trusted_origins": (FRIEND,)}], indirect=True)
async def test_a_preflight_never_hides_a_404(browser: Browser) -> None:
    assert (await browser.call("OPTIONS", "/api/nothing", headers={"Origin": FRIEND})).code == 204
    answer = await browser.call("GET", "/api/nothing", headers={"Origin": FRIEND})
    assert answer.headers["Access-Control-Allow-Origin"] == FRIEND
