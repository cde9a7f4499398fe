"""`make bench`: the same request to this site and to its peers, all in one run.

The request is GET /api/session of a signed-in person: the session is looked up in the store every time, and
the JSON that comes back has the same size.
"""

import asyncio
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import redis
from pymongo import MongoClient

from server.mongod import EmbeddedMongod
from tests.benchmarks import peers, report
from tests.benchmarks.load import Result, cpu_seconds, drive
from tests.benchmarks.peers import Peer

SESSIONS = 1000
CONNECTIONS = (1, 32, 128)
ROUNDS = 3
SECONDS = 3
WARM_UP_SECONDS = 1
AIMS_AT = 32
"""The connections at which the site is to be so many times as fast as its peers."""
AIMS = {peers.EXPRESS: 3, peers.EXPRESS_TOUCH_AFTER: 1.8, peers.STARSESSIONS: 1, peers.BARE: 0.55}
MOST_OPERATIONS = 0.15
MOST_CPU_OF_TWO = 1.1
COUNTED = ("find", "insert", "update", "delete", "findAndModify")


@dataclass(frozen=True)
class Measured:
    """One run of wrk; CPU in microseconds a request; database operations a request."""

    result: Result
    server_cpu: float
    database_cpu: float
    operations: float


class Databases:
    """The two databases, and how much they have been asked."""

    def __init__(self, uri: str, redis_url: str, *pids: int) -> None:
        self._mongo = MongoClient[dict[str, Any]](uri)
        self._redis = redis.Redis.from_url(redis_url) if redis_url else None
        self._pids = [pid for pid in pids if pid]

    def operations(self) -> int:
        commands = self._mongo.admin.command("serverStatus")["metrics"]["commands"]
        asked = sum(int(commands[name]["total"]) for name in COUNTED if name in commands)
        return asked + (int(self._redis.info("stats")["total_commands_processed"]) if self._redis else 0)

    def cpu_seconds(self) -> float:
        return cpu_seconds(*self._pids)


def main() -> int:
    if shutil.which("wrk") is None:
        print("wrk is missing; on Debian and Ubuntu: apt-get install wrk")
        return 1
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        mongod_pid, uri, version = stack.enter_context(embedded_mongod(folder))
        redis_url, redis_pid = stack.enter_context(peers.redis_server(folder))
        databases = Databases(uri, redis_url, mongod_pid, redis_pid)
        servers = [
            stack.enter_context(server)
            for server in (
                peers.latchkey(uri, folder, SESSIONS),
                peers.latchkey(uri, folder, SESSIONS, "--processes", "2", name=peers.OURS_TWICE),
                peers.express(uri, folder, SESSIONS, 0),
                peers.express(uri, folder, SESSIONS, peers.TOUCH_AFTER),
                peers.starsessions(redis_url, folder, SESSIONS),
                peers.bare(folder),
            )
        ]
        for server in servers:
            if server.missing:
                print(f"SKIPPED: {server.name}: {server.missing}")
        measured = measure([server for server in servers if not server.missing], databases)
        versions = [f"mongod {version}"]
        if node := report.first_line("node", "--version"):
            versions.append(f"Node {node}")
        if found := re.search(r"v=(\S+)", report.first_line("redis-server", "--version")):
            versions.append(f"Redis {found[1]}")
        report.write("comparison", text_of(measured, versions))
    return 0


@contextmanager
def embedded_mongod(folder: Path) -> Iterator[tuple[int, str, str]]:
    """A mongod for the run: its process id, address and version."""
    with asyncio.Runner() as runner:
        mongod = EmbeddedMongod(folder / "data", None)
        runner.run(mongod.__aenter__())
        try:
            with MongoClient[dict[str, Any]](mongod.uri) as client:
                pid = int(client.admin.command("serverStatus")["pid"])
            yield pid, mongod.uri, mongod.version
        finally:
            runner.run(mongod.__aexit__(None, None, None))


def measure(servers: list[Peer], databases: Databases) -> dict[tuple[str, int], list[Measured]]:
    """Drives all servers in turn, and all of it again, so that a slow minute hits all alike."""
    measured: dict[tuple[str, int], list[Measured]] = {}
    for server in servers:
        drive(server.url, server.cookies, connections=32, seconds=WARM_UP_SECONDS)
    for _ in range(ROUNDS):
        for connections in CONNECTIONS:
            for server in servers:
                measured.setdefault((server.name, connections), []).append(
                    one(server, databases, connections)
                )
                print(".", end="", flush=True, file=sys.stderr)
    print(file=sys.stderr)
    return measured


def one(server: Peer, databases: Databases, connections: int) -> Measured:
    cpu, database_cpu, operations = cpu_seconds(server.pid), databases.cpu_seconds(), databases.operations()
    result = drive(server.url, server.cookies, connections=connections, seconds=SECONDS)
    assert not result.refused, f"{server.name} refused {result.refused} of {result.requests}"
    return Measured(
        result,
        (cpu_seconds(server.pid) - cpu) / result.requests * 1e6,
        (databases.cpu_seconds() - database_cpu) / result.requests * 1e6,
        (databases.operations() - operations) / result.requests,
    )


def text_of(measured: dict[tuple[str, int], list[Measured]], versions: list[str]) -> str:
    head = [
        "connections", "server", "requests/s", "Latchkey is", "p50 ms", "p99 ms", "server CPU µs",
        "database CPU µs", "database operations",
    ]  # fmt: skip
    rows = [
        row_of(name, connections, runs, measured[peers.OURS, connections])
        for (name, connections), runs in measured.items()
    ]
    how = (
        f"{SESSIONS} sessions, {ROUNDS} rounds of {SECONDS} s in turn: all rates, and the median of all "
        "else. CPU and operations are per request."
    )
    aims = report.table([f"at {AIMS_AT} connections", "aim", "reached"], aims_of(measured))
    return f"{report.machine(*versions)} {how}\n\n{report.table(head, rows)}\n\n{aims}"


def aims_of(measured: dict[tuple[str, int], list[Measured]]) -> list[list[str]]:
    ours, twice = (measured[name, AIMS_AT] for name in (peers.OURS, peers.OURS_TWICE))
    operations = median(run.operations for run in ours)
    cpu = median(run.server_cpu for run in twice) / median(run.server_cpu for run in ours)
    faster = [
        [f"as fast as {name}", f"{aim}x", f"{ratio(ours, measured[name, AIMS_AT]):.2f}x"]
        for name, aim in AIMS.items()
        if (name, AIMS_AT) in measured
    ]
    return [
        *faster,
        ["database operations a request", f"at most {MOST_OPERATIONS}", f"{operations:.3f}"],
        ["CPU a request, two processes against one", f"at most {MOST_CPU_OF_TWO}x", f"{cpu:.2f}x"],
    ]


def row_of(name: str, connections: int, runs: list[Measured], ours: list[Measured]) -> list[str]:
    return [
        str(connections),
        name,
        " / ".join(f"{run.result.rate:.0f}" for run in runs),
        f"{ratio(ours, runs):.2f}x" if name != peers.OURS else "",
        f"{median(run.result.p50 for run in runs):.1f}",
        f"{median(run.result.p99 for run in runs):.1f}",
        f"{median(run.server_cpu for run in runs):.0f}",
        f"{median(run.database_cpu for run in runs):.0f}",
        f"{median(run.operations for run in runs):.3f}",
    ]


def ratio(ours: list[Measured], theirs: list[Measured]) -> float:
    return median(run.result.rate for run in ours) / median(run.result.rate for run in theirs)


if __name__ == "__main__":
    sys.exit(main())
