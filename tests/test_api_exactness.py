"""Every address of the API, whatever the method, the kind of body, the origin and the mishap."""

import json
from itertools import product
from typing import Any

import pytest
from tornado.httpclient import HTTPResponse

from handlers.api.errors import ApiNotFoundHandler
from server.accounts import HashQueueFull
from server.app import ROUTES
from server.openapi import PROBLEMS
from server.services import Services
from server.sessions import StoreUnavailable
from tests.client import PASSWORD, Browser

pytestmark = pytest.mark.gen_test

FRIEND = "https://app.example.com"
STRANGER = "https://evil.example.com"
ANN = {"email": "ann@example.com", "password": PASSWORD}
SAMPLES = {
    pattern: pattern.replace(r"\.", ".").replace("([0-9a-f]{16})", "0123456789abcdef")
    for pattern, _ in ROUTES
} | {r"/api(?:/.*)?": "/api/nothing"}
CALLS = [
    pytest.param(SAMPLES[pattern], handler, id=SAMPLES[pattern])
    for pattern, handler in ROUTES
    if pattern.startswith("/api")
]
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "NONSENSE"]
KINDS = [
    "text/plain", "application/x-www-form-urlencoded", "multipart/form-data",
    "multipart/form-data; boundary=x", "application/jsonx", "application/problem+json", "",
    "application/json", "Application/JSON; charset=utf-8",
]  # fmt: skip
JSON_KINDS = KINDS[-2:]
trusting = pytest.mark.parametrize("settings", [{"trusted_origins": (FRIEND,)}], indirect=True)


def allowed_methods(handler: Any) -> set[str]:
    found = {name.upper() for name in ("get", "post", "put", "patch", "delete") if name in vars(handler)}
    return found | ({"HEAD"} if "GET" in found else set()) | {"OPTIONS"}


def expected(handler: Any, method: str, kind: str, body: bytes) -> int | None:
    """The status that must come, or None where the call itself decides."""
    if method not in METHODS[:7]:
        return 405
    if handler is ApiNotFoundHandler:
        return None if method == "OPTIONS" else 404
    if method not in allowed_methods(handler):
        return 405
    return 415 if body and kind not in JSON_KINDS else None


def assert_well_formed(answer: HTTPResponse, method: str, origin: str = FRIEND) -> None:
    names = [name.strip() for line in answer.headers.get_list("Vary") for name in line.split(",")]
    assert "Origin" in names
    assert len(answer.headers["X-Request-ID"]) == 16
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in answer.headers["Cache-Control"]
    cors = {name for name in answer.headers if name.startswith("Access-Control")}
    if origin == FRIEND:
        assert answer.headers.get_list("Access-Control-Allow-Origin") == [FRIEND]
        assert answer.headers.get_list("Access-Control-Allow-Credentials") == ["true"]
        assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]
    else:
        assert not cors
    if answer.code >= 400:
        assert answer.headers["Content-Type"] == "application/problem+json"
        if answer.code == 405:
            assert answer.headers["Allow"]
        if answer.code in {429, 503}:
            assert int(answer.headers["Retry-After"]) > 0
        if method != "HEAD":
            problem = json.loads(answer.body)
            assert set(problem) == {"type", "title", "status", "detail", "code"}
            assert PROBLEMS[problem["code"]][0] == problem["status"] == answer.code
    elif answer.code == 204:
        assert answer.body == b""
    else:
        assert answer.headers["Content-Type"] == "application/json"


@trusting
@pytest.mark.parametrize(("path", "handler"), CALLS)
async def test_each_method_and_kind_of_body_gets_its_exact_answer(
    browser: Browser, path: str, handler: Any
) -> None:
    for method, kind, body in product(METHODS, KINDS, (b"", b"{", b"{}")):
        browser.cookies.clear()
        answer = await browser.request(method, path, body or None, {"Content-Type": kind, "Origin": FRIEND})
        case = (method, kind, body, answer.code)

        wanted = expected(handler, method, kind, body)
        assert wanted in {None, answer.code}, case
        if wanted is None:
            assert answer.code in {200, 204, 400, 401, 422} or method == "OPTIONS", case
        assert_well_formed(answer, method)
        if answer.code == 405 and handler is not ApiNotFoundHandler:
            assert set(answer.headers["Allow"].split(", ")) == allowed_methods(handler) - {"OPTIONS"}


@trusting
@pytest.mark.parametrize(("path", "handler"), CALLS)
async def test_a_strange_origin_reads_nothing_from_any_answer(
    browser: Browser, path: str, handler: Any
) -> None:
    for method in METHODS:
        answer = await browser.request(method, path, None, {"Origin": STRANGER})
        assert_well_formed(answer, method, STRANGER)
        assert_well_formed(await browser.request(method, path), method, "")


@trusting
@pytest.mark.parametrize(("path", "handler"), CALLS)
async def test_a_preflight_names_the_methods_of_the_address(
    browser: Browser, path: str, handler: Any
) -> None:
    asked = {"Origin": FRIEND, "Access-Control-Request-Method": "POST"}
    answer = await browser.request("OPTIONS", path, None, asked)

    assert answer.code == 204
    assert "Content-Type" in answer.headers["Access-Control-Allow-Headers"]
    if handler is not ApiNotFoundHandler:
        told = set(answer.headers["Access-Control-Allow-Methods"].split(", "))
        assert told == allowed_methods(handler) - {"OPTIONS"}
    assert "Set-Cookie" not in answer.headers


@trusting
async def test_a_body_in_a_coding_is_unsupported_rather_than_malformed(browser: Browser) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip", "Origin": FRIEND}
    answer = await browser.request("POST", "/api/session", b"\x1f\x8b", headers)

    assert answer.code == 415
    assert_well_formed(answer, "POST")


@trusting
async def test_another_host_name_and_a_large_body_are_told_to_scripts_too(browser: Browser) -> None:
    for path in ("/api/session", "/api/users", "/api/nothing"):
        misdirected = await browser.call("GET", path, headers={"Host": "evil.test", "Origin": FRIEND})
        large = await browser.call("POST", path, {"x": "y" * 70_000}, {"Origin": FRIEND})

        assert (misdirected.code, large.code) == (421, 413)
        assert_well_formed(misdirected, "GET")
        assert_well_formed(large, "POST")


@trusting
async def test_an_outage_a_queue_and_a_fault_are_told_to_scripts_too(
    browser: Browser, services: Services, monkeypatch: pytest.MonkeyPatch, expected_errors: list[str]
) -> None:
    expected_errors.append("Uncaught exception POST /api/users")
    for error, status in (
        (StoreUnavailable("away"), 503),
        (HashQueueFull(), 503),
        (RuntimeError("bug"), 500),
    ):

        async def fail(*_: Any, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(services.accounts, "create", fail)
        answer = await browser.call("POST", "/api/users", ANN, {"Origin": FRIEND})

        assert answer.code == status
        assert_well_formed(answer, "POST")
