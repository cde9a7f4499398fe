"""Any sequence of operations, any data: compared with a model that is simple enough to be right."""

from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tornado.ioloop import IOLoop

from server.services import Services
from server.sessions import Client, Options, Session, SessionRecord
from server.sessions.data import check_key

FEW = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

KEYS = st.sampled_from(["a", "b"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    | st.binary(max_size=20)
    | st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(  # noqa: DTZ001 - made aware below
        lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)
    )
    | st.builds(bson.ObjectId)
    | st.builds(bson.Decimal128, st.decimals(-(10**9), 10**9, places=5).map(str))
)
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
OPERATIONS = st.one_of(
    st.tuples(st.just("set"), KEYS, st.integers(0, 9)),
    st.tuples(st.just("append"), KEYS, st.integers(0, 9)),
    st.tuples(st.just("delete"), KEYS, st.none()),
    st.tuples(st.sampled_from(["save", "load", "regenerate", "reload"]), st.none(), st.none()),
    st.tuples(st.just("save"), st.none(), st.none()),
    st.tuples(st.just("destroy"), st.none(), st.none()),
    st.tuples(st.just("increment"), st.just("n"), st.integers(-3, 3)),
)


async def perform(services: Services, steps: list[tuple[int, tuple[str, Any, Any]]]) -> None:  # noqa: PLR0912 - one branch an operation
    """Runs the steps on the requests of one browser, and compares with `alive`: what should be stored."""
    alive: dict[bytes, dict[str, Any]] = {}
    cookie = await begin(services, alive)
    requests = [await join(services, cookie), await join(services, cookie)]
    for who, (operation, key, value) in steps:
        request = requests[who]
        stored = alive.get(request.id) if request.id else None
        was_new, before_id, before = request.id is None, request.id, request.changes()
        if operation == "load":
            requests[who] = await join(services, cookie if cookie in alive else None)
        elif operation == "set":
            request[key] = value
        elif operation == "append":
            request.setdefault(key, [])
            if isinstance(request[key], list):
                request[key].append(value)
        elif operation == "delete":
            request.pop(key, None)
        elif operation == "destroy":
            await request.destroy()
            alive.pop(before_id or b"", None)
        elif operation == "reload":
            assert await request.reload() == (stored is not None)
            assert dict(request) == (stored or {})
        else:
            expected = {**(stored or {}), **deepcopy(dict(before.set_keys))}
            expected = {name: item for name, item in expected.items() if name not in before.unset_keys}
            if operation == "save":
                done = await request.save()
            elif operation == "regenerate":
                done = await request.regenerate()
            else:
                done = await request.increment(key, value) is not None
                expected[key] = expected.get(key, 0) + value
            if done and request.id and (stored is not None or was_new):
                alive.pop(before_id or b"", None)
                alive[request.id], cookie = expected, request.id
            else:
                assert stored is None
                assert not done or (operation == "save" and not before)
        found = await services.sessions.store.find(list(alive)) if alive else {}
        assert {
            record.id: record.data for record in found.values() if isinstance(record, SessionRecord)
        } == alive


async def begin(services: Services, alive: dict[bytes, dict[str, Any]]) -> bytes:
    session = await new(services)
    session["a"] = []
    await session.save()
    assert session.id is not None
    alive[session.id] = {"a": []}
    return session.id


async def new(services: Services) -> Session:
    return Session(services.sessions.store, services.lifetime, Options(), Client)


async def join(services: Services, session_id: bytes | None) -> Session:
    if session_id is None:
        return await new(services)
    record = (await services.sessions.store.find([session_id]))[session_id]
    assert isinstance(record, SessionRecord)
    return Session(services.sessions.store, services.lifetime, Options(), Client, record=record)


@FEW
@given(steps=st.lists(st.tuples(st.integers(0, 1), OPERATIONS), max_size=25))
def test_any_sequence_of_operations_ends_as_the_model_says(
    steps: Any, services: Services, io_loop: IOLoop
) -> None:
    io_loop.run_sync(lambda: perform(services, steps), timeout=20)


@FEW
@given(value=VALUES)
def test_every_value_comes_back_as_it_was(value: Any, services: Services, io_loop: IOLoop) -> None:
    async def visit() -> Any:
        session = await new(services)
        session["value"] = deepcopy(value)
        await session.save()
        assert not session.changes()
        return (await join(services, session.id))["value"]

    assert io_loop.run_sync(visit) == value


@given(key=st.text(max_size=140))
def test_every_key_is_stored_as_it_is_or_refused_by_name(key: str) -> None:
    if is_accepted(key):
        assert bson.decode(bson.encode({key: 1})) == {key: 1}
        assert "." not in key
        assert not key.startswith("$")


def is_accepted(key: str) -> bool:
    try:
        check_key(key)
    except ValueError as error:
        return "session key" not in str(error)
    return True


@pytest.mark.parametrize("key", ["a.b", "$x", "", "\0", "k" * 129])
def test_a_hostile_key_reaches_no_database(key: str, services: Services, io_loop: IOLoop) -> None:
    async def visit() -> None:
        session = await new(services)
        with pytest.raises(ValueError, match="session key"):
            session[key] = 1
        with pytest.raises(ValueError, match="session key"):
            await session.increment(key)
        with pytest.raises(ValueError, match="session key"):
            await session.modify(lambda data: data.update({key: 1}))
        with pytest.raises(ValueError, match="session key"):
            await session.start({key: 1}, user_id="u", epoch=0, lifetime=services.lifetime, client=Client())
        assert await services.database["sessions"].count_documents({}) == 0

    io_loop.run_sync(visit)
