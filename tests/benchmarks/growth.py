"""Whether a request costs more when more sessions are stored, and what they cost in memory."""

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bson import Binary
from pymongo import MongoClient

from tests.benchmarks import peers, report
from tests.benchmarks.compare import embedded_mongod
from tests.benchmarks.load import cpu_seconds, drive, resident_mib
from tests.benchmarks.peers import Peer

USED = 1000
STORED = (1_000, 100_000, 1_000_000)
BATCH = 20_000
SECONDS = 5
ROUNDS = 3
CONNECTIONS = 32


def main() -> int:
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        mongod_pid, uri, version = stack.enter_context(embedded_mongod(folder))
        site = stack.enter_context(peers.latchkey(uri, folder, USED))
        sessions = stack.enter_context(MongoClient[dict[str, Any]](uri))["latchkey"]["sessions"]
        drive(site.url, site.cookies, connections=CONNECTIONS, seconds=1)
        rows = []
        for stored in STORED:
            fill(sessions, stored)
            rows.append([f"{stored:,}", *figures(site, mongod_pid)])
        head = ["sessions stored", "requests/s", "server CPU µs", "mongod CPU µs", "server MiB", "mongod MiB"]
        how = f"{CONNECTIONS} connections, {USED:,} sessions in use, {ROUNDS} rounds of {SECONDS} s."
        report.write("growth", f"{report.machine(f'mongod {version}')} {how}\n\n{report.table(head, rows)}")
    return 0


def fill(sessions: Any, count: int) -> None:
    """Copies a session until so many are stored, each with an id, a handle and a user of its own."""
    pattern = sessions.find_one()
    stored = sessions.estimated_document_count()
    for start in range(stored, count, BATCH):
        copies = [
            {
                **pattern,
                "_id": Binary(number.to_bytes(32)),
                "handle": f"{number:016x}",
                "user_id": f"other{number}",
            }
            for number in range(start, min(start + BATCH, count))
        ]
        sessions.insert_many(copies, ordered=False)


def figures(site: Peer, mongod_pid: int) -> list[str]:
    rates, cpu, database_cpu, requests = [], 0.0, 0.0, 0
    for _ in range(ROUNDS):
        before, database_before = cpu_seconds(site.pid), cpu_seconds(mongod_pid)
        result = drive(site.url, site.cookies, connections=CONNECTIONS, seconds=SECONDS)
        cpu += cpu_seconds(site.pid) - before
        database_cpu += cpu_seconds(mongod_pid) - database_before
        requests += result.requests
        rates.append(f"{result.rate:.0f}")
    return [
        " / ".join(rates),
        f"{cpu / requests * 1e6:.0f}",
        f"{database_cpu / requests * 1e6:.0f}",
        f"{resident_mib(site.pid):.0f}",
        f"{resident_mib(mongod_pid):.0f}",
    ]


if __name__ == "__main__":
    sys.exit(main())
