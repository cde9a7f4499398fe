"""What is damaged, too large, or answered twice."""

from datetime import timedelta
from typing import Any

import pytest
from pymongo import MongoClient

from server.services import Services
from server.sessions import Client, Options, Session, SessionRecord, StoreUnavailable, UnstorableValue
from tests.client import Browser
from tests.sessions.tools import failing

pytestmark = pytest.mark.gen_test


async def begin(services: Services, **data: Any) -> Session:
    session = Session(services.sessions.store, services.lifetime, Options(), Client)
    session.update(data)
    await session.save()
    return session


@pytest.mark.covers("R10")
@pytest.mark.parametrize(
    "damage",
    [{"seen_at": 5}, {"created_at": None}, {"rev": "x"},
     {"lifetime": {"idle": "x", "absolute": 1, "persistent": False}},
     {"lifetime": {"idle": 0, "absolute": 0, "persistent": False}}],
)  # fmt: skip
async def test_a_session_with_broken_times_is_gone_and_no_error(
    browser: Browser, sessions: Any, damage: dict[str, Any]
) -> None:
    await browser.sign_up("ann@example.com")
    await sessions.update_many({}, {"$set": damage})

    assert (await browser.get("/account")).code == 302
    assert (await browser.get("/")).code == 200


@pytest.mark.covers("R30", "S112")
async def test_what_is_too_large_is_refused_by_name_and_nothing_is_written(services: Services) -> None:
    session = await begin(services, a=1)
    session["a"] = 2
    session["heap"] = "x" * 65_536

    with pytest.raises(UnstorableValue, match="'heap'"):
        await session.save()

    assert session.id is not None
    record = (await services.sessions.store.find([session.id]))[session.id]
    assert isinstance(record, SessionRecord)
    assert record.data == {"a": 1}
    del session["heap"]
    assert await session.save()


@pytest.mark.covers("R30")
async def test_a_session_has_a_bounded_number_of_keys(services: Services) -> None:
    session = await begin(services, **{f"key{number}": number for number in range(100)})
    session["one more"] = 1

    with pytest.raises(UnstorableValue, match="101 keys"):
        await session.save()


@pytest.mark.covers("R26")
async def test_a_write_whose_answer_got_lost_counts_once(services: Services, mongodb_uri: str) -> None:
    """The server carries it out and says that the connection is in trouble, so the driver asks again."""
    lost = {
        "failCommands": ["findAndModify"],
        "appName": "latchkey",
        "writeConcernError": {"code": 91, "errmsg": "on purpose", "errorLabels": ["RetryableWriteError"]},
    }
    with MongoClient[dict[str, Any]](mongodb_uri) as client:

        def lose_one_answer() -> None:
            client.admin.command({"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": lost})

        lose_one_answer()
        session = await begin(services, n=0)
        lose_one_answer()
        assert await session.increment("n") == 1

    assert await services.database["sessions"].count_documents({"data.n": 1, "rev": 1}) == 1
    assert session.expires_at is not None
    assert session.read_at is not None
    assert session.expires_at - session.read_at <= timedelta(seconds=1800)


async def test_what_was_stored_before_the_limit_can_still_be_read_and_removed(
    services: Services, sessions: Any
) -> None:
    session = await begin(services, old=["small"])
    await sessions.update_many({}, {"$set": {"data.old": ["x" * 70_000]}})
    await session.reload()

    assert len(session["old"][0]) == 70_000
    assert await session.save()
    del session["old"]
    assert await session.save()

    assert (await sessions.find_one({}))["data"] == {}


async def test_a_rotation_that_fails_halfway_leaves_no_session_that_nobody_holds(
    services: Services, sessions: Any, mongodb_uri: str
) -> None:
    session = await begin(services, a=1)
    with failing(mongodb_uri, "update"), pytest.raises(StoreUnavailable):
        await session.regenerate()

    assert await sessions.count_documents({}) == 1
    assert await session.save()


@pytest.mark.covers("R32")
async def test_indexes_with_other_options_or_keys_are_made_anew(services: Services, sessions: Any) -> None:
    store = services.sessions.store
    await store.create_indexes(ttl=False)
    assert "expireAfterSeconds" not in (await sessions.index_information())["expiry"]
    await sessions.drop_index("user")
    await sessions.create_index([("user_id", 1)], name="user")

    await store.create_indexes()

    indexes = await sessions.index_information()
    assert indexes["expiry"]["expireAfterSeconds"] == 0
    assert indexes["user"]["key"] == [("user_id", 1), ("active_at", -1)]
