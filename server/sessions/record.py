"""What a store keeps of a session, and the rules of its lifetime. Nothing here does I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

USER_AGENT_LENGTH = 255
MAX_SECONDS = 10 * 366 * 86400


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a session may live. Travels with the session, so that rotation cannot stretch it.

    `idle` and `absolute` are seconds: without activity, and in all. A `persistent` session survives the
    closing of the browser ("remember me"). Source: OWASP ASVS 7.3.1 and 7.3.2.
    """

    idle: int
    absolute: int
    persistent: bool = False

    def __post_init__(self) -> None:
        for seconds in (self.idle, self.absolute):
            if not 0 < seconds <= MAX_SECONDS:
                raise ValueError(
                    f"a lifetime is {seconds} seconds; expected more than 0 and at most 10 years"
                )

    def expires_at(self, now: datetime, ends_at: datetime) -> datetime:
        """When a session that is touched `now` expires: after `idle` seconds, but never past `ends_at`."""
        return min(now + timedelta(seconds=self.idle), ends_at)


@dataclass(frozen=True, slots=True)
class Client:
    """Who opened a session, for the list of sessions: a label for people, the address, the raw user agent."""

    label: str = ""
    ip: str = ""
    user_agent: str = ""


@dataclass(frozen=True, slots=True)
class SessionDraft:
    """A session about to be stored. The store adds the times, by its own clock.

    `created_at` and `ends_at` are set only when a session gets a new token and keeps its age.
    """

    id: bytes
    handle: str
    data: Mapping[str, Any]
    lifetime: Lifetime
    client: Client
    user_id: str | None = None
    epoch: int | None = None
    created_at: datetime | None = None
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A live session as it was in the store at `now`, the store's clock. All times are aware and UTC.

    `seen_at` moves with every request and poll, `active_at` only with requests that a person caused. `rev`
    is raised by every write of data. `user_id` and `epoch` are None while nobody is signed in.
    """

    id: bytes
    handle: str
    data: Mapping[str, Any]
    rev: int
    lifetime: Lifetime
    client: Client
    user_id: str | None
    epoch: int | None
    created_at: datetime
    seen_at: datetime
    active_at: datetime
    expires_at: datetime
    ends_at: datetime
    now: datetime

    def is_touch_due(self, interval: float) -> bool:
        """Whether the idle timeout should be moved on: not again before `interval` seconds, or a tenth of the
        timeout, have passed."""
        return (self.now - self.seen_at).total_seconds() >= min(interval, self.lifetime.idle / 10)


@dataclass(frozen=True, slots=True)
class RetiredRecord:
    """The mark that a rotation leaves under the old id for a minute. It leads nowhere, least of all to the
    new session: whoever planted the old token would be signed in (session fixation)."""

    id: bytes
