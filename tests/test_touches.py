import asyncio
from collections.abc import Collection
from typing import Any

import pytest

from server.sessions import StoreUnavailable
from server.sessions.touches import MAX_WRITE, Touches

pytestmark = pytest.mark.gen_test

A, B = b"a", b"b"


class Writes:
    """A store that notes what is written, and fails when it is told to."""

    def __init__(self) -> None:
        self.writes: list[tuple[set[bytes], set[bytes]]] = []
        self.written = asyncio.Event()
        self.is_away = False

    async def __call__(self, active_ids: Collection[bytes], seen_ids: Collection[bytes]) -> None:
        self.written.set()
        if self.is_away:
            raise StoreUnavailable("away")
        self.writes.append((set(active_ids), set(seen_ids)))


@pytest.fixture
def store() -> Writes:
    return Writes()


@pytest.fixture
def touches(store: Writes, io_loop: Any) -> Any:
    made = Touches(store, tick=0.02)
    yield made
    io_loop.run_sync(made.close)


async def test_many_requests_make_one_write(store: Writes, touches: Touches) -> None:
    for _ in range(200):
        touches.add(A)
    touches.add(B, is_active=False)
    assert store.writes == []

    await store.written.wait()

    assert store.writes == [({A}, {B})]


async def test_requests_loaded_before_the_write_do_not_cause_another(store: Writes, touches: Touches) -> None:
    touches.add(A)
    await touches.flush()

    touches.add(A)
    touches.add(A, is_active=False)
    await touches.flush()

    assert store.writes == [({A}, set())]


async def test_a_person_counts_after_a_poll_has_been_written(store: Writes, touches: Touches) -> None:
    touches.add(A, is_active=False)
    await touches.flush()
    touches.add(A)
    await touches.flush()

    assert store.writes == [(set(), {A}), ({A}, set())]


async def test_a_poll_does_not_hide_a_person(store: Writes, touches: Touches) -> None:
    touches.add(A)
    touches.add(A, is_active=False)
    await touches.flush()

    assert store.writes == [({A}, set())]


async def test_a_tick_later_a_session_is_written_again(store: Writes, touches: Touches) -> None:
    for _ in range(3):
        store.written.clear()
        touches.add(A)
        await store.written.wait()
        while touches._written:
            await asyncio.sleep(0.005)

    assert store.writes == [({A}, set())] * 3


async def test_what_could_not_be_written_is_written_later(store: Writes, touches: Touches) -> None:
    store.is_away = True
    touches.add(A)
    await store.written.wait()
    store.is_away = False
    store.written.clear()

    await store.written.wait()

    assert store.writes == [({A}, set())]


async def test_the_end_writes_what_is_waiting(store: Writes) -> None:
    touches = Touches(store, tick=60)
    touches.add(A)

    await touches.close()

    assert store.writes == [({A}, set())]


async def test_the_end_does_not_wait_for_a_store_that_is_away(store: Writes) -> None:
    touches = Touches(store, tick=60)
    touches.add(A)
    store.is_away = True

    await touches.close()

    assert store.writes == []


async def test_a_write_has_a_bounded_size(store: Writes, touches: Touches) -> None:
    for number in range(MAX_WRITE + 1):
        touches.add(str(number).encode())
    await touches.flush()

    assert [len(active) for active, _ in store.writes] == [MAX_WRITE, 1]


async def test_the_more_are_waiting_the_earlier_a_session_must_not_wait(
    store: Writes, touches: Touches
) -> None:
    before = touches.margin
    for number in range(MAX_WRITE):
        touches.add(str(number).encode())

    assert touches.margin == before + touches.tick


async def test_a_tick_makes_one_write_however_many_sessions_wait(store: Writes, touches: Touches) -> None:
    for number in range(MAX_WRITE + 1):
        touches.add(str(number).encode())
    for already_written in (0, MAX_WRITE):
        assert sum(len(active) for active, _ in store.writes) == already_written
        store.written.clear()
        await store.written.wait()

    assert [len(active) for active, _ in store.writes] == [MAX_WRITE, 1]
