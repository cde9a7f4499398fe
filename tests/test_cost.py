"""What a request costs in the database, exactly. A figure that grows here is a site that gets slower."""

import asyncio
import gc
import re
from collections import Counter
from collections.abc import Iterator

import pytest

from handlers.base import BaseHandler
from server.services import Services
from tests.client import Browser

pytestmark = pytest.mark.gen_test

WRITES = ("insert", "update", "delete", "findAndModify")


class Cost:
    """The commands that the site has sent to MongoDB since it was last asked."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._before = self._counted()

    def take(self) -> dict[str, int]:
        now = self._counted()
        spent = {name: count for name, count in (now - self._before).items() if name in {"find", *WRITES}}
        self._before = now
        return spent

    def _counted(self) -> Counter[str]:
        figures = self._services.metrics.exposition().decode()
        found = re.findall(r'database_commands_total{command="(\w+)"} (\S+)', figures)
        return Counter({name: int(float(count)) for name, count in found})


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Memory is freed only where nothing refers to it any more, at once."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def cost(services: Services) -> Cost:
    return Cost(services)


async def test_a_visitor_without_a_cookie_costs_nothing(browser: Browser, cost: Cost) -> None:
    for path in ("/", "/login", "/signup", "/api/session", "/no-such-page"):
        await browser.get(path)

    assert cost.take() == {}


async def test_a_cookie_with_a_bad_signature_costs_nothing(browser: Browser, cost: Cost) -> None:
    await browser.get("/api/session", headers={"Cookie": "sid=2|1:0|10:1|3:sid|4:YWJj|bad"})

    assert cost.take() == {}


@pytest.mark.covers("TOK-2")
@pytest.mark.parametrize("path", ["/api/session", "/account", "/"])
async def test_a_visit_of_a_member_costs_one_find(browser: Browser, cost: Cost, path: str) -> None:
    await browser.sign_up("ann@example.com")
    cost.take()

    await browser.get(path)

    assert cost.take() == {"find": 1}


async def test_requests_that_come_together_share_their_finds(browser: Browser, cost: Cost) -> None:
    await browser.sign_up("ann@example.com")
    cost.take()

    await asyncio.gather(*(browser.get("/api/session") for _ in range(64)))

    spent = cost.take()
    assert set(spent) == {"find"}
    assert spent["find"] <= 64 * 0.25


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize(
    "path", ["/api/session", "/api/sessions", "/api/events?wait=0", "/api/events?wait=soon", "/api/none"]
)
async def test_an_answered_call_leaves_nothing_to_the_garbage_collector(browser: Browser, path: str) -> None:
    await browser.sign_up("ann@example.com")
    gc.collect()

    for _ in range(5):
        await browser.get(path)

    left = [thing for thing in gc.get_objects() if issubclass(type(thing), BaseHandler)]
    assert len(left) <= 1  # the last one may still be on its way out


async def test_signing_out_costs_one_write(browser: Browser, cost: Cost) -> None:
    await browser.sign_up("ann@example.com")
    cost.take()

    await browser.call("DELETE", "/api/session")

    assert cost.take() == {"find": 1, "delete": 1}
