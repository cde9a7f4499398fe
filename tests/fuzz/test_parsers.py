"""No input breaks a parser, and what was written can be read again."""

import json
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.api.base import ApiHandler
from handlers.pages import PageHandler
from server import values
from server.accounts import Device, DeviceCookie
from server.accounts.accounts import normalise_email
from server.csrf import CsrfTokens
from server.proxies import TrustedProxies
from server.sessions import SessionCookie
from server.sessions.token import new_token
from tests.fuzz.parsers import PARSERS, SECRETS, Parser, handler
from tests.fuzz.pieces import PIECES

SOME = settings(max_examples=100, deadline=None)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def strange(seeds: tuple[bytes, ...]) -> st.SearchStrategy[bytes]:
    """Pieces that have broken parsers before, in a row, or put into input that is good."""
    bit = st.sampled_from(PIECES) | st.binary(max_size=4)
    odd = st.lists(bit | st.sampled_from(seeds), max_size=6).map(b"".join)
    spliced = st.builds(
        lambda seed, at, cut, new: seed[: at % (len(seed) + 1)] + new + seed[at % (len(seed) + 1) + cut :],
        st.sampled_from(seeds), st.integers(0, 400), st.integers(0, 3), bit,
    )  # fmt: skip
    return odd | spliced


@pytest.mark.covers("INP-21")
@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_no_input_breaks_a_parser(parser: Parser) -> None:
    @settings(max_examples=200, deadline=None)
    @given(strange(parser.seeds))
    def read(data: bytes) -> None:
        parser.check(data)

    read()


@SOME
@given(TEXT, TEXT, st.binary(min_size=1, max_size=30))
def test_what_a_cookie_carries_comes_back(email: str, other: str, nonce: bytes) -> None:
    cookie = SessionCookie("sid", SECRETS, max_age=3600, secure=False)
    token = new_token()
    assert [read.value for read in cookie.read([cookie.set_line(token, None)])] == [token]

    devices, device = DeviceCookie(SECRETS), Device("name").having(email).having(other)
    read = devices.read(devices.sign(device))
    assert read == device
    assert device.knows(email)
    assert device.knows(other)

    tokens = CsrfTokens(SECRETS)
    assert tokens.read_nonce(tokens.sign_nonce(nonce)) == nonce
    assert tokens.is_valid(tokens.token(nonce), nonce)
    assert not tokens.is_valid(tokens.token(nonce), nonce + b"x")


@SOME
@given(st.dictionaries(TEXT, JSON, max_size=4))
def test_a_json_object_is_read_as_it_was_written(body: dict[str, Any]) -> None:
    assert handler(ApiHandler, json.dumps(body).encode()).json_body() == body
    assert handler(ApiHandler, json.dumps(body, ensure_ascii=False).encode()).json_body() == body


@SOME
@given(st.dictionaries(st.sampled_from(["email", "password", "next"]), TEXT))
def test_fields_of_a_form_are_read_as_they_were_typed(fields: dict[str, str]) -> None:
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    page = handler(PageHandler, urlencode(fields).encode(), **kind)
    page.request._parse_body()

    assert {name: page.field(name) for name in fields} == fields


@pytest.mark.covers("THR-11")
@settings(max_examples=50, deadline=None)
@given(st.emails())
def test_every_address_has_one_spelling(address: str) -> None:
    one = normalise_email(address)

    if one is not None:
        local, _, domain = address.rpartition("@")
        spellings = (one, address.upper(), f" {local}@{domain.upper()}")
        assert {normalise_email(spelling) for spelling in spellings} == {one}


@SOME
@given(st.lists(st.ip_addresses(), max_size=3), st.integers(8, 32))
def test_a_network_trusts_its_addresses_and_no_other(addresses: list[Any], prefix: int) -> None:
    written = [ip_network((address, prefix), strict=False) for address in addresses]
    parsed = values.networks(", ".join(map(str, written)))
    proxies = TrustedProxies(parsed)

    assert parsed == tuple(map(str, written))
    for address in (*addresses, *(network[-1] for network in written)):
        assert proxies._is_trusted(str(address))
        assert not TrustedProxies(())._is_trusted(str(address))
