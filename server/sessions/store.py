"""What every session store does, whatever it is built on."""

from collections.abc import Collection, Mapping
from typing import Any, Protocol

from server.sessions.record import RetiredRecord, SessionDraft, SessionRecord


class StoreUnavailable(Exception):
    """The store did not answer in time, or could not.

    The request becomes a 503 and its cookie stays as it is: an outage must never look like a sign-out.
    """


class UnstorableValue(TypeError):
    """A value that the store cannot keep. Raised before anything is written."""


class SessionStore(Protocol):
    """Where sessions live. "No such session" is an ordinary outcome: an empty result, None or False.

    A session is alive until its `expires_at` by the store's own clock, whether or not it has been cleaned up
    yet. Only `insert` creates a session: every other write changes a live one or nothing at all, so that a
    late request cannot bring an ended session back. Every method raises `StoreUnavailable` when the store is
    broken or too slow.
    """

    @property
    def can_increment(self) -> bool:
        """Whether `update` takes `increments`. If not, sessions read, add and write back if unchanged."""

    def encode(self, value: Any) -> bytes:
        """The bytes that stand for `value` in the store, equal exactly if it would be stored equally.

        Raises `UnstorableValue`.
        """

    async def insert(self, draft: SessionDraft) -> SessionRecord:
        """Stores a new session and returns it with its times. The id must be new."""

    async def find(self, ids: Collection[bytes]) -> dict[bytes, SessionRecord | RetiredRecord]:
        """The live sessions with these ids, and the marks of those that were retired lately."""

    async def update(
        self,
        session_id: bytes,
        *,
        set_keys: Mapping[str, Any] | None = None,
        unset_keys: Collection[str] = (),
        increments: Mapping[str, int] | None = None,
        rev: int | None = None,
    ) -> SessionRecord | None:
        """Changes these top-level keys of the data, leaves all others alone, and returns the new state.

        None, and nothing written: the session is gone, or `rev` is given and is not the stored one.
        """

    async def touch(self, active_ids: Collection[bytes], seen_ids: Collection[bytes] = ()) -> None:
        """Marks sessions as seen now and moves their `expires_at` on, never past their `ends_at`.

        The first ones are marked as active too: a person did something. One write for all of them.
        """

    async def retire(self, session_id: bytes, rev: int | None = None) -> bool:
        """Ends the session and leaves a `RetiredRecord` for a minute.

        False, and nothing written: it was gone, or `rev` is given and is not the stored one.
        """

    async def end(self, session_id: bytes) -> bool:
        """Ends the session. False if it had ended before."""

    async def end_user(
        self, user_id: str, except_id: bytes | None = None, before_epoch: int | None = None
    ) -> int:
        """Ends all live sessions of the user, but `except_id`, and but those of `before_epoch` and later if
        it is given. Returns how many. One that gets a new token meanwhile is found under it."""

    async def trim_user(self, user_id: str, keep: int) -> int:
        """Ends the sessions of the user beyond the `keep` most recently active ones. Returns how many.

        Whoever inserts first and trims then never leaves more, however many do so at once.
        """

    async def clear(self) -> int:
        """Ends every session of this store, and of no other. Returns how many."""

    async def list_user(self, user_id: str) -> list[SessionRecord]:
        """The live sessions of the user, the most recently active first."""
