"""The security log: who signed in, who tried to, what was refused. Logger `latchkey.security`.

Events have the names of OWASP's Logging Vocabulary. A line carries the event, the request's id and address,
and what else is known: user id, handle of the session, keyed hash of the account. It never carries an email
address, a password, a token, or anything else that a client wrote (ASVS 16.2.5).
"""

import logging
from contextvars import ContextVar

from server.sessions import SessionEvents

logger = logging.getLogger("latchkey.security")

# Set once a request, in its own context: what happens deep inside it can name it without handing it down.
_request: ContextVar[dict[str, str]] = ContextVar("request")


def begin_request(request_id: str, ip: str) -> None:
    """Names the request that all further events in this context belong to."""
    _request.set({"request_id": request_id, "ip": ip})


def record(event: str, *, is_warning: bool = False, **facts: str | None) -> None:
    """Writes one event, at level warning or info. Facts that are None or empty are left out.

    As text: `authn_login_fail account=5f0c... request_id=... ip=...`; as JSON: a field for each.
    """
    known = {name: fact for name, fact in {**facts, **_request.get({})}.items() if fact}
    line = " ".join([event, *(f"{name}={fact}" for name, fact in known.items())])
    logger.log(logging.WARNING if is_warning else logging.INFO, line, extra={"event": event, **known})


def session_events() -> SessionEvents:
    """What is recorded of sessions."""
    return SessionEvents(
        created=lambda new: record("session_created", session=new.handle, user_id=new.user_id),
        renewed=lambda new, before: record(
            "session_renewed", session=new.handle, before=before, user_id=new.user_id
        ),
        destroyed=lambda old: record(
            "session_expired", reason="ended", session=old.handle, user_id=old.user_id
        ),
        expired_seen=lambda: record("session_use_after_expire"),
    )
