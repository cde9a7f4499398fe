"""Hostile input is refused, and the site lives on. Raw bytes go to a site that runs as in production."""

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from time import perf_counter
from typing import Any
from urllib.parse import quote

import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from server.accounts import Device, DeviceCookie
from server.csrf import CsrfTokens
from server.limits import make_server
from server.services import Services
from tests.client import PASSWORD, Browser
from tests.site import Site, running

ANN = "ann@example.com"
FORM = "Content-Type: application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def site(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = str(tmp_path_factory.mktemp("data"))
    where = ["--mongodb-uri", mongodb_uri, "--mongodb-database", "test_input", "--data-dir", folder]
    with running(*where) as started:
        yield started


def send(site: Site, head: str, body: bytes = b"") -> int | None:
    """The status of the answer to these bytes, or None if the connection was just closed."""
    host, port = site.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        lines = head.replace("\n", "\r\n")
        connection.sendall(f"{lines}\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode() + body)
        answer = connection.makefile("rb").readline().split()
    return int(answer[1]) if answer else None


def post(site: Site, path: str, kind: str, body: bytes, *headers: str) -> int | None:
    more = "".join(f"\n{header}" for header in headers)
    return send(site, f"POST {path} HTTP/1.1\n{kind}\nContent-Length: {len(body)}{more}", body)


@pytest.fixture(autouse=True)
def _is_alive_afterwards(site: Site) -> Iterator[None]:
    yield
    assert send(site, "GET /healthz HTTP/1.1") == 200


@pytest.mark.covers("INP-5")
def test_a_header_of_20_kb_is_refused(site: Site) -> None:
    assert send(site, f"GET / HTTP/1.1\nX-Large: {'x' * 20_000}") in {None, 400, 431}


@pytest.mark.covers("INP-6")
def test_a_thousand_arguments_are_refused(site: Site) -> None:
    many = "&".join(f"a{number}=1" for number in range(1500))

    assert send(site, f"GET /?{many} HTTP/1.1") == 400
    assert post(site, "/login", FORM, "&".join(f"a{number}=" for number in range(150)).encode()) == 400


@pytest.mark.covers("INP-7")
def test_multipart_is_not_even_read(site: Site) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="email"\r\n\r\nann\r\n--x--\r\n'

    assert post(site, "/login", "Content-Type: multipart/form-data; boundary=x", body) == 400
    assert post(site, "/api/session", "Content-Type: multipart/form-data; boundary=x", body) == 415


@pytest.mark.covers("INP-14")
@pytest.mark.parametrize(
    ("method", "status"), [("TRACE", 405), ("CONNECT", 405), ("BREW", 405), ("PUT", 405)]
)
def test_unknown_methods_are_refused(site: Site, method: str, status: int) -> None:
    assert send(site, f"{method} /login HTTP/1.1") == status


@pytest.mark.covers("INP-15")
@pytest.mark.parametrize(
    "head",
    [
        "POST /login HTTP/1.1\nContent-Length: 5\nTransfer-Encoding: chunked",
        "POST /login HTTP/1.1\nContent-Length: 5\nContent-Length: 6",
        "POST /login HTTP/1.1\nContent-Length: +5",
        "POST /login HTTP/1.1\nTransfer-Encoding: chunked, identity",
        "GET / HTTP/1.1\nHost: localhost",
        "GET / HTTP/1.1\nBad Name: x",
    ],
)
def test_what_two_servers_could_read_differently_is_refused(site: Site, head: str) -> None:
    assert send(site, head, b"0\r\n\r\n") == 400


@pytest.mark.covers("INP-16")
@pytest.mark.parametrize(
    "path",
    ["/static/../settings.py", "/static/%2e%2e/settings.py", "/static//etc/passwd", "/.git/HEAD", "/.env",
     "/static/", "/static", "/static/vendor", "/static/%00", "/static/..%5csettings.py", "/static/.gitkeep"],
)  # fmt: skip
def test_nothing_but_the_files_of_the_pages_is_served(site: Site, path: str) -> None:
    assert send(site, f"GET {path} HTTP/1.1") in {403, 404}


@pytest.mark.covers("INP-19")
def test_compressed_bodies_are_not_inflated(site: Site) -> None:
    gzipped = bytes.fromhex("1f8b08000000000002034b040043beb7e801000000")

    assert post(site, "/login", FORM, gzipped, "Content-Encoding: gzip") in {400, 415}
    assert post(
        site, "/api/session", "Content-Type: application/json", gzipped, "Content-Encoding: gzip"
    ) in {
        400,
        415,
    }


@pytest.mark.covers("AV-13")
def test_a_body_in_tiny_pieces_stops_nobody_else(site: Site) -> None:
    pieces = b"1\r\na\r\n" * 60_000 + b"0\r\n\r\n"
    host, port = site.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        head = f"POST /login HTTP/1.1\r\nHost: {host}:{port}\r\n{FORM}\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode() + pieces)
        began = perf_counter()
        assert send(site, "GET /healthz HTTP/1.1") == 200
        assert perf_counter() - began < 5


@pytest.mark.gen_test
@pytest.mark.covers("AV-5")
@pytest.mark.parametrize(
    "beginning",
    [b"", b"GET / HT", b"GET / HTTP/1.1\r\nX-Slow: ", b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET"],
    ids=["nothing", "first line", "headers", "second request"],
)
async def test_slow_headers_are_cut(app: Application, beginning: bytes) -> None:
    assert 0.2 < await seconds_until_closed(make_server(app, idle_seconds=0.5), beginning) < 15


@pytest.mark.gen_test
@pytest.mark.covers("AV-5")
@pytest.mark.parametrize("length", ["Content-Length: 5000", "Transfer-Encoding: chunked"])
async def test_a_slow_body_is_cut(app: Application, length: str) -> None:
    head = f"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\n{FORM}\r\n{length}\r\n\r\n"
    body = b"1388\r\n" if "chunked" in length else b""

    assert 0.2 < await seconds_until_closed(make_server(app, body_seconds=0.5), head.encode() + body) < 15


@pytest.mark.covers("AV-5")
def test_the_site_gives_bodies_10_seconds_and_headers_75(app: Application) -> None:
    limits = make_server(app).conn_params

    assert (limits.body_timeout, limits.header_timeout) == (10, 75)


async def seconds_until_closed(server: HTTPServer, beginning: bytes) -> float:
    """How long the server listens to a client that goes on a byte at a time and never gets to the end."""
    (listening,) = bind_sockets(0, "127.0.0.1")
    server.add_socket(listening)
    reader, writer = await asyncio.open_connection(*listening.getsockname())
    writer.write(beginning)
    closed = asyncio.ensure_future(reader.read())
    began = perf_counter()
    with suppress(ConnectionError):
        while not (await asyncio.wait([closed], timeout=0.1))[0] and perf_counter() - began < 20:
            writer.write(b"a" if beginning else b"")
        await closed
    took = perf_counter() - began
    writer.close()
    server.stop()
    await server.close_all_connections()
    return took


@pytest.mark.covers("RED-4", "RED-9")
@pytest.mark.parametrize("path", ["//e.test/x", "//e.test//", "///e.test/account", "/\\e.test/account"])
def test_a_path_that_looks_like_a_host_leads_nowhere(site: Site, path: str) -> None:
    assert send(site, f"GET {path} HTTP/1.1") in {400, 404}


@pytest.mark.covers("INP-20")
@pytest.mark.parametrize("text", ["a@" + "a." * 50_000, "<" * 60_000, "a" * 60_000 + "@", "@" * 60_000])
def test_long_text_takes_no_time(site: Site, text: str) -> None:
    began = perf_counter()
    body = json.dumps({"email": text, "password": "x" * 20}).encode()

    assert post(site, "/api/users", "Content-Type: application/json", body) in {413, 422}
    assert post(site, "/login", FORM, f"email={quote(text)}&next={quote(text)}".encode()) in {400, 403, 413}
    assert perf_counter() - began < 5


@pytest.mark.gen_test
@pytest.mark.covers("INP-3")
async def test_fields_that_nobody_asked_for_change_nothing(browser: Browser, services: Services) -> None:
    more = {"role": "admin", "_id": "x", "epoch": 9, "disabled": True, "created_at": "1970-01-01"}
    answer = await browser.call("POST", "/api/users", {"email": ANN, "password": PASSWORD, **more})
    (user,) = await services.database["users"].find().to_list(None)

    assert answer.code == 201
    assert set(user) == {"_id", "email", "password_hash", "epoch", "disabled", "created_at"}
    assert (user["epoch"], user["disabled"]) == (0, False)
    assert user["_id"] != "x"


@pytest.mark.gen_test
@pytest.mark.covers("INP-17", "INP-18")
@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "\"'><img src=x>", "{{7*7}}", "</script>"])
async def test_what_was_typed_is_shown_and_never_run(browser: Browser, text: str) -> None:
    page = (await browser.sign_in(text, "x")).body.decode()
    browser.cookies.clear()
    await browser.call("POST", "/api/users", {"email": ANN, "password": PASSWORD}, {"User-Agent": text})
    account = (await browser.get("/account")).body.decode()

    for body in (page, account):
        assert "<script>alert" not in body
        assert "<img" not in body.replace('<img src="/static', "")
        assert ">49<" not in body
    assert "{{7*7}}" in page or "{{7*7}}" not in text


@pytest.mark.covers("SEC-3")
def test_open_forms_and_known_devices_survive_a_change_of_secrets() -> None:
    old, new = "the old secret of a site", "the new secret of a site"
    before, after, later = CsrfTokens([old]), CsrfTokens([new, old]), CsrfTokens([new])
    nonce = before.new_nonce()
    signed, token = before.sign_nonce(nonce), before.token(nonce)
    device = Device("name").having(ANN)
    known = DeviceCookie([old]).sign(device)

    assert (after.read_nonce(signed), after.is_valid(token, nonce)) == (nonce, True)
    assert (later.read_nonce(signed), later.is_valid(token, nonce)) == (None, False)
    assert after.token(nonce) == later.token(nonce) != token
    assert (DeviceCookie([new, old]).read(known), DeviceCookie([new]).read(known)) == (device, None)


@pytest.mark.gen_test
@pytest.mark.covers("SEC-4")
async def test_keys_of_one_purpose_sign_nothing_for_another(browser: Browser, services: Services) -> None:
    await browser.get("/login")
    nonce = browser.cookies["csrf"]
    await browser.sign_up(ANN)
    cookies = {"csrf": nonce, "device": browser.cookies["device"], "sid": browser.cookies["sid"]}
    readers: dict[str, Callable[[str], Any]] = {
        "csrf": services.csrf.read_nonce,
        "device": services.device_cookie.read,
        "sid": lambda value: services.sessions.cookie.read([f"sid={value}"]),
    }

    for purpose, value in cookies.items():
        assert [name for name, read in readers.items() if read(value.strip('"'))] == [purpose]
    keys = [services.csrf._keys[0], services.device_cookie._keys[0], services.sessions.cookie._secrets[0]]
    assert len(set(keys)) == 3
