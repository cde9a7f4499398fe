"""What every session store must do, shown on MongoDB."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson.datetime_ms import DatetimeMS
from pymongo import AsyncMongoClient
from pymongo.errors import DuplicateKeyError
from tornado.ioloop import IOLoop

from server.services import Services
from server.sessions import (
    Client,
    Lifetime,
    MongoSessionStore,
    Options,
    RetiredRecord,
    Session,
    SessionDraft,
    SessionRecord,
    StoreUnavailable,
    ValueCipher,
)
from server.sessions.token import digest, new_handle, new_token
from settings import Settings

pytestmark = pytest.mark.gen_test

HOUR = Lifetime(idle=600, absolute=3600)


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


def draft(data: dict[str, Any] | None = None, **more: Any) -> SessionDraft:
    return SessionDraft(
        digest(new_token()), new_handle(), data or {}, HOUR, Client("Firefox", "::1", "UA"), **more
    )


async def find(store: Any, record: SessionRecord) -> Any:
    return (await store.find([record.id])).get(record.id)


async def age(sessions: Any, record: SessionRecord, **fields: timedelta) -> None:
    """Makes a session old where it counts: in the database."""
    await sessions.update_one(
        {"_id": record.id}, {"$set": {name: datetime.now(UTC) + delta for name, delta in fields.items()}}
    )


@pytest.mark.covers("C2", "C10", "C12")
async def test_a_stored_session_is_found_as_it_was(store: Any) -> None:
    data = {
        "text": "$name",
        "nested": {"list": [1, 2.5, None, True]},
        "when": datetime(2026, 1, 2, tzinfo=UTC),
    }

    made = await store.insert(draft(data, user_id="u1", epoch=3))
    found = await find(store, made)

    assert found.data == data
    assert (found.user_id, found.epoch, found.rev, found.handle) == ("u1", 3, 0, made.handle)
    assert found.client == Client("Firefox", "::1", "UA")
    assert found.expires_at - found.created_at == timedelta(seconds=600)
    assert found.ends_at - found.created_at == timedelta(seconds=3600)


@pytest.mark.covers("R21")
async def test_an_id_that_exists_is_never_overwritten(store: Any, expected_errors: list[str]) -> None:
    first = draft({"a": 1})
    await store.insert(first)

    with pytest.raises(StoreUnavailable) as caught:
        await store.insert(first)

    assert isinstance(caught.value.__cause__, DuplicateKeyError)
    assert (await store.find([first.id]))[first.id].data == {"a": 1}


@pytest.mark.covers("C3")
async def test_unknown_ids_are_simply_not_there(store: Any) -> None:
    assert await store.find([digest("unknown")]) == {}


@pytest.mark.covers("S144", "R11")
async def test_an_expired_session_is_gone_although_its_document_is_still_there(
    store: Any, sessions: Any
) -> None:
    made = await store.insert(draft({"a": 1}, user_id="u"))
    await age(sessions, made, expires_at=timedelta(seconds=-1))

    assert await find(store, made) is None
    assert await store.update(made.id, set_keys={"a": 2}) is None
    assert not await store.retire(made.id)
    assert await store.list_user("u") == []
    await store.touch([made.id])
    assert await find(store, made) is None
    assert await sessions.count_documents({}) == 1


@pytest.mark.covers("C5")
async def test_only_the_named_keys_change(store: Any) -> None:
    made = await store.insert(draft({"a": 1, "b": 2, "n": 5}))

    after = await store.update(made.id, set_keys={"c": {"d": 1}}, unset_keys=["a"])

    assert after.data == {"b": 2, "n": 5, "c": {"d": 1}}
    assert after.rev == 1
    assert (await find(store, made)).data == after.data


async def test_a_number_is_raised_in_place(store: Any) -> None:
    made = await store.insert(draft({"n": 5}))
    if store.can_increment:
        assert (await store.update(made.id, increments={"n": 2, "new": 1})).data == {"n": 7, "new": 1}


async def test_parallel_writers_of_different_keys_merge(store: Any) -> None:
    made = await store.insert(draft())

    await asyncio.gather(*(store.update(made.id, set_keys={f"k{i}": i}) for i in range(20)))

    found = await find(store, made)
    assert found.data == {f"k{i}": i for i in range(20)}
    assert found.rev == 20


async def test_a_write_that_knows_an_old_state_is_refused(store: Any) -> None:
    made = await store.insert(draft())
    await store.update(made.id, set_keys={"a": 1}, rev=0)

    assert await store.update(made.id, set_keys={"a": 2}, rev=0) is None
    assert not await store.retire(made.id, rev=0)
    assert (await find(store, made)).data == {"a": 1}


async def test_no_write_brings_back_what_has_ended(store: Any, sessions: Any) -> None:
    made = await store.insert(draft({"a": 1}))
    assert await store.end(made.id)

    assert await store.update(made.id, set_keys={"a": 2}) is None
    await store.touch([made.id])
    assert not await store.retire(made.id)
    assert not await store.end(made.id)
    assert await sessions.count_documents({}) == 0


async def test_a_retired_session_leaves_a_mark_without_any_data(store: Any, sessions: Any) -> None:
    made = await store.insert(draft({"secret": 1}, user_id="u"))

    assert await store.retire(made.id)

    assert await find(store, made) == RetiredRecord(made.id)
    document = await sessions.find_one({"_id": made.id})
    assert set(document) == {"_id", "retired", "expires_at"}
    assert not await store.retire(made.id)
    assert await store.update(made.id, set_keys={"a": 1}) is None
    assert await store.list_user("u") == []


async def test_ten_parallel_retirements_have_one_winner(store: Any) -> None:
    made = await store.insert(draft())

    assert sum(await asyncio.gather(*(store.retire(made.id, rev=0) for _ in range(10)))) == 1


@pytest.mark.covers("C21", "R15")
async def test_a_touch_moves_the_idle_end_but_never_past_the_absolute_end(store: Any, sessions: Any) -> None:
    made, late = await store.insert(draft()), await store.insert(draft())
    await age(sessions, made, expires_at=timedelta(seconds=60))
    await age(sessions, late, expires_at=timedelta(seconds=60), ends_at=timedelta(seconds=90))

    await store.touch([made.id, late.id])

    found = await store.find([made.id, late.id])
    assert found[made.id].expires_at - found[made.id].seen_at == timedelta(seconds=600)
    assert found[late.id].expires_at == found[late.id].ends_at


async def test_a_new_token_keeps_the_age_of_the_session(store: Any) -> None:
    made = await store.insert(draft())

    copy = await store.insert(draft(created_at=made.created_at, ends_at=made.ends_at))

    assert (copy.created_at, copy.ends_at) == (made.created_at, made.ends_at)


async def test_all_sessions_of_a_user_end_but_one_and_nobody_elses(store: Any) -> None:
    mine = [await store.insert(draft(user_id="me")) for _ in range(3)]
    other = await store.insert(draft(user_id="other"))

    assert await store.end_user("me", except_id=mine[0].id) == 2

    assert [record.id for record in await store.list_user("me")] == [mine[0].id]
    assert await find(store, other)
    assert await store.end_user("me") == 1


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
