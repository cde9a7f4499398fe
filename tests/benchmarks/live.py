"""What held long-polls cost, and how soon one or all of them wake."""

import asyncio
import re
import resource
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from pymongo import MongoClient

from server.services import open_services
from settings import Settings
from tests.benchmarks import peers, report
from tests.benchmarks.compare import embedded_mongod
from tests.benchmarks.load import cpu_seconds, resident_mib
from tests.benchmarks.peers import SECRET, Peer
from tests.site import running

HELD = 10_000
REVOKED_AMONG = 1_000
REVOKED = 200
NOTIFIED = 100
OPENED_AT_ONCE = 100
HELD_WITHIN_SECONDS = 60
IDLE_SECONDS = 20
SPARE_FILES = 200
POLL_SECONDS = ("--poll-timeout", "300")


@dataclass(frozen=True)
class Held:
    """An open connection whose poll waits for its answer."""

    cookie: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


def main() -> int:
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, allowed))
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        _, uri, version = stack.enter_context(embedded_mongod(folder))
        database = stack.enter_context(MongoClient[dict[str, Any]](uri))
        site = stack.enter_context(
            peers.latchkey(uri, folder, min(HELD, allowed - SPARE_FILES), *POLL_SECONDS)
        )
        settings = Settings(mongodb_uri=uri, cookie_secrets=(SECRET,), data_dir=folder)
        rows = asyncio.run(hold(site, database, settings))
        environment = {"COOKIE_SECRETS": SECRET, "MONGODB_URI": uri, "LOG_LEVEL": "warning"}
        other = stack.enter_context(
            running("--data-dir", str(folder), *POLL_SECONDS, environment=environment)
        )
        again = stack.enter_context(peers.latchkey(uri, folder, REVOKED_AMONG, *POLL_SECONDS))
        rows += asyncio.run(revoke(again, other.url))
        text = report.table(["", ""], rows)
        report.write("live", f"{report.machine(f'mongod {version}')} The client shares the cores.\n\n{text}")
    return 0


async def hold(site: Peer, database: "MongoClient[dict[str, Any]]", settings: Settings) -> list[list[str]]:
    """Many polls in one process: memory, CPU time, writes, and how soon one or all of them wake."""
    sessions = database["latchkey"]["sessions"]
    sessions.update_many({}, [{"$set": {"seen_at": {"$subtract": ["$seen_at", 600_000]}}}])  # a touch is due
    empty = resident_mib(site.pid)
    writes, began = updates(database), time.monotonic()
    polls = await open_polls(site.url, site.cookies.read_text().split())
    await until_held(site.url, len(polls))
    await asyncio.sleep(2)  # the last tick of touches
    touches = (updates(database) - writes) / (time.monotonic() - began)
    full, cpu = resident_mib(site.pid), cpu_seconds(site.pid)
    await asyncio.sleep(IDLE_SECONDS)
    idle = (cpu_seconds(site.pid) - cpu) / IDLE_SECONDS
    told = await notify(polls[:NOTIFIED], settings)
    looked = await lose_stream(polls[NOTIFIED:], database)
    ended = await end_all(polls[NOTIFIED:], database)
    for poll in polls:
        poll.writer.close()
    return [
        ["polls held in one process", f"{len(polls):,}"],
        ["memory, MiB (without polls)", f"{full:.0f} ({empty:.0f})"],
        ["memory a poll, KiB", f"{(full - empty) * 1024 / len(polls):.1f}"],
        ["CPU while nothing happens, of one core", f"{idle:.1%}"],
        ["touch writes a second, every session due", f"{touches:.2f}"],
        ["from `notify` to the answer of that person's poll, p50, p99, ms", percentiles(told)],
        ["change stream lost: opened again, and every poll has looked for itself, s", f"{looked:.1f}"],
        [
            "all sessions ended at once: half, all answered, s",
            f"{statistics.median(ended):.1f}, {ended[-1]:.1f}",
        ],
    ]


async def notify(polls: list[Held], settings: Settings) -> list[float]:
    """Tells one person after the other something, from another process, and waits for the answer."""
    took = []
    async with open_services(settings, settings.mongodb_uri) as services:
        for number, poll in enumerate(polls):
            began = time.monotonic()
            await services.live.notify(peers.user_id(number), "note")
            took.append(await answered(poll, began, 200))
    return took


async def lose_stream(polls: list[Held], database: "MongoClient[dict[str, Any]]") -> float:
    """Ends the change stream in the server, which has every poll woken and its session looked up once.

    Seconds until the server has given out as many sessions as there are polls.
    """
    began = time.monotonic()
    tailable = [
        {"$currentOp": {"idleCursors": True, "allUsers": True}},
        {"$match": {"cursor.tailable": True}},
    ]
    for operation in database["admin"].aggregate(tailable):
        name, _, collection = operation["ns"].partition(".")
        database[name].command("killCursors", collection, cursors=[operation["cursor"]["cursorId"]])
    before = returned(database)
    async with asyncio.timeout(HELD_WITHIN_SECONDS):
        while returned(database) - before < len(polls):
            await asyncio.sleep(0.02)
    took = time.monotonic() - began
    await asyncio.sleep(2)  # until they wait again
    return took


async def end_all(polls: list[Held], database: "MongoClient[dict[str, Any]]") -> list[float]:
    """Seconds from the end of all sessions, as by `end-all-sessions`, to each answer."""
    began = time.monotonic()
    answers = asyncio.gather(*(answered(poll, began) for poll in polls))
    await asyncio.to_thread(database["latchkey"]["sessions"].delete_many, {})
    return sorted(await answers)


async def revoke(here: Peer, there: str) -> list[list[str]]:
    """Sessions signed out one by one in one process, while their polls wait in another."""
    cookies = here.cookies.read_text().split()
    half = len(cookies) // 2
    polls = await open_polls(there, cookies[:half])
    others = await open_polls(here.url, cookies[half:])
    await until_held(there, len(polls))
    took = []
    for poll in polls[:REVOKED]:
        answer = asyncio.create_task(answered(poll, time.monotonic()))
        reader, writer = await ask("DELETE", "/api/session", here.url, poll.cookie)
        assert b" 204 " in await reader.readline()
        took.append(await answer)
        writer.close()
    for poll in polls + others:
        poll.writer.close()
    return [
        ["polls held by two processes", f"{len(cookies):,}"],
        ["from a sign-out sent to one to the answer of the other, p50, p99, ms", percentiles(took)],
    ]


async def open_polls(url: str, cookies: list[str]) -> list[Held]:
    polls: list[Held] = []
    for start in range(0, len(cookies), OPENED_AT_ONCE):
        some = cookies[start : start + OPENED_AT_ONCE]
        opened = await asyncio.gather(*(ask("GET", "/api/events", url, cookie) for cookie in some))
        polls += [Held(cookie, *streams) for cookie, streams in zip(some, opened, strict=True)]
    return polls


async def ask(
    method: str, path: str, url: str, cookie: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\n\r\n".encode())
    return reader, writer


async def until_held(url: str, count: int) -> None:
    async with asyncio.timeout(HELD_WITHIN_SECONDS):
        while True:
            figures = await asyncio.to_thread(lambda: urlopen(f"{url}/metrics").read().decode())
            under_way = re.search(r"^latchkey_requests_in_flight (\S+)", figures, re.MULTILINE)
            if under_way and float(under_way[1]) > count:  # the one that asks is one too
                return
            await asyncio.sleep(0.2)


async def answered(poll: Held, began: float, status: int = 401) -> float:
    """Seconds from `began` to the answer: by default, that the session has ended."""
    line = await poll.reader.readline()
    assert f" {status} ".encode() in line, line
    return time.monotonic() - began


def percentiles(seconds: list[float]) -> str:
    """The 50th and the 99th, in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100)
    return f"{cuts[49] * 1000:.1f}, {cuts[98] * 1000:.1f}"


def updates(database: "MongoClient[dict[str, Any]]") -> int:
    return int(database.admin.command("serverStatus")["opcounters"]["update"])


def returned(database: "MongoClient[dict[str, Any]]") -> int:
    """The documents that queries have got so far."""
    return int(database.admin.command("serverStatus")["metrics"]["document"]["returned"])


if __name__ == "__main__":
    sys.exit(main())
