"""The session as a handler gets it, and what happens to it at the end of the request."""

from server.sessions.store import UnstorableValue
from server.sessions.verbs import SessionVerbs


class Session(SessionVerbs):
    """One request's session. Read and write it like a dict; the end of the request stores what changed.

    A session is stored, and the browser gets a cookie, once there is something in it. Parallel requests that
    change different keys do not disturb each other; for the same key the last writer wins. Keys are strings
    of 1 to 128 bytes without dots, control characters and a leading dollar sign; others raise ValueError.

    A handler uses the mapping, the facts and the verbs; what is defined here is for `SessionHandler`.
    """

    def unset(self) -> None:
        """Has the end of the request do what the option `unset` says, instead of saving."""
        self._is_unset = True

    def needs_commit(self, touch: bool) -> bool:
        """Whether `commit` has something to do, if only to refuse a value that cannot be stored."""
        if self._is_unset:
            return self._options.unset == "destroy" and self._record is not None
        return self.has_changes() or bool(self._token_to_confirm) or (touch and self._is_touch_urgent())

    def has_changes(self) -> bool:
        """Whether `save` has something to write, or a value to refuse."""
        try:
            return self._starts_empty() or bool(self.changes())
        except UnstorableValue:
            return True

    async def commit(self, touch: bool) -> None:
        """Saves the changes and, with `touch`, moves the idle timeout on if that is due.

        Raises `UnstorableValue` or `StoreUnavailable`; call `discard` then.
        """
        if self._is_unset:
            await self.destroy()
            return
        await self._confirm_token()
        is_urgent = touch and self._is_touch_urgent()
        if await self.save() and is_urgent:
            await self.touch()
        elif touch:
            self.touch_soon()

    def touch_soon(self) -> None:
        """Has the idle timeout moved on with the next collected write, if that is due."""
        if self._record and self._touches and self.is_touch_due():
            self._touches.add(self._record.id)

    def discard(self) -> None:
        """Drops what was not saved, for an answer that reports an error: nothing is left to commit.

        A new token goes with it, unless it replaced one that the browser still has: that one is dead, and an
        error must not sign anybody out.
        """
        self.accept(self._record.data if self._record else {})
        self._is_unset, self._is_discarded, self._token_to_confirm = False, True, None
        if not self._is_token_kept_on_error:
            self._token_to_send = None

    def send_again(self, token: str) -> None:
        """Has the cookie sent again with the same token, whose signing key is not the newest, if the session
        is still alive at the end: a late answer must not overwrite the cookie of a sign-in."""
        self._token_to_confirm = token

    @property
    def token_to_send(self) -> str | None:
        """The token that the browser must get with this answer."""
        return self._token_to_send

    @property
    def is_cookie_to_clear(self) -> bool:
        """Whether this request ended the session. A cookie found dead is left alone: clearing it could
        remove the cookie of a sign-in that has just happened."""
        return self._is_cookie_to_clear and self._token_to_send is None

    def _is_touch_urgent(self) -> bool:
        """Whether the touch cannot wait for the next collected write: the session might end before it."""
        if not self._record or not self.is_touch_due():
            return False
        left = (self._record.expires_at - self._record.now).total_seconds()
        return self._touches is None or left < self._touches.margin

    async def _confirm_token(self) -> None:
        token, self._token_to_confirm = self._token_to_confirm, None
        if token and self._record and self._token_to_send is None and await self._read(self._record.id):
            self._replace_token(token, is_kept_on_error=True)
