"""How sessions behave in an application: the choices that are neither the cookie's nor the store's."""

from collections.abc import Callable
from dataclasses import dataclass

from server.sessions.events import SessionEvents
from server.sessions.token import is_token, new_token

UNSET_CHOICES = ("keep", "destroy")


@dataclass(frozen=True, slots=True)
class Options:
    """The behaviour of `Sessions`. Raises TypeError or ValueError, naming the option, for what cannot work.

    deadline: the longest a request waits for its session, in seconds.
    touch_interval: least time in seconds between two writes that only move the idle timeout on; never more
        than a tenth of that timeout.
    save_uninitialized: True stores a session for every visitor, although there is nothing in it yet. That
        fills the store with visits of robots, and in many places a cookie without need wants consent.
    unset: what `self.session = None` in a handler means: "keep" drops the changes of this request, "destroy"
        ends the session.
    genid: makes tokens of 22 to 128 URL-safe characters, with at least 128 random bits.
    events: functions that hear of sessions that begin, change their token and end.
    """

    deadline: float = 2
    touch_interval: float = 60
    save_uninitialized: bool = False
    unset: str = "keep"
    genid: Callable[[], str] = new_token
    events: SessionEvents = SessionEvents()

    def __post_init__(self) -> None:
        if self.deadline <= 0:
            raise ValueError(f"deadline is {self.deadline}; expected seconds, more than 0")
        if self.touch_interval < 0:
            raise ValueError(f"touch_interval is {self.touch_interval}; expected seconds, 0 or more")
        if self.unset not in UNSET_CHOICES:
            raise ValueError(f"unset is {self.unset!r}; expected keep or destroy")
        if not callable(self.genid):
            raise TypeError(f"genid is {self.genid!r}; expected a function that makes tokens")
        self.new_token()

    def new_token(self) -> str:
        """A fresh token. Raises TypeError or ValueError if `genid` made something else."""
        token = self.genid()
        if not isinstance(token, str):
            raise TypeError(f"genid makes {type(token).__name__}; expected text")
        if not is_token(token):
            raise ValueError("genid makes no tokens of 22 to 128 URL-safe characters")
        return token
