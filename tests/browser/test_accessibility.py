"""Every page in every state: for everybody, by keyboard, on small screens, without scripts, light to load.

A new page is one line in STATES, and every test below looks at it.
"""

import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Response, expect

from tests.client import PASSWORD
from tests.clients.npm import package
from tests.sessions.tools import failing
from tests.site import Site, running

pytestmark = pytest.mark.browser

BOB = "bob@example.com"
ANN = "ann.with.a.rather.long.address@correspondence.example.com"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"]
MAX_FIRST_VIEW_BYTES = 30_000
MAX_SECOND_VIEW_BYTES = 8_000
FILES = {"simple-2.3.7.min.css", "app.css", "app.js", "favicon.svg"}
YEAR = "public, max-age=31536000, immutable"


def sign_in(page: Page) -> None:
    """Signs this browser in; the first to come makes the account."""
    account = {"email": ANN, "password": PASSWORD}
    if page.request.post("/api/session", data=account).status == 401:
        assert page.request.post("/api/users", data=account).status == 201


def send(page: Page, button: str, email: str, password: str) -> None:
    page.get_by_label("Email address").fill(email)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("main").get_by_role("button", name=button).click()


def opened(path: str) -> Callable[[Page], object]:
    return lambda page: page.goto(path)


def sent(path: str, button: str, email: str = "", password: str = "") -> Callable[[Page], object]:
    def visit(page: Page) -> None:
        page.goto(path)
        send(page, button, email, password)
        expect(page.get_by_role("alert")).to_be_visible()

    return visit


def pressed(path: str, button: str) -> Callable[[Page], object]:
    def visit(page: Page) -> None:
        page.goto(path)
        page.get_by_role("button", name=button).click()
        expect(page.get_by_role("alert")).to_be_visible()

    return visit


def as_member(visit: Callable[[Page], object]) -> Callable[[Page], object]:
    def both(page: Page) -> None:
        sign_in(page)
        visit(page)

    return both


def too_often(page: Page) -> None:
    for _ in range(6):
        page.request.post("/api/session", data={"email": BOB, "password": "a guess"})
    sent("/login", "Sign in", BOB, "another guess")(page)
    expect(page.get_by_role("alert")).to_contain_text("Too many tries")


def after_the_end(page: Page) -> None:
    """Comes to the sign-in page with the cookie of a session that has ended."""
    cookies = page.context.cookies()
    page.request.delete("/api/session")
    page.context.add_cookies(cookies)  # type: ignore[arg-type]
    page.goto("/login")
    expect(page.get_by_role("status")).to_contain_text("Your session has ended")


def warned(page: Page) -> None:
    page.goto("/account")
    page.evaluate("warn(); countDown()")
    expect(page.get_by_role("dialog")).to_be_visible()


def signed_out_elsewhere(page: Page) -> None:
    with page.expect_request("**/api/events**"):
        page.goto("/account")
    page.request.delete("/api/session")
    expect(page.get_by_role("link", name="Sign in again")).to_be_visible()


STATES: dict[str, Callable[[Page], object]] = {
    "home": opened("/"),
    "sign-in": opened("/login"),
    "sign-in, nothing filled in": sent("/login", "Sign in"),
    "sign-in, refused": sent("/login", "Sign in", ANN, "not the password"),
    "sign-in, too often": too_often,
    "sign-in, session ended": as_member(after_the_end),
    "sign-in on the way to the account": opened("/account"),
    "sign-up": opened("/signup"),
    "sign-up, nothing filled in": sent("/signup", "Create account"),
    "sign-up, both wrong": sent("/signup", "Create account", "not an address", "short"),
    "no such page": opened("/nowhere"),
    "home, member": as_member(opened("/")),
    "account": as_member(opened("/account")),
    "devices": as_member(opened("/account/sessions")),
    "password": as_member(opened("/account/password")),
    "password, nothing filled in": as_member(pressed("/account/password", "Change password")),
    "password confirmed": as_member(opened("/confirm")),
    "password confirmed, nothing filled in": as_member(pressed("/confirm", "Continue")),
    "end of the account": as_member(opened("/account/delete")),
    "after the end": opened("/account/deleted"),
    "sign-in, member": as_member(opened("/login")),
    "sign-up, member": as_member(opened("/signup")),
    "no such page, member": as_member(opened("/nowhere")),
}
SCRIPTED_STATES: dict[str, Callable[[Page], object]] = {
    "about to be signed out": as_member(warned),
    "signed out elsewhere": as_member(signed_out_elsewhere),
}
FIRST_VIEWS = ["home", "sign-in", "sign-up", "no such page"]
MEMBERS_FIRST_VIEWS = ["home, member", "account", "password", "end of the account"]

Views = dict[str, Page]


@pytest.fixture(scope="module")
def house(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for all tests that only look."""
    own = ["--mongodb-uri", mongodb_uri, "--mongodb-database", f"test_{uuid.uuid4().hex[:12]}"]
    folder = str(tmp_path_factory.mktemp("house"))
    # All come from one address, and nobody reads the log.
    calm = ["--throttle-address-failures", "1000", "--session-max-per-user", "100", "--log-level", "error"]
    with running(*own, *calm, "--argon2-memory-kib", "7168", "--data-dir", folder) as started:
        yield started


@pytest.fixture(scope="module")
def views(chromium: Browser, house: Site, mongodb_uri: str) -> Iterator[Views]:
    """A page in each state. Tests change only how it is looked at."""
    states = STATES | SCRIPTED_STATES
    contexts = {name: chromium.new_context(base_url=house.url) for name in (*states, "outage")}
    pages = {name: context.new_page() for name, context in contexts.items()}
    for name, visit in states.items():
        visit(pages[name])
    sign_in(pages["outage"])
    with failing(mongodb_uri, "find"):
        pages["outage"].goto("/account")
    expect(pages["outage"].get_by_role("link", name="Try again")).to_be_visible()
    yield pages
    for context in contexts.values():
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_any_page(views: Views, scheme: Any) -> None:
    axe = package("axe-core/axe.min.js").read_text()
    found = []
    for name, page in views.items():
        page.emulate_media(color_scheme=scheme)
        page.evaluate(axe)
        result = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
        assert result["passes"], name
        found += [
            f"{name}: {violation['id']} at {node['target']}: {node['failureSummary']}"
            for violation in result["violations"]
            for node in violation["nodes"]
        ]

    assert not found, "\n".join(found)


def test_each_page_has_a_title_a_heading_and_a_language(views: Views) -> None:
    for page in views.values():
        expect(page.locator("h1")).to_have_count(1)
        expect(page.locator("html")).to_have_attribute("lang", "en")

    assert views["sign-in, refused"].title().startswith("Error: ")
    assert len({views[name].title() for name in FIRST_VIEWS}) == len(FIRST_VIEWS)


@pytest.mark.parametrize(
    ("width", "text", "scheme"),
    [
        (320, "100%", "light"),
        (320, "100%", "dark"),
        (390, "100%", "light"),
        (1280, "100%", "light"),
        (640, "200%", "light"),
        (1280, "200%", "light"),
    ],
)
def test_no_page_needs_sideways_scrolling(views: Views, width: int, text: str, scheme: Any) -> None:
    for name, page in views.items():
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 800})
        page.evaluate("size => { document.documentElement.style.fontSize = size }", text)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name


def test_nothing_moves_for_those_who_asked_for_that(views: Views) -> None:
    moving = """[...document.querySelectorAll("*")].filter((element) => {
        const { transitionDuration, animationName, scrollBehavior } = getComputedStyle(element);
        return parseFloat(transitionDuration) > 0 || animationName !== "none" || scrollBehavior === "smooth";
    }).map((element) => element.tagName)"""
    for name, page in views.items():
        page.emulate_media(reduced_motion="reduce")
        assert page.evaluate(moving) == [], name


def test_where_the_system_picks_the_colours_each_control_still_has_an_edge(views: Views) -> None:
    edgeless = """[...document.querySelectorAll("button, .button, input")].filter((element) => {
        const { borderStyle, borderWidth, appearance } = getComputedStyle(element);
        const isDrawn = appearance === "auto" && element.type === "checkbox";
        return element.checkVisibility() && !isDrawn && (borderStyle === "none" || borderWidth === "0px");
    }).map((element) => element.outerHTML)"""
    for name, page in views.items():
        page.emulate_media(forced_colors="active")
        assert page.evaluate(edgeless) == [], name
        page.emulate_media(forced_colors="none")


def test_on_paper_there_is_nothing_to_press(views: Views) -> None:
    for name, page in views.items():
        page.emulate_media(media="print")
        for control in page.locator("button, .button, nav, dialog, .skip").all():
            assert not control.is_visible(), (name, control.evaluate("element => element.outerHTML"))
        expect(page.locator("h1")).to_be_visible()
        page.emulate_media(media="screen")


def test_every_state_is_reached_without_javascript(chromium: Browser, house: Site) -> None:
    for visit in STATES.values():
        with chromium.new_context(base_url=house.url, java_script_enabled=False) as context:
            page = context.new_page()
            visit(page)
            expect(page.locator("h1")).to_be_visible()
            expect(page.get_by_role("button", name="Show password")).to_have_count(0)


def test_tab_and_enter_are_enough_from_sign_up_to_sign_out(page: Page) -> None:
    page.goto("/")
    tab_to(page, "Create account")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Create account")).to_be_visible()
    tab_to(page, "Email address")
    page.keyboard.type(ANN)
    tab_to(page, "Password")
    page.keyboard.type(PASSWORD)
    tab_to(page, "Create account", inside="main")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Your account")).to_be_visible()
    tab_to(page, "Sign out", inside="main")
    page.keyboard.press("Enter")
    expect(page.get_by_role("navigation").get_by_role("link", name="Sign in")).to_be_visible()


def tab_to(page: Page, name: str, inside: str = "body") -> None:
    """Presses Tab until the link, button or field of this name has the focus. Each stop must be seen."""
    for _ in range(40):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        outline = focused.evaluate("element => getComputedStyle(element).outlineStyle")
        assert outline != "none", focused.evaluate("element => element.outerHTML")
        expect(focused).to_be_in_viewport()
        if page.locator(inside).locator(":focus").count() and accessible_name(page) == name:
            return
    pytest.fail(f"Tab does not lead to {name!r}")


def accessible_name(page: Page) -> str:
    found = re.match(r"- \w+ \"([^\"]*)\"", page.locator(":focus").aria_snapshot())
    return found[1] if found else ""


def test_tab_reaches_every_control_of_every_page_and_shows_where_it_is(views: Views) -> None:
    watch = """() => {
        const all = [...document.querySelectorAll("a, button, input")].filter((element) =>
            element.checkVisibility() && element.type !== "hidden"
            && !(document.querySelector("dialog[open]")?.contains(element) === false));
        globalThis.unseen = new Set(all);
        addEventListener("focusin", ({ target }) => {
            if (getComputedStyle(target).outlineStyle !== "none") unseen.delete(target);
        });
        return all.length;
    }"""
    for name, page in views.items():
        stops = page.evaluate(watch)
        assert stops > 1, name
        for _ in range(stops + 2):
            page.keyboard.press("Tab")
        assert page.evaluate("[...unseen].map((element) => element.outerHTML)") == [], name


def test_the_first_stop_of_tab_skips_the_navigation(page: Page) -> None:
    page.goto("/login")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


@pytest.mark.parametrize("name", FIRST_VIEWS + MEMBERS_FIRST_VIEWS)
def test_a_first_view_is_light_and_all_from_here_and_a_second_is_the_page_alone(
    chromium: Browser, house: Site, name: str
) -> None:
    answers: list[Response] = []
    sizes: list[int] = []
    with chromium.new_context(base_url=house.url) as context:
        page = context.new_page()
        wire = context.new_cdp_session(page)
        wire.send("Network.enable")
        wire.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
        page.on("response", lambda answer: answers.append(answer))  # noqa: PLW0108 - Playwright wants a function
        STATES[name](page)
        wire.send("Network.disable")  # answered after all that was to be said of the network
        first, files = sum(sizes), [answer for answer in answers[1:] if "/api/" not in answer.url]
        wire.send("Network.enable")
        STATES[name](page)
        wire.send("Network.disable")
        again = sum(sizes) - first

        names = {urlsplit(answer.url).path.rpartition("/")[2] for answer in files}
        assert names == FILES | ({"live.js"} if name in MEMBERS_FIRST_VIEWS else set())
        assert first <= MAX_FIRST_VIEW_BYTES
        assert again <= MAX_SECOND_VIEW_BYTES
        assert all(answer.url.startswith(house.url) for answer in answers)
        for answer in files:
            assert re.search(r"/static/.*\?v=\w{12}$", answer.url)
            assert answer.headers["cache-control"] == YEAR
