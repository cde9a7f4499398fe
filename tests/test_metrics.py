"""What operators can measure, and who may look."""

import re

import pytest

from server.services import Services
from settings import Settings
from tests.client import Browser

pytestmark = pytest.mark.gen_test

TOKEN = "a token for the metrics, forty characters"


def figure(text: bytes, name: str) -> float:
    """The sum of a figure over its labels."""
    return sum(
        float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text.decode(), re.MULTILINE)
    )


async def test_requests_and_sessions_are_counted(browser: Browser) -> None:
    await browser.sign_up("ann@example.com")
    await browser.get("/no-such-page")
    await browser.sign_out()

    answer = await browser.get("/metrics")

    assert answer.headers["Content-Type"].startswith("text/plain")
    assert figure(answer.body, r'latchkey_requests_total{handler="NotFoundHandler",status="404"}') == 1
    assert figure(answer.body, r'latchkey_sessions_total{event="created"}') == 1
    assert figure(answer.body, r'latchkey_sessions_total{event="destroyed"}') == 1
    assert figure(answer.body, "latchkey_requests_in_flight") == 1  # this one


async def test_nothing_that_a_client_sends_becomes_a_label(browser: Browser) -> None:
    await browser.get("/made-up-4711?token=made-up-4712", headers={"User-Agent": "made-up-4713"})

    assert b"made-up" not in (await browser.get("/metrics")).body


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "X-Forwarded-Proto", "Forwarded"])
async def test_a_proxy_on_this_machine_does_not_open_the_metrics(browser: Browser, header: str) -> None:
    answer = await browser.get("/metrics", headers={header: "for=127.0.0.1"})

    assert answer.code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "settings",
    [
        {
            "environment": "production", "public_url": "https://example.com", "allowed_hosts": ("127.0.0.1",),
            "metrics_token": TOKEN,
        }
    ],
    indirect=True,
)  # fmt: skip
async def test_in_production_only_the_token_opens_the_metrics(browser: Browser, settings: Settings) -> None:
    async def status(headers: dict[str, str]) -> int:
        return (await browser.get("/metrics", headers)).code

    assert await status({}) == 401
    assert await status({"Authorization": "Bearer wrong"}) == 401
    assert await status({"Authorization": f"Basic {TOKEN}"}) == 401
    assert await status({"Authorization": f"Bearer {TOKEN}"}) == 200


async def test_an_empty_token_opens_nothing(browser: Browser, services: Services) -> None:
    forwarded = {"X-Forwarded-For": "192.0.2.1", "Authorization": "Bearer "}

    assert (await browser.get("/metrics", forwarded)).code == 401
