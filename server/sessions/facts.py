"""What is known of a session: facts for handlers to read."""

from collections.abc import Callable
from datetime import datetime
from enum import Enum, auto
from typing import Any

from server.sessions.data import SessionData
from server.sessions.record import Client, Lifetime, SessionRecord


class Absence(Enum):
    """Why a request has no live session, and whether writing to it may start one."""

    NO_COOKIE = auto()  # none was sent, or none with a good signature
    ENDED = auto()  # a well-signed cookie came, but its session had ended or expired
    RETIRED = auto()  # its session has just got a new token: an answer of ours would overwrite that cookie
    ENDED_MEANWHILE = auto()  # it was alive when the request came: nothing may bring it back

    @property
    def may_start(self) -> bool:
        return self in {Absence.NO_COOKIE, Absence.ENDED}


class SessionFacts(SessionData):
    """The data of a session, and facts about it. All but the first two are None while nothing is stored."""

    def __init__(self, encode: Callable[[Any], bytes], touch_interval: float, absence: Absence) -> None:
        super().__init__(encode)
        self._touch_interval = touch_interval
        self._absence = absence
        self._record: SessionRecord | None = None

    def __repr__(self) -> str:
        return f"<Session {self.handle or 'new'}>"  # no data: it may end up in a log

    @property
    def is_new(self) -> bool:
        """Whether nothing is stored, so that writing would start a session."""
        return self._record is None

    @property
    def absence(self) -> Absence | None:
        """Why there is no live session, or None if there is one."""
        return self._absence if self._record is None else None

    @property
    def id(self) -> bytes | None:
        """The store's id, the digest of the token. For keyed hashes, never for people."""
        return self._record.id if self._record else None

    @property
    def record(self) -> SessionRecord | None:
        """All that was stored when the session was read."""
        return self._record

    @property
    def handle(self) -> str | None:
        """The public name, for lists and logs."""
        return self._record.handle if self._record else None

    @property
    def user_id(self) -> str | None:
        return self._record.user_id if self._record else None

    @property
    def lifetime(self) -> Lifetime | None:
        return self._record.lifetime if self._record else None

    @property
    def client(self) -> Client | None:
        """Who opened it."""
        return self._record.client if self._record else None

    @property
    def created_at(self) -> datetime | None:
        return self._record.created_at if self._record else None

    @property
    def read_at(self) -> datetime | None:
        """The store's clock when the session was read; the other times are by that clock."""
        return self._record.now if self._record else None

    @property
    def expires_at(self) -> datetime | None:
        """When it ends if nothing happens after this request."""
        record = self._record
        if record is None:
            return None
        if self.is_touch_due():
            return record.lifetime.expires_at(record.now, record.ends_at)
        return record.expires_at

    @property
    def ends_at(self) -> datetime | None:
        """When it ends whatever happens."""
        return self._record.ends_at if self._record else None

    @property
    def cookie_max_age(self) -> int | None:
        """Seconds the browser may keep the cookie, or None: until it is closed."""
        record = self._record
        if record is None or not record.lifetime.persistent:
            return None
        return max(1, int((record.ends_at - record.now).total_seconds()))

    def is_touch_due(self) -> bool:
        """Whether the idle timeout should be moved on: not again before the touch interval has passed."""
        return self._record is not None and self._record.is_touch_due(self._touch_interval)
