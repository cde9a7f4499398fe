"""Calls for members: the API's counterpart of Tornado's `@authenticated`, which would lead to a page."""

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

from handlers.api.base import ApiHandler, Problem
from server.sessions import Absence

Call = Callable[..., Coroutine[Any, Any, None]]


def member(call: Call) -> Call:
    """The call answers 401 unless somebody is signed in: `session_ended` to a cookie of ours whose session
    is over, `unauthenticated` to everybody else."""

    @wraps(call)
    async def guarded(self: ApiHandler, *args: str) -> None:
        if self.current_user is None:
            if self.session.absence in {Absence.ENDED, Absence.RETIRED}:
                raise Problem(401, "session_ended", "The session has ended. Sign in again.")
            raise Problem(401, "unauthenticated", "Sign in first.")
        await call(self, *args)

    return guarded
