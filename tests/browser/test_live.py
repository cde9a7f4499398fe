"""Open pages learn of news and of the end of the session, without a reload."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect
from pymongo import MongoClient

from tests.browser.pictures import picture
from tests.browser.test_story import sign_in, sign_up
from tests.site import Site

pytestmark = pytest.mark.browser

SIGNED_OUT = "You were signed out from another device or tab."
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


def test_every_open_tab_says_so_when_its_session_is_ended_elsewhere(
    page: Page, context: BrowserContext, polls: list[Request], sessions: Any
) -> None:
    with page.expect_request("**/api/events**"):
        sign_up(page)
        page.wait_for_url("**/account")
    tabs = [page, context.new_page(), context.new_page()]
    for tab in tabs[1:]:
        tab.goto("/account")
    page.wait_for_timeout(500)
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
    page.wait_for_timeout(300)
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


@pytest.mark.parametrize("site", [["--session-idle-timeout", str(IDLE_SECONDS)]], indirect=True)
class TestTheWarningBeforeTheEnd:
    def test_who_stays_keeps_the_session_and_the_warning_goes(
        self, page: Page, sessions: Any, tmp_path: Path
    ) -> None:
        sign_up(page)
        dialog = page.get_by_role("dialog", name="You’re about to be signed out")
        expect(dialog).to_be_visible(timeout=15_000)
        expect(dialog).to_contain_text("seconds")
        expect(dialog.get_by_role("button", name="Stay signed in")).to_be_focused()
        picture(page, "warning", tmp_path)
        before = sessions.find_one()["expires_at"]
        dialog.get_by_role("button", name="Stay signed in").click()

        expect(dialog).to_be_hidden()
        page.wait_for_timeout(1500)
        assert sessions.find_one()["expires_at"] > before

    def test_who_does_nothing_is_signed_out_and_told_why(self, page: Page) -> None:
        sign_up(page)
        expect(page.get_by_role("dialog")).to_be_visible(timeout=15_000)

        expect(page.get_by_role("alert").filter(has_text="without activity")).to_be_visible(timeout=40_000)
        expect(page.get_by_role("dialog")).to_be_hidden()
        page.reload()
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        expect(page.get_by_role("status")).to_contain_text("Your session has ended")

    def test_who_has_finished_signs_out_right_there(self, page: Page, sessions: Any) -> None:
        sign_up(page)
        dialog = page.get_by_role("dialog")
        expect(dialog).to_be_visible(timeout=15_000)
        dialog.get_by_role("button", name="Sign out").click()

        expect(page.get_by_role("navigation").get_by_role("link", name="Sign in")).to_be_visible()
        assert sessions.count_documents({}) == 0


@pytest.mark.parametrize("site", [["--session-absolute-timeout", str(IDLE_SECONDS)]], indirect=True)
def test_nobody_is_offered_to_stay_when_the_session_cannot_last_longer(page: Page) -> None:
    sign_up(page)
    dialog = page.get_by_role("dialog", name="You’re about to be signed out")
    expect(dialog).to_contain_text("can’t last longer", timeout=15_000)
    dialog.get_by_role("button", name="Carry on until then").click()

    expect(dialog).to_be_hidden()
    page.wait_for_timeout(1500)
    expect(dialog).to_be_hidden()
