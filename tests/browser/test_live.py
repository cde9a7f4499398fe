"""Open pages learn of news and of the end of the session, without a reload."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect
from pymongo import MongoClient

from tests.browser.pictures import picture
from tests.browser.test_story import sign_in, sign_up
from tests.client import PASSWORD
from tests.site import Site, running

pytestmark = pytest.mark.browser

SIGNED_OUT = "You were signed out from another device or tab."
DIALOG = "You’re about to be signed out"
IDLE_SECONDS = 24  # the warning comes 20 seconds before the end


@pytest.fixture
def sessions(mongodb_uri: str, database_name: str) -> Iterator[Any]:
    with MongoClient[dict[str, Any]](mongodb_uri) as client:
        yield client[database_name]["sessions"]


@pytest.fixture
def polls(context: BrowserContext) -> list[Request]:
    """The polls that this browser has sent."""
    sent: list[Request] = []
    context.on("request", lambda request: sent.append(request) if "/api/events" in request.url else None)
    return sent


def until(page: Page, condition: Callable[[], bool]) -> None:
    """Returns once the condition, of something outside the browser, holds."""
    for _ in range(200):
        if condition():
            return
        page.wait_for_timeout(25)
    raise TimeoutError


def test_every_open_tab_says_so_when_its_session_is_ended_elsewhere(
    page: Page, context: BrowserContext, polls: list[Request], sessions: Any
) -> None:
    with page.expect_request("**/api/events**"):
        sign_up(page)
        page.wait_for_url("**/account")
    tabs = [page, context.new_page(), context.new_page()]
    for tab in tabs[1:]:
        tab.goto("/account")
    page.wait_for_function("async () => (await navigator.locks.query()).pending.length === 2")
    assert len(polls) == 1, "one poll for all tabs"

    sessions.delete_many({})

    for tab in tabs:
        expect(tab.get_by_role("alert")).to_contain_text(SIGNED_OUT)
        expect(tab.get_by_role("link", name="Sign in again")).to_have_attribute(
            "href", "/login?next=%2Faccount"
        )


def test_another_tab_takes_over_when_the_one_that_polls_is_closed(
    page: Page, context: BrowserContext, sessions: Any
) -> None:
    sign_up(page)
    page.wait_for_url("**/account")
    second = context.new_page()
    second.goto("/")
    with context.expect_event("request", lambda request: "/api/events" in request.url):
        page.close()
    sessions.delete_many({})

    expect(second.get_by_role("alert")).to_contain_text(SIGNED_OUT)


def test_a_sign_in_on_another_device_is_shown_at_once(page: Page, chromium: Browser, site: Site) -> None:
    with page.expect_request("**/api/events**"):
        sign_up(page)
    with chromium.new_context(base_url=site.url) as phone:
        elsewhere = phone.new_page()
        elsewhere.goto("/login")
        sign_in(elsewhere)

        expect(page.get_by_role("log")).to_contain_text("New sign-in to your account:")
        expect(page.get_by_role("heading", name="Just now")).to_be_visible()


def test_a_signed_out_tab_is_told_when_another_tab_signs_out(page: Page, context: BrowserContext) -> None:
    sign_up(page)
    page.wait_for_url("**/account")
    second = context.new_page()
    second.goto("/account")
    second.get_by_role("navigation").get_by_role("button", name="Sign out").click()

    expect(page.get_by_role("alert")).to_contain_text(SIGNED_OUT)


def test_the_tab_of_who_was_signed_in_before_says_so_when_somebody_else_signs_in(
    page: Page, context: BrowserContext
) -> None:
    with page.expect_request("**/api/events**"):
        sign_up(page)
    page.wait_for_url("**/account")
    second = context.new_page()
    second.request.post("/api/users", data={"email": "bob@example.com", "password": PASSWORD})
    second.goto("/account")

    expect(page.get_by_role("alert")).to_contain_text(SIGNED_OUT)
    expect(second.get_by_role("alert").filter(has_text=SIGNED_OUT)).to_be_hidden()


def test_the_other_tabs_are_told_that_all_other_devices_were_signed_out(
    page: Page, context: BrowserContext, chromium: Browser, site: Site
) -> None:
    sign_up(page)
    page.wait_for_url("**/account")
    second = context.new_page()
    for _ in range(2):
        with chromium.new_context(base_url=site.url) as phone:
            elsewhere = phone.new_page()
            elsewhere.goto("/login")
            sign_in(elsewhere)
            elsewhere.wait_for_url("**/account")
    second.goto("/account/sessions")
    second.get_by_role("button", name="Sign out both other devices").click()

    expect(second.get_by_role("status")).to_have_text("2 other devices have been signed out.")
    expect(page.get_by_role("log")).to_contain_text("All other devices were signed out.")
    expect(second.get_by_role("log")).not_to_contain_text("All other devices were signed out.")


def test_a_tab_that_cannot_ask_at_the_end_of_its_session_asks_again(page: Page, sessions: Any) -> None:
    with page.expect_request("**/api/events**"):
        sign_up(page)
    page.wait_for_url("**/account")
    page.route("**/api/events?wait=0**", lambda route: route.abort(), times=1)
    sessions.delete_many({})

    expect(page.get_by_role("alert")).to_contain_text(SIGNED_OUT)


class TestWithoutWebLocks:
    """A page without https has none, nor has an old browser: every tab polls, two at a time."""

    @pytest.fixture
    def context(self, context: BrowserContext) -> BrowserContext:
        context.add_init_script("Object.defineProperty(Navigator.prototype, 'locks', { value: undefined })")
        return context

    def test_three_tabs_do_not_fight_and_all_are_told_everything_once(
        self, page: Page, context: BrowserContext, polls: list[Request], chromium: Browser, sessions: Any
    ) -> None:
        sign_up(page)
        page.wait_for_url("**/account")
        second, third = context.new_page(), context.new_page()
        with page.expect_response(lambda answer: answer.status == 429, timeout=10_000):
            for tab in (second, third):
                with tab.expect_request("**/api/events**"):
                    tab.goto("/account")
        sent = len(polls)
        page.wait_for_timeout(1500)
        assert len(polls) == sent, "whoever was sent away stays away"

        with chromium.new_context(base_url=page.url.removesuffix("/account")) as phone:
            elsewhere = phone.new_page()
            elsewhere.goto("/login")
            sign_in(elsewhere)
            elsewhere.wait_for_url("**/account")
        for tab in (page, second, third):
            expect(tab.get_by_role("log")).to_contain_text("New sign-in to your account:")
        sessions.delete_many({})
        for tab in (page, second, third):
            expect(tab.get_by_role("alert")).to_contain_text(SIGNED_OUT)
            expect(tab.get_by_role("log").locator("p")).to_have_count(1)


class TestWhenTheSiteIsAway:
    """`start` starts the site, and after `stop` again on the same port."""

    @pytest.fixture
    def start(self, mongodb_uri: str, database_name: str, tmp_path: Path) -> Iterator[Callable[..., Site]]:
        with ExitStack() as stack:

            def start(port: str = "0") -> Site:
                return stack.enter_context(
                    running(
                        "--mongodb-uri", mongodb_uri, "--mongodb-database", database_name,
                        "--data-dir", str(tmp_path), "--argon2-memory-kib", "7168",
                        "--poll-timeout", "1", "--port", port,
                    )
                )  # fmt: skip

            yield start

    @pytest.fixture
    def site(self, start: Callable[..., Site]) -> Site:
        return start()

    @pytest.fixture
    def context(self, context: BrowserContext) -> BrowserContext:
        """Notes when a page asked, in seconds. `chance` is what is random about its delays."""
        context.add_init_script("""
            window.asked = []; window.chance = 0;
            Math.random = () => chance;
            const fetched = fetch;
            window.fetch = (...what) => { asked.push(performance.now() / 1000); return fetched(...what); };
        """)
        return context

    def test_it_is_asked_again_with_growing_spread_delays_until_it_is_back(
        self, page: Page, site: Site, start: Callable[..., Site], sessions: Any
    ) -> None:
        with page.expect_response("**/api/events**"):
            sign_up(page)
        page.wait_for_url("**/account")
        site.stop(signal.SIGKILL)
        before = page.evaluate("asked.length")
        page.wait_for_function("count => asked.length >= count + 3", arg=before)
        asked = page.evaluate("asked")[-3:]
        start(site.url.rpartition(":")[2])
        sessions.delete_many({})

        for first, second, least in zip(asked, asked[1:], (1, 2), strict=False):
            assert least - 0.1 < second - first < 2 * least - 0.1
        expect(page.get_by_role("alert")).to_contain_text(SIGNED_OUT, timeout=15_000)

    def test_when_the_network_is_back_it_is_asked_at_once(
        self, page: Page, context: BrowserContext, sessions: Any
    ) -> None:
        with page.expect_response("**/api/events**"):
            sign_up(page)
        page.wait_for_url("**/account")
        page.evaluate("chance = 1")
        context.set_offline(True)
        before = page.evaluate("asked.length")
        page.wait_for_function("count => asked.length >= count + 3", arg=before)
        sessions.delete_many({})
        context.set_offline(False)

        expect(page.get_by_role("alert")).to_contain_text(SIGNED_OUT, timeout=2500)

    def test_a_page_that_slept_while_its_connection_died_catches_up(
        self, page: Page, chromium: Browser, site: Site, start: Callable[..., Site], sessions: Any
    ) -> None:
        with page.expect_response("**/api/events**"):
            sign_up(page)
        page.wait_for_url("**/account")
        processes = chromium.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
        pages = [process["id"] for process in processes if process["type"] == "renderer"]
        for pid in pages:
            os.kill(pid, signal.SIGSTOP)
        try:
            site.stop(signal.SIGKILL)
            start(site.url.rpartition(":")[2])
            sessions.delete_many({})
        finally:
            for pid in pages:
                os.kill(pid, signal.SIGCONT)

        expect(page.get_by_role("alert")).to_contain_text(SIGNED_OUT)


def test_after_a_long_sleep_a_page_does_not_wait_for_an_answer_that_may_never_come(page: Page) -> None:
    """Only the clock has moved on: a browser's timers stand still while its computer sleeps."""
    page.add_init_script("""
        const now = Date.now; let slept = 0;
        Date.now = () => now() + slept;
        window.sleep = (seconds) => slept += seconds * 1000;
    """)
    with page.expect_request("**/api/events?wait=25**"):
        sign_up(page)
    page.wait_for_url("**/account")
    with page.expect_request("**/api/events?wait=25**", timeout=5000):
        page.evaluate("sleep(300)")


@pytest.mark.parametrize("site", [["--session-idle-timeout", str(IDLE_SECONDS)]], indirect=True)
class TestTheWarningBeforeTheEnd:
    def test_who_stays_keeps_the_session_and_the_warning_goes(
        self, page: Page, sessions: Any, tmp_path: Path
    ) -> None:
        sign_up(page)
        dialog = page.get_by_role("dialog", name=DIALOG)
        expect(dialog).to_be_visible(timeout=15_000)
        expect(dialog).to_contain_text("seconds")
        expect(dialog.get_by_role("button", name="Stay signed in")).to_be_focused()
        picture(page, "warning", tmp_path)
        before = sessions.find_one()["expires_at"]
        dialog.get_by_role("button", name="Stay signed in").click()

        expect(dialog).to_be_hidden()
        until(page, lambda: sessions.find_one()["expires_at"] > before)

    def test_who_would_rather_go_signs_out_by_keyboard(self, page: Page, sessions: Any) -> None:
        sign_up(page)
        dialog = page.get_by_role("dialog", name=DIALOG)
        expect(dialog).to_be_visible(timeout=15_000)
        page.keyboard.press("Tab")
        expect(dialog.get_by_role("button", name="Sign out")).to_be_focused()
        page.keyboard.press("Enter")

        expect(page.get_by_role("navigation").get_by_role("link", name="Sign in")).to_be_visible()
        assert sessions.count_documents({}) == 0

    def test_who_does_nothing_is_signed_out_and_told_why(self, page: Page) -> None:
        sign_up(page)
        expect(page.get_by_role("dialog")).to_be_visible(timeout=15_000)

        expect(page.get_by_role("alert").filter(has_text="without activity")).to_be_visible(timeout=40_000)
        expect(page.get_by_role("dialog")).to_be_hidden()
        page.reload()
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        expect(page.get_by_role("status")).to_contain_text("Your session has ended")


@pytest.mark.parametrize("site", [["--session-absolute-timeout", str(IDLE_SECONDS)]], indirect=True)
def test_nobody_is_offered_to_stay_when_the_session_cannot_last_longer(page: Page) -> None:
    sign_up(page)
    dialog = page.get_by_role("dialog", name="You’re about to be signed out")
    expect(dialog).to_contain_text("can’t last longer", timeout=15_000)
    dialog.get_by_role("button", name="Carry on until then").click()

    expect(dialog).to_be_hidden()
    page.wait_for_timeout(1500)
    expect(dialog).to_be_hidden()
