"""Polls across processes, and while the database fails in its ways."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from tornado.ioloop import IOLoop

from server.app import make_app
from server.services import Services
from settings import Settings
from tests.client import Browser
from tests.conftest import SECRET
from tests.live.mongods import ReplicaSet, replica_set, standalone
from tests.live.tools import ANN, body, held, held_by, poll, seqs, user_id
from tests.sessions.tools import failing
from tests.site import Site, running

pytestmark = pytest.mark.gen_test


@pytest.fixture
def ann(browser: Browser, io_loop: IOLoop) -> Browser:
    io_loop.run_sync(lambda: browser.sign_up(ANN))
    return browser


async def test_what_happens_while_the_change_stream_is_away_is_noticed_when_it_is_back(
    ann: Browser, other_browser: Browser, services: Services, mongodb_uri: str
) -> None:
    await other_browser.sign_up("bob@example.com")
    changes, ann_id = services.live.changes, await user_id(ann)
    await changes.is_watching.wait()
    news, end = poll(ann, wait=15), poll(other_browser, wait=15)
    await held(services, 2)
    with failing(mongodb_uri, "aggregate", "getMore"):
        async with asyncio.timeout(10):
            while changes.is_watching.is_set():
                await asyncio.sleep(0.01)
        await services.live.notify(ann_id, "note")
        await other_browser.sign_out()
        await asyncio.sleep(0.2)
        assert not news.done()
        assert not end.done()

    async with asyncio.timeout(8):  # long before they would look by themselves
        assert seqs(await news) == [1]
        assert (await end).code == 401


async def test_a_stream_that_breaks_once_is_opened_again_unnoticed(
    ann: Browser, services: Services, mongodb_uri: str
) -> None:
    await services.live.changes.is_watching.wait()
    waiting = poll(ann, after=0, wait=15)
    await held(services)
    with failing(mongodb_uri, "getMore", mode={"times": 3}):
        await asyncio.sleep(1)
        await services.live.notify(await user_id(ann), "note")

        assert seqs(await waiting) == [1]


async def test_an_outage_ends_no_poll_with_a_401(ann: Browser, services: Services, mongodb_uri: str) -> None:
    waiting = poll(ann, wait=15)
    await held(services)
    with failing(mongodb_uri, "find"):
        services.live.hub.wake_all()
        answer = await waiting

    assert (answer.code, body(answer)["code"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert await ann.is_signed_in()


@pytest.mark.covers("AV-9")
async def test_a_stopping_server_answers_its_polls_even_if_the_database_is_away(
    ann: Browser, services: Services, mongodb_uri: str
) -> None:
    waiting = poll(ann, after=0, wait=15)
    await held(services)
    with failing(mongodb_uri, "find"):
        services.live.stop()
        answer = await waiting

    assert (answer.code, body(answer)["events"], body(answer)["cursor"]) == (200, [], 0)
    assert int(answer.headers["Retry-After"]) > 0


async def test_a_client_that_leaves_while_its_session_is_looked_up_takes_no_place(
    ann: Browser, services: Services, app: Any, http_port: int, mongodb_uri: str
) -> None:
    cookie = "; ".join(f"{name}={value}" for name, value in ann.cookies.items())
    with failing(mongodb_uri, "find", blockConnection=True, blockTimeMS=500):
        _, writer = await asyncio.open_connection("127.0.0.1", http_port)
        writer.write(f"GET /api/events HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n".encode())
        async with asyncio.timeout(5):
            while not len(services.live.hub):
                await asyncio.sleep(0.005)
        writer.close()
        await app.settings["in_flight"].wait_empty()

    assert len(services.live.hub) == 0
    assert services.live.hub.user_ids() == []


async def test_many_polls_that_wake_together_look_together(
    ann: Browser, services: Services, mongodb_uri: str
) -> None:
    """Eight polls of four sessions: two lookups would do for each collection, one a poll would be sixteen."""
    browsers = [ann, *(Browser(ann.base_url) for _ in range(3))]
    for browser in browsers[1:]:
        await browser.sign_in(ANN)
    polls = [poll(browser, wait=15) for browser in browsers for _ in range(2)]
    await held(services, 8)
    with MongoClient[dict[str, Any]](mongodb_uri) as client:
        before = client.admin.command("serverStatus")["opcounters"]["query"]
        services.live.hub.wake_all()
        await held(services, 8)
        after = client.admin.command("serverStatus")["opcounters"]["query"]
    await services.live.notify(await user_id(ann), "note")

    assert {answer.code for answer in await asyncio.gather(*polls)} == {200}
    assert after - before <= 6


async def test_a_touch_of_a_poll_never_brings_an_ended_session_back(
    ann: Browser, services: Services, sessions: Any
) -> None:
    record = await services.sessions.find((await sessions.find_one())["_id"])
    assert record is not None
    await ann.sign_out()
    await services.sessions.store.touch([], [record.id])

    assert await sessions.count_documents({}) == 0
    assert not await ann.is_signed_in()


@pytest.fixture
def sites(settings: Settings, tmp_path: Path) -> Iterator[tuple[Site, Site]]:
    """Two processes of the site on one database."""
    arguments = [
        "--mongodb-uri", settings.mongodb_uri, "--mongodb-database", settings.mongodb_database,
        "--data-dir", str(tmp_path), "--argon2-memory-kib", "7168",
    ]  # fmt: skip
    secret = {"COOKIE_SECRETS": "one secret that both of the processes have"}
    with running(*arguments, environment=secret) as a, running(*arguments, environment=secret) as b:
        yield a, b


@pytest.mark.covers("R29")
async def test_a_session_ended_in_one_process_ends_the_polls_in_the_other(sites: tuple[Site, Site]) -> None:
    here, there = Browser(sites[0].url), Browser(sites[1].url)
    await here.sign_up(ANN)
    there.cookies = here.cookies
    polls = [poll(here, wait=15), poll(there, wait=15), poll(there, wait=15)]
    await held_by(sites[0], 1)
    await held_by(sites[1], 2)
    began = time.monotonic()
    await here.copy().sign_out()

    for answer in await asyncio.gather(*polls):
        assert (answer.code, body(answer)["code"]) == (401, "session_ended")
    assert time.monotonic() - began < 3


async def test_news_of_one_process_reach_the_other_and_a_restart_loses_none(sites: tuple[Site, Site]) -> None:
    ann, there, phone = (Browser(site.url) for site in (sites[0], sites[1], sites[1]))
    await ann.sign_up(ANN)
    there.cookies = ann.cookies
    waiting = poll(there, after=0, wait=15)
    await phone.sign_in(ANN)
    assert seqs(await waiting) == [1]

    waiting = poll(ann, after=1, wait=15)
    await held_by(sites[0])
    began = time.monotonic()
    status, _ = await asyncio.to_thread(sites[0].stop)
    stopped = await waiting
    assert (status, stopped.code, body(stopped)["cursor"]) == (0, 200, 1)
    assert time.monotonic() - began < 5

    await phone.sign_in(ANN)
    assert seqs(await poll(there, after=1, wait=15)) == [2]


class TestOnAServerWithoutChangeStreams:
    @pytest.fixture
    def mongodb_uri(self, tmp_path: Path) -> Iterator[str]:
        with standalone(tmp_path / "data") as uri:
            yield uri

    async def test_news_and_the_end_of_a_session_are_noticed_within_seconds(
        self, ann: Browser, other_browser: Browser, services: Services
    ) -> None:
        ann_id = await user_id(ann)
        for number in (1, 2):
            waiting = poll(ann, after=number - 1, wait=15)
            await held(services)
            await services.live.notify(ann_id, "note")
            assert seqs(await waiting) == [number]
        ended, renewed = poll(ann, wait=15), None
        await held(services)
        await ann.copy().sign_out()
        assert (await ended).code == 401

        await other_browser.sign_in(ANN)
        renewed = poll(other_browser, wait=15)
        await held(services)
        await other_browser.sign_in(ANN)
        assert (await renewed).code == 200


class TestOnThreeServers:
    @pytest.fixture
    def three(self, tmp_path: Path) -> Iterator[ReplicaSet]:
        with replica_set(tmp_path / "data") as started:
            yield started

    @pytest.fixture
    def settings(self, three: ReplicaSet) -> Settings:
        return Settings(
            mongodb_uri=three.uri, cookie_secrets=(SECRET,), argon2_memory_kib=7168, argon2_time_cost=1
        )

    @pytest.fixture
    def app(self, settings: Settings, services: Services) -> Any:
        return make_app(settings, services)

    async def test_waiting_polls_survive_the_death_of_the_primary(
        self, browser: Browser, other_browser: Browser, services: Services, three: ReplicaSet
    ) -> None:
        await browser.sign_up(ANN)
        await other_browser.sign_up("bob@example.com")
        ann_id = await user_id(browser)
        await services.live.notify(ann_id, "before")
        news, end = poll(browser, wait=18), poll(other_browser, wait=18)
        await held(services, 2)
        await asyncio.to_thread(three.kill_primary)
        async with asyncio.timeout(15):
            while not await services.is_database_up() or not services.live.changes.is_watching.is_set():
                await asyncio.sleep(0.1)
        assert await services.live.notify(ann_id, "after") == 2

        async with asyncio.timeout(5):
            assert seqs(await news) == [2]
            await other_browser.sign_out()
            assert (await end).code == 401
