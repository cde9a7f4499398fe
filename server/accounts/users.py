"""Users in MongoDB: one document an account, its address unique."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pymongo import ReadPreference, ReturnDocument, WriteConcern
from pymongo.errors import DuplicateKeyError

from server.sessions import store_errors


class EmailTaken(Exception):
    """Another account has this address already."""


@dataclass(frozen=True, slots=True)
class User:
    """An account. `epoch` is raised when all sessions signed in before must be worthless.

    A disabled one cannot sign in. A deleted one cannot either, and goes as soon as its sessions have ended.
    """

    id: str
    email: str
    password_hash: str
    epoch: int
    is_disabled: bool = False
    is_deleted: bool = False


class Users:
    """The collection of accounts. Addresses must be normalised by the caller. Every method raises
    `StoreUnavailable` if the database does not answer within `deadline` seconds."""

    def __init__(self, collection: Any, deadline: float) -> None:
        # An account or a new password that a failover takes back would be worse than a slower answer.
        self._collection = collection.with_options(
            read_preference=ReadPreference.PRIMARY, write_concern=WriteConcern("majority")
        )
        self._deadline = deadline

    async def create_indexes(self) -> None:
        """Creates what is missing; safe to repeat and from several processes at once."""
        async with store_errors(self._deadline):
            await self._collection.create_index([("email", 1)], name="email", unique=True)
            await self._collection.create_index(
                [("ending", 1)], name="ending", partialFilterExpression={"ending": True}
            )

    async def create(self, email: str, password_hash: str) -> User:
        """Stores a new account. Raises `EmailTaken`; of two at once one gets the address."""
        user = User(uuid.uuid4().hex, email, password_hash, epoch=0)
        document = {
            "_id": user.id,
            "email": user.email,
            "password_hash": user.password_hash,
            "epoch": user.epoch,
            "disabled": user.is_disabled,
            "created_at": datetime.now(UTC),
        }
        async with store_errors(self._deadline):
            try:
                await self._collection.insert_one(document)
            except DuplicateKeyError:
                raise EmailTaken from None
        return user

    async def find_by_email(self, email: str) -> User | None:
        """The account with this address, or None."""
        async with store_errors(self._deadline):
            document = await self._collection.find_one({"email": email})
        return _user(document) if document else None

    async def is_current(self, user: User) -> bool:
        """Whether the account may still sign in as it was when `user` was read: not deleted, not disabled,
        and of the same epoch."""
        async with store_errors(self._deadline):
            document = await self._collection.find_one({"_id": user.id})
        found = _user(document) if document else None
        return found is not None and not found.is_disabled and found.epoch == user.epoch

    async def raise_epoch(self, user: User, **changes: Any) -> User | None:
        """Raises the epoch and sets these fields in one step, and notes that older sessions must end.

        None, and nothing written, if somebody else has raised the epoch since `user` was read, or if the
        account is gone. Whoever calls this ends the sessions of earlier epochs, then calls `note_ended`.
        """
        async with store_errors(self._deadline):
            document = await self._collection.find_one_and_update(
                {"_id": user.id, "epoch": user.epoch},
                {"$inc": {"epoch": 1}, "$set": {**changes, "ending": True}},
                return_document=ReturnDocument.AFTER,
            )
        return _user(document) if document else None

    async def raise_all_epochs(self) -> None:
        """Raises the epoch of every account. Harmless to repeat."""
        async with store_errors(self._deadline):
            await self._collection.update_many({}, {"$inc": {"epoch": 1}})

    async def note_ended(self, user: User) -> None:
        """Notes that no session older than `user` is left, unless the epoch has been raised again."""
        async with store_errors(self._deadline):
            await self._collection.update_one(
                {"_id": user.id, "epoch": user.epoch}, {"$unset": {"ending": ""}}
            )

    async def find_unfinished(self) -> list[User]:
        """The accounts whose epoch was raised and whose older sessions may be left: a crash came between."""
        async with store_errors(self._deadline):
            documents = await self._collection.find({"ending": True}).to_list(None)
        return [_user(document) for document in documents]

    async def enable(self, user: User) -> None:
        """Lets a disabled account sign in again, unless it is about to be deleted."""
        async with store_errors(self._deadline):
            await self._collection.update_one(
                {"_id": user.id, "deleted": {"$exists": False}}, {"$set": {"disabled": False}}
            )

    async def delete(self, user: User) -> None:
        """Removes the account; its address is free again. No error if it is gone."""
        async with store_errors(self._deadline):
            await self._collection.delete_one({"_id": user.id})

    async def set_password_hash(self, user_id: str, old_hash: str, new_hash: str) -> bool:
        """Replaces the hash if it is still `old_hash`, so that a newer password is never undone."""
        async with store_errors(self._deadline):
            result = await self._collection.update_one(
                {"_id": user_id, "password_hash": old_hash}, {"$set": {"password_hash": new_hash}}
            )
        return bool(result.matched_count)


def _user(document: dict[str, Any]) -> User:
    return User(
        id=document["_id"],
        email=document["email"],
        password_hash=document["password_hash"],
        epoch=document["epoch"],
        is_disabled=document["disabled"],
        is_deleted=document.get("deleted", False),
    )
