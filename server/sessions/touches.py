"""Touches that come together are written together: one write a tick for all sessions of a process."""

import asyncio
import logging
from collections.abc import Collection
from contextlib import suppress
from itertools import islice
from typing import Protocol

from server.sessions.store import StoreUnavailable

TICK_SECONDS = 1.0
MAX_WRITE = 5000  # takes a quarter of a second; a store that is slow must not fail at the whole of it
MAX_WAITING = 100_000

logger = logging.getLogger("latchkey.sessions")


class _Write(Protocol):
    async def __call__(self, active_ids: Collection[bytes], seen_ids: Collection[bytes]) -> None: ...


class Touches:
    """Collects the sessions that must be kept alive and writes them `tick` seconds after the first.

    A session is written once however many requests ask for it, and not again in the tick after, when requests
    that were loaded before the write still end. A write has at most 5,000 sessions; those that are left, or
    that could not be written, go with the next. Beyond 100,000 new ones are not taken: their next request
    asks again.
    """

    def __init__(self, write: _Write, tick: float = TICK_SECONDS) -> None:
        self.tick = tick
        self._write = write
        self._waiting: dict[bytes, bool] = {}  # session id: whether a person was active
        self._written: dict[bytes, bool] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._writer: asyncio.Task[None] | None = None

    @property
    def margin(self) -> float:
        """Seconds within which what is added now is written. A session that may end sooner must not wait."""
        return (2 + len(self._waiting) // MAX_WRITE) * self.tick

    def add(self, session_id: bytes, *, is_active: bool = True) -> None:
        """Has the session kept alive with the next write. `is_active`: a person did something, not a poll."""
        if self._written.get(session_id) in {True, is_active}:
            return
        if len(self._waiting) >= MAX_WAITING:
            return
        self._waiting[session_id] = self._waiting.get(session_id, False) or is_active
        if self._timer is None and self._writer is None:
            self._wait_a_tick()

    async def flush(self) -> None:
        """Writes what is waiting, now. Raises `StoreUnavailable`; then it waits on."""
        while self._waiting:
            await self._write_some()

    async def close(self) -> None:
        """Writes what is waiting, and stops. A store that is away is not waited for."""
        if self._timer:
            self._timer.cancel()
        if self._writer:
            self._writer.cancel()
            with suppress(asyncio.CancelledError):
                await self._writer
        try:
            await self.flush()
        except StoreUnavailable as error:
            logger.warning("%d touches were not written at the end: %s", len(self._waiting), error)

    def _wait_a_tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self.tick, self._on_tick)

    def _on_tick(self) -> None:
        self._timer, self._written = None, {}
        if self._waiting:
            self._writer = asyncio.create_task(self._write_and_wait())

    async def _write_and_wait(self) -> None:
        try:
            await self._write_some()
        except StoreUnavailable as error:
            logger.warning("%d touches wait for the store: %s", len(self._waiting), error)
        finally:
            self._writer = None
        # One more tick even if nothing is left, to forget what was written.
        self._wait_a_tick()

    async def _write_some(self) -> None:
        batch = dict(islice(self._waiting.items(), MAX_WRITE))
        await self._write(
            [session_id for session_id, is_active in batch.items() if is_active],
            [session_id for session_id, is_active in batch.items() if not is_active],
        )
        for session_id, is_active in batch.items():
            # It may have become more than it was while the write was under way.
            if self._waiting.get(session_id) == is_active:
                del self._waiting[session_id]
        self._written |= batch
