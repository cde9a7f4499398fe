"""Sessions in MongoDB: one document a session, one BSON field a top-level key of its data.

Written with what motor and `pymongo.AsyncMongoClient` have in common, so that either client will do.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from itertools import count
from typing import Any

from pymongo import ReadPreference, ReturnDocument, UpdateMany, WriteConcern
from pymongo.errors import OperationFailure, PyMongoError

from server.sessions.cipher import ValueCipher
from server.sessions.documents import CODEC, FIELDS, SessionDocuments, encode, times_of
from server.sessions.record import RetiredRecord, SessionDraft, SessionRecord
from server.sessions.store import StoreUnavailable, UnstorableValue

RETIRED_SECONDS = 60
_INDEX_CONFLICTS = {85, 86}  # an index with these keys, or with this name, is there and differs
_NO_NUMBER = {2, 14}  # BadValue: the sum is too large; TypeMismatch: it is no number

logger = logging.getLogger("latchkey.sessions")

# Judged by the database's clock inside the query: the TTL index only cleans up, and does so once a minute.
_UNEXPIRED = {"$expr": {"$gt": ["$expires_at", "$$NOW"]}}
_ALIVE = {"retired": {"$exists": False}, **_UNEXPIRED}
_SEEN = ("seen_at",)
_ACTIVE = ("seen_at", "active_at")


@asynccontextmanager
async def store_errors(deadline: float) -> AsyncIterator[None]:
    """Turns every failure of the database in its body, and `deadline` seconds passing, into
    `StoreUnavailable`."""
    try:
        async with asyncio.timeout(deadline):
            yield
    except (PyMongoError, TimeoutError) as error:
        # What follows repeats the whole operation: thousands of ids, in every process, as long as it fails.
        reason = str(error).partition(", full error")[0].partition("\n")[0]
        raise StoreUnavailable(reason or type(error).__name__) from error


class MongoSessionStore:
    """A `SessionStore` on a MongoDB collection. `deadline` is the longest a call may take, in seconds.

    With a `cipher` the values are encrypted at rest. A session that cannot be read, because it is damaged or
    its key is unknown, counts as gone; it is left to expire, in case it is the configuration that is wrong.
    """

    def __init__(self, collection: Any, deadline: float, cipher: ValueCipher | None = None) -> None:
        # Whatever the URI says: a read from a secondary could see a session that has ended, and a write that
        # a failover takes back would undo a sign-out.
        self._collection = collection.with_options(
            codec_options=CODEC,
            read_preference=ReadPreference.PRIMARY,
            write_concern=WriteConcern("majority"),
        )
        # A touch that is lost costs nothing: the next request touches again.
        self._relaxed = self._collection.with_options(write_concern=WriteConcern(1))
        self._deadline = deadline
        self._documents = SessionDocuments(cipher)

    @property
    def can_increment(self) -> bool:
        return not self._documents.is_encrypted

    def encode(self, value: Any) -> bytes:
        return encode(value)

    async def create_indexes(self, *, ttl: bool = True) -> None:
        """Creates what is missing; safe to repeat and from several processes at once.

        Without `ttl`, for services that know no TTL index, the application calls `sweep` now and then.
        """
        async with store_errors(self._deadline):
            expiry = {"expireAfterSeconds": 0} if ttl else {}
            await self._ensure_index([("expires_at", 1)], "expiry", **expiry)
            owned = {"user_id": {"$exists": True}}
            await self._ensure_index(
                [("user_id", 1), ("active_at", -1)], "user", partialFilterExpression=owned
            )

    async def insert(self, draft: SessionDraft) -> SessionRecord:
        # A pipeline, because only a pipeline can read the database's clock. The filter matches no document
        # that exists, so this inserts or fails with a duplicate key; it never overwrites.
        async with store_errors(self._deadline):
            document = await self._collection.find_one_and_update(
                {"_id": draft.id, "handle": {"$exists": False}, "retired": {"$exists": False}},
                [
                    {
                        "$replaceWith": {
                            "$mergeObjects": [{"$literal": self._documents.of(draft)}, times_of(draft)]
                        }
                    }
                ],
                upsert=True,
                return_document=ReturnDocument.AFTER,
                projection=FIELDS,
            )
        record = self._documents.read_live(document)
        assert record is not None  # it was written a moment ago
        return record

    async def find(self, ids: Collection[bytes]) -> dict[bytes, SessionRecord | RetiredRecord]:
        async with store_errors(self._deadline):
            documents = await self._collection.find(
                {"_id": {"$in": list(ids)}, **_UNEXPIRED}, FIELDS, batch_size=len(ids) + 1
            ).to_list(None)
        found = {document["_id"]: self._documents.read(document) for document in documents}
        return {session_id: record for session_id, record in found.items() if record}

    async def update(
        self,
        session_id: bytes,
        *,
        set_keys: Mapping[str, Any] | None = None,
        unset_keys: Collection[str] = (),
        increments: Mapping[str, int] | None = None,
        rev: int | None = None,
    ) -> SessionRecord | None:
        change: dict[str, dict[str, Any]] = {
            "$inc": {"rev": 1, **{f"data.{key}": by for key, by in (increments or {}).items()}}
        }
        if set_keys:
            change["$set"] = {
                f"data.{key}": value for key, value in self._documents.sealed(session_id, set_keys).items()
            }
        if unset_keys:
            change["$unset"] = {f"data.{key}": "" for key in unset_keys}
        async with store_errors(self._deadline):
            try:
                document = await self._collection.find_one_and_update(
                    _live(session_id, rev), change, return_document=ReturnDocument.AFTER, projection=FIELDS
                )
            except OperationFailure as error:
                if error.code in _NO_NUMBER:
                    raise UnstorableValue(
                        f"only a number can be incremented: {sorted(increments or ())}"
                    ) from None
                raise
        return self._documents.read_live(document) if document else None

    async def touch(self, active_ids: Collection[bytes], seen_ids: Collection[bytes] = ()) -> None:
        updates = [_touching(ids, moved) for ids, moved in ((active_ids, _ACTIVE), (seen_ids, _SEEN)) if ids]
        if updates:  # one command, whichever they are
            async with store_errors(self._deadline):
                await self._relaxed.bulk_write(updates, ordered=False)

    async def retire(self, session_id: bytes, rev: int | None = None) -> bool:
        mark = {
            "_id": "$_id",
            "retired": True,
            "expires_at": {"$add": ["$$NOW", RETIRED_SECONDS * 1000]},
        }
        async with store_errors(self._deadline):
            result = await self._collection.update_one(_live(session_id, rev), [{"$replaceWith": mark}])
        return bool(result.matched_count)

    async def end(self, session_id: bytes) -> bool:
        async with store_errors(self._deadline):
            result = await self._collection.delete_one({"_id": session_id, "retired": {"$exists": False}})
        return bool(result.deleted_count)

    async def end_user(
        self, user_id: str, except_id: bytes | None = None, before_epoch: int | None = None
    ) -> int:
        chosen = {"user_id": user_id, "_id": {"$ne": except_id}, **_UNEXPIRED}
        if before_epoch is not None:
            chosen["epoch"] = {"$lt": before_epoch}
        ended = 0
        # A session that gets a new token can slip past a deletion under way: look again until none is left.
        for attempt in count():
            async with store_errors(self._deadline):
                result = await self._collection.delete_many(chosen)
            if attempt and not result.deleted_count:
                break
            ended += result.deleted_count
        return ended

    async def trim_user(self, user_id: str, keep: int) -> int:
        async with store_errors(self._deadline):
            surplus = (
                await self._collection.find({"user_id": user_id, **_ALIVE}, {"_id": 1})
                .sort([("active_at", -1), ("_id", 1)])
                .skip(keep)
                .to_list(None)
            )
            if not surplus:
                return 0
            result = await self._collection.delete_many({"_id": {"$in": [found["_id"] for found in surplus]}})
        return int(result.deleted_count)

    async def list_user(self, user_id: str) -> list[SessionRecord]:
        async with store_errors(self._deadline):
            documents = (
                await self._collection.find({"user_id": user_id, **_ALIVE}, FIELDS)
                .sort([("active_at", -1)])
                .to_list(None)
            )
        return [record for record in map(self._documents.read_live, documents) if record]

    async def count(self) -> int:
        """How many sessions are alive."""
        async with store_errors(self._deadline):
            return int(await self._collection.count_documents(_ALIVE))

    async def clear(self) -> int:
        """Ends every session of this collection; the indexes stay."""
        async with store_errors(self._deadline):
            result = await self._collection.delete_many({})
        return int(result.deleted_count)

    async def sweep(self, limit: int = 1000) -> int:
        """Removes up to `limit` expired sessions. Returns how many: repeat while it is `limit`."""
        async with store_errors(self._deadline):
            # Expired is for ever, so nothing can happen to them between finding and deleting. By its own
            # clock, a process finds candidates with the index; the database's clock decides.
            old = {"expires_at": {"$lt": datetime.now(UTC)}, "$nor": [_UNEXPIRED]}
            documents = await self._collection.find(old, {"_id": 1}).limit(limit).to_list(None)
            result = await self._collection.delete_many(
                {"_id": {"$in": [found["_id"] for found in documents]}}
            )
        return int(result.deleted_count)

    async def _ensure_index(self, keys: list[tuple[str, int]], name: str, **options: Any) -> None:
        try:
            await self._collection.create_index(keys, name=name, **options)
        except OperationFailure as error:
            if error.code not in _INDEX_CONFLICTS:
                raise
            # With another age it would end sessions late or early, and with other keys help nobody.
            logger.warning("the index %r has other options and is made anew", name)
            for other, index in (await self._collection.index_information()).items():
                if other == name or index["key"] == keys:
                    with suppress(OperationFailure):  # another process was quicker
                        await self._collection.drop_index(other)
            await self._collection.create_index(keys, name=name, **options)


def _live(session_id: bytes, rev: int | None) -> dict[str, Any]:
    return {"_id": session_id, **_ALIVE} if rev is None else {"_id": session_id, "rev": rev, **_ALIVE}


def _touching(ids: Collection[bytes], moved: Collection[str]) -> UpdateMany:
    idle_end = {"$add": ["$$NOW", {"$multiply": ["$lifetime.idle", 1000]}]}
    times = dict.fromkeys(moved, "$$NOW") | {"expires_at": {"$min": [idle_end, "$ends_at"]}}
    return UpdateMany({"_id": {"$in": list(ids)}, **_ALIVE}, [{"$set": times}])
