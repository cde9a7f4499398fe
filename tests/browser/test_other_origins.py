"""docs/examples/spa/, a page of another origin with the real axios, in a real browser."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import ARGUMENTS, chromium_path
from tests.client import PASSWORD
from tests.clients.examples import example
from tests.clients.npm import package
from tests.clients.origin import ProxyHandler, SpaHandler, self_signed, serving
from tests.site import running

pytestmark = pytest.mark.browser

ANN = "ann@example.com"
NOBODY = "Nobody is signed in"
REFUSED = "The site gave no answer to this page."
SITE_NAME, PAGE_NAME = "latchkey.test", "app.example"  # two sites: the names share no domain


@pytest.fixture
def database(mongodb_uri: str, database_name: str, tmp_path: Path) -> list[str]:
    package("axios/dist/axios.min.js")
    cheap = ["--argon2-memory-kib", "7168", "--data-dir", str(tmp_path)]
    return ["--mongodb-uri", mongodb_uri, "--mongodb-database", database_name, *cheap]


@pytest.fixture(scope="module")
def strict_chromium(chromium: Browser) -> Iterator[Browser]:
    """A browser that keeps no cookies of other sites, as Safari and Firefox do and Chrome may."""
    names = f"--host-resolver-rules=MAP {SITE_NAME} 127.0.0.1, MAP {PAGE_NAME} 127.0.0.1"
    arguments = [*ARGUMENTS, names, "--test-third-party-cookie-phaseout"]
    browser = chromium.browser_type.launch(executable_path=chromium_path(), args=arguments)
    yield browser
    browser.close()


def sign_in(page: Page, password: str = PASSWORD) -> None:
    page.get_by_label("Email address").fill(ANN)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def sign_up(url: str) -> None:
    account = json.dumps({"email": ANN, "password": PASSWORD}).encode()
    with urlopen(Request(f"{url}/api/users", account, {"Content-Type": "application/json"})):
        pass


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def two_origins(database: list[str], *, is_trusted: bool = True) -> Iterator[str]:
    """The site, and the example on another port. Gives the origin of the example."""
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    trusted = origin if is_trusted else "http://127.0.0.1:1"
    with (
        running(*database, "--trusted-origins", trusted) as site,
        serving(SpaHandler, site.url, port),
    ):
        sign_up(site.url)
        yield origin


@contextmanager
def two_sites(database: list[str], folder: Path, *flags: str) -> Iterator[str]:
    """The site behind TLS under one name, and the example under another. Gives the origin of the example."""
    tls = self_signed(folder, SITE_NAME, PAGE_NAME)
    site_port, page_port = free_port(), free_port()
    public, origin = f"https://{SITE_NAME}:{site_port}", f"https://{PAGE_NAME}:{page_port}"
    own = ["--public-url", public, "--allowed-hosts", "127.0.0.1", "--trusted-origins", origin]
    with (
        running(*database, *own, *flags) as site,
        serving(ProxyHandler, site.url.removeprefix("http://"), site_port, tls),
        serving(SpaHandler, public, page_port, tls),
    ):
        sign_up(site.url)
        yield origin


def test_a_page_of_another_origin_signs_in_reads_and_signs_out(
    chromium: Browser, database: list[str]
) -> None:
    with two_origins(database) as origin, chromium.new_context() as context:
        page = context.new_page()
        state = page.get_by_role("status")
        page.goto(origin)
        expect(state).to_have_text(NOBODY)
        sign_in(page, "wrong")
        expect(state).to_contain_text("(invalid_credentials)")
        sign_in(page)
        expect(state).to_have_text(f"Signed in as {ANN}")
        page.reload()
        expect(state).to_have_text(f"Signed in as {ANN}")
        page.get_by_role("button", name="Sign out").click()
        expect(state).to_have_text(NOBODY)


def test_a_page_of_another_origin_hears_of_news_and_of_the_end_of_its_session(
    chromium: Browser, database: list[str]
) -> None:
    with two_origins(database) as origin, chromium.new_context() as context:
        page = context.new_page()
        page.goto(origin)
        with page.expect_request("**/api/events"):
            sign_in(page)
        site = str(page.evaluate("api.defaults.baseURL"))
        account = json.dumps({"email": ANN, "password": PASSWORD}).encode()
        kind = {"Content-Type": "application/json", "User-Agent": "curl/8"}
        with urlopen(Request(f"{site}/api/session", account, kind)) as made:
            cookie = made.headers["Set-Cookie"].partition(";")[0]
        expect(page.get_by_role("list", name="News")).to_contain_text("signed_in")

        with urlopen(Request(f"{site}/api/sessions", headers={"Cookie": cookie}, method="DELETE")):
            pass
        expect(page.get_by_role("status")).to_have_text(NOBODY)


def test_the_example_in_the_docs_works_in_a_page(chromium: Browser, database: list[str]) -> None:
    with two_origins(database) as origin, chromium.new_context() as context:
        page = context.new_page()
        page.goto(origin)
        lines = example("js", str(page.evaluate("api.defaults.baseURL")))

        assert page.evaluate(f"async () => {{ {lines} return data.user.email; }}") == ANN


def test_without_credentials_the_sign_in_succeeds_and_is_forgotten(
    chromium: Browser, database: list[str]
) -> None:
    with two_origins(database) as origin, chromium.new_context() as context:
        page = context.new_page()
        page.goto(origin)
        expect(page.get_by_role("status")).to_have_text(NOBODY)
        page.evaluate("api.defaults.withCredentials = false")
        with page.expect_response(lambda answer: answer.request.method == "POST") as answered:
            sign_in(page)

        assert answered.value.status == 201
        expect(page.get_by_role("status")).to_have_text(NOBODY)
        assert "sid" not in {cookie["name"] for cookie in context.cookies()}


def test_a_page_of_an_origin_that_is_not_trusted_reads_and_changes_nothing(
    chromium: Browser, database: list[str]
) -> None:
    with two_origins(database, is_trusted=False) as origin, chromium.new_context() as context:
        page = context.new_page()
        page.goto(origin)
        expect(page.get_by_role("status")).to_have_text(REFUSED)
        sign_in(page)
        expect(page.get_by_role("status")).to_have_text(REFUSED)
        assert "sid" not in {cookie["name"] for cookie in context.cookies()}


def test_a_page_of_another_site_signs_in_with_a_partitioned_cookie(
    strict_chromium: Browser, database: list[str], tmp_path: Path
) -> None:
    flags = ["--cookie-samesite", "none", "--cookie-partitioned", "true"]
    with (
        two_sites(database, tmp_path, *flags) as origin,
        strict_chromium.new_context(ignore_https_errors=True) as context,
    ):
        page = context.new_page()
        state = page.get_by_role("status")
        page.goto(origin)
        expect(state).to_have_text(NOBODY)
        sign_in(page)
        expect(state).to_have_text(f"Signed in as {ANN}")
        page.reload()
        expect(state).to_have_text(f"Signed in as {ANN}")
        page.get_by_role("button", name="Sign out").click()
        expect(state).to_have_text(NOBODY)


@pytest.mark.parametrize("flags", [[], ["--cookie-samesite", "none"]], ids=["lax", "not partitioned"])
def test_a_page_of_another_site_keeps_no_other_cookie(
    strict_chromium: Browser, database: list[str], tmp_path: Path, flags: list[str]
) -> None:
    with (
        two_sites(database, tmp_path, *flags) as origin,
        strict_chromium.new_context(ignore_https_errors=True) as context,
    ):
        page = context.new_page()
        page.goto(origin)
        expect(page.get_by_role("status")).to_have_text(NOBODY)
        with page.expect_response(lambda answer: answer.request.method == "POST") as answered:
            sign_in(page)

        assert answered.value.status == 201
        expect(page.get_by_role("status")).to_have_text(NOBODY)
