"""Lookups that arrive together travel together: one find for many requests."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

# MongoDB sends up to 101 documents with its first answer; more would cost a second trip.
MAX_BATCH = 100


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter(Generic[K, V]):
    keys: Collection[K]
    deadline: float
    result: "asyncio.Future[dict[K, V]]"


class Lookups(Generic[K, V]):
    """Collects lookups while one is under way, and sends them as the next.

    No delay: a lone lookup waits for nobody, and the busier the store, the larger the batches. A lookup never
    joins one that was sent before it came: an end that was acknowledged in between would be missed. Everybody
    gets copies of their own. What goes wrong reaches all who waited for it and nobody else; a waiter that is
    cancelled disturbs nobody.

    `fetch` gets up to `MAX_BATCH` keys and returns what it found; `copy` copies a value. `deadline` is the
    longest that a lookup waits, in seconds, whatever those before it are waiting for.
    """

    def __init__(
        self,
        fetch: Callable[[Collection[K]], Awaitable[Mapping[K, V]]],
        copy: Callable[[V], V],
        deadline: float,
    ) -> None:
        self._fetch = fetch
        self._copy = copy
        self._deadline = deadline
        self._waiting: list[_Waiter[K, V]] = []
        self._sent: list[_Waiter[K, V]] = []
        self._under_way: asyncio.Task[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None

    async def find(self, keys: Collection[K]) -> dict[K, V]:
        """The values of those keys that have one. Raises `TimeoutError` after `deadline` seconds."""
        loop = asyncio.get_running_loop()
        waiter: _Waiter[K, V] = _Waiter(keys, loop.time() + self._deadline, loop.create_future())
        self._waiting.append(waiter)
        if self._under_way is None:
            self._under_way = asyncio.create_task(self._work())
        if self._alarm is None:
            self._alarm = loop.call_at(waiter.deadline, self._on_alarm)
        return await waiter.result

    async def _work(self) -> None:
        try:
            while self._waiting:
                self._sent = self._next_batch()
                await self._serve(self._sent)
        finally:
            self._sent, self._under_way = [], None

    def _next_batch(self) -> list[_Waiter[K, V]]:
        waiting = [waiter for waiter in self._waiting if not waiter.result.done()]
        batch: list[_Waiter[K, V]] = []
        keys: set[K] = set()
        for waiter in waiting:
            if batch and len(keys) + len(waiter.keys) > MAX_BATCH:
                break
            keys.update(waiter.keys)
            batch.append(waiter)
        self._waiting = waiting[len(batch) :]
        return batch

    async def _serve(self, batch: list[_Waiter[K, V]]) -> None:
        try:
            found = await self._fetch({key for waiter in batch for key in waiter.keys})
        except Exception as error:  # noqa: BLE001 - it belongs to those who wait
            for waiter in batch:
                if not waiter.result.done():
                    waiter.result.set_exception(error)
            return
        handed_out: set[K] = set()
        for waiter in batch:
            if waiter.result.done():
                continue
            keys = [key for key in waiter.keys if key in found]
            # The original goes to the first who asked for it: most values have only one who does.
            waiter.result.set_result(
                {key: self._copy(found[key]) if key in handed_out else found[key] for key in keys}
            )
            handed_out.update(keys)

    def _on_alarm(self) -> None:
        """Fails those who have waited too long. It is one timer for all, set for the first of them: one a
        request would cost more than the rest of the lookup."""
        loop = asyncio.get_running_loop()
        unanswered = [waiter for waiter in (*self._sent, *self._waiting) if not waiter.result.done()]
        for waiter in unanswered:
            if waiter.deadline <= loop.time():
                waiter.result.set_exception(TimeoutError("no answer in time"))
        next_deadline = min(
            (waiter.deadline for waiter in unanswered if not waiter.result.done()), default=None
        )
        self._alarm = None if next_deadline is None else loop.call_at(next_deadline, self._on_alarm)
