"""What the logs say of what people do, and what they never say."""

import json
import logging
import re
from base64 import b64encode
from collections.abc import Iterator
from io import StringIO
from typing import Any
from urllib.parse import quote

import pytest

from server.logs import configure_logs
from server.services import Services
from tests.client import PASSWORD, Browser

pytestmark = pytest.mark.gen_test

ANN = "ann.sentinel@example.com"
WRONG = "wrong sentinel password"


@pytest.fixture(params=["json", "text"])
def log(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[StringIO]:
    """Everything that would go to standard error, in both formats."""
    root, written = logging.getLogger(), StringIO()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr("sys.stderr", written)
    root.handlers = []
    configure_logs("info", request.param)
    ours = root.handlers[:]
    root.handlers = [*ours, *handlers]
    yield written
    root.handlers = handlers
    root.setLevel(level)


def only_json(log: StringIO) -> list[dict[str, Any]]:
    """The lines, each of which is an object; of a text log none."""
    lines = log.getvalue().splitlines()
    return [json.loads(line) for line in lines] if lines and lines[0].startswith("{") else []


def events(log: StringIO) -> list[str]:
    """The names of the security events, whatever the format."""
    lines = [line for line in log.getvalue().splitlines() if "latchkey.security" in line]
    return [
        json.loads(line)["event"] if line.startswith("{") else line.split("latchkey.security ")[1].split()[0]
        for line in lines
    ]


@pytest.mark.covers("LOG-1")
async def test_each_step_of_a_person_is_one_event(browser: Browser, log: StringIO) -> None:
    await browser.sign_up(ANN)
    await browser.sign_out()
    await browser.sign_in(ANN, WRONG)
    await browser.sign_in(ANN)
    await browser.sign_in(ANN)

    assert events(log) == [
        "user_created", "session_created", "session_expired",
        "authn_login_fail",
        "authn_login_success", "session_created",
        "authn_login_success", "session_expired", "session_created",
    ]  # fmt: skip


@pytest.mark.covers("LOG-1")
async def test_what_takes_access_away_is_told(
    browser: Browser, other_browser: Browser, log: StringIO
) -> None:
    await browser.sign_up(ANN)
    await other_browser.sign_in(ANN)
    before = len(events(log))
    await browser.call("DELETE", "/api/sessions")
    fields = {"current_password": PASSWORD, "new_password": "another sentinel password"}
    await browser.submit("/account/password", fields)

    assert events(log)[before:] == [
        "authn_token_revoked", "authn_login_success", "authn_password_change", "session_renewed",
    ]  # fmt: skip


@pytest.mark.covers("LOG-1", "LOG-8")
async def test_a_lock_and_what_it_refuses_are_told(browser: Browser, log: StringIO) -> None:
    for _ in range(6):
        await browser.sign_in(ANN, WRONG)

    assert events(log) == ["authn_login_fail"] * 5 + ["authn_login_lock", "excess_rate_limit_exceeded"]


@pytest.mark.covers("LOG-8")
async def test_refusals_are_told(browser: Browser, log: StringIO) -> None:
    await browser.post("/login", {"_csrf": "forged"})
    await browser.call("POST", "/api/session", {}, {"Origin": "https://evil.example"})
    await browser.call("POST", "/api/session", {"email": {"$ne": None}, "password": ""})
    await browser.request("POST", "/api/session", b"{", {"Content-Type": "application/json"})

    assert events(log) == ["malicious_csrf"] * 2 + ["input_validation_fail"] * 2


async def test_a_dead_cookie_is_told(browser: Browser, sessions: Any, log: StringIO) -> None:
    await browser.sign_up(ANN)
    await sessions.delete_many({})
    await browser.get("/")

    assert events(log)[-1] == "session_use_after_expire"


@pytest.mark.covers("LOG-2", "LOG-4", "LOG-12")
async def test_an_event_has_time_address_user_session_and_request(
    browser: Browser, services: Services, sessions: Any, log: StringIO
) -> None:
    answer = await browser.call("POST", "/api/users", {"email": ANN, "password": PASSWORD})
    (user,) = await services.database["users"].find().to_list(None)
    (session,) = await sessions.find().to_list(None)

    for line in only_json(log):
        assert line["time"].endswith(("Z", "+00:00"))
        assert {"level", "name", "message"} <= set(line)
    (created,) = [line for line in only_json(log) if line.get("event") == "session_created"] or [None]
    if created:
        assert created["user_id"] == user["_id"]
        assert created["session"] == session["handle"]
        assert created["request_id"] == answer.headers["X-Request-ID"]
        assert created["ip"] == "127.0.0.1"
    else:
        assert f"session={session['handle']} user_id={user['_id']}" in log.getvalue()
    assert session["_id"].hex()[:8] not in log.getvalue()


@pytest.mark.covers("LOG-2", "LOG-4")
async def test_an_event_says_whose_session_it_was_and_how_grave_it_is(
    browser: Browser, sessions: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "latchkey.security")
    await browser.sign_up(ANN)
    (before,) = await sessions.find().to_list(None)
    await browser.submit("/confirm", {"password": WRONG})
    await browser.submit("/confirm", {"password": PASSWORD})
    after = await sessions.find_one({"user_id": before["user_id"]})
    await browser.sign_out()

    told = {record.event: vars(record) for record in caplog.records if record.name == "latchkey.security"}
    assert told["authn_login_fail"]["levelname"] == "WARNING"
    assert told["authn_login_success"]["levelname"] == "INFO"
    renewed, ended = told["session_renewed"], told["session_expired"]
    assert (renewed["before"], renewed["session"]) == (before["handle"], after["handle"])
    assert (ended["session"], ended["user_id"]) == (after["handle"], before["user_id"])


@pytest.mark.covers("LOG-8")
async def test_a_fact_that_is_not_known_is_left_out(
    browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "latchkey.security")
    await browser.post("/login", {"_csrf": "forged"})

    (refusal,) = [record for record in caplog.records if record.name == "latchkey.security"]
    assert refusal.getMessage().startswith("malicious_csrf request_id=")
    assert not hasattr(refusal, "user_id")


@pytest.mark.covers("LOG-3", "LOG-6", "LOG-7", "LOG-11")
async def test_no_secret_and_no_address_is_written(browser: Browser, log: StringIO) -> None:
    secret = "sentinel-of-a-client"
    everywhere = dict.fromkeys(
        ("X-CSRF-Token", "Authorization", "User-Agent", "Referer", "X-Request-ID", "X-Real-Ip"), secret
    )
    await browser.sign_up(ANN)
    cookies, token = dict(browser.cookies), (await browser.state())["csrf_token"]
    await browser.sign_in(ANN, WRONG)
    await browser.sign_in(secret, secret)
    await browser.get(f"/login?password={secret}&email={quote(ANN)}", everywhere)
    await browser.post(f"/login?password={secret}", {"_csrf": secret, "email": secret}, everywhere)
    await browser.get("/", {"Cookie": f"sid={secret}; csrf={secret}; device={secret}"})
    await browser.get("/", {"Cookie": "sid=c2VudGluZWw=|1300000000|0123456789abcdef"})
    await browser.request("POST", "/api/session", secret.encode(), {"Content-Type": "application/json"})
    await browser.request(
        "POST", "/login", secret.encode(), {"Content-Type": "multipart/form-data; boundary=x"}
    )

    written = log.getvalue()
    for hidden in (ANN, PASSWORD, WRONG, secret, token, "c2VudGluZWw", *cookies.values()):
        for form in (hidden, quote(hidden, safe=""), b64encode(hidden.encode()).decode().rstrip("=")):
            assert form not in written
    assert len(written.splitlines()) > 10
    assert len(set(re.findall(r'account"?[=:] ?"?([0-9a-f]{16})\b', written))) == 2


@pytest.mark.covers("LOG-5")
async def test_nobody_writes_a_line_of_their_own(browser: Browser, log: StringIO) -> None:
    await browser.get("/nowhere%0d%0a2026-01-01%20INFO%20forged%1b[31m")
    await browser.request("GET", "/nowhere", headers={"User-Agent": 'a"b\x1b[31m'})
    await browser.sign_in("ann\r\nforged@example.com", "x\ny")

    lines = log.getvalue().splitlines()
    assert not any(line.startswith("2026-01-01 INFO forged") for line in lines)
    assert "\x1b" not in log.getvalue()
    assert all(line.startswith(("{", "2")) for line in lines)


@pytest.mark.covers("LOG-10")
async def test_a_bad_request_is_few_lines(browser: Browser, log: StringIO) -> None:
    form = "&".join(f"field{number}=%ff" for number in range(1000))
    await browser.request(
        "POST", "/login", form.encode(), {"Content-Type": "application/x-www-form-urlencoded"}
    )
    multipart = b"--x\r\n" * 1000
    await browser.request("POST", "/login", multipart, {"Content-Type": "multipart/form-data; boundary=x"})

    assert len(log.getvalue().splitlines()) <= 4


@pytest.mark.covers("LOG-9", "AV-11")
async def test_the_stack_of_an_error_is_in_the_log_only(
    browser: Browser,
    services: Services,
    log: StringIO,
    monkeypatch: pytest.MonkeyPatch,
    expected_errors: list[str],
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("something internal\n2026-01-01 INFO forged")

    expected_errors.append("Uncaught exception")
    monkeypatch.setattr(services.guard, "authenticate", broken)
    page = await browser.submit("/login?password=sentinel", {"email": ANN, "password": PASSWORD})
    call = await browser.call("POST", "/api/session", {"email": ANN, "password": PASSWORD})

    for answer in (page, call):
        assert answer.code == 500
        assert answer.headers["X-Request-ID"]
        assert not [
            word
            for word in (b"something internal", b"RuntimeError", b".py", b"ornado/")
            if word in answer.body
        ]
    assert (await browser.sign_up(ANN)).code == 303
    assert await browser.is_signed_in()
    assert "sentinel" not in log.getvalue()
    assert "something internal" in log.getvalue()
    assert not any(line.startswith("2026-01-01 INFO forged") for line in log.getvalue().splitlines())
