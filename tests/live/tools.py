"""What the tests of live polling share."""

import asyncio
import json
import re
from typing import Any

from tornado.httpclient import HTTPResponse

from server.services import Services
from tests.client import Browser
from tests.site import Site

ANN = "ann@example.com"


def body(answer: HTTPResponse) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(answer.body)
    return parsed


def seqs(answer: HTTPResponse) -> list[int]:
    return [event["seq"] for event in body(answer)["events"]]


def poll(browser: Browser, **query: Any) -> "asyncio.Task[HTTPResponse]":
    """Starts a poll of this browser."""
    text = "&".join(f"{name}={value}" for name, value in query.items())
    return asyncio.ensure_future(browser.copy().get(f"/api/events?{text}"))


async def held(services: Services, count: int = 1) -> None:
    """Returns once so many polls wait, and have looked at what there was before."""
    async with asyncio.timeout(10):
        while sum(waiter.is_waiting for waiter in services.live.hub.waiters()) != count:
            await asyncio.sleep(0.005)


async def held_by(site: Site, count: int = 1) -> None:
    """Returns once so many polls are held by a site that runs as its own process."""
    await figure(site, "latchkey_requests_in_flight", count + 1)  # asking is a request too


async def figure(site: Site, name: str, value: float) -> None:
    """Returns once a figure of the site has this value."""
    browser, pattern = Browser(site.url), re.compile(rf"^{re.escape(name)} (\S+)$", re.MULTILINE)
    async with asyncio.timeout(10):
        while True:
            found = pattern.search((await browser.get("/metrics")).body.decode())
            if found and float(found[1]) == value:
                return
            await asyncio.sleep(0.005)


async def user_id(browser: Browser) -> str:
    """The id of who is signed in."""
    return str((await browser.state())["user"]["id"])
