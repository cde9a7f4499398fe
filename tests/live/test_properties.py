"""Whatever happens between polls, every event is delivered once and in order: compared with a plain list."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tornado.ioloop import IOLoop
from tornado.web import Application

from server.live import open_live
from server.services import Services
from tests.client import Browser
from tests.live.tools import ANN, body, held, poll, user_id

FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("notify"), st.integers(1, 4)),
        st.tuples(st.sampled_from(["poll", "lose the answer", "hold", "restart"]), st.none()),
    ),
    max_size=12,
)


class Reader:
    """A client that keeps the cursor, and what it got."""

    def __init__(self, browser: Browser, cursor: int) -> None:
        self.browser = browser
        self.cursor = cursor
        self.got: list[int] = []

    async def read(self, answer: "asyncio.Task[Any]") -> None:
        news = body(await answer)
        assert not news["missed"]
        self.got += [event["data"] for event in news["events"]]
        self.cursor = news["cursor"]

    def poll(self, wait: float) -> "asyncio.Task[Any]":
        return poll(self.browser, after=self.cursor, wait=wait)


async def perform(
    app: Application, services: Services, browser: Browser, steps: list[tuple[str, Any]]
) -> None:
    """Runs the steps. What is sent are the numbers from 1."""
    sent: list[int] = []
    ann_id = await user_id(browser)
    reader = Reader(browser, body(await poll(browser, wait=0))["cursor"])
    async with AsyncExitStack() as stack:

        async def notify() -> None:
            sent.append(len(sent) + 1)
            await app.settings["services"].live.notify(ann_id, "note", sent[-1])

        async def restart() -> None:
            sessions = services.sessions
            live = await stack.enter_async_context(
                open_live(
                    services.database, sessions, services.live.mailboxes, 2, poll_timeout=10, max_polls=100
                )
            )
            app.settings["services"].live.stop()
            app.settings["services"] = replace(services, live=live)

        for step, count in steps:
            is_up_to_date = reader.got == sent
            if step == "notify":
                for _ in range(count):
                    await notify()
            elif step == "poll":
                await reader.read(reader.poll(wait=0))
                assert reader.got == sent
            elif step == "lose the answer":
                await reader.poll(wait=0)
            elif step == "hold" and is_up_to_date:
                waiting = reader.poll(wait=10)
                await held(app.settings["services"])
                await notify()
                await reader.read(waiting)
                assert reader.got == sent
            elif step == "restart" and is_up_to_date:
                waiting = reader.poll(wait=10)
                await held(app.settings["services"])
                await restart()
                await reader.read(waiting)
        await reader.read(reader.poll(wait=0))
        assert reader.got == sent
        app.settings["services"] = services
        services.live.hub.is_stopping = False


def test_every_event_is_delivered_once_and_in_order(
    app: Application, services: Services, browser: Browser, io_loop: IOLoop
) -> None:
    io_loop.run_sync(lambda: browser.sign_up(ANN))

    @FEW
    @given(STEPS)
    def run(steps: list[tuple[str, Any]]) -> None:
        io_loop.run_sync(lambda: perform(app, services, browser, steps), timeout=30)

    run()
