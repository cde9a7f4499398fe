"""Sessions in Tornado's request cycle: loaded before the handler runs, committed before the headers."""

import asyncio
import logging
import re
import sys
import weakref
from contextlib import suppress
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler

from server.sessions.record import USER_AGENT_LENGTH, Client
from server.sessions.session import Session
from server.sessions.sessions import Sessions
from server.sessions.store import StoreUnavailable

_IS_PRIVATE = re.compile(r"\b(no-store|private)\b")

logger = logging.getLogger("latchkey.sessions")


class SessionHandler(RequestHandler):
    """A request handler with a `session`.

    The application must have been made with `sessions=Sessions(...)`. A subclass that has its own `prepare`
    awaits `super().prepare()` first. A store that does not answer makes the request a 503 and leaves the
    browser's cookie as it is.
    """

    uses_session = True
    """False: no session is loaded, and the store is never asked."""

    session_touch = True
    """False: requests to this handler do not move the idle timeout on."""

    _session: Session | None = None
    _has_commit_failed = False
    _commit_task: "asyncio.Task[None] | None" = None

    @property
    def session(self) -> Session:
        """This request's session. Raises RuntimeError where none was loaded."""
        if self._session is None:
            raise RuntimeError(f"{type(self).__name__} has loaded no session: is uses_session False?")
        return self._session

    @session.setter
    def session(self, value: None) -> None:
        """`self.session = None` does at the end of the request what the option `unset` says."""
        if value is not None:
            raise TypeError("a session is changed, not replaced: use its keys, `clear()` or `regenerate()`")
        self.session.unset()

    @property
    def has_session(self) -> bool:
        """Whether a session was loaded; false in error pages that come before it."""
        return self._session is not None

    def client(self) -> Client:
        """Who is asking, for the list of sessions. Override it to add a label."""
        agent = self.request.headers.get("User-Agent", "")[:USER_AGENT_LENGTH]
        return Client(ip=self.request.remote_ip or "", user_agent=agent)

    async def prepare(self) -> None:
        if self.uses_session and self.request.method != "OPTIONS":
            sessions: Sessions = self.settings["sessions"]
            # A session that held its handler would leave both to the garbage collector, every time.
            myself = weakref.proxy(self)
            self._session = await sessions.load(
                self.request.headers.get_list("Cookie"),
                lambda: myself.client(),  # noqa: PLW0108 - the method itself would hold the handler
            )

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> "asyncio.Future[None]":
        """Commits the session, then sends the answer: a redirect's target reads what was written here."""
        if self._finished:
            raise RuntimeError("finish() called twice")
        session = self._session
        if session is None or self._has_commit_failed:
            return super().finish(chunk)
        is_error = self.get_status() >= 500
        if is_error or self._has_come_too_late(session):
            session.discard()
        touch = self.session_touch and not is_error
        if not session.needs_commit(touch):
            if touch:
                session.touch_soon()
            return super().finish(chunk)
        if chunk is not None:
            self.write(chunk)
        # Tornado takes the answer for done while the commit runs: a redirect from `prepare` runs no handler.
        self._finished = True
        self._commit_task = asyncio.ensure_future(self._commit_and_finish(session))
        # Whoever stops waiting for the answer must not stop the commit.
        return asyncio.shield(self._commit_task)

    def flush(self, include_footers: bool = False) -> "asyncio.Future[None]":
        """Sends what was written so far. Once the headers have gone out no cookie can, so a handler that
        streams saves its session first. Raises RuntimeError if it has not."""
        if self._session is not None and not self._headers_written:
            if not include_footers and self._session.has_changes():
                raise RuntimeError("unsaved changes: `await self.session.save()` before the first flush")
            self._add_session_headers(self._session)
        return super().flush(include_footers)

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None))[1]
        super().send_error(503 if isinstance(error, StoreUnavailable) else status_code, **kwargs)

    def log_exception(self, typ: Any, value: BaseException | None, tb: Any) -> None:
        if isinstance(value, StoreUnavailable):
            logger.warning("the session store is unavailable: %s", value)
        else:
            super().log_exception(typ, value, tb)

    async def _commit_and_finish(self, session: Session) -> None:
        try:
            await session.commit(self.session_touch)
            self._finished = False
            sent = super().finish()
        except Exception:  # noqa: BLE001 - whatever it was, the client must get an answer
            session.discard()
            self._finished, self._has_commit_failed = False, True
            self.log_exception(*sys.exc_info())
            self.send_error(500, exc_info=sys.exc_info())
            return
        with suppress(StreamClosedError):  # the client has left; what it asked for is done
            await sent

    def _has_come_too_late(self, session: Session) -> bool:
        """Whether a session would start after the headers have gone out, without a cookie."""
        is_late = self._headers_written and session.is_new and session.has_changes()
        if is_late:
            logger.error("%s changed a new session after its first flush: lost", type(self).__name__)
        return is_late

    def _add_session_headers(self, session: Session) -> None:
        # A cache in between must never hand one person's answer, or cookie, to another.
        self.add_header("Vary", "Cookie")
        line = self.settings["sessions"].cookie_line(session)
        if line is None:
            return
        self.add_header("Set-Cookie", line)
        if not _IS_PRIVATE.search(self._headers.get("Cache-Control", "")):
            self.set_header("Cache-Control", "no-store")
