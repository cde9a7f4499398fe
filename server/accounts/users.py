"""Users in MongoDB: one document an account, its address unique."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pymongo import ReadPreference, WriteConcern
from pymongo.errors import DuplicateKeyError

from server.sessions import store_errors


class EmailTaken(Exception):
    """Another account has this address already."""


@dataclass(frozen=True, slots=True)
class User:
    """An account. `epoch` is raised when all sessions signed in before must be worthless."""

    id: str
    email: str
    password_hash: str
    epoch: int
    is_disabled: bool


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

    async def create(self, email: str, password_hash: str) -> User:
        """Stores a new account. Raises `EmailTaken`; of two at once one gets the address."""
        user = User(uuid.uuid4().hex, email, password_hash, epoch=0, is_disabled=False)
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
    )
