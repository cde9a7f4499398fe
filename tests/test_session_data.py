from typing import Any

import bson
import pytest

from server.sessions.data import SessionData
from server.sessions.documents import encode
from server.sessions.store import UnstorableValue


@pytest.fixture
def data() -> SessionData:
    loaded = SessionData(encode)
    loaded.accept({"name": "Ann", "cart": ["apple"], "address": {"city": "Bern"}})
    return loaded


def test_reading_changes_nothing(data: SessionData) -> None:
    assert dict(data) == {"name": "Ann", "cart": ["apple"], "address": {"city": "Bern"}}
    assert not data.changes()


def test_only_the_changed_keys_are_written(data: SessionData) -> None:
    data["name"] = "Bob"
    del data["cart"]
    data["new"] = 1

    changes = data.changes()

    assert changes.set_keys == {"name": "Bob", "new": 1}
    assert changes.unset_keys == ("cart",)


def test_a_change_inside_a_value_counts(data: SessionData) -> None:
    data["cart"].append("pear")
    data["address"]["city"] = "Basel"

    assert set(data.changes().set_keys) == {"cart", "address"}


def test_a_value_that_was_only_peeked_at_is_not_watched(data: SessionData) -> None:
    data.peek("cart").append("pear")

    assert data.peek("nothing") is None
    assert not data.changes()


def test_assigning_what_is_there_already_is_no_change(data: SessionData) -> None:
    data["name"] = "Ann"
    data["cart"] = ["apple"]
    data["passing"] = 1
    del data["passing"]

    assert not data.changes()


def test_a_change_of_type_is_a_change(data: SessionData) -> None:
    data.accept({"flag": 1, "items": [1]})
    data["flag"] = True
    data["items"][0] = 1.0

    assert set(data.changes().set_keys) == {"flag", "items"}


def test_a_value_handed_out_before_a_save_is_still_watched(data: SessionData) -> None:
    cart = data["cart"]
    cart.append("pear")
    data.mark_saved(data.changes())
    assert not data.changes()

    cart.append("plum")

    assert data.changes().set_keys == {"cart": ["apple", "pear", "plum"]}


@pytest.mark.covers("S114")
@pytest.mark.parametrize("key", ["", "a.b", "$set", "nul\0", "x" * 129, "ü" * 65, "line\n", "\ud800"])
def test_a_hostile_key_is_refused_by_name_when_it_is_assigned(data: SessionData, key: str) -> None:
    with pytest.raises(ValueError, match="session key"):
        data[key] = 1

    assert not data.changes()


def test_a_key_that_is_no_string_is_refused(data: SessionData) -> None:
    with pytest.raises(TypeError, match="session key"):
        data[1] = "one"  # type: ignore[index]


@pytest.mark.covers("S114")
@pytest.mark.parametrize("key", ["a" * 128, "user", "__proto__", "0", "clé", "with space", "a$b"])
def test_other_keys_are_fine(data: SessionData, key: str) -> None:
    data[key] = 1

    assert data.changes().set_keys == {key: 1}


@pytest.mark.covers("C19")
def test_a_value_that_cannot_be_stored_is_named() -> None:
    loop: list[Any] = []
    loop.append(loop)
    for value in (object(), {1: 2}, 2**63, "\ud800", {"a\0": 1}, loop, bson):
        data = SessionData(encode)
        data["thing"] = value
        with pytest.raises(UnstorableValue, match="'thing'"):
            data.changes()
