import time
from http.cookies import SimpleCookie
from typing import Any

import pytest
from tornado.web import create_signed_value

from server.sessions import SessionCookie
from server.sessions.token import new_token

OLD, NEW = "an old secret of more than 32 bytes", "a new secret of more than 32 bytes"
DAY = 86400


def cookie(*secrets: str, **options: Any) -> SessionCookie:
    return SessionCookie("sid", secrets or (NEW,), **{"max_age": DAY, "secure": False} | options)


def value_of(line: str) -> str:
    return line.partition("=")[2].partition(";")[0]


@pytest.mark.covers("S82")
def test_a_token_comes_back_as_it_went_out() -> None:
    token = new_token()
    line = cookie().set_line(token, None)

    (read,) = cookie().read([f"sid={value_of(line)}"])

    assert (read.value, read.is_current) == (token, True)


def test_the_line_can_be_read_by_others() -> None:
    line = cookie(secure=True).set_line(new_token(), 60)

    morsel = SimpleCookie(line)["__Host-sid"]

    assert (morsel["max-age"], morsel["path"], morsel["samesite"]) == ("60", "/", "Lax")
    assert morsel["secure"]
    assert morsel["httponly"]


@pytest.mark.covers("S17", "S45")
def test_without_max_age_it_ends_with_the_browser() -> None:
    line = cookie().set_line(new_token(), None)

    assert "Max-Age" not in line
    assert "Expires" not in line


@pytest.mark.covers("CK-8")
def test_the_clearing_line_has_the_same_attributes() -> None:
    made = cookie(secure=True, partitioned=True, samesite="none", path="/app", domain="example.com")

    def attributes(line: str) -> set[str]:
        parts = {part.strip() for part in line.split(";")[1:]}
        return {part for part in parts if not part.startswith(("Max-Age", "Expires"))}

    assert attributes(made.clear_line()) == attributes(made.set_line(new_token(), 60))
    assert "Max-Age=0" in made.clear_line()


@pytest.mark.covers("S54")
@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"secure": False}, "sid"),
        ({"secure": True}, "__Host-sid"),
        ({"secure": True, "path": "/app"}, "__Secure-sid"),
        ({"secure": True, "domain": "example.com"}, "__Secure-sid"),
    ],
)
def test_the_name_gets_the_strongest_prefix_that_fits(options: dict[str, Any], name: str) -> None:
    assert cookie(**options).name == name


@pytest.mark.covers("S3", "S38", "S55", "CK-13")
@pytest.mark.parametrize(
    "options",
    [
        {"samesite": "none"},
        {"partitioned": True},
        {"samesite": "maybe"},
        {"priority": "urgent"},
        {"secrets": ()},
    ],
)
def test_what_browsers_would_drop_is_refused(options: dict[str, Any]) -> None:
    secrets = options.pop("secrets", (NEW,))
    with pytest.raises(ValueError, match=r"\w"):
        SessionCookie("sid", secrets, **{"max_age": DAY, "secure": False} | options)


@pytest.mark.covers("S84", "S85")
def test_any_key_verifies_and_the_first_one_signs() -> None:
    old = value_of(cookie(OLD).set_line(new_token(), None))
    both = cookie(NEW, OLD)

    (read,) = both.read([f"sid={old}"])

    assert not read.is_current
    new = value_of(both.set_line(read.value, None))
    assert cookie(NEW).read([f"sid={new}"])
    assert not cookie(OLD).read([f"sid={new}"])
    assert not cookie(NEW).read([f"sid={old}"])


@pytest.mark.covers("S90", "TOK-10")
@pytest.mark.parametrize("good_first", [True, False])
def test_of_two_cookies_the_good_one_counts_wherever_it_stands(good_first: bool) -> None:
    good = value_of(cookie().set_line(new_token(), None))
    values = [good, "2|bad"] if good_first else ["2|bad", good]

    assert len(cookie().read(["; ".join(f"sid={value}" for value in values)])) == 1


def test_no_more_than_a_few_cookies_are_tried() -> None:
    good = value_of(cookie().set_line(new_token(), None))

    assert not cookie().read(["; ".join(["sid=x"] * 10 + [f"sid={good}"])])


@pytest.mark.covers("S91")
@pytest.mark.parametrize(
    "value",
    ["", "abc", "a|b|c", "2|", "2|" * 50, '"open', '{"$ne":1}', "2|1:0|1:x|", "x" * 9000, "\0\xff"],
)  # fmt: skip
def test_anything_odd_is_no_token_and_no_error(value: str) -> None:
    assert cookie().read([f"sid={value}"]) == []


@pytest.mark.covers("S88", "TOK-2")
def test_every_changed_character_breaks_the_signature() -> None:
    good = value_of(cookie().set_line(new_token(), None))
    for position in range(len(good)):
        changed = "A" if good[position] != "A" else "B"
        assert not cookie().read([f"sid={good[:position]}{changed}{good[position + 1 :]}"])


def signed(value: str, name: str = "sid", at: float | None = None) -> str:
    return create_signed_value(NEW, name, value, version=2, clock=lambda: at or time.time()).decode()


@pytest.mark.covers("TMO-12")
def test_a_signature_is_bound_to_name_form_and_age() -> None:
    token = new_token()

    assert cookie().read([f"sid={signed(token)}"])
    assert not cookie().read([f"sid={signed(token, name='other')}"])
    assert not cookie().read([f"sid={signed('not a token')}"])
    assert not cookie().read([f"sid={signed(token, at=time.time() - DAY - 60)}"])
    assert cookie().read([f"sid={signed(token, at=time.time() - DAY + 60)}"])
    assert not cookie().read([f"sid={signed(token, at=time.time() + 10 * DAY)}"])


@pytest.mark.covers("CK-11")
def test_only_the_exact_name_is_read() -> None:
    value = signed(new_token())

    assert not cookie().read([f"SID={value}; sid2={value}; __Host-sid={value}"])
