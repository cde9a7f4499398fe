"""What a program sees of a long-poll: news, the end of its session, limits, and what keeps it alive."""

import asyncio
import time
from typing import Any

import pytest
from tornado.testing import bind_unused_port

from server.limits import make_server
from server.live import UnsendableEvent
from server.services import Services
from tests.client import PASSWORD, Browser
from tests.live.tools import ANN, body, held, poll, seqs, user_id
from tests.sessions.tools import age

pytestmark = pytest.mark.gen_test


@pytest.fixture
def ann(browser: Browser, io_loop: Any) -> Browser:
    io_loop.run_sync(lambda: browser.sign_up(ANN))
    return browser


async def test_news_answer_a_waiting_poll_at_once(ann: Browser, services: Services) -> None:
    waiting = poll(ann)
    await held(services)
    began = time.monotonic()
    await services.live.notify(await user_id(ann), "order.shipped", {"order": 7})

    answer = await waiting
    assert time.monotonic() - began < 2
    (event,) = body(answer)["events"]
    assert (event["seq"], event["type"], event["data"]) == (1, "order.shipped", {"order": 7})
    assert event["at"].endswith("Z")
    assert (body(answer)["cursor"], body(answer)["missed"]) == (1, False)
    assert answer.headers["Content-Type"] == "application/json"


async def test_news_that_came_between_two_polls_are_not_lost(ann: Browser, services: Services) -> None:
    ann_id = await user_id(ann)
    first = body(await poll(ann, wait=0))["cursor"]
    for _ in range(3):
        await services.live.notify(ann_id, "note")

    answer = await poll(ann, after=first)
    assert seqs(answer) == [1, 2, 3]
    assert seqs(await poll(ann, cursor=2)) == [3]
    assert seqs(await poll(ann, after=3, wait=0)) == []


async def test_without_a_cursor_only_what_is_new_counts(ann: Browser, services: Services) -> None:
    await services.live.notify(await user_id(ann), "old")

    answer = await poll(ann, wait=0)
    assert (seqs(answer), body(answer)["cursor"]) == ([], 1)


async def test_a_cursor_that_the_mailbox_cannot_serve_is_told_so(ann: Browser, services: Services) -> None:
    ann_id = await user_id(ann)
    await asyncio.gather(*(services.live.notify(ann_id, "note", n) for n in range(150)))

    behind, edge, ahead = await poll(ann, after=49), await poll(ann, after=50), await poll(ann, after=151)

    assert body(behind)["missed"]
    assert seqs(behind) == list(range(51, 151))
    assert not body(edge)["missed"]
    assert seqs(edge) == list(range(51, 151))
    assert (body(ahead)["missed"], body(ahead)["cursor"]) == (True, 150)


@pytest.mark.parametrize(
    "query",
    ["after=x", "after=-1", "after=", "after=1&after=2", "wait=soon", "wait=-1", "touch=2", "cursor=1.5"],
)
async def test_a_parameter_that_is_none_is_refused(ann: Browser, query: str) -> None:
    answer = await ann.get(f"/api/events?{query}")

    assert (answer.code, body(answer)["code"]) == (422, "invalid_input")
    assert query.partition("=")[0] in body(answer)["detail"]


@pytest.mark.parametrize("settings", [{"poll_timeout": 0.3}], indirect=True)
async def test_a_poll_without_news_is_answered_when_its_time_is_up(ann: Browser) -> None:
    for query in ({}, {"wait": 60}):
        began = time.monotonic()
        answer = await poll(ann, **query)
        assert 0.3 <= time.monotonic() - began < 3
        assert (answer.code, body(answer)["events"]) == (200, [])
        assert body(answer)["expires_at"].endswith("Z")


async def test_who_is_not_signed_in_is_told_so(browser: Browser) -> None:
    answer = await browser.get("/api/events")
    assert (answer.code, body(answer)["code"]) == (401, "unauthenticated")


@pytest.mark.covers("END-8")
async def test_every_waiting_poll_of_an_ended_session_is_answered(ann: Browser, services: Services) -> None:
    polls = [poll(ann), poll(ann)]
    await held(services, 2)
    began = time.monotonic()
    await ann.copy().sign_out()

    for answer in await asyncio.gather(*polls):
        assert (answer.code, body(answer)["code"]) == (401, "session_ended")
        assert answer.headers.get_list("Set-Cookie") == []
    assert time.monotonic() - began < 2
    assert body(await poll(ann))["code"] == "session_ended"


async def test_the_end_of_another_session_wakes_nobody(
    ann: Browser, other_browser: Browser, services: Services
) -> None:
    await other_browser.sign_in(ANN)
    waiting = poll(ann, wait=1)
    await held(services)
    await other_browser.sign_out()

    assert (await waiting).code == 200


async def test_a_poll_whose_browser_got_a_new_token_is_answered_empty(
    ann: Browser, services: Services
) -> None:
    before = ann.copy()
    waiting = poll(ann, after=0)
    await held(services)
    await ann.sign_in(ANN)

    answer, late = await waiting, await poll(before, after=0)
    for empty in (answer, late):
        assert (empty.code, body(empty)["cursor"]) == (200, 0)
        assert int(empty.headers["Retry-After"]) > 0
        assert empty.headers.get_list("Set-Cookie") == []
    assert (await poll(ann, wait=0)).code == 200


async def test_a_new_token_answers_the_poll_at_once(ann: Browser, services: Services, sessions: Any) -> None:
    waiting = poll(ann, after=0)
    await held(services)
    await services.live.changes.is_watching.wait()
    await services.sessions.store.retire((await sessions.find_one())["_id"])

    async with asyncio.timeout(5):
        assert (await waiting).code == 200


@pytest.mark.covers("AV-6")
async def test_a_third_poll_of_a_session_displaces_the_oldest(ann: Browser, services: Services) -> None:
    oldest = poll(ann)
    await held(services)
    others = [poll(ann), poll(ann)]

    answer = await oldest
    assert (answer.code, body(answer)["code"]) == (429, "too_many_polls")
    assert int(answer.headers["Retry-After"]) > 0
    await held(services, 2)
    assert not any(other.done() for other in others)
    await services.live.notify(await user_id(ann), "note")
    assert [answer.code for answer in await asyncio.gather(*others)] == [200, 200]


async def test_who_only_looks_displaces_nobody(ann: Browser, services: Services) -> None:
    waiting = [poll(ann, after=0), poll(ann, after=0)]
    await held(services, 2)

    answers = await asyncio.gather(*(poll(ann, wait=0) for _ in range(6)))

    assert {answer.code for answer in answers} == {200}
    assert not any(task.done() for task in waiting)
    await services.live.notify(await user_id(ann), "news")
    assert {(await task).code for task in waiting} == {200}


@pytest.mark.covers("AV-6")
async def test_an_eleventh_poll_of_a_user_displaces_the_oldest(
    ann: Browser, base_url: str, services: Services
) -> None:
    browsers = [Browser(base_url) for _ in range(10)]
    for browser in browsers:
        await browser.sign_in(ANN)
    polls = []
    for count, browser in enumerate(browsers, 1):
        polls.append(poll(browser))
        await held(services, count)
    polls.append(poll(ann))

    assert (await polls[0]).code == 429
    await services.live.notify(await user_id(ann), "note")
    assert {answer.code for answer in await asyncio.gather(*polls[1:])} == {200}


@pytest.mark.parametrize("settings", [{"poll_max_per_process": 1}], indirect=True)
@pytest.mark.covers("AV-6")
async def test_beyond_what_the_process_may_hold_polls_are_sent_away(ann: Browser, services: Services) -> None:
    waiting = poll(ann)
    await held(services)

    answer = await poll(ann)
    assert (answer.code, body(answer)["code"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    await services.live.notify(await user_id(ann), "note")
    assert (await waiting).code == 200
    assert (await poll(ann, wait=0)).code == 200


@pytest.mark.covers("AV-7")
async def test_a_client_that_leaves_frees_its_place_at_once_and_is_logged_as_499(
    ann: Browser, services: Services, http_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "latchkey.access")
    cookie = "; ".join(f"{name}={value}" for name, value in ann.cookies.items())
    _, writer = await asyncio.open_connection("127.0.0.1", http_port)
    writer.write(f"GET /api/events HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n".encode())
    await held(services)
    writer.close()
    async with asyncio.timeout(5):
        while len(services.live.hub):
            await asyncio.sleep(0.005)
        while not any("/api/events 499" in line for line in caplog.messages):
            await asyncio.sleep(0.005)


@pytest.mark.covers("AV-7")
async def test_a_client_that_vanishes_without_a_word_is_gone_after_its_poll_and_the_idle_limit(
    ann: Browser, services: Services, app: Any
) -> None:
    """As when its network is gone: nothing comes from it any more, no end of the connection either."""
    server, (listening, port) = make_server(app, idle_seconds=0.5), bind_unused_port()
    server.add_socket(listening)
    cookie = "; ".join(f"{name}={value}" for name, value in ann.cookies.items())
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /api/events?wait=0.3 HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n".encode())
    await held(services)
    async with asyncio.timeout(5):
        while len(services.live.hub):
            await asyncio.sleep(0.005)
        answer = await reader.read()  # to the end of the connection

    assert answer.startswith(b"HTTP/1.1 200 ")
    writer.close()
    server.stop()


@pytest.mark.covers("AV-9")
async def test_a_stopping_server_answers_all_polls_at_once(
    ann: Browser, services: Services, app: Any
) -> None:
    waiting = poll(ann, after=0)
    await held(services)
    app.settings["stopping"].set()
    services.live.stop()

    answer = await waiting
    assert (answer.code, body(answer)["events"], body(answer)["cursor"]) == (200, [], 0)
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Connection"] == "close"
    again = [await poll(ann) for _ in range(20)]
    assert {answer.code for answer in again} == {200}
    assert 1 < len({answer.headers["Retry-After"] for answer in again}) <= 5


@pytest.mark.covers("TMO-7")
async def test_a_poll_counts_as_seen_but_not_as_active(
    ann: Browser, services: Services, sessions: Any
) -> None:
    await age(sessions, 600, "seen_at", "active_at", "expires_at")
    before = await sessions.find_one()
    assert (await poll(ann, wait=0)).code == 200
    await services.sessions.flush()

    after = await sessions.find_one()
    assert after["seen_at"] > before["seen_at"]
    assert after["expires_at"] > before["expires_at"]
    assert after["active_at"] == before["active_at"]


async def test_a_poll_that_only_watches_leaves_the_session_as_it_is(
    ann: Browser, services: Services, sessions: Any
) -> None:
    await age(sessions, 600, "seen_at", "active_at", "expires_at")
    before = await sessions.find_one()
    assert (await poll(ann, wait=0, touch=0)).code == 200
    await services.sessions.flush()

    assert await sessions.find_one() == before


@pytest.mark.parametrize(
    "settings", [{"session_idle_timeout": 3, "session_absolute_timeout": 7}], indirect=True
)
@pytest.mark.covers("TMO-5", "TMO-6")
async def test_polls_keep_a_session_alive_until_its_absolute_end(ann: Browser, sessions: Any) -> None:
    began = time.monotonic()
    answer = await poll(ann)

    assert (answer.code, body(answer)["code"]) == (401, "session_ended")
    assert 6 < time.monotonic() - began < 10
    assert not await ann.is_signed_in()


@pytest.mark.parametrize("settings", [{"session_idle_timeout": 3}], indirect=True)
@pytest.mark.covers("TMO-6")
async def test_without_being_kept_alive_a_session_ends_and_its_poll_says_so(ann: Browser) -> None:
    began = time.monotonic()
    answer = await poll(ann, touch=0)

    assert (answer.code, body(answer)["code"]) == (401, "session_ended")
    assert 2.5 < time.monotonic() - began < 6


@pytest.mark.parametrize("settings", [{"session_idle_timeout": 2}], indirect=True)
async def test_a_poll_at_its_deadline_sees_that_others_kept_the_session_alive(
    ann: Browser, services: Services, sessions: Any
) -> None:
    waiting = poll(ann, touch=0, wait=4)
    await held(services)
    later = {"expires_at": {"$add": ["$expires_at", 60_000]}, "lifetime.idle": 60}
    await sessions.update_many({}, [{"$set": later}])

    assert (await waiting).code == 200


async def test_a_sign_in_elsewhere_is_told_and_a_sign_up_is_not(
    ann: Browser, other_browser: Browser, services: Services
) -> None:
    assert body(await poll(ann, wait=0))["cursor"] == 0
    waiting = poll(ann, after=0)
    await held(services)
    await other_browser.sign_in(ANN)

    (event,) = body(await waiting)["events"]
    assert event["type"] == "signed_in"
    assert event["data"]["ip"] == "127.0.0.1"


async def test_a_revoked_session_is_told_to_the_others_and_its_own_polls_end(
    ann: Browser, other_browser: Browser, services: Services
) -> None:
    await other_browser.sign_in(ANN)
    sessions = body(await ann.get("/api/sessions"))["sessions"]
    (other,) = [session["id"] for session in sessions if not session["current"]]
    told, ended = poll(ann), poll(other_browser)
    await held(services, 2)
    assert (await ann.call("DELETE", f"/api/sessions/{other}")).code == 204

    assert body(await ended)["code"] == "session_ended"
    assert [event["type"] for event in body(await told)["events"]] == ["session_revoked"]


async def test_signing_all_others_out_is_told_to_who_stays(
    ann: Browser, other_browser: Browser, services: Services
) -> None:
    await other_browser.sign_in(ANN)
    told, ended = poll(ann, after=1), poll(other_browser)
    await held(services, 2)
    assert body(await ann.call("DELETE", "/api/sessions")) == {"ended": 1}
    assert body(await ended)["code"] == "session_ended"
    (event,) = body(await told)["events"]
    assert (event["seq"], event["type"]) == (2, "sessions_revoked")

    assert body(await ann.call("DELETE", "/api/sessions")) == {"ended": 0}
    await other_browser.sign_in(ANN)
    await ann.submit("/account/sessions/revoke-others", {}, page="/account/sessions")
    events = body(await poll(ann, after=2, wait=0))["events"]
    assert [event["type"] for event in events] == ["signed_in", "sessions_revoked"]


async def test_a_new_password_is_told_and_ends_the_polls_of_all_other_sessions(
    ann: Browser, other_browser: Browser, services: Services
) -> None:
    await other_browser.sign_in(ANN)
    ended = poll(other_browser)
    await held(services)
    fields = {"current_password": PASSWORD, "new_password": "another long password of hers"}
    assert (await ann.submit("/account/password", fields)).code == 303

    assert body(await ended)["code"] == "session_ended"
    events = body(await poll(ann, after=0))["events"]
    assert [event["type"] for event in events] == ["signed_in", "password_changed"]


async def test_a_deleted_account_leaves_no_mailbox(ann: Browser, services: Services) -> None:
    await services.live.notify(await user_id(ann), "note")
    assert (await ann.submit("/account/delete", {})).code == 303

    assert await services.database["mailboxes"].count_documents({}) == 0


@pytest.mark.parametrize("data", [{"n": float("nan")}, {1, 2}, "x" * 4095])
async def test_what_cannot_travel_is_refused_by_name(services: Services, data: Any) -> None:
    with pytest.raises(UnsendableEvent):
        await services.live.notify("ann", "note", data)
    assert await services.database["mailboxes"].count_documents({}) == 0


@pytest.mark.parametrize("data", [None, 2**70, {"$set": {"a.b": [1.5, "é"]}}, "x" * 4094])
async def test_data_arrive_as_they_were_sent(services: Services, data: Any) -> None:
    await services.live.notify("ann", "note", data)

    (event,) = (await services.live.mailboxes.find("ann")).events
    assert event.data == data
