"""Sessions in Tornado's request cycle: loaded before the handler runs, committed before the headers."""

import asyncio
import logging
import sys
from contextlib import suppress
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler

from server.sessions.record import USER_AGENT_LENGTH, Client
from server.sessions.session import Session
from server.sessions.sessions import Sessions
from server.sessions.store import StoreUnavailable

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
    _commit_task: "asyncio.Task[None] | None" = None

    @property
    def session(self) -> Session:
        """This request's session. Raises RuntimeError where none was loaded."""
        if self._session is None:
            raise RuntimeError(f"{type(self).__name__} has loaded no session: is uses_session False?")
        return self._session

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
            self._session = await sessions.load(self.request.headers.get_list("Cookie"), self.client)

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> "asyncio.Future[None]":
        """Commits the session, then sends the answer: a redirect's target reads what was written here."""
        if self._finished:
            raise RuntimeError("finish() called twice")
        if self._session is None:
            return super().finish(chunk)
        touch = self.session_touch
        if self.get_status() >= 500:
            self._session.discard()
            touch = False
        if not self._session.needs_commit(touch):
            self._add_session_headers()
            return super().finish(chunk)
        if chunk is not None:
            self.write(chunk)
        # Tornado takes the answer for done while the commit runs: a redirect from `prepare` runs no handler.
        self._finished = True
        self._commit_task = asyncio.ensure_future(self._commit_and_finish(self._session))
        return self._commit_task

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
        except Exception:  # noqa: BLE001 - whatever it was, the client must get an answer
            self._finished = False
            self.log_exception(*sys.exc_info())
            self.send_error(500, exc_info=sys.exc_info())
            return
        self._finished = False
        self._add_session_headers()
        with suppress(StreamClosedError):  # the client has left; what it asked for is done
            await super().finish()

    def _add_session_headers(self) -> None:
        # A cache in between must never hand one person's answer, or cookie, to another.
        self.add_header("Vary", "Cookie")
        line = self.settings["sessions"].cookie_line(self.session)
        if line is None:
            return
        self.add_header("Set-Cookie", line)
        if "Cache-Control" not in self._headers:
            self.set_header("Cache-Control", "no-store")
