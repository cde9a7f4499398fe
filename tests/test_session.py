"""The verbs of a session, two requests at a time, on a real store."""

import asyncio
from typing import Any

import pytest
from pymongo.errors import OperationFailure

from server.services import Services
from server.sessions import Absence, Client, Options, Session, StoreUnavailable, UnstorableValue

pytestmark = pytest.mark.gen_test


class Requests:
    """Sessions as the requests of one browser get them."""

    def __init__(self, services: Services) -> None:
        self.store = services.sessions.store
        self.lifetime = services.lifetime
        self.options = Options()
        self.first: Session | None = None

    async def new(self, absence: Absence = Absence.NO_COOKIE) -> Session:
        return Session(self.store, self.lifetime, self.options, Client, absence=absence)

    async def begin(self, **data: Any) -> Session:
        """The request that starts a session with this data."""
        session = await self.new()
        session.update(data)
        assert await session.save()
        return session

    async def join(self, other: Session) -> Session:
        """Another request with the same cookie."""
        assert other.id is not None
        found = (await self.store.find([other.id])).get(other.id)
        return Session(self.store, self.lifetime, self.options, Client, record=found)

    async def stored(self, session: Session) -> dict[str, Any]:
        assert session.id is not None
        return dict((await self.store.find([session.id]))[session.id].data)


@pytest.fixture
def requests(services: Services) -> Requests:
    return Requests(services)


async def test_nothing_is_stored_until_there_is_something(requests: Requests, sessions: Any) -> None:
    session = await requests.new()

    assert await session.save()
    assert not session.needs_commit(touch=True)
    session["a"] = 1
    assert session.needs_commit(touch=False)
    assert await session.save()
    assert (await sessions.count_documents({}), session.token_to_send is not None) == (1, True)


@pytest.mark.covers("R2")
async def test_two_requests_that_change_different_keys_both_count(requests: Requests) -> None:
    one = await requests.begin(cart=[])
    two = await requests.join(one)
    one["cart"].append("apple")
    two["name"] = "Ann"

    assert await asyncio.gather(one.save(), two.save()) == [True, True]

    assert await requests.stored(one) == {"cart": ["apple"], "name": "Ann"}


@pytest.mark.covers("S162", "S166")
async def test_a_save_in_between_is_not_repeated_at_the_end(requests: Requests) -> None:
    session = await requests.begin(a=1)
    session["a"] = 2
    await session.save()

    assert not session.needs_commit(touch=False)
    session["a"] = 3
    assert session.needs_commit(touch=False)


@pytest.mark.covers("R1")
async def test_nothing_brings_back_what_another_request_ended(requests: Requests, sessions: Any) -> None:
    one = await requests.begin(a=1)
    two = await requests.join(one)
    await one.destroy()

    two["late"] = 1
    assert not await two.save()
    two["later"] = 1
    assert not await two.save()
    assert not await two.regenerate()
    assert await two.increment("n") is None
    assert await two.modify(lambda data: data.setdefault("x", 1)) is None
    assert not await two.reload()
    assert (await sessions.count_documents({}), two.token_to_send) == (0, None)


async def test_a_request_with_a_retired_token_starts_no_session(requests: Requests, sessions: Any) -> None:
    late = await requests.new(Absence.RETIRED)

    late["a"] = 1

    assert not await late.save()
    assert (await sessions.count_documents({}), late.token_to_send) == (0, None)


async def test_whoever_destroys_a_session_may_start_another(requests: Requests) -> None:
    session = await requests.begin(a=1)

    await session.destroy()
    assert session.is_cookie_to_clear
    session["b"] = 2
    assert await session.save()

    assert not session.is_cookie_to_clear
    assert await requests.stored(session) == {"b": 2}


async def test_a_new_token_keeps_data_age_and_user(requests: Requests, sessions: Any) -> None:
    session = await requests.begin(a=1)
    old_id, created, ends = session.id, session.created_at, session.ends_at
    session["b"] = 2

    assert await session.regenerate()

    assert session.id != old_id
    assert (session.created_at, session.ends_at) == (created, ends)
    assert await requests.stored(session) == {"a": 1, "b": 2}
    assert await sessions.count_documents({"retired": True, "_id": old_id}) == 1


@pytest.mark.covers("R5")
async def test_of_ten_rotations_at_once_one_wins(requests: Requests, sessions: Any) -> None:
    first = await requests.begin(a=1)
    rivals = [await requests.join(first) for _ in range(10)]

    outcomes = await asyncio.gather(*(rival.regenerate() for rival in rivals))

    assert sorted(outcomes) == [False] * 9 + [True]
    assert await sessions.count_documents({"retired": {"$exists": False}}) == 1


async def test_a_rotation_loses_nothing_that_was_written_meanwhile(requests: Requests) -> None:
    one = await requests.begin(a=1)
    two = await requests.join(one)
    two["b"] = 2
    await two.save()
    one["c"] = 3
    del one["a"]

    assert await one.regenerate()

    assert await requests.stored(one) == {"b": 2, "c": 3}


async def test_twenty_parallel_increments_make_twenty(requests: Requests) -> None:
    first = await requests.begin(a=1)
    rivals = [await requests.join(first) for _ in range(20)]

    sums = await asyncio.gather(*(rival.increment("n") for rival in rivals))

    assert sorted(filter(None, sums)) == list(range(1, 21))
    assert await requests.stored(first) == {"a": 1, "n": 20}


async def test_an_increment_starts_a_session_and_counts_on(requests: Requests) -> None:
    session = await requests.new()

    assert [await session.increment("n", 5), await session.increment("n", -2)] == [5, 3]
    assert session["n"] == 3


@pytest.mark.parametrize("value", ["text", [1], 2**63 - 1])
async def test_what_is_no_number_cannot_be_incremented(requests: Requests, value: Any) -> None:
    session = await requests.begin(n=value)

    with pytest.raises(UnstorableValue, match="number"):
        await session.increment("n")


@pytest.mark.covers("R3")
async def test_parallel_modifications_of_one_value_all_count(requests: Requests) -> None:
    first = await requests.begin(items=[])
    rivals = [await requests.join(first) for _ in range(10)]

    await asyncio.gather(
        *(rival.modify(lambda data, n=number: data["items"].append(n)) for number, rival in enumerate(rivals))
    )

    assert sorted((await requests.stored(first))["items"]) == list(range(10))


async def test_a_modification_that_raises_writes_nothing(requests: Requests) -> None:
    session = await requests.begin(a=1)

    def fail(data: Any) -> None:
        data["a"] = 2
        raise LookupError

    with pytest.raises(LookupError):
        await session.modify(fail)
    assert await requests.stored(session) == {"a": 1}
    assert session["a"] == 1


@pytest.mark.covers("R28")
async def test_a_message_is_shown_by_exactly_one_of_ten_requests(requests: Requests) -> None:
    first = await requests.begin(message="Welcome")
    rivals = [await requests.join(first) for _ in range(10)]

    shown = await asyncio.gather(*(rival.pop_atomic("message") for rival in rivals))

    assert sorted(filter(None, shown)) == ["Welcome"]


@pytest.mark.covers("S158")
async def test_reload_shows_what_others_wrote_and_drops_what_was_not_saved(requests: Requests) -> None:
    one = await requests.begin(a=1)
    two = await requests.join(one)
    two["a"] = 2
    await two.save()
    one["mine"] = 1

    assert await one.reload()

    assert dict(one) == {"a": 2}
    assert not one.needs_commit(touch=False)


@pytest.mark.covers("R6")
async def test_a_rotation_whose_insert_fails_leaves_everything_as_it_was(
    requests: Requests, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await requests.begin(a=1)
    token, session_id = session.token_to_send, session.id

    async def fail(_draft: Any) -> Any:
        raise StoreUnavailable from OperationFailure("on purpose")

    with monkeypatch.context() as patched:
        patched.setattr(requests.store, "insert", fail)
        with pytest.raises(StoreUnavailable):
            await session.regenerate()

    assert (session.token_to_send, session.id) == (token, session_id)
    assert await requests.stored(session) == {"a": 1}


async def test_a_rotation_after_a_save_does_not_undo_what_others_wrote(requests: Requests) -> None:
    one = await requests.begin(x=1)
    two = await requests.join(one)
    two["x"] = 2
    await two.save()
    one["y"] = 1
    await one.save()

    assert await one.regenerate()

    assert await requests.stored(one) == {"x": 2, "y": 1}


async def test_a_rotation_may_keep_some_keys_only_and_then_belongs_to_nobody(requests: Requests) -> None:
    session = await requests.begin()
    await session.start(
        {"user": 1, "cart": [1]}, user_id="u", epoch=0, lifetime=requests.lifetime, client=Client()
    )

    assert await session.regenerate(keep=["cart", "unknown"])

    assert (dict(session), session.user_id) == ({"cart": [1]}, None)
    assert await requests.stored(session) == {"cart": [1]}


async def test_a_change_made_while_a_save_is_under_way_still_counts(requests: Requests) -> None:
    session = await requests.begin(a=1)
    session["a"] = 2

    async def change_meanwhile() -> None:
        session["a"] = 3
        session["b"] = 3

    await asyncio.gather(session.save(), change_meanwhile())
    await session.save()

    assert await requests.stored(session) == {"a": 3, "b": 3}


async def test_reloading_what_is_not_stored_yet_leaves_it_usable(requests: Requests) -> None:
    session = await requests.new()
    session["a"] = 1

    assert not await session.reload()

    assert dict(session) == {}
    session["b"] = 2
    assert await session.save()


async def test_destroying_a_session_that_has_a_new_token_leaves_its_cookie_alone(requests: Requests) -> None:
    one = await requests.begin(a=1)
    late = await requests.join(one)
    await one.regenerate()

    await late.destroy()

    assert not late.is_cookie_to_clear
    assert await requests.stored(one) == {"a": 1}
