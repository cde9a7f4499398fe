import random
import re

from handlers.api.base import ApiHandler, Problem, utc
from handlers.api.member import member
from server.live import Event, HubFull, Outcome, Poll, PollAnswer
from server.sessions import Absence

RETRY_DISPLACED_SECONDS = 30
RETRY_FULL_SECONDS = 5
RETRY_RETIRED_SECONDS = 1
LONGEST_RESTART_SECONDS = 5

_CURSOR = re.compile(r"[0-9]{1,18}")
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,3})?")


class EventsApiHandler(ApiHandler):
    """The long-poll: held until there is news, the session ends, or the time is up."""

    session_touch = False  # the poll does it itself, and never as the activity of a person

    _poll: Poll | None = None

    async def prepare(self) -> None:
        if self.request.method in {"GET", "HEAD"}:
            self._poll = self._open_poll()
        await super().prepare()
        if self.has_session and self.session.absence is Absence.RETIRED:
            self._ask_again_soon(RETRY_RETIRED_SECONDS)
            self._answer_news((), self._cursor())

    @member
    async def get(self) -> None:
        after, seconds, keep_alive = self._cursor(), self._seconds(), self._keeps_alive()
        record, user_id = self.session.record, self.session.user_id
        assert self._poll is not None  # prepare opened it
        assert record is not None  # @member: there is a session
        assert user_id is not None
        self._answer_poll(await self._poll.wait(record, user_id, after, seconds, keep_alive=keep_alive))

    def on_connection_close(self) -> None:
        super().on_connection_close()
        if self._poll:
            self._poll.leave()

    def on_finish(self) -> None:
        super().on_finish()
        if self._poll:
            self._poll.close()

    def _open_poll(self) -> Poll:
        services = self.services
        try:
            return services.live.poll(services.sessions.ids(self.request.headers.get_list("Cookie")))
        except HubFull:
            raise Problem(
                503, "unavailable", "Too many polls wait here. Try again soon.", RETRY_FULL_SECONDS
            ) from None

    def _cursor(self) -> int | None:
        # What the answer calls cursor may be sent back under that name too.
        text = self._parameter("after", _CURSOR) or self._parameter("cursor", _CURSOR)
        return int(text) if text else None

    def _seconds(self) -> float:
        longest, text = self.services.live.poll_timeout, self._parameter("wait", _SECONDS)
        return min(float(text), longest) if text else longest

    def _keeps_alive(self) -> bool:
        return self._parameter("touch", re.compile("[01]")) != "0"

    def _parameter(self, name: str, pattern: re.Pattern[str]) -> str:
        """A parameter of the query that matches the pattern, or "" if it is missing."""
        values = self.get_query_arguments(name)
        if values and not (len(values) == 1 and pattern.fullmatch(values[0])):
            raise Problem(422, "invalid_input", f"The parameter {name!r} must match {pattern.pattern}, once.")
        return values[0] if values else ""

    def _answer_poll(self, answer: PollAnswer) -> None:
        outcome, news = answer.outcome, answer.news
        if outcome is Outcome.ENDED:
            raise Problem(401, "session_ended", "The session has ended. Sign in again.")
        if outcome is Outcome.DISPLACED:
            detail = "Newer polls of this session or user took the place of this one."
            raise Problem(429, "too_many_polls", detail, RETRY_DISPLACED_SECONDS)
        if outcome is Outcome.LEFT:  # for the log; nobody reads it
            self.set_status(499, "Client Closed Request")
            self.finish()
            return
        if outcome is Outcome.RETIRED:
            self._ask_again_soon(RETRY_RETIRED_SECONDS)
        if outcome is Outcome.STOPPING:
            # All come back at once, but not all in the same second.
            self._ask_again_soon(random.randint(1, LONGEST_RESTART_SECONDS))  # noqa: S311 - no secret
            self.set_header("Connection", "close")
        self._answer_news(news.events, news.cursor, is_missed=news.missed, expires_at=utc(answer.expires_at))

    def _ask_again_soon(self, seconds: int) -> None:
        self.set_header("Retry-After", str(seconds))

    def _answer_news(
        self,
        events: tuple[Event, ...],
        cursor: int | None,
        *,
        is_missed: bool = False,
        expires_at: str | None = None,
    ) -> None:
        body = {
            "events": [
                {"seq": event.seq, "type": event.type, "at": utc(event.at), "data": event.data}
                for event in events
            ],
            "cursor": cursor,
            "missed": is_missed,
            "expires_at": expires_at,
        }
        self.answer(200, body)
