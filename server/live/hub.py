"""Who waits for news in this process, and whom a change concerns."""

import asyncio
from collections.abc import Collection, Hashable, Iterable
from typing import TypeVar

POLLS_PER_SESSION = 2
POLLS_PER_USER = 10
LOOKS_AT_ONCE = 200

K = TypeVar("K", bound=Hashable)


class HubFull(Exception):
    """As many polls wait here as may; another process or a later moment may have room."""


class Waiter:
    """One poll's place in the hub. Whatever happens to it before it waits is not lost."""

    __slots__ = ("_future", "_is_woken", "is_displaced", "session_ids", "user_id")

    def __init__(self, session_ids: Collection[bytes]) -> None:
        self.session_ids = tuple(session_ids)
        self.user_id: str | None = None
        self.is_displaced = False
        self._is_woken = False
        self._future: asyncio.Future[None] | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether the poll sleeps, with nothing to look up."""
        return self._future is not None

    async def wait(self, seconds: float) -> None:
        """Waits at most so long until it is woken; not at all if it was woken since the last time."""
        if not self._is_woken and seconds > 0:
            loop = asyncio.get_running_loop()
            self._future = loop.create_future()
            timer = loop.call_later(seconds, _resolve, self._future)
            try:
                await self._future
            finally:
                timer.cancel()
                self._future = None
        self._is_woken = False

    def wake(self) -> None:
        self._is_woken = True
        if self._future:
            _resolve(self._future)


class Hub:
    """Knows the waiters by session and by user. `max_waiters` is for the whole process."""

    def __init__(self, max_waiters: int) -> None:
        self._max_waiters = max_waiters
        self._all: dict[Waiter, None] = {}
        self._by_session: dict[bytes, list[Waiter]] = {}
        self._by_user: dict[str, list[Waiter]] = {}
        self.is_stopping = False
        self.turns = asyncio.Semaphore(LOOKS_AT_ONCE)
        """Hold one while looking something up: ten thousand polls that wake together must not fill the queue
        in front of the database, where requests of people wait too and give up after their deadline."""

    def __len__(self) -> int:
        return len(self._all)

    def register(self, session_ids: Collection[bytes]) -> Waiter:
        """A place for a poll whose cookie names these sessions. Raises `HubFull`.

        Register before looking anything up: what changes during the lookup then wakes the waiter.
        """
        if len(self._all) >= self._max_waiters:
            raise HubFull
        waiter = Waiter(session_ids)
        self._all[waiter] = None
        for session_id in waiter.session_ids:
            self._by_session.setdefault(session_id, []).append(waiter)
        return waiter

    def claim(self, waiter: Waiter, user_id: str) -> None:
        """Notes whose poll it is. Too many of a session or a user displace the oldest, not the newest: that
        one may be of a tab that is long gone."""
        if waiter not in self._all:
            return  # its client left while the session was looked up
        waiter.user_id = user_id
        self._by_user.setdefault(user_id, []).append(waiter)
        for session_id in waiter.session_ids:
            _displace_oldest(self._by_session[session_id], POLLS_PER_SESSION)
        _displace_oldest(self._by_user[user_id], POLLS_PER_USER)

    def release(self, waiter: Waiter) -> None:
        """Frees the place. Harmless if it is free."""
        if waiter not in self._all:
            return
        del self._all[waiter]
        for session_id in waiter.session_ids:
            _remove(self._by_session, session_id, waiter)
        if waiter.user_id is not None:
            _remove(self._by_user, waiter.user_id, waiter)

    def wake_session(self, session_id: bytes) -> None:
        _wake(self._by_session.get(session_id, ()))

    def wake_user(self, user_id: str) -> None:
        _wake(self._by_user.get(user_id, ()))

    def wake_all(self) -> None:
        """Has every poll look again, because nobody knows what happened."""
        _wake(self._all)

    def stop(self) -> None:
        """Wakes all for the last time: the server stops."""
        self.is_stopping = True
        self.wake_all()

    def waiters(self) -> list[Waiter]:
        """All that have a place."""
        return list(self._all)

    def session_ids(self) -> list[bytes]:
        """The sessions that somebody waits for."""
        return list(self._by_session)

    def user_ids(self) -> list[str]:
        """The users that somebody waits for."""
        return list(self._by_user)


def _displace_oldest(waiters: list[Waiter], allowed: int) -> None:
    staying = [waiter for waiter in waiters if waiter.user_id is not None and not waiter.is_displaced]
    for waiter in staying[: max(0, len(staying) - allowed)]:
        waiter.is_displaced = True
        waiter.wake()


def _remove(index: dict[K, list[Waiter]], key: K, waiter: Waiter) -> None:
    waiters = index[key]
    waiters.remove(waiter)
    if not waiters:
        del index[key]


def _wake(waiters: Iterable[Waiter]) -> None:
    for waiter in waiters:
        waiter.wake()


def _resolve(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
