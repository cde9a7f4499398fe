"""Whose address counts behind a proxy. The tests come from 127.0.0.1, which is the proxy here."""

import logging
from typing import Any

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from server.proxies import TrustedProxies
from tests.client import PASSWORD, Browser

pytestmark = pytest.mark.gen_test

BEHIND_A_PROXY = {"trusted_proxies": ("127.0.0.0/8", "10.0.0.0/8")}


async def address_seen(browser: Browser, sessions: Any, headers: dict[str, str]) -> str:
    """The address that a sign-up is stored with."""
    account = {"email": "ann@example.com", "password": PASSWORD}
    assert (await browser.call("POST", "/api/users", account, headers)).code == 201
    (session,) = await sessions.find().to_list(None)
    return str(session["client"]["ip"])


@pytest.mark.covers("TRN-1")
@pytest.mark.parametrize("name", ["X-Forwarded-For", "X-Real-Ip", "Forwarded"])
async def test_without_a_trusted_proxy_no_header_is_believed(
    browser: Browser, sessions: Any, name: str
) -> None:
    assert await address_seen(browser, sessions, {name: "192.0.2.1"}) == "127.0.0.1"


@pytest.mark.covers("TRN-1")
@pytest.mark.parametrize("settings", [{"trusted_proxies": ("10.0.0.0/8",)}], indirect=True)
async def test_a_peer_that_is_no_trusted_proxy_is_not_believed(browser: Browser, sessions: Any) -> None:
    assert await address_seen(browser, sessions, {"X-Forwarded-For": "192.0.2.1"}) == "127.0.0.1"


@pytest.mark.covers("TRN-2")
@pytest.mark.parametrize("settings", [BEHIND_A_PROXY], indirect=True)
@pytest.mark.parametrize(
    ("headers", "seen"),
    [
        ({"X-Forwarded-For": "192.0.2.1"}, "192.0.2.1"),
        ({"X-Forwarded-For": "6.6.6.6, 192.0.2.1"}, "192.0.2.1"),
        ({"X-Forwarded-For": "6.6.6.6, 192.0.2.1, 10.1.2.3"}, "192.0.2.1"),
        ({"X-Forwarded-For": "6.6.6.6, nonsense, 10.1.2.3"}, "10.1.2.3"),
        ({"X-Forwarded-For": "10.9.9.9, 10.1.2.3"}, "10.9.9.9"),
        ({"X-Forwarded-For": "2001:db8::1"}, "2001:db8::1"),
        ({"X-Forwarded-For": "nonsense"}, "127.0.0.1"),
        ({"X-Forwarded-For": "fe80::1%x user_id=admin"}, "127.0.0.1"),
        ({"X-Real-Ip": "192.0.2.1"}, "192.0.2.1"),
        ({"X-Real-Ip": "6.6.6.6, 192.0.2.1"}, "192.0.2.1"),
        ({"X-Real-Ip": "6.6.6.6", "X-Forwarded-For": "192.0.2.1"}, "192.0.2.1"),
        ({"Forwarded": "for=6.6.6.6"}, "127.0.0.1"),
        ({}, "127.0.0.1"),
    ],
)
async def test_behind_a_trusted_proxy_the_rightmost_untrusted_address_counts(
    browser: Browser, sessions: Any, headers: dict[str, str], seen: str
) -> None:
    assert await address_seen(browser, sessions, headers) == seen


@pytest.mark.covers("TRN-2")
def test_of_several_header_lines_the_last_is_the_nearest_proxys() -> None:
    headers = HTTPHeaders({"Host": "localhost"})
    for line in ("6.6.6.6", "192.0.2.1, 10.1.2.3"):
        headers.add("X-Forwarded-For", line)
    for line in ("http", "https"):
        headers.add("X-Forwarded-Proto", line)
    line = RequestStartLine("GET", "/", "HTTP/1.1")
    request = HTTPServerRequest(start_line=line, headers=headers)
    request.remote_ip = "::ffff:10.9.9.9"

    TrustedProxies(["10.0.0.0/8"]).apply(request)

    assert (request.remote_ip, request.protocol) == ("192.0.2.1", "https")


@pytest.mark.covers("TRN-1")
async def test_ignored_headers_are_told_once(browser: Browser, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "latchkey"):
        for _ in range(3):
            await browser.get("/", {"X-Forwarded-For": "192.0.2.1"})

    (warning,) = [
        record.getMessage() for record in caplog.records if "TRUSTED_PROXIES" in record.getMessage()
    ]
    assert "127.0.0.1" in warning
    assert "192.0.2.1" not in warning


@pytest.mark.covers("TRN-3", "RED-6")
@pytest.mark.parametrize(
    "settings", [{"public_url": "https://localhost", "allowed_hosts": ("127.0.0.1",)}], indirect=True
)
async def test_what_came_in_clear_is_redirected_or_refused_without_a_cookie(browser: Browser) -> None:
    clear = {"X-Forwarded-Proto": "http"}
    page = await browser.get("/login?next=%2Faccount", clear)
    odd = await browser.get("//evil.example/", clear)
    form = await browser.post("/login", {"email": "ann@example.com"}, clear)
    call = await browser.call("GET", "/api/session", headers=clear)

    assert (page.code, page.headers["Location"]) == (301, "https://localhost/login?next=%2Faccount")
    assert odd.code == 404 or odd.headers["Location"].startswith("https://localhost/")
    assert (form.code, call.code) == (421, 421)
    assert not any(answer.headers.get_list("Set-Cookie") for answer in (page, odd, form, call))
    assert (await browser.get("/healthz", clear)).code == 200
    assert (await browser.get("/login", {"X-Forwarded-Proto": "https"})).code == 200
