"""How a session begins at sign-in, gets a new token, and ends."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from typing import Any

from server.sessions.data import check_key
from server.sessions.events import tell
from server.sessions.facts import Absence
from server.sessions.record import Client, Lifetime, SessionDraft, SessionRecord
from server.sessions.store import StoreUnavailable
from server.sessions.token import digest, new_handle
from server.sessions.writes import SessionWrites


class SessionVerbs(SessionWrites):
    """Data and facts of a session, and all that a handler can do with it. Await one verb before the next."""

    async def start(
        self,
        data: Mapping[str, Any],
        *,
        user_id: str,
        epoch: int,
        lifetime: Lifetime,
        client: Client,
        check: Callable[[], Awaitable[bool]] | None = None,
    ) -> bool:
        """Signs a user in: a new session with a new token, in place of whatever this request had.

        Nothing is kept and the old session ends, so that whoever planted its token, or used the browser
        before, has no part in the new one (session fixation, ASVS 7.2.4).

        `check` is awaited once the new session is stored, and before anybody can have its token. If it says
        no, the new session is removed, all is as before, and False comes back.
        """
        for key in data:
            check_key(key)
        token = self._options.new_token()
        old = self._record
        record = await self._store.insert(
            SessionDraft(digest(token), new_handle(), data, lifetime, client, user_id, epoch)
        )
        if check and not await self._passes(check, record):
            await self._store.end(record.id)
            return False
        if old and await self._retire(old.id, None, record):
            tell(self._options.events.destroyed, old)
        self._replace_token(token, is_kept_on_error=old is not None)
        self._adopt(record)
        tell(self._options.events.created, record)
        return True

    async def regenerate(self, keep: Collection[str] | None = None, *, epoch: int | None = None) -> bool:
        """Gives the session a new token; the old one dies. Data, age and user stay; changes are saved.

        With `keep` nothing stays but the values of these keys: the new session is nobody's, and young.
        With `epoch` the session moves on to the user's new epoch, which ends all sessions of earlier ones.

        False if the session has ended, or another request has given it a new token first. The copy is stored
        before the original is retired, and counts only if this request retired it: a crash in between signs
        nobody out, and of several at once one wins.
        """
        while (old := self._record) is not None:
            token = self._options.new_token()
            copy = await self._store.insert(self._successor(old, token, keep, epoch))
            if await self._retire(old.id, old.rev, copy):
                self._replace_token(token, is_kept_on_error=True)
                self._adopt(copy)
                tell(self._options.events.renewed, copy, old.handle)
                return True
            await self._store.end(copy.id)
            if not await self._rebase():
                return False
        return False

    async def destroy(self) -> None:
        """Ends the session, here and for every other request; the answer clears the cookie.

        Harmless if there is none. What is written afterwards starts a new one.
        """
        if self._record and not await self._store.end(self._record.id):
            # Ended or given a new token by another request. Its answer decides about the cookie.
            self._end_meanwhile()
        elif self._record:
            tell(self._options.events.destroyed, self._record)
            self._is_cookie_to_clear = True
            self._absence = Absence.NO_COOKIE
        self._drop()

    def _successor(
        self, old: SessionRecord, token: str, keep: Collection[str] | None, epoch: int | None
    ) -> SessionDraft:
        """The session under its next token: what is stored, with the changes of this request."""
        changes = self.changes()
        data = {**old.data, **changes.set_keys}
        data = {key: value for key, value in data.items() if key not in changes.unset_keys}
        if keep is None:
            return SessionDraft(
                digest(token), new_handle(), data, old.lifetime, old.client, old.user_id,
                old.epoch if epoch is None else epoch, old.created_at, old.ends_at,
            )  # fmt: skip
        kept = {key: data[key] for key in keep if key in data}
        return SessionDraft(digest(token), new_handle(), kept, self._default_lifetime, old.client)

    async def _passes(self, check: Callable[[], Awaitable[bool]], record: SessionRecord) -> bool:
        try:
            return await check()
        except BaseException:
            # Nobody will get its token. If it cannot be removed either, it expires by itself.
            with suppress(StoreUnavailable):
                await self._store.end(record.id)
            raise

    async def _retire(self, old_id: bytes, rev: int | None, successor: SessionRecord) -> bool:
        try:
            return await self._store.retire(old_id, rev)
        except StoreUnavailable:
            # Nobody will get the successor's token. If it cannot be removed either, it expires by itself.
            with suppress(StoreUnavailable):
                await self._store.end(successor.id)
            raise

    async def _rebase(self) -> bool:
        """Puts the changes of this request onto the newest stored state. False if there is none."""
        changes = self.changes()
        if not await self.reload():
            return False
        self.update(changes.set_keys)
        for key in changes.unset_keys:
            self.pop(key, None)
        return True
