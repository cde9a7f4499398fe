"""The way in: what handlers use to send news, and to wait for them."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

from server.live.changes import Changes
from server.live.hub import Hub
from server.live.mailbox import Mailboxes
from server.live.poll import Poll
from server.sessions import Sessions


@asynccontextmanager
async def open_live(
    database: Any,
    sessions: Sessions,
    mailboxes: Mailboxes,
    deadline: float,
    *,
    poll_timeout: float,
    max_polls: int,
) -> AsyncIterator["Live"]:
    """Live news on this database, watched as long as the block runs.

    A poll waits at most `poll_timeout` seconds; a process holds at most `max_polls`.
    """
    hub = Hub(max_polls)
    async with Changes(database, hub, sessions.store, mailboxes, deadline) as changes:
        yield Live(sessions, mailboxes, hub, changes, poll_timeout)


class Live:
    """News for users, and polls that wait for them. Made by `open_live`."""

    def __init__(
        self, sessions: Sessions, mailboxes: Mailboxes, hub: Hub, changes: Changes, poll_timeout: float
    ) -> None:
        self.poll_timeout = poll_timeout
        self.mailboxes = mailboxes
        self.hub = hub
        self.changes = changes
        self._sessions = sessions

    async def notify(self, user_id: str, event_type: str, data: Any = None) -> int:
        """Tells the user, now or when they next ask. Returns the number of the event.

        `data` is what JSON can say, up to 4,096 bytes of it. Raises `UnsendableEvent` or `StoreUnavailable`.
        """
        return await self.mailboxes.put(user_id, event_type, data)

    def poll(self, session_ids: Collection[bytes]) -> Poll:
        """A poll whose cookie names these sessions. Close it in any case. Raises `HubFull`."""
        return Poll(self.hub, self._sessions, self.mailboxes, session_ids)

    def stop(self) -> None:
        """The server stops: all polls are answered now."""
        self.hub.stop()
