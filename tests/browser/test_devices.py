"""Devices, password and the end of an account, in a real browser."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.pictures import picture
from tests.browser.test_story import ANN, sign_in, sign_up
from tests.client import PASSWORD
from tests.site import Site

pytestmark = pytest.mark.browser

NEW = "a quite different passphrase"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


@pytest.fixture
def phone(chromium: Browser, site: Site) -> Iterator[Page]:
    context = chromium.new_context(
        base_url=site.url, viewport={"width": 390, "height": 844}, user_agent=FIREFOX
    )
    yield context.new_page()
    context.close()


def test_another_device_is_signed_out_by_keyboard(page: Page, phone: Page, tmp_path: Path) -> None:
    sign_up(page)
    phone.goto("/login")
    sign_in(phone)
    page.get_by_role("link", name="Where you’re signed in").click()
    expect(page.get_by_role("heading", name="Firefox on Linux")).to_be_visible()
    picture(page, "sessions", tmp_path)

    page.get_by_role("button", name=re.compile("^Sign out Firefox on Linux, signed in ")).focus()
    page.keyboard.press("Enter")

    expect(page.get_by_role("status")).to_have_text("Firefox on Linux has been signed out.")
    expect(page.get_by_text("only signed in on this device")).to_be_visible()
    phone.reload()
    expect(phone).to_have_url(re.compile("/login"))


def test_a_new_password_and_the_end_of_the_account(page: Page) -> None:
    sign_up(page)
    page.get_by_role("link", name="Change your password").click()
    page.get_by_label("Current password").fill(PASSWORD)
    page.get_by_label("New password").fill("short")
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_role("alert")).to_be_focused()
    page.get_by_role("alert").get_by_role("link").click()
    expect(page.get_by_label("New password")).to_be_focused()

    page.get_by_label("Current password").fill(PASSWORD)
    page.get_by_label("New password").fill(NEW)
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_role("status")).to_contain_text("Your password has been changed.")

    page.get_by_role("link", name="Delete your account").click()
    expect(page.get_by_role("main")).to_contain_text(ANN)
    page.get_by_role("button", name="Delete my account").click()
    expect(page.get_by_role("heading", name="Your account is deleted")).to_be_visible()
    page.goto("/login")
    sign_in(page, NEW)
    expect(page.get_by_role("alert")).to_contain_text("Check your email address and password")


@pytest.mark.parametrize(
    "path", ["/account", "/account/sessions", "/account/password", "/account/delete", "/confirm"]
)
def test_no_page_is_wider_than_a_phone_even_with_a_long_address(page: Page, path: str) -> None:
    long = "anastasia.wolfeschlegelsteinhausen+" + "x" * 20 + "@" + "subdomain." * 8 + "example.com"
    page.goto("/signup")
    page.get_by_label("Email address").fill(long)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()
    page.set_viewport_size({"width": 320, "height": 640})

    page.goto(path)

    assert page.evaluate("document.documentElement.scrollWidth") <= 320
