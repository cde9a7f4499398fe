"""The system's Chromium, driven by Playwright. Nothing is downloaded."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.site import Site

INSTALL = "Chromium is missing; on Debian and Ubuntu: apt-get install chromium"
# What it calls itself when a person uses it; the account page shows that.
USER_AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def chromium_path() -> str:
    """The program; if there is none, the test is skipped."""
    names = ("chromium", "chromium-browser")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip(INSTALL)
    return path


@pytest.fixture(scope="module")
def chromium(mongodb_uri: str) -> Iterator[Browser]:
    """One browser a file: while Playwright is open, no other event loop can run in this thread."""
    path = chromium_path()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def context(chromium: Browser, site: Site) -> Iterator[BrowserContext]:
    made = chromium.new_context(
        base_url=site.url, viewport={"width": 1280, "height": 800}, user_agent=USER_AGENT
    )
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page; complaints of the browser, of the content policy above all, fail the test."""
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    yield opened
    # Chromium reports every answer with an error status; the tests look at those themselves.
    assert [text for text in complaints if "Failed to load resource" not in text] == []
