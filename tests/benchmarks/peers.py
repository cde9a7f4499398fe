"""The servers that are compared, each started as its users start it."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

from server.accounts import User
from server.services import Services, open_services
from server.sessions import Client
from settings import Settings
from tests.site import running

HERE = Path(__file__).parent
OURS = "Latchkey"
OURS_TWICE = "Latchkey, two processes"
EXPRESS = "Express 5, express-session, connect-mongo"
STARSESSIONS = "Starlette, starsessions on Redis"
BARE = "a bare Tornado handler"
SECRET = "a-secret-for-benchmarks-of-forty-characters"
TOUCH_AFTER = 60
EXPRESS_TOUCH_AFTER = f"{EXPRESS}, touchAfter {TOUCH_AFTER} s"
PARALLEL_SIGN_INS = 50


@dataclass(frozen=True)
class Peer:
    """A running server. `missing` says what to install if it cannot run here."""

    name: str
    url: str = ""
    pid: int = 0
    cookies: Path = field(default_factory=Path)
    missing: str = ""


@contextmanager
def latchkey(uri: str, folder: Path, sessions: int, *arguments: str, name: str = OURS) -> Iterator[Peer]:
    """This site through `python run.py`, without the access log, which none of the others writes."""
    settings = Settings(mongodb_uri=uri, cookie_secrets=(SECRET,), data_dir=folder)
    lines = asyncio.run(sign_in_many(settings, sessions))
    environment = {"COOKIE_SECRETS": SECRET, "MONGODB_URI": uri, "LOG_LEVEL": "warning"}
    with running("--data-dir", str(folder), *arguments, environment=environment) as site:
        yield Peer(name, site.url, site.process.pid, _kept(folder / f"{name}.cookies", lines))


@contextmanager
def express(uri: str, folder: Path, sessions: int, touch_after: int) -> Iterator[Peer]:
    name = EXPRESS_TOUCH_AFTER if touch_after else EXPRESS
    if not (shutil.which("node") and shutil.which("npm")):
        yield Peer(name, missing="apt-get install nodejs npm")
        return
    subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=HERE / "express", check=True)
    environment = {"MONGODB_URI": uri, "TOUCH_AFTER": str(touch_after or ""), "NODE_ENV": "production"}
    with _started(["node", str(HERE / "express" / "server.js")], environment) as (url, pid):
        cookies = _signed_in(url, sessions)
        yield Peer(name, url, pid, _kept(folder / f"express-{touch_after}.cookies", cookies))


@contextmanager
def starsessions(redis_url: str, folder: Path, sessions: int) -> Iterator[Peer]:
    name = STARSESSIONS
    if not redis_url:
        yield Peer(name, missing="apt-get install redis-server")
        return
    environment = {"REDIS_URL": redis_url}
    with _started([sys.executable, "-m", "tests.benchmarks.starlette_peer"], environment) as (url, pid):
        yield Peer(name, url, pid, _kept(folder / "starsessions.cookies", _signed_in(url, sessions)))


@contextmanager
def bare(folder: Path) -> Iterator[Peer]:
    with _started([sys.executable, "-m", "tests.benchmarks.bare_peer"], {}) as (url, pid):
        yield Peer(BARE, url, pid, _kept(folder / "bare.cookies", ["none=1"]))


@contextmanager
def redis_server(folder: Path) -> Iterator[tuple[str, int]]:
    """A Redis of our own: its address and process id, or "" and 0 if there is none to start."""
    program = shutil.which("redis-server")
    if program is None:
        yield "", 0
        return
    port = _free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            _wait_for(port)
            yield f"redis://127.0.0.1:{port}/0", process.pid
        finally:
            process.terminate()


async def sign_in_many(settings: Settings, count: int) -> list[str]:
    """Cookies of so many people's sessions, stored as a sign-in stores them, without hashing passwords."""
    async with open_services(settings, settings.mongodb_uri) as services:
        lines: list[str] = []
        for start in range(0, count, PARALLEL_SIGN_INS):
            numbers = range(start, min(start + PARALLEL_SIGN_INS, count))
            lines += await asyncio.gather(*(_sign_in(services, number) for number in numbers))
        return lines


def user_id(number: int) -> str:
    """Whose session the cookie with this number, from 0, is one of."""
    return f"{number:032}"


async def _sign_in(services: Services, number: int) -> str:
    client = Client(
        "Firefox on Linux", "127.0.0.1", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko Firefox/140.0"
    )
    user = User(user_id(number), f"user{number}@example.com", "", epoch=0, is_disabled=False)
    session = await services.sessions.load([], lambda: client)
    await session.start(
        {"user": {"id": user.id, "email": user.email}},
        user_id=user.id, epoch=0, lifetime=services.remembered_lifetime, client=client,
    )  # fmt: skip
    line = services.sessions.cookie_line(session)
    assert line
    return line.partition(";")[0]


def _signed_in(url: str, count: int) -> list[str]:
    connection = HTTPConnection(url.removeprefix("http://"))
    lines = []
    for number in range(count):
        connection.request("POST", f"/sign-in/{number}")
        answer = connection.getresponse()
        answer.read()
        lines.append((answer.headers["Set-Cookie"] or "").partition(";")[0])
    connection.close()
    return lines


def _kept(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


@contextmanager
def _started(command: list[str], environment: dict[str, str]) -> Iterator[tuple[str, int]]:
    port = _free_port()
    with subprocess.Popen(
        command, env={**os.environ, **environment, "PORT": str(port)}, stdout=subprocess.DEVNULL
    ) as process:
        try:
            _wait_for(port)
            yield f"http://127.0.0.1:{port}", process.pid
        finally:
            process.terminate()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int) -> None:
    for _ in range(1000):
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)  # a foreign program does not tell when it listens
    raise TimeoutError(f"nothing listens on port {port}")
