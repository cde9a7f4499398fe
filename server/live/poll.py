"""One long-poll: waits for news of its user and for the end of its session, and keeps the session alive."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from server.live.hub import Hub
from server.live.mailbox import Mailboxes, News
from server.sessions import RetiredRecord, SessionRecord, Sessions

SHORTEST_WAIT_SECONDS = 0.05  # at its last moment a session may still be alive by the database's clock


class Outcome(Enum):
    """Why a poll is answered."""

    NEWS = auto()
    TIME_UP = auto()
    RETIRED = auto()  # the session got a new token: the browser asks again with its new cookie
    STOPPING = auto()
    ENDED = auto()
    DISPLACED = auto()  # by newer polls of the same session or user
    LEFT = auto()  # the client has gone


@dataclass(frozen=True, slots=True)
class PollAnswer:
    """What a poll learnt. `expires_at`: when the session ends if nothing more happens; None if it is gone."""

    outcome: Outcome
    news: News
    expires_at: datetime | None = None


class Poll:
    """Takes its place in the hub when it is made, before anything is looked up: a session that ends, or news
    that come, during the lookup are not missed. `close` frees the place."""

    __slots__ = ("_has_left", "_hub", "_mailboxes", "_sessions", "_waiter")

    def __init__(
        self, hub: Hub, sessions: Sessions, mailboxes: Mailboxes, session_ids: Collection[bytes]
    ) -> None:
        self._hub = hub
        self._sessions = sessions
        self._mailboxes = mailboxes
        self._waiter = hub.register(session_ids)
        self._has_left = False

    async def wait(
        self, record: SessionRecord, user_id: str, after: int | None, seconds: float, *, keep_alive: bool
    ) -> PollAnswer:
        """Waits at most so many seconds for what comes after the cursor `after`, None for the newest.

        `record` is the session as the request found it. With `keep_alive` it does not idle out meanwhile; it
        never outlives its end, and is never brought back. Raises `StoreUnavailable`.
        """
        clock = asyncio.get_running_loop().time
        end = clock() + seconds
        if seconds > 0:  # who only looks takes nobody's place
            self._hub.claim(self._waiter, user_id)
        news = await self._news(user_id, after)
        while True:
            expires_at = await self._sessions.keep_alive(record) if keep_alive else record.expires_at
            if outcome := self._outcome(news, is_time_up=clock() >= end):
                return PollAnswer(outcome, news, expires_at)
            await self._waiter.wait(min(end - clock(), _seconds_to_next_look(record, expires_at, keep_alive)))
            if self._has_left:
                return PollAnswer(Outcome.LEFT, news)
            if self._hub.is_stopping:  # what we do not know, the next process will tell
                return PollAnswer(Outcome.STOPPING, news, expires_at)
            # Whatever it was that woke us is a hint; the database decides.
            async with self._hub.turns:
                found = await self._sessions.find(record.id)
            if not isinstance(found, SessionRecord):
                is_retired = isinstance(found, RetiredRecord)
                return PollAnswer(Outcome.RETIRED if is_retired else Outcome.ENDED, News((), news.cursor))
            record = found
            news = await self._news(user_id, news.cursor)

    def leave(self) -> None:
        """The client has gone: nobody waits for the answer any more."""
        self._has_left = True
        self._waiter.wake()
        self.close()

    def close(self) -> None:
        """Frees the place in the hub. Harmless if it is free."""
        self._hub.release(self._waiter)

    def _outcome(self, news: News, *, is_time_up: bool) -> Outcome | None:
        if self._has_left:
            return Outcome.LEFT
        if news.events or news.missed:
            return Outcome.NEWS
        if self._waiter.is_displaced:
            return Outcome.DISPLACED
        if self._hub.is_stopping:
            return Outcome.STOPPING
        return Outcome.TIME_UP if is_time_up else None

    async def _news(self, user_id: str, after: int | None) -> News:
        async with self._hub.turns:
            mailbox = await self._mailboxes.find(user_id)
        return mailbox.after(mailbox.seq if after is None else after)


def _seconds_to_next_look(record: SessionRecord, expires_at: datetime, keep_alive: bool) -> float:
    """At its end by our clock a poll looks whether another request has kept the session alive; one that
    keeps it alive itself does so long before."""
    left = (expires_at - record.now).total_seconds()
    seconds = min(left, record.lifetime.idle / 3) if keep_alive else left
    return max(seconds, SHORTEST_WAIT_SECONDS)
