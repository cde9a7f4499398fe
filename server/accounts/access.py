"""Who is signed in, and where: the verbs that pages, calls and the operator's commands share."""

from contextlib import suppress
from datetime import timedelta
from typing import Any

from server.accounts.accounts import Accounts
from server.accounts.endings import Endings
from server.accounts.failures import Failed, Failures
from server.accounts.users import User, Users
from server.audit import record
from server.sessions import Client, Lifetime, Session, SessionRecord, SessionStore, StoreUnavailable

MAX_TRIES = 5

_CONFIRMED_AT = "confirmed_at"
_FAILED = "failed_before"


class Access:
    """Signs in, confirms, and takes away. Every method raises `StoreUnavailable`.

    `max_sessions` is how many an account may have at once. `confirmation_seconds` is how long a password that
    was typed counts for what is sensitive (ASVS 7.5).
    """

    def __init__(
        self,
        accounts: Accounts,
        users: Users,
        store: SessionStore,
        endings: Endings,
        failures: Failures,
        *,
        max_sessions: int,
        confirmation_seconds: float,
    ) -> None:
        self._accounts = accounts
        self._users = users
        self._store = store
        self._endings = endings
        self._failures = failures
        self._max_sessions = max_sessions
        self._confirmation = timedelta(seconds=confirmation_seconds)

    async def sign_in(self, session: Session, user: User, lifetime: Lifetime, client: Client) -> bool:
        """Gives the browser a new session of the user's, in place of any it had. The least recently active
        ones of the account end if there are too many. The session keeps what `failed_before` tells.

        False, and nothing changed, if the account has got a new password, was disabled or was deleted since
        `user` was read: whoever signs in with the old password at that moment must not get in.
        """
        data: dict[str, Any] = {"user": {"id": user.id, "email": user.email}}
        if failed := await self._failures.find(user.email):
            data[_FAILED] = {"count": failed.count, "last_at": failed.last_at}
        has_started = await session.start(
            data,
            user_id=user.id,
            epoch=user.epoch,
            lifetime=lifetime,
            client=client,
            check=lambda: self._users.is_current(user),
        )
        if has_started:
            with suppress(StoreUnavailable):  # the next sign-in trims them
                await self._store.trim_user(user.id, self._max_sessions)
        if has_started and failed:
            with suppress(StoreUnavailable):  # then it is told again
                await self._failures.forget(user.email, failed)
        return has_started

    def failed_before(self, session: Session) -> Failed | None:
        """The wrong passwords at this account between the sign-in before and that of this session, or None.
        Whoever reads it can tell whether they were their own."""
        found = session.get(_FAILED)
        return Failed(found["count"], found["last_at"]) if found else None

    def is_confirmed(self, session: Session) -> bool:
        """Whether the password was typed lately, at sign-in or at `confirm`. Nothing else renews it."""
        confirmed_at = session.get(_CONFIRMED_AT) or session.created_at
        if session.read_at is None or confirmed_at is None:
            return False
        is_recent: bool = session.read_at - confirmed_at < self._confirmation
        return is_recent

    async def confirm(self, session: Session, user: User) -> bool:
        """Notes that the user, just read, has typed the password again. The session gets a new token.

        False if the session has ended, or if the account was changed as described at `sign_in`; then the
        session ends as well.
        """
        session[_CONFIRMED_AT] = session.read_at
        if not await session.regenerate(epoch=user.epoch):
            return False
        if not await self._users.is_current(user):
            await session.destroy()
            return False
        return True

    async def change_password(self, session: Session, user: User, new_password: str) -> int | None:
        """Changes the password of the user, just read. All other sessions end; this one gets a new token.

        Returns how many sessions have ended; None, and nothing changed, if the account was changed meanwhile.
        Raises `InvalidAccount` for a password that breaks the rules, or `HashQueueFull`. If the database
        fails in between, the new password counts, and all sessions end, this one too.
        """
        new_hash = await self._accounts.hash_new_password(new_password, user.email)
        changed = await self._users.raise_epoch(user, password_hash=new_hash)
        if changed is None:
            return None
        record("authn_password_change", user_id=user.id)
        try:
            await self.confirm(session, changed)
        finally:
            ended = await self._endings.finish(changed)
        return ended

    async def sessions(self, session: Session) -> list[SessionRecord]:
        """The live sessions of the account that `session` is signed in to: this one first, then the most
        recently active. Empty if it is signed in to none."""
        if session.user_id is None:
            return []
        return sorted(await self.sessions_of(session.user_id), key=lambda found: found.id != session.id)

    async def sessions_of(self, user_id: str) -> list[SessionRecord]:
        """The live sessions of the account, the most recently active first."""
        return await self._store.list_user(user_id)

    async def revoke(self, session: Session, handle: str) -> SessionRecord | None:
        """Ends the session with this handle if it is of the same account. None if there is no such session;
        nobody learns whether it is somebody else's."""
        for found in await self.sessions(session):
            if found.handle == handle and await self._store.end(found.id):
                record("authn_token_revoked", session=handle, user_id=found.user_id)
                return found
        return None

    async def revoke_others(self, session: Session) -> int:
        """Ends all other sessions of the account. Returns how many."""
        if session.user_id is None:
            return 0
        ended = await self._store.end_user(session.user_id, except_id=session.id)
        record("authn_token_revoked", reason="all_others", count=str(ended), user_id=session.user_id)
        return ended

    async def end_sessions(self, user: User) -> int:
        """Ends all sessions of the account, and sign-ins that are under way. Returns how many have ended."""
        return await self._end_all_of(user)

    async def disable(self, user: User) -> int:
        """Refuses sign-ins from now on and ends all sessions. Returns how many have ended."""
        return await self._end_all_of(user, disabled=True)

    async def enable(self, user: User) -> None:
        """Allows sign-ins again."""
        await self._users.enable(user)

    async def delete(self, user: User) -> int:
        """Removes the account and what belongs to it, for good. Returns how many sessions have ended.

        It is disabled first and removed last: if something fails in between nobody can sign in to it, and the
        rest is done later.
        """
        return await self._end_all_of(user, disabled=True, deleted=True)

    async def end_every_session(self) -> None:
        """Ends all sessions of everybody, and sign-ins that are under way. Safe to repeat."""
        await self._users.raise_all_epochs()
        await self._store.clear()
        await self._store.clear()  # one that got a new token may have slipped past the first

    async def _end_all_of(self, user: User, **changes: bool) -> int:
        for _ in range(MAX_TRIES):
            if changed := await self._users.raise_epoch(user, **changes):
                return await self._endings.finish(changed)
            newer = await self._users.find_by_email(user.email)
            if newer is None or newer.id != user.id:
                return 0
            user = newer
        raise StoreUnavailable("the account changes all the time")
