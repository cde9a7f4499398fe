"""What an application may want to hear of: sessions that begin, change their token and end."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from server.sessions.record import SessionRecord

logger = logging.getLogger("latchkey.sessions")


@dataclass(frozen=True, slots=True)
class SessionEvents:
    """Plain functions, called in the request once the store has acknowledged. An error in one is logged and
    goes no further; what takes time belongs in a task.

    created: a session was stored, by a first write or by a sign-in.
    renewed: a session got a new token; the handle it had before comes with it.
    destroyed: a request ended a session. Ends by time, or of many at once, are not told one by one.
    expired_seen: a well-signed cookie came whose session was gone. Many of them may mean a lost database.
    """

    created: Callable[[SessionRecord], None] | None = None
    renewed: Callable[[SessionRecord, str], None] | None = None
    destroyed: Callable[[SessionRecord], None] | None = None
    expired_seen: Callable[[], None] | None = None


def together(*several: SessionEvents) -> SessionEvents:
    """Listeners that call all of these, in this order."""

    def all_of(name: str) -> Callable[..., None]:
        listeners = [getattr(events, name) for events in several]

        def tell_all(*facts: Any) -> None:
            for listener in listeners:
                tell(listener, *facts)

        return tell_all

    return SessionEvents(**{event.name: all_of(event.name) for event in fields(SessionEvents)})


def tell(listener: Callable[..., None] | None, *facts: Any) -> None:
    """Calls a listener, if there is one. Its errors are logged: they are not the visitor's."""
    if listener is None:
        return
    try:
        listener(*facts)
    except Exception:
        logger.exception("a listener to session events failed")
