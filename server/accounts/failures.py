"""Wrong passwords at each account, counted until its owner signs in and hears of them (ASVS 6.3.5)."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo import ReadPreference, WriteConcern

from server.sessions import store_errors

MEMORY_SECONDS = 30 * 86400


@dataclass(frozen=True, slots=True)
class Failed:
    """How many wrong passwords there were since somebody last signed in, and when the last one was."""

    count: int
    last_at: datetime


class Failures:
    """The counts: one document an account, forgotten 30 days after the last failure.

    Addresses without an account are counted too: whether there is one must not show in what is written, nor
    in how long that takes. `Throttle` bounds how many failures there can be.

    Documents: {"_id": keyed digest, "count", "last_at", "expires_at"}. Addresses must be normalised by the
    caller. Every method raises `StoreUnavailable` if the database does not answer within `deadline` seconds.
    """

    def __init__(self, collection: Any, deadline: float, site_secrets: Sequence[str]) -> None:
        # A failure that a failover takes back is one that nobody hears of; it need not slow sign-ins down.
        self._collection = collection.with_options(
            read_preference=ReadPreference.PRIMARY, write_concern=WriteConcern(1)
        )
        self._deadline = deadline
        self._key = hmac.digest(site_secrets[0].encode(), b"latchkey failures", "sha256")

    async def create_indexes(self) -> None:
        """Creates what is missing; safe to repeat and from several processes at once."""
        async with store_errors(self._deadline):
            await self._collection.create_index([("expires_at", 1)], name="expiry", expireAfterSeconds=0)

    async def add(self, email: str) -> None:
        """A password was wrong."""
        change = {
            "count": {"$add": [{"$ifNull": ["$count", 0]}, 1]},
            "last_at": "$$NOW",
            "expires_at": {"$add": ["$$NOW", MEMORY_SECONDS * 1000]},
        }
        async with store_errors(self._deadline):
            await self._collection.update_one({"_id": self._id(email)}, [{"$set": change}], upsert=True)

    async def find(self, email: str) -> Failed | None:
        """What was counted, or None."""
        async with store_errors(self._deadline):
            document = await self._collection.find_one({"_id": self._id(email)})
        return Failed(document["count"], document["last_at"]) if document else None

    async def forget(self, email: str, told: Failed | None = None) -> None:
        """Counting starts anew; with `told` only if nothing has been added to it since it was found."""
        known = {"count": told.count, "last_at": told.last_at} if told else {}
        async with store_errors(self._deadline):
            await self._collection.delete_one({"_id": self._id(email), **known})

    def _id(self, email: str) -> bytes:
        return hmac.digest(self._key, email.encode(errors="replace"), "sha256")
