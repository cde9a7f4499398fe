"""The operator's commands, while the site is running."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from pymongo import MongoClient

from tests.client import PASSWORD
from tests.site import Site, finish, running

ANN = "ann@example.com"
BOB = "bob@example.com"


@pytest.fixture
def where(mongodb_uri: str, database_name: str, tmp_path: Path) -> list[str]:
    return ["--mongodb-uri", mongodb_uri, "--mongodb-database", database_name, "--data-dir", str(tmp_path),
            "--argon2-memory-kib", "7168"]  # fmt: skip


@pytest.fixture
def site(where: list[str]) -> Iterator[Site]:
    with running(*where) as started:
        yield started


def call(site: Site, method: str, path: str, body: Any = None, cookie: str = "") -> tuple[int, str, Any]:
    headers = {"Content-Type": "application/json", "User-Agent": "curl/8", "Cookie": cookie}
    data = json.dumps(body).encode() if body else None
    try:
        with urlopen(Request(site.url + path, data, headers, method=method)) as answer:
            set_cookie = answer.headers.get("Set-Cookie", "").partition(";")[0]
            return answer.status, set_cookie, json.load(answer)
    except HTTPError as error:
        with error:
            return error.code, "", json.load(error)


def sign_up(site: Site, email: str) -> str:
    return call(site, "POST", "/api/users", {"email": email, "password": PASSWORD})[1]


def sign_in(site: Site, email: str) -> tuple[int, str]:
    return call(site, "POST", "/api/session", {"email": email, "password": PASSWORD})[:2]


def is_signed_in(site: Site, cookie: str) -> bool:
    return bool(call(site, "GET", "/api/session", cookie=cookie)[2]["authenticated"])


@pytest.mark.covers("END-10", "END-12")
def test_a_disabled_account_is_out_at_once_and_stays_out_until_it_is_enabled(
    site: Site, where: list[str]
) -> None:
    ann, bob = sign_up(site, ANN), sign_up(site, BOB)

    assert finish("disable-user", "Ann@Example.com", *where) == (
        0, f"{ANN} cannot sign in any more; 1 session ended\n", "",
    )  # fmt: skip
    assert not is_signed_in(site, ann)
    assert is_signed_in(site, bob)
    assert sign_in(site, ANN)[0] == 401
    assert finish("enable-user", ANN, *where) == (0, f"{ANN} can sign in again\n", "")
    assert sign_in(site, ANN)[0] == 201


@pytest.mark.covers("END-11")
def test_sessions_of_one_account_or_of_all_are_listed_and_ended(site: Site, where: list[str]) -> None:
    ann, bob = sign_up(site, ANN), sign_up(site, BOB)
    again = sign_in(site, ANN)[1]

    status, shown, _ = finish("list-sessions", ANN, *where)
    *rows, total = shown.splitlines()
    assert (status, len(rows), total) == (0, 2, f"{ANN} has 2 sessions")
    assert all("127.0.0.1  curl" in row and "last active 20" in row for row in rows)

    assert finish("end-sessions", ANN, *where)[:2] == (0, f"{ANN} is signed out; 2 sessions ended\n")
    assert [is_signed_in(site, cookie) for cookie in (ann, again, bob)] == [False, False, True]

    back = sign_in(site, ANN)[1]
    assert finish("end-all-sessions", *where) == (0, "everybody is signed out\n", "")
    assert [is_signed_in(site, cookie) for cookie in (back, bob)] == [False, False]
    assert sign_in(site, ANN)[0] == 201


@pytest.mark.covers("END-10")
def test_a_deleted_account_is_gone(
    site: Site, where: list[str], mongodb_uri: str, database_name: str
) -> None:
    ann = sign_up(site, ANN)

    assert finish("delete-user", ANN, *where)[:2] == (0, f"{ANN} has no account any more; 1 session ended\n")

    assert not is_signed_in(site, ann)
    assert sign_in(site, ANN)[0] == 401
    with MongoClient[dict[str, Any]](mongodb_uri) as client:
        assert client[database_name]["users"].count_documents({}) == 0


@pytest.mark.parametrize(
    "command", ["disable-user", "enable-user", "delete-user", "list-sessions", "end-sessions"]
)
def test_an_unknown_account_is_one_line_and_exit_status_1(where: list[str], command: str) -> None:
    assert finish(command, "nobody@example.com", *where) == (
        1, "", "latchkey: nobody@example.com has no account\n",
    )  # fmt: skip


def test_the_help_lists_every_command() -> None:
    _, shown, _ = finish("--help")

    for command in ("create-user EMAIL", "disable-user EMAIL", "enable-user EMAIL", "delete-user EMAIL",
                    "list-sessions EMAIL", "end-sessions EMAIL", "end-all-sessions"):  # fmt: skip
        assert f"\n  {command}  " in shown
