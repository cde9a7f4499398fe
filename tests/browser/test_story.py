"""The whole story in a real browser: sign-up, account, sign-out, sign-in with the way back."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.pictures import picture
from tests.client import PASSWORD
from tests.site import Site

pytestmark = pytest.mark.browser

ANN = "ann@example.com"


def sign_up(page: Page) -> None:
    page.goto("/signup")
    page.get_by_label("Email address").fill(ANN)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()


def sign_in(page: Page, password: str = PASSWORD) -> None:
    page.get_by_label("Email address").fill(ANN)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_a_person_signs_up_looks_around_signs_out_and_comes_back(page: Page, tmp_path: Path) -> None:
    page.goto("/")
    page.get_by_role("main").get_by_role("link", name="Create account").click()
    page.get_by_label("Email address").fill(ANN)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()

    expect(page).to_have_url(re.compile("/account$"))
    expect(page.get_by_role("heading", name="Your account")).to_be_visible()
    expect(page.get_by_role("main").get_by_text(ANN)).to_be_visible()
    picture(page, "account", tmp_path)

    page.get_by_role("main").get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("navigation").get_by_role("link", name="Sign in")).to_be_visible()

    page.goto("/account?from=bookmark")
    expect(page).to_have_url(re.compile("/login"))
    sign_in(page)
    expect(page).to_have_url(re.compile(r"/account\?from=bookmark$"))


def test_a_mistake_is_explained_and_the_address_is_kept(page: Page) -> None:
    sign_up(page)
    page.goto("/login")
    sign_in(page, "not the right password")

    expect(page).to_have_title(re.compile("^Error: "))
    expect(page.get_by_role("alert")).to_be_focused()
    expect(page.get_by_role("alert")).to_contain_text("Check your email address and password")
    expect(page.get_by_label("Email address")).to_have_value(ANN)
    expect(page.get_by_label("Password", exact=True)).to_have_value("")


def test_the_password_can_be_shown_while_typing(page: Page) -> None:
    page.goto("/signup")
    password = page.get_by_label("Password", exact=True)

    page.get_by_role("button", name="Show password").click()
    expect(password).to_have_attribute("type", "text")
    page.get_by_role("button", name="Hide password").click()
    expect(password).to_have_attribute("type", "password")


def test_signing_out_in_one_browser_does_not_disturb_another(
    page: Page, chromium: Browser, site: Site
) -> None:
    sign_up(page)
    with chromium.new_context(base_url=site.url) as phone:
        elsewhere = phone.new_page()
        elsewhere.goto("/login")
        sign_in(elsewhere)
        elsewhere.get_by_role("navigation").get_by_role("button", name="Sign out").click()
        # Chromium never finishes closing a context whose page is being cleared by Clear-Site-Data.
        expect(elsewhere.get_by_role("navigation").get_by_role("link", name="Sign in")).to_be_visible()

    page.reload()
    expect(page.get_by_role("heading", name="Your account")).to_be_visible()


def test_everything_works_without_javascript(chromium: Browser, site: Site) -> None:
    with chromium.new_context(base_url=site.url, java_script_enabled=False) as context:
        page = context.new_page()
        sign_up(page)
        expect(page.get_by_role("heading", name="Your account")).to_be_visible()
        page.get_by_role("navigation").get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("navigation").get_by_role("link", name="Sign in")).to_be_visible()
