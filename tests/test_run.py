"""`python run.py` as a developer and an operator meet it."""

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from pymongo import MongoClient

from tests.client import PASSWORD
from tests.site import Site, finish, running


@pytest.fixture
def where(mongodb_uri: str, database_name: str, tmp_path: Path) -> list[str]:
    return ["--mongodb-uri", mongodb_uri, "--mongodb-database", database_name, "--data-dir", str(tmp_path)]


@pytest.fixture
def site(where: list[str]) -> Iterator[Site]:
    with running(*where) as started:
        yield started


def status(url: str) -> int:
    with urlopen(url) as answer:
        return int(answer.status)


def test_the_first_lines_say_where_the_site_and_its_database_are(site: Site) -> None:
    assert site.first_line == f"Latchkey is listening on {site.url}"
    assert site.second_line.startswith("MongoDB at 127.0.0.1:")
    assert status(site.url) == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_site_in_order(site: Site, number: int) -> None:
    exit_status, errors = site.stop(number)

    assert exit_status == 0
    assert "Traceback" not in errors


@pytest.mark.covers("AV-8")
def test_a_stop_lets_requests_under_way_end(where: list[str], mongodb_uri: str) -> None:
    slow = {"failCommands": ["find"], "appName": "latchkey", "blockConnection": True, "blockTimeMS": 700}
    with running(*where, "--store-deadline", "5") as site, MongoClient[dict[str, Any]](mongodb_uri) as client:
        host = site.url.removeprefix("http://")
        connection = HTTPConnection(host)
        with urlopen(
            Request(f"{site.url}/api/users", sign_up(), {"Content-Type": "application/json"})
        ) as made:
            cookie = made.headers["Set-Cookie"].partition(";")[0]
        client.admin.command({"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": slow})
        connection.request("GET", "/account", headers={"Cookie": cookie})
        exit_status, errors = site.stop()

        answer = connection.getresponse()
        assert (exit_status, answer.status) == (0, 200), errors
        connection.close()


def sign_up() -> bytes:
    return json.dumps({"email": "ann@example.com", "password": PASSWORD}).encode()


@pytest.mark.covers("LOG-13")
def test_a_log_that_nobody_reads_any_more_stops_no_request(site: Site) -> None:
    assert site.process.stderr
    site.process.stderr.close()

    for _ in range(5):
        assert status(site.url) == 200


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--port", "eighty"], "latchkey: PORT is 'eighty'; expected a number from 0 to 65535\n"),
        (["--no-such-flag"], "latchkey: unrecognized arguments: --no-such-flag; see python run.py --help\n"),
        (["dance"], "latchkey: 'dance' is no command; see python run.py --help\n"),
        (["create-user"], "latchkey: 'create-user' is no command; see python run.py --help\n"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_status_2(arguments: list[str], expected: str) -> None:
    assert finish(*arguments) == (2, "", expected)


def test_an_unreachable_database_is_one_line_and_exit_status_1() -> None:
    uri = "mongodb://ann:hunter2@127.0.0.1:1/"

    exit_status, output, errors = finish("--mongodb-uri", uri, "--port", "0", "--store-deadline", "0.5")

    assert (exit_status, output) == (1, "")
    assert errors.startswith("latchkey: MongoDB at 127.0.0.1:1 cannot be reached: ")
    assert errors.count("\n") == 1
    assert "hunter2" not in errors


@pytest.mark.covers("SEC-6")
def test_an_unusable_database_address_does_not_show_the_password() -> None:
    exit_status, _, errors = finish("--mongodb-uri", "mongodb://ann:hunter2@@/", "--port", "0")

    assert exit_status == 2
    assert "MONGODB_URI" in errors
    assert "hunter2" not in errors
    assert errors.count("\n") == 1


def test_a_port_in_use_is_one_line_and_exit_status_1(where: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        exit_status, _, errors = finish(*where, "--port", port)

    assert (exit_status, errors) == (
        1,
        f"latchkey: port {port} is in use; choose another with --port, or 0\n",
    )


def test_a_restart_signs_nobody_out(where: list[str]) -> None:
    with running(*where) as first:
        request = Request(f"{first.url}/api/users", sign_up(), {"Content-Type": "application/json"})
        with urlopen(request) as made:
            cookie = made.headers["Set-Cookie"].partition(";")[0]
    with (
        running(*where) as second,
        urlopen(Request(f"{second.url}/api/session", headers={"Cookie": cookie})) as got,
    ):
        assert json.load(got)["authenticated"]


def test_the_development_secret_is_for_its_owner_only(where: list[str], tmp_path: Path, site: Site) -> None:
    secret = tmp_path / "cookie_secret"

    assert secret.stat().st_mode & 0o077 == 0
    assert len(secret.read_text()) >= 32


def test_a_damaged_development_secret_is_one_line_and_exit_status_1(where: list[str], tmp_path: Path) -> None:
    (tmp_path / "cookie_secret").write_text("short")

    exit_status, _, errors = finish(*where, "--port", "0")

    assert exit_status == 1
    assert "cookie_secret is damaged" in errors


def test_the_operator_makes_an_account_with_the_password_from_standard_input(
    where: list[str], site: Site
) -> None:
    made = finish("create-user", "Ann@example.com", *where, stdin=PASSWORD + "\n")
    again = finish("create-user", "ann@example.com", *where, stdin=PASSWORD + "\n")
    short = finish("create-user", "bob@example.com", *where, stdin="short\n")

    assert made == (0, "ann@example.com can sign in now\n", "")
    assert again == (1, "", "latchkey: no account was made: ann@example.com has one already\n")
    assert short[0] == 1
    assert "15" in short[2]
    body = sign_up()
    request = Request(f"{site.url}/api/session", body, {"Content-Type": "application/json"})
    with urlopen(request) as answer:
        assert answer.status == 201


def test_logs_as_json_are_one_object_a_line_without_queries(where: list[str]) -> None:
    with running(*where, "--log-format", "json") as site:
        status(f"{site.url}/login?password=hunter2&next=%0aforged")
        _, errors = site.stop()

    lines = [json.loads(line) for line in errors.splitlines()]
    (access,) = [line for line in lines if line["name"] == "latchkey.access"]
    assert (access["method"], access["path"], access["status"]) == ("GET", "/login", 200)
    assert {"time", "level", "milliseconds", "ip", "request_id"} <= set(access)
    assert "hunter2" not in errors


def test_a_client_cannot_write_a_log_line_of_its_own(where: list[str]) -> None:
    with running(*where) as site:
        connection = socket.create_connection(site.url.removeprefix("http://").split(":"))
        connection.sendall(b"GET /a%0Ab\x1b[31m HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        connection.recv(65536)
        connection.close()
        _, errors = site.stop()

    assert "\x1b" not in errors
    assert all(line.startswith("20") for line in errors.splitlines())


@pytest.mark.covers("INP-4", "INP-5")
def test_a_body_or_header_that_is_too_large_is_refused_and_the_site_lives_on(site: Site) -> None:
    for path, headers, body in [("/login", {}, b"x" * 70_000), ("/", {"X-Large": "x" * 20_000}, None)]:
        connection = HTTPConnection(site.url.removeprefix("http://"))
        connection.request("POST" if body else "GET", path, body, headers)
        with suppress(ConnectionError):  # cut off while sending: refused as well
            assert connection.getresponse().status in {400, 413, 431}
        connection.close()
    assert status(site.url) == 200
