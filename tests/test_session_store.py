"""The MongoDB store: the contract of every store, and what it promises beyond."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from bson.datetime_ms import DatetimeMS
from pymongo import AsyncMongoClient
from pymongo.errors import BulkWriteError
from tornado.ioloop import IOLoop

from server.services import Services
from server.sessions import (
    Client,
    MongoSessionStore,
    Options,
    Session,
    SessionDraft,
    SessionRecord,
    StoreUnavailable,
    ValueCipher,
    store_errors,
)
from server.sessions.token import digest, new_handle, new_token
from settings import Settings
from tests.sessions.contract import HOUR, StoreContract, draft, find

pytestmark = pytest.mark.gen_test


KEY = "a key for tests, of forty characters ..."


@pytest.fixture(params=["motor", "motor, encrypted", "pymongo"])
def store(request: pytest.FixtureRequest, settings: Settings, services: Services, io_loop: IOLoop) -> Any:
    """The store on both drivers, so that motor can be left behind, and with encrypted values."""
    if request.param == "motor":
        yield services.sessions.store
    elif request.param == "motor, encrypted":
        yield MongoSessionStore(services.database["sessions"], 2, ValueCipher([KEY]))
    else:
        client = AsyncMongoClient[dict[str, Any]](settings.mongodb_uri)
        yield MongoSessionStore(client[settings.mongodb_database]["sessions"], 2)
        io_loop.run_sync(client.close)


async def age(sessions: Any, record: SessionRecord, **fields: timedelta) -> None:
    """Makes a session old where it counts: in the database."""
    await sessions.update_one(
        {"_id": record.id}, {"$set": {name: datetime.now(UTC) + delta for name, delta in fields.items()}}
    )


class TestMongoSessionStore(StoreContract):
    @pytest.fixture
    def age(self, sessions: Any) -> Any:
        return partial(age, sessions)


async def test_a_retired_session_keeps_no_data(store: Any, sessions: Any) -> None:
    made = await store.insert(draft({"secret": 1}, user_id="u"))

    await store.retire(made.id)

    assert set(await sessions.find_one({"_id": made.id})) == {"_id", "retired", "expires_at"}


async def test_a_failure_is_told_in_one_line_without_the_operation() -> None:
    with pytest.raises(StoreUnavailable) as failure:
        async with store_errors(2):
            raise BulkWriteError({"writeErrors": [{"errmsg": "too slow", "op": {"q": "0123456789" * 1000}}]})

    assert len(str(failure.value)) < 200


async def test_expired_documents_are_not_needed_to_be_gone(store: Any, sessions: Any) -> None:
    made = await store.insert(draft())
    await age(sessions, made, expires_at=timedelta(seconds=-1))

    assert (await find(store, made), await sessions.count_documents({})) == (None, 1)


async def test_nothing_brings_back_a_document_that_has_been_deleted(store: Any, sessions: Any) -> None:
    made = await store.insert(draft({"a": 1}))
    await store.end(made.id)
    await store.update(made.id, set_keys={"a": 2})
    await store.touch([made.id])
    await store.retire(made.id)

    assert await sessions.count_documents({}) == 0


@pytest.mark.covers("C35", "R32")
async def test_the_ttl_index_is_mended_if_it_has_other_options(store: Any, sessions: Any) -> None:
    await sessions.drop_indexes()
    await sessions.create_index([("expires_at", 1)], name="expiry", expireAfterSeconds=777)

    await store.create_indexes()

    indexes = await sessions.index_information()
    assert indexes["expiry"]["expireAfterSeconds"] == 0


@pytest.mark.covers("C39")
async def test_nothing_stored_is_worth_anything_as_a_token(store: Any, sessions: Any) -> None:
    token = new_token()
    await store.insert(SessionDraft(digest(token), new_handle(), {}, HOUR, Client()))

    (document,) = await sessions.find().to_list(None)

    assert token not in repr(document)
    assert document["_id"] == digest(token)


@pytest.mark.covers("C20")
@pytest.mark.parametrize(
    "damage",
    [
        {"data": "garbage"},
        {"data": 5},
        {"lifetime": None},
        {"client": {"nobody": 1}},
        {"rev": None, "ends_at": None},
    ],
)
async def test_a_session_that_cannot_be_read_is_gone_and_disturbs_no_other(
    store: Any, sessions: Any, damage: dict[str, Any]
) -> None:
    broken, whole = (
        await store.insert(draft({"a": 1}, user_id="u")),
        await store.insert(draft({"a": 2}, user_id="u")),
    )
    change = {"$unset": damage} if "rev" in damage else {"$set": damage}
    await sessions.update_one({"_id": broken.id}, change)

    assert list(await store.find([broken.id, whole.id])) == [whole.id]
    assert [record.id for record in await store.list_user("u")] == [whole.id]


async def test_text_and_dates_that_python_cannot_hold_spoil_one_value_only(store: Any, sessions: Any) -> None:
    made = await store.insert(draft({"a": 1}))
    if store.can_increment:
        await sessions.update_one({"_id": made.id}, {"$set": {"data.date": DatetimeMS(2**60)}})

    assert (await find(store, made)).data["a"] == 1


async def test_a_sweep_removes_expired_sessions_only_and_no_more_than_asked(
    store: Any, sessions: Any
) -> None:
    alive = await store.insert(draft())
    for _ in range(3):
        await age(sessions, await store.insert(draft()), expires_at=timedelta(seconds=-1))

    assert [await store.sweep(limit=2), await store.sweep(limit=2), await store.sweep()] == [2, 1, 0]
    assert list(await store.find([alive.id])) == [alive.id]


@pytest.mark.covers("S139", "C38")
async def test_only_living_sessions_are_counted(store: Any, sessions: Any) -> None:
    await store.insert(draft())
    await store.retire((await store.insert(draft())).id)
    await age(sessions, await store.insert(draft()), expires_at=timedelta(seconds=-1))

    assert await store.count() == 1


@pytest.mark.covers("C14", "R33")
async def test_clearing_one_collection_leaves_the_other_and_the_indexes(
    store: Any, sessions: Any, services: Services
) -> None:
    neighbour = MongoSessionStore(services.database["neighbour"], 2)
    await neighbour.insert(draft())
    await store.insert(draft())

    assert await store.clear() == 1
    assert await store.clear() == 0

    assert await neighbour.count() == 1
    assert {"expiry", "user"} <= set(await sessions.index_information())


async def test_without_ttl_the_index_removes_nothing_by_itself(store: Any, sessions: Any) -> None:
    await sessions.drop_indexes()

    await store.create_indexes(ttl=False)

    assert "expireAfterSeconds" not in (await sessions.index_information())["expiry"]


class TestEncryption:
    """What encryption at rest promises beyond the contract of a store."""

    @pytest.fixture
    def stores(self, services: Services) -> dict[str, MongoSessionStore]:
        def store(*keys: str) -> MongoSessionStore:
            return MongoSessionStore(services.database["sessions"], 2, ValueCipher(keys) if keys else None)

        return {
            "old": store("o" * 32),
            "both": store("n" * 32, "o" * 32),
            "new": store("n" * 32),
            "plain": store(),
        }

    async def test_the_database_holds_no_value_in_clear(self, stores: Any, sessions: Any) -> None:
        await stores["old"].insert(draft({"secret": "hunter2", "list": ["hunter2"]}))

        (document,) = await sessions.find().to_list(None)
        assert "hunter2" not in repr(document)
        assert set(document["data"]) == {"secret", "list"}

    async def test_a_value_moved_to_another_session_or_key_opens_nowhere(
        self, stores: Any, sessions: Any
    ) -> None:
        mine = await stores["old"].insert(draft({"role": "visitor", "note": "admin"}))
        other = await stores["old"].insert(draft({"role": "admin"}))
        documents = {document["_id"]: document for document in await sessions.find().to_list(None)}

        for stolen in (documents[other.id]["data"]["role"], documents[mine.id]["data"]["note"]):
            await sessions.update_one({"_id": mine.id}, {"$set": {"data.role": stolen}})
            assert await stores["old"].find([mine.id]) == {}

    @pytest.mark.covers("C15")
    async def test_keys_rotate_without_ending_sessions(self, stores: Any) -> None:
        made = await stores["old"].insert(draft({"a": 1}))

        assert (await find(stores["both"], made)).data == {"a": 1}
        assert (await stores["both"].update(made.id, set_keys={"a": 2})).data == {"a": 2}
        assert (await find(stores["new"], made)).data == {"a": 2}
        assert await find(stores["old"], made) is None

    async def test_a_value_in_clear_is_not_believed(self, stores: Any) -> None:
        made = await stores["plain"].insert(draft({"role": "admin"}))

        assert await find(stores["old"], made) is None

    async def test_without_its_keys_a_session_is_gone_and_no_error(self, stores: Any) -> None:
        made = await stores["old"].insert(draft({"user": {"id": 1}}))

        assert await find(stores["plain"], made) is None

    async def test_one_changed_bit_spoils_the_value(self, stores: Any, sessions: Any) -> None:
        made = await stores["old"].insert(draft({"a": 1}))
        (document,) = await sessions.find().to_list(None)
        sealed = document["data"]["a"]
        for position in range(len(sealed)):
            changed = sealed[:position] + bytes([sealed[position] ^ 1]) + sealed[position + 1 :]
            await sessions.update_one({"_id": made.id}, {"$set": {"data.a": changed}})
            assert await find(stores["old"], made) is None


@pytest.mark.parametrize("settings", [{"session_encryption_keys": ("k" * 32,)}], indirect=True)
async def test_parallel_increments_of_encrypted_numbers_all_count(
    services: Services, settings: Settings
) -> None:
    store = services.sessions.store
    made = await store.insert(draft({"n": 0}))

    async def increment() -> Any:
        record = (await store.find([made.id]))[made.id]
        assert isinstance(record, SessionRecord)
        session = Session(store, services.lifetime, Options(), Client, record=record)
        return await session.increment("n")

    assert sorted(await asyncio.gather(*(increment() for _ in range(10)))) == list(range(1, 11))
    assert settings.session_encryption_keys
