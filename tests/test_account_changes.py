"""A new password, and the end of an account."""

import asyncio
from typing import Any

import pytest

from server.services import Services, open_services
from server.sessions import StoreUnavailable
from settings import Settings
from tests.client import PASSWORD, Browser
from tests.sessions.tools import failing
from tests.test_account_sessions import ANN, BOB, make_stale

pytestmark = pytest.mark.gen_test

NEW = "a quite different passphrase"
LIVE = {"user_id": {"$exists": True}}


async def change(browser: Browser, current: str = PASSWORD, new: str = NEW) -> Any:
    return await browser.submit("/account/password", {"current_password": current, "new_password": new})


async def delete(browser: Browser) -> Any:
    return await browser.submit("/account/delete", {})


@pytest.mark.covers("END-9", "FIX-5", "REA-1")
async def test_a_new_password_ends_all_other_sessions_and_gives_this_one_a_new_token(
    browser: Browser, other_browser: Browser, sessions: Any
) -> None:
    await browser.sign_up(ANN)
    await other_browser.sign_in(ANN, remember="1")
    thief = browser.copy()

    answer = await change(browser)

    assert (answer.code, answer.headers["Location"]) == (303, "/account")
    assert [await b.is_signed_in() for b in (browser, other_browser, thief)] == [True, False, False]
    page = (await browser.get("/account")).body.decode()
    assert "Your password has been changed. 1 other device has been signed out." in page
    assert (await other_browser.sign_in(ANN)).code == 401
    assert (await other_browser.sign_in(ANN, NEW)).code == 303
    assert await browser.is_signed_in()
    (user,) = {document["epoch"] for document in await sessions.find(LIVE).to_list(None)}
    assert user == 1


@pytest.mark.covers("REA-1")
@pytest.mark.parametrize(
    ("current", "new", "text"),
    [("wrong", NEW, "Check your current password"), ("", NEW, "Enter your current password"),
     (PASSWORD, "short", "at least 15 characters"), (PASSWORD, "", "Enter a password")],
)  # fmt: skip
async def test_a_refused_change_changes_nothing(
    browser: Browser, other_browser: Browser, current: str, new: str, text: str
) -> None:
    await browser.sign_up(ANN)
    await other_browser.sign_in(ANN)

    answer = await change(browser, current, new)

    assert answer.code == 422
    assert text in answer.body.decode()
    assert await other_browser.is_signed_in()
    assert (await other_browser.sign_in(ANN)).code == 303


@pytest.mark.covers("REA-3", "REA-6")
async def test_password_and_deletion_need_a_password_typed_lately(browser: Browser, sessions: Any) -> None:
    await browser.sign_up(ANN)
    token = (await browser.state())["csrf_token"]
    await make_stale(sessions)

    for path in ("/account/password", "/account/delete"):
        fields = {"_csrf": token, "current_password": PASSWORD, "new_password": NEW}
        for answer in (await browser.get(path), await browser.post(path, fields)):
            assert answer.code in {302, 303}
            assert answer.headers["Location"] == "/confirm?next=" + path.replace("/", "%2F")
    assert (await browser.sign_in(ANN)).code == 303


async def test_of_two_changes_at_once_one_counts(browser: Browser, other_browser: Browser) -> None:
    await browser.sign_up(ANN)
    await other_browser.sign_in(ANN)

    first, second = await asyncio.gather(change(browser), change(other_browser, new=NEW + "!"))

    assert min(first.code, second.code) == 303
    assert [await browser.is_signed_in(), await other_browser.is_signed_in()].count(True) == 1


@pytest.mark.covers("R17")
@pytest.mark.parametrize("reason", ["a new password", "disabled", "deleted", "signed out everywhere"])
async def test_whoever_signs_in_while_the_account_changes_does_not_get_in(
    browser: Browser, other_browser: Browser, services: Services, sessions: Any, reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The sign-in has checked the old password; its session is stored after all others were ended."""
    await browser.sign_up(ANN)
    held, go_on = asyncio.Event(), asyncio.Event()
    insert = services.sessions.store.insert

    async def late_insert(draft: Any) -> Any:
        if draft.epoch == 0:
            held.set()
            await go_on.wait()
        return await insert(draft)

    monkeypatch.setattr(services.sessions.store, "insert", late_insert)
    signing_in = asyncio.ensure_future(other_browser.sign_in(ANN))
    await held.wait()
    user = await services.accounts.find(ANN)
    assert user
    if reason == "a new password":
        assert (await change(browser)).code == 303
    elif reason == "disabled":
        await services.access.disable(user)
    elif reason == "deleted":
        await services.access.delete(user)
    else:
        await services.access.end_every_session()
    go_on.set()

    answer = await signing_in
    assert answer.code == 401
    assert "Check your email address and password" in answer.body.decode()
    assert "sid" not in other_browser.cookies
    assert await browser.is_signed_in() == (reason == "a new password")
    assert await sessions.count_documents(LIVE) == (1 if reason == "a new password" else 0)


@pytest.mark.covers("R17")
async def test_a_sign_in_that_cannot_be_checked_gives_no_token_away(
    browser: Browser, services: Services, sessions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await browser.sign_up(ANN)
    before = browser.cookies["sid"]

    async def broken(_user: Any) -> bool:
        raise StoreUnavailable("broken")

    monkeypatch.setattr(services.access._users, "is_current", broken)

    assert (await browser.sign_in(ANN)).code == 503
    assert browser.cookies["sid"] == before
    assert await browser.is_signed_in()
    assert await sessions.count_documents(LIVE) == 1


@pytest.mark.covers("R17")
async def test_an_end_that_the_database_does_not_acknowledge_is_repeated(
    browser: Browser, other_browser: Browser, settings: Settings
) -> None:
    await browser.sign_up(ANN)
    await other_browser.sign_in(ANN)

    with failing(settings.mongodb_uri, "delete", mode={"times": 1}):
        answer = await change(browser)

    assert answer.code == 303
    assert not await other_browser.is_signed_in()


@pytest.mark.covers("R17")
@pytest.mark.parametrize("is_deleted", [False, True])
async def test_what_a_crash_left_undone_is_done_at_the_next_start(
    browser: Browser, services: Services, settings: Settings, is_deleted: bool
) -> None:
    await browser.sign_up(ANN)
    user = await services.accounts.find(ANN)
    assert user
    changes = {"disabled": True, "deleted": True} if is_deleted else {}
    assert await services.access._users.raise_epoch(user, **changes)
    assert await browser.is_signed_in()

    async with open_services(settings, settings.mongodb_uri):
        pass

    assert not await browser.is_signed_in()
    document = await services.database["users"].find_one({"email": ANN})
    assert document is None if is_deleted else "ending" not in document


@pytest.mark.covers("END-10", "R17")
@pytest.mark.parametrize("settings", [{"store_deadline": 0.5}], indirect=True)
async def test_a_deletion_that_takes_long_refuses_sign_ins_at_once_and_is_done_later(
    browser: Browser, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await browser.sign_up(ANN)
    user = await services.accounts.find(ANN)
    assert user

    async def cannot(*_: Any, **__: Any) -> int:
        raise StoreUnavailable("no answer in time")

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr("server.accounts.endings.RETRY_SECONDS", 0.05)
        meanwhile.setattr(services.sessions.store, "end_user", cannot)
        with pytest.raises(StoreUnavailable):
            await services.access.delete(user)
        assert (await browser.sign_in(ANN)).code == 401

    async with asyncio.timeout(10):
        while await services.database["users"].count_documents({}):
            await asyncio.sleep(0.02)
    assert not await browser.is_signed_in()


async def test_whoever_has_the_address_next_is_left_alone(browser: Browser, services: Services) -> None:
    await browser.sign_up(ANN)
    before = await services.accounts.find(ANN)
    assert before
    await services.access.delete(before)
    await browser.sign_up(ANN)

    assert await services.access.disable(before) == 0
    assert await browser.is_signed_in()
    assert (await browser.sign_in(ANN)).code == 303


@pytest.mark.covers("END-11")
async def test_a_session_that_slips_past_the_end_of_all_ends_too(
    browser: Browser, services: Services, sessions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets its new token while the others are deleted: MongoDB may pass by both documents."""
    await browser.sign_up(ANN)
    (slipping,) = await sessions.find().to_list(None)
    clear = services.sessions.store.clear
    slips = [slipping]

    async def blind_clear() -> None:
        await clear()
        if slips:
            await sessions.insert_one(slips.pop())

    monkeypatch.setattr(services.sessions.store, "clear", blind_clear)
    await services.access.end_every_session()

    assert not await browser.is_signed_in()


@pytest.mark.covers("END-10", "REA-6")
async def test_a_deleted_account_is_gone_with_all_its_sessions(
    browser: Browser, other_browser: Browser, services: Services, sessions: Any
) -> None:
    await browser.sign_up(ANN)
    await other_browser.sign_in(ANN)
    await Browser(browser.base_url).sign_in(ANN, "not the password at all")

    page = await browser.get("/account/delete")
    answer = await delete(browser)

    assert "for good" in page.body.decode()
    assert (answer.code, answer.headers["Location"]) == (303, "/account/deleted")
    assert "sid" not in browser.cookies
    assert "is deleted" in (await browser.get("/account/deleted")).body.decode()
    assert not await other_browser.is_signed_in()
    assert await sessions.count_documents(LIVE) == 0
    assert await services.database["users"].count_documents({}) == 0
    assert await services.database["failures"].count_documents({}) == 0
    assert (await other_browser.sign_in(ANN)).code == 401
    assert (await other_browser.sign_up(ANN)).code == 303


async def test_nothing_is_deleted_without_the_forms_token(browser: Browser, services: Services) -> None:
    await browser.sign_up(ANN)

    for headers in ({}, {"Sec-Fetch-Site": "cross-site"}):
        assert (await browser.post("/account/delete", {}, headers)).code == 403

    assert await services.database["users"].count_documents({}) == 1


async def test_signed_in_people_are_not_told_that_their_account_is_deleted(browser: Browser) -> None:
    await browser.sign_up(ANN)

    assert (await browser.get("/account/deleted")).headers["Location"] == "/account"


@pytest.mark.covers("END-10")
async def test_a_disabled_account_is_signed_out_and_can_be_enabled_again(
    browser: Browser, other_browser: Browser, services: Services
) -> None:
    await browser.sign_up(ANN)
    await other_browser.sign_up(BOB)
    user = await services.accounts.find(ANN)
    assert user

    assert await services.access.disable(user) == 1

    assert not await browser.is_signed_in()
    assert (await browser.sign_in(ANN)).code == 401
    assert await other_browser.is_signed_in()
    await services.access.enable(user)
    assert (await browser.sign_in(ANN)).code == 303
