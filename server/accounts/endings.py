"""Ending all sessions of an account for good, whatever happens meanwhile."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Self

from server.accounts.users import User, Users
from server.sessions import SessionStore, StoreUnavailable

RETRY_SECONDS = 1.0

logger = logging.getLogger("latchkey.accounts")


class Endings:
    """Ends what was signed in before the epoch of an account was raised. `async with` it.

    The epoch is raised first, in one step with what is the reason for it, such as a new password. Why no
    older session can then live on, although a request reads its session and not the account:

    - One that is stored when the deletion comes is deleted, and a deletion that the database has not
      acknowledged is repeated: the driver repeats no delete_many by itself.
    - One that is stored later comes from a sign-in or a confirmation that had read the older epoch. Those
      read the epoch again once their session is stored, and before they give away its token (`Access`).
    - If the process dies in between, the account's mark `ending` remains, and the next start goes on.

    `forget` removes what else is kept of a deleted account; it may be called again.
    """

    def __init__(
        self, users: Users, store: SessionStore, patience: float, forget: Callable[[User], Awaitable[None]]
    ) -> None:
        self._users = users
        self._forget = forget
        self._store = store
        self._patience = patience
        self._tasks: set[asyncio.Task[int]] = set()

    async def __aenter__(self) -> Self:
        for user in await self._users.find_unfinished():
            await self.finish(user)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def finish(self, user: User) -> int:
        """Ends all sessions of epochs before that of `user`, and removes the account if it is deleted.

        Returns how many sessions it ended. Raises `StoreUnavailable` after `patience` seconds; the work goes
        on, and is done as soon as the database is back.
        """
        task = asyncio.create_task(self._repeat(user))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            async with asyncio.timeout(self._patience):
                return await asyncio.shield(task)
        except TimeoutError:
            raise StoreUnavailable("sessions that must end have not ended yet") from None

    async def _repeat(self, user: User) -> int:
        while True:
            try:
                return await self._end(user)
            except StoreUnavailable as error:
                logger.warning("the sessions of account %s have not ended yet: %s", user.id, error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _end(self, user: User) -> int:
        ended = await self._store.end_user(user.id, before_epoch=user.epoch)
        if user.is_deleted:
            await self._forget(user)
            await self._users.delete(user)
        else:
            await self._users.note_ended(user)
        return ended
