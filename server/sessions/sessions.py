"""The way in: a store, a cookie and the lifetimes, put together once for the application."""

from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import replace
from datetime import datetime

from server.sessions.batching import Lookups
from server.sessions.cookie import SessionCookie
from server.sessions.events import tell
from server.sessions.facts import Absence
from server.sessions.options import Options
from server.sessions.record import Client, Lifetime, RetiredRecord, SessionRecord
from server.sessions.session import Session
from server.sessions.store import SessionStore, StoreUnavailable
from server.sessions.token import digest
from server.sessions.touches import Touches


class Sessions:
    """Finds the session of each request. Give it to Tornado as `Application(..., sessions=Sessions(...))`.

    `lifetime` is that of a session that nobody signed in to; sign-in chooses its own.
    """

    def __init__(
        self, store: SessionStore, cookie: SessionCookie, lifetime: Lifetime, options: Options | None = None
    ) -> None:
        self.store = store
        self.cookie = cookie
        self._lifetime = lifetime
        self._options = options or Options()
        self._lookups = Lookups(store.find, _copy, self._options.deadline)
        self._touches = Touches(store.touch)

    async def load(self, cookie_headers: Iterable[str], client: Callable[[], Client]) -> Session:
        """The session that the `Cookie` headers of a request name, or a new, empty one.

        Without a well-signed cookie the store is not asked. `client` is called only if a session starts.
        Raises `StoreUnavailable`.
        """
        tokens = self.cookie.read(cookie_headers)
        if not tokens:
            return self._session(client, Absence.NO_COOKIE)
        ids = [digest(token.value) for token in tokens]
        found = await self._find(ids)
        for token, session_id in zip(tokens, ids, strict=True):
            record = found.get(session_id)
            if isinstance(record, SessionRecord):
                session = self._session(client, Absence.NO_COOKIE, record)
                if not token.is_current:
                    session.send_again(token.value)
                return session
        was_retired = any(isinstance(record, RetiredRecord) for record in found.values())
        if was_retired:
            return self._session(client, Absence.RETIRED)
        tell(self._options.events.expired_seen)
        return self._session(client, Absence.ENDED)

    def ids(self, cookie_headers: Iterable[str]) -> list[bytes]:
        """The store's ids for the well-signed cookies of a request, whether they live or not."""
        return [digest(token.value) for token in self.cookie.read(cookie_headers)]

    async def find(self, session_id: bytes) -> SessionRecord | RetiredRecord | None:
        """What is stored of a session now, for who waits on it. Raises `StoreUnavailable`."""
        return (await self._find([session_id])).get(session_id)

    async def keep_alive(self, record: SessionRecord) -> datetime:
        """Moves the idle timeout of a session on, if that is due, without calling a person active.

        Returns when the session ends if nothing happens after that. Raises `StoreUnavailable`.
        """
        if not record.is_touch_due(self._options.touch_interval):
            return record.expires_at
        if (record.expires_at - record.now).total_seconds() < self._touches.margin:
            await self.store.touch([], [record.id])  # it might end before the next collected write
        else:
            self._touches.add(record.id, is_active=False)
        return record.lifetime.expires_at(record.now, record.ends_at)

    async def flush(self) -> None:
        """Writes now what was collected to keep sessions alive."""
        await self._touches.flush()

    async def close(self) -> None:
        """Call it at the end, while the store is still there: writes what was collected."""
        await self._touches.close()

    def cookie_line(self, session: Session) -> str | None:
        """The `Set-Cookie` line that the answer to this session's request needs, or None."""
        if session.token_to_send:
            return self.cookie.set_line(session.token_to_send, session.cookie_max_age)
        return self.cookie.clear_line() if session.is_cookie_to_clear else None

    async def _find(self, ids: list[bytes]) -> dict[bytes, SessionRecord | RetiredRecord]:
        try:
            return await self._lookups.find(ids)
        except TimeoutError:
            raise StoreUnavailable("no answer in time") from None

    def _session(
        self, client: Callable[[], Client], absence: Absence, record: SessionRecord | None = None
    ) -> Session:
        return Session(
            self.store, self._lifetime, self._options, client,
            record=record, absence=absence, touches=self._touches,
        )  # fmt: skip


def _copy(record: SessionRecord | RetiredRecord) -> SessionRecord | RetiredRecord:
    return replace(record, data=deepcopy(record.data)) if isinstance(record, SessionRecord) else record
