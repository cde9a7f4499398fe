import asyncio
from collections.abc import Collection
from copy import deepcopy
from typing import Any

import pytest

from server.sessions.batching import MAX_BATCH, Lookups

pytestmark = pytest.mark.gen_test


class Store:
    """A store whose answers come when the test says so."""

    def __init__(self, deadline: float = 60) -> None:
        self.values: dict[Any, Any] = {}
        self.asked: list[set[Any]] = []
        self.answers: asyncio.Queue[BaseException | None] = asyncio.Queue()
        self.lookups: Lookups[Any, Any] = Lookups(self.fetch, deepcopy, deadline)

    async def fetch(self, keys: Collection[Any]) -> dict[Any, Any]:
        self.asked.append(set(keys))
        seen = {key: self.values[key] for key in keys if key in self.values}
        error = await self.answers.get()
        if error:
            raise error
        return seen

    def ask(self, *keys: Any) -> "asyncio.Task[dict[Any, Any]]":
        return asyncio.ensure_future(self.lookups.find(keys))

    def answer(self, error: BaseException | None = None) -> None:
        self.answers.put_nowait(error)


@pytest.fixture
def store(io_loop: Any) -> Store:
    async def make() -> Store:
        return Store()

    made: Store = io_loop.run_sync(make)
    return made


async def settle() -> None:
    """Lets everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_lone_lookup_waits_for_nobody(store: Store) -> None:
    store.values = {"a": 1}
    asked = store.ask("a", "unknown")
    await settle()
    assert store.asked == [{"a", "unknown"}]
    store.answer()

    assert await asked == {"a": 1}


async def test_what_comes_while_one_is_under_way_travels_together(store: Store) -> None:
    first = store.ask("a")
    await settle()
    others = [store.ask(key) for key in "bcd"]
    await settle()
    assert store.asked == [{"a"}]

    store.answer()
    await first
    store.answer()
    await asyncio.gather(*others)

    assert store.asked == [{"a"}, {"b", "c", "d"}]


async def test_nobody_joins_a_lookup_that_was_sent_before(store: Store) -> None:
    """The session ends between the first find and the second request, which must see that."""
    store.values = {"a": "alive"}
    early = store.ask("a")
    await settle()
    del store.values["a"]
    late = store.ask("a")
    store.answer()
    store.answer()

    assert await early == {"a": "alive"}
    assert await late == {}


async def test_everybody_gets_a_copy(store: Store) -> None:
    store.values = {"a": {"cart": []}}
    block = store.ask("x")
    await settle()
    one, two = store.ask("a"), store.ask("a")
    store.answer()
    store.answer()
    await block

    (await one)["a"]["cart"].append("apple")

    assert await two == {"a": {"cart": []}}


async def test_a_failure_reaches_those_who_waited_for_it_and_nobody_else(store: Store) -> None:
    first = store.ask("a")
    await settle()
    second = store.ask("b")
    store.answer(LookupError("broken"))
    store.answer()

    with pytest.raises(LookupError):
        await first
    assert await second == {}


async def test_a_waiter_that_leaves_disturbs_nobody(store: Store) -> None:
    store.values = {"a": 1, "b": 2}
    first = store.ask("a")
    await settle()
    leaving, staying = store.ask("a"), store.ask("b")
    await settle()
    first.cancel()
    leaving.cancel()
    await settle()
    store.answer()
    store.answer()

    assert await staying == {"b": 2}
    assert store.asked[1] == {"b"}


async def test_no_batch_is_larger_than_one_answer_of_the_database(store: Store) -> None:
    asked = [store.ask(-1)]
    await settle()
    asked += [store.ask(number) for number in range(MAX_BATCH * 2 + 1)]
    for _ in range(4):
        store.answer()

    await asyncio.gather(*asked)

    assert [len(keys) for keys in store.asked] == [1, MAX_BATCH, MAX_BATCH, 1]


async def test_after_a_pause_it_works_again(store: Store) -> None:
    for _ in range(3):
        asked = store.ask("a")
        store.answer()
        await asked
        await settle()

    assert store.asked == [{"a"}] * 3


async def test_each_lookup_has_its_deadline_counted_from_its_own_arrival(store: Store) -> None:
    loop, hanging = asyncio.get_running_loop(), Store(deadline=0.1)
    began = loop.time()
    first = hanging.ask("a")
    await asyncio.sleep(0.05)
    second = hanging.ask("b")  # waits behind the first, which never gets an answer

    for asked, due in [(first, 0.1), (second, 0.15)]:
        with pytest.raises(TimeoutError):
            await asked
        assert due - 0.005 <= loop.time() - began
    hanging.answer()  # or its work is still pending when the loop closes, and fails some later test
    hanging.answer()
    await settle()


async def test_an_answer_in_time_is_not_spoiled_by_an_earlier_one_that_was_late(store: Store) -> None:
    slow = Store(deadline=0.1)
    slow.values = {"a": 1, "b": 2}
    late = slow.ask("a")
    await asyncio.sleep(0.05)
    in_time = slow.ask("b")
    with pytest.raises(TimeoutError):
        await late
    slow.answer()
    slow.answer()

    assert await in_time == {"b": 2}
