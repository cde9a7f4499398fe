"""MongoDB servers of a test's own: one without a replica set, and three that form one."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from tornado.testing import bind_unused_port

from server.mongod.binary import find_mongod

START_SECONDS = 30


@contextmanager
def standalone(folder: Path) -> Iterator[str]:
    """A server that has no change streams. Gives its URI."""
    with _mongod(folder) as (_, port):
        yield f"mongodb://127.0.0.1:{port}/"


class ReplicaSet:
    """Three servers. `uri` leads to whichever is primary."""

    def __init__(self, members: dict[int, "subprocess.Popen[bytes]"]) -> None:
        self._members = members
        hosts = [f"127.0.0.1:{port}" for port in members]
        self.uri = f"mongodb://{','.join(hosts)}/?replicaSet=three"
        config = {
            "_id": "three",
            "members": [{"_id": number, "host": host} for number, host in enumerate(hosts)],
            "settings": {"electionTimeoutMillis": 1000, "heartbeatIntervalMillis": 200},
        }
        with MongoClient[dict[str, Any]](f"mongodb://{hosts[0]}/?directConnection=true") as client:
            client.admin.command({"replSetInitiate": config})
        with MongoClient[dict[str, Any]](self.uri, serverSelectionTimeoutMS=START_SECONDS * 1000) as client:
            client.admin.command("ping")

    def kill_primary(self) -> None:
        with MongoClient[dict[str, Any]](self.uri) as client:
            client.admin.command("ping")
            assert client.primary is not None
            self._members[client.primary[1]].kill()


@contextmanager
def replica_set(folder: Path) -> Iterator[ReplicaSet]:
    with ExitStack() as stack:
        started = [
            stack.enter_context(_mongod(folder / str(number), "--replSet", "three", "--oplogSize", "64"))
            for number in range(3)
        ]
        yield ReplicaSet({port: process for process, port in started})


@contextmanager
def _mongod(folder: Path, *arguments: str) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    folder.mkdir(parents=True)
    listening, port = bind_unused_port()
    listening.close()
    process = subprocess.Popen(
        [
            find_mongod(None), "--dbpath", folder, "--port", str(port), "--bind_ip", "127.0.0.1",
            "--nounixsocket",
            "--wiredTigerCacheSizeGB", "0.25", "--setParameter", "diagnosticDataCollectionEnabled=false",
            *arguments,
        ],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _await_answer(port)
        yield process, port
    finally:
        process.kill()
        process.wait()


def _await_answer(port: int) -> None:
    uri = f"mongodb://127.0.0.1:{port}/?directConnection=true"
    with MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=START_SECONDS * 1000) as client:
        client.admin.command("ping")
