"""How the data of a session get into the store, and out of it again."""

from collections.abc import Callable, MutableMapping
from copy import deepcopy
from typing import Any, TypeVar

from server.sessions.data import Changes, SessionData, check_key
from server.sessions.events import tell
from server.sessions.facts import Absence, SessionFacts
from server.sessions.options import Options
from server.sessions.record import Client, Lifetime, SessionDraft, SessionRecord
from server.sessions.store import SessionStore, UnstorableValue
from server.sessions.token import digest, new_handle
from server.sessions.touches import Touches

T = TypeVar("T")


class SessionWrites(SessionFacts):
    """Data and facts of a session, and what can be done with the data. Await one verb before the next."""

    def __init__(
        self,
        store: SessionStore,
        lifetime: Lifetime,
        options: Options,
        client: Callable[[], Client],
        *,
        record: SessionRecord | None = None,
        absence: Absence = Absence.NO_COOKIE,
        touches: Touches | None = None,
    ) -> None:
        super().__init__(store.encode, options.touch_interval, absence)
        self._store = store
        self._default_lifetime = lifetime
        self._options = options
        self._client = client
        self._touches = touches
        self._token_to_send: str | None = None
        self._is_token_kept_on_error = False
        self._is_cookie_to_clear = False
        self._token_to_confirm: str | None = None
        self._is_unset = False
        self._is_discarded = False
        if record:
            self._adopt(record)

    async def save(self) -> bool:
        """Stores the changes now. False if the session has ended meanwhile: then they are dropped.

        Raises `UnstorableValue` or `StoreUnavailable`; then nothing was written.
        """
        changes = self.changes()
        if self._record is None and (changes or self._starts_empty()):
            return await self._create(changes)
        if self._record is None or not changes:
            return True
        record = await self._store.update(
            self._record.id, set_keys=changes.set_keys, unset_keys=changes.unset_keys
        )
        if record is None:
            self._end_meanwhile()
            return False
        self._record = record
        self.mark_saved(changes)
        return True

    async def increment(self, key: str, by: int = 1) -> int | None:
        """Adds to a number in one step, starting from 0, and returns the sum that this call made.

        Parallel increments all count. Other changes are saved first. None if the session has ended. Raises
        `UnstorableValue` if there is something else than a number.
        """
        check_key(key)
        if not await self.save():
            return None
        if not self._store.can_increment:
            return await self.modify(lambda data: _add(data, key, by))
        if self._record is None:
            self[key] = by
            return by if await self.save() else None
        record = await self._store.update(self._record.id, increments={key: by})
        if record is None:
            self._end_meanwhile()
            return None
        self._record = record
        self.accept_key(key, record.data[key])
        total: int = record.data[key]
        return total

    async def modify(self, change: Callable[[MutableMapping[str, Any]], T]) -> T | None:
        """Reads, changes and writes as one step: `change` gets the stored data, and what it did is stored if
        nobody else wrote meanwhile; else it runs again on the newer data. Returns what it returned.

        It may run several times, so it does nothing but change the data. Other changes are saved first, and
        afterwards the session is as stored. None if the session has ended.
        """
        if not await self.save():
            return None
        while True:
            trial = SessionData(self._store.encode)
            trial.accept(deepcopy(self._record.data) if self._record else {})
            result = change(trial)
            changes = trial.changes()
            if not changes:
                return result
            if self._record is None:
                self.accept({})
                self.update(changes.set_keys)
                return result if await self.save() else None
            record = await self._store.update(
                self._record.id,
                set_keys=changes.set_keys,
                unset_keys=changes.unset_keys,
                rev=self._record.rev,
            )
            if record is not None:
                self._adopt(record)
                return result
            if not await self.reload():
                return None

    async def pop_atomic(self, key: str, default: Any = None) -> Any:
        """Takes a value out in one step: of parallel requests exactly one gets it, the others `default`."""
        return await self.modify(lambda data: data.pop(key, default))

    async def reload(self) -> bool:
        """Reads the session again; changes not saved are lost. False if it has ended."""
        if self._record is None:
            self.accept({})
            return False
        record = await self._read(self._record.id)
        if record is None:
            self._end_meanwhile()
            return False
        self._adopt(record)
        return True

    async def touch(self) -> None:
        """Moves the idle timeout on now. Requests do it by themselves; this is for work that takes long."""
        if self._record:
            await self._store.touch([self._record.id])

    def _starts_empty(self) -> bool:
        can_start = self._record is None and self._absence.may_start and not self._is_cookie_to_clear
        return can_start and self._options.save_uninitialized and not self._is_discarded

    async def _create(self, changes: Changes) -> bool:
        if not self._absence.may_start:
            self._drop()
            return False
        token = self._options.new_token()
        draft = SessionDraft(digest(token), new_handle(), dict(self), self._default_lifetime, self._client())
        self._record = await self._store.insert(draft)
        self._replace_token(token, is_kept_on_error=False)
        self.mark_saved(changes)
        tell(self._options.events.created, self._record)
        return True

    async def _read(self, session_id: bytes) -> SessionRecord | None:
        found = (await self._store.find([session_id])).get(session_id)
        return found if isinstance(found, SessionRecord) else None

    def _adopt(self, record: SessionRecord) -> None:
        self._record = record
        self.accept(record.data)

    def _replace_token(self, token: str, *, is_kept_on_error: bool) -> None:
        self._token_to_send = token
        self._is_token_kept_on_error = is_kept_on_error

    def _end_meanwhile(self) -> None:
        self._absence = Absence.ENDED_MEANWHILE
        self._drop()

    def _drop(self) -> None:
        self._record = None
        self._token_to_send = None
        self.accept({})


def _add(data: MutableMapping[str, Any], key: str, by: int) -> int:
    number = data.get(key, 0)
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise UnstorableValue(f"only a number can be incremented: {key!r}")
    data[key] = total = number + by
    return int(total)
