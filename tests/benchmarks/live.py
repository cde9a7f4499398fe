"""What held long-polls cost, and how soon they learn that their session has ended."""

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

from tests.benchmarks import peers, report
from tests.benchmarks.compare import embedded_mongod
from tests.benchmarks.load import cpu_seconds, resident_mib
from tests.benchmarks.peers import SECRET, Peer
from tests.site import running

HELD = 10_000
REVOKED_AMONG = 1_000
REVOKED = 200
OPENED_AT_ONCE = 100
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
        rows = asyncio.run(hold(site, database))
        environment = {"COOKIE_SECRETS": SECRET, "MONGODB_URI": uri, "LOG_LEVEL": "warning"}
        other = stack.enter_context(
            running("--data-dir", str(folder), *POLL_SECONDS, environment=environment)
        )
        again = stack.enter_context(peers.latchkey(uri, folder, REVOKED_AMONG, *POLL_SECONDS))
        rows += asyncio.run(revoke(again, other.url))
        text = report.table(["", ""], rows)
        report.write("live", f"{report.machine(f'mongod {version}')} The client shares the cores.\n\n{text}")
    return 0


async def hold(site: Peer, database: "MongoClient[dict[str, Any]]") -> list[list[str]]:
    """Many polls in one process: memory, CPU time, writes, and how long it takes to wake them all."""
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
    began = time.monotonic()
    sessions.delete_many({})
    took = sorted(await asyncio.gather(*(answered(poll, began) for poll in polls)))
    for poll in polls:
        poll.writer.close()
    return [
        ["polls held in one process", f"{len(polls):,}"],
        ["memory, MiB (without polls)", f"{full:.0f} ({empty:.0f})"],
        ["memory a poll, KiB", f"{(full - empty) * 1024 / len(polls):.1f}"],
        ["CPU while nothing happens, of one core", f"{idle:.1%}"],
        ["touch writes a second, every session due", f"{touches:.2f}"],
        [
            "all sessions ended at once: half, all answered, s",
            f"{statistics.median(took):.1f}, {took[-1]:.1f}",
        ],
    ]


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
        took.append(await answer * 1000)
        writer.close()
    for poll in polls + others:
        poll.writer.close()
    cuts = statistics.quantiles(took, n=100)
    return [
        ["polls held by two processes", f"{len(cookies):,}"],
        [
            "from a sign-out sent to one to the answer of the other, p50, p99, ms",
            f"{cuts[49]:.1f}, {cuts[98]:.1f}",
        ],
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
    while True:
        figures = await asyncio.to_thread(lambda: urlopen(f"{url}/metrics").read().decode())
        under_way = re.search(r"^latchkey_requests_in_flight (\S+)", figures, re.MULTILINE)
        if under_way and float(under_way[1]) >= count:
            return
        await asyncio.sleep(0.2)


async def answered(poll: Held, began: float) -> float:
    """Seconds from `began` to the answer, which must be that the session has ended."""
    line = await poll.reader.readline()
    assert b" 401 " in line, line
    return time.monotonic() - began


def updates(database: "MongoClient[dict[str, Any]]") -> int:
    return int(database.admin.command("serverStatus")["opcounters"]["update"])


if __name__ == "__main__":
    sys.exit(main())
