"""The password again, before something sensitive."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server.services import Services
from server.sessions import Client, Options, Session
from tests.client import PASSWORD, Browser
from tests.test_account_sessions import ANN, PAGE, make_stale

pytestmark = pytest.mark.gen_test


async def confirm(browser: Browser, password: str = PASSWORD, page: str = "/confirm") -> Any:
    return await browser.submit("/confirm", {"password": password}, page=page)


@pytest.mark.covers("REA-3", "FIX-4")
async def test_confirming_leads_back_with_a_new_token_and_the_old_one_is_dead(
    browser: Browser, sessions: Any
) -> None:
    await browser.sign_up(ANN)
    await make_stale(sessions)
    thief = browser.copy()
    asked = await browser.submit(f"{PAGE}/revoke-others", {}, page=PAGE)

    back = await confirm(browser, page=asked.headers["Location"])

    assert (back.code, back.headers["Location"]) == (303, PAGE)
    assert browser.cookies["sid"] != thief.cookies["sid"]
    assert not await thief.is_signed_in()
    done = await browser.submit(f"{PAGE}/revoke-others", {}, page=PAGE)
    assert done.headers["Location"] == PAGE
    assert "No other device was signed in." in (await browser.get(PAGE)).body.decode()


@pytest.mark.parametrize("password", ["another password entirely", ""])
async def test_a_wrong_password_confirms_nothing(browser: Browser, sessions: Any, password: str) -> None:
    await browser.sign_up(ANN)
    await make_stale(sessions)

    answer = await confirm(browser, password, page="/confirm?next=%2Faccount%2Fsessions")

    assert answer.code == (401 if password else 422)
    assert 'name="next" value="/account/sessions"' in answer.body.decode()
    assert 'aria-invalid="true"' in answer.body.decode()
    assert await browser.is_signed_in()
    assert (await browser.submit(f"{PAGE}/revoke-others", {}, page=PAGE)).headers["Location"] != PAGE


@pytest.mark.parametrize(
    "wanted", ["//e.test", "https://e.test", "/confirm", "/logout", "", "/account/deleted"]
)
async def test_confirming_leads_nowhere_but_to_a_page_of_this_site(browser: Browser, wanted: str) -> None:
    await browser.sign_up(ANN)

    answer = await browser.submit("/confirm", {"password": PASSWORD, "next": wanted})

    assert (answer.code, answer.headers["Location"]) == (303, "/account")


async def test_only_members_can_confirm(browser: Browser) -> None:
    answer = await browser.get("/confirm?next=/account/password")

    assert answer.code == 302
    assert answer.headers["Location"].startswith("/login?next=")


def test_a_session_that_nobody_has_signed_in_to_is_not_confirmed(services: Services) -> None:
    session = Session(services.sessions.store, services.lifetime, Options(), Client)

    assert not services.access.is_confirmed(session)


@pytest.mark.covers("REA-5")
async def test_visits_and_polls_do_not_renew_the_confirmation(browser: Browser, sessions: Any) -> None:
    await browser.sign_up(ANN)
    await confirm(browser)
    old = datetime.now(UTC) - timedelta(minutes=11)
    await sessions.update_many({"user_id": {"$exists": True}}, {"$set": {"data.confirmed_at": old}})

    for path in ("/account", PAGE, "/api/session", "/confirm", "/api/events?wait=0.1"):
        assert (await browser.get(path)).code == 200

    assert (await browser.get("/account/password")).headers["Location"].startswith("/confirm")


async def test_data_of_the_session_survives_the_confirmation(browser: Browser, sessions: Any) -> None:
    await browser.sign_up(ANN)
    await sessions.update_one({}, {"$set": {"data.lang": "de"}})
    before = await sessions.find_one({"user_id": {"$exists": True}})

    await confirm(browser)

    after = await sessions.find_one({"user_id": {"$exists": True}})
    assert after["data"]["lang"] == "de"
    assert (after["created_at"], after["ends_at"]) == (before["created_at"], before["ends_at"])


@pytest.mark.covers("R17")
@pytest.mark.parametrize("slips_past", [False, True])
async def test_a_password_change_during_a_confirmation_ends_the_session(
    browser: Browser, services: Services, sessions: Any, slips_past: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session gets its new token just after all sessions of the old password were ended, or while a
    deletion under way misses it."""
    await browser.sign_up(ANN)
    held, go_on = asyncio.Event(), asyncio.Event()
    insert = services.sessions.store.insert

    async def late_insert(draft: Any) -> Any:
        held.set()
        await go_on.wait()
        return await insert(draft)

    async def blind_end_user(*_: Any, **__: Any) -> int:
        return 0

    monkeypatch.setattr(services.sessions.store, "insert", late_insert)
    if slips_past:
        monkeypatch.setattr(services.sessions.store, "end_user", blind_end_user)
    confirming = asyncio.ensure_future(confirm(browser))
    await held.wait()
    user = await services.accounts.find(ANN)
    assert user
    await services.access.end_sessions(user)
    go_on.set()

    assert (await confirming).code == 401
    assert not await browser.is_signed_in()
    assert await sessions.count_documents({"user_id": {"$exists": True}}) == 0
