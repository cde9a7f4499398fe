"""A real mongod of our own for development: one child process, a replica set of one, data kept on disk."""

import asyncio
import ctypes
import logging
import os
import signal
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from socket import SO_REUSEADDR, SOL_SOCKET, socket
from typing import IO, Any, Self

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from server.errors import StartError
from server.mongod.binary import find_mongod
from server.mongod.failure import PORT_IN_USE, explain
from server.mongod.folder import keep_old_log, lock_folder, remember_port, remembered_port, stop_orphan

HOST = "127.0.0.1"
REPLICA_SET = "latchkey"
START_SECONDS = 60  # mongod spends 30 of them on the program that has its old port, if that does not answer
STOP_SECONDS = 10
POLL_SECONDS = 0.02
PORT_TRIES = 3
RESTART_SECONDS = (0.5, 1, 2, 5, 10)

_PR_SET_PDEATHSIG = 1

logger = logging.getLogger("latchkey.mongod")


def uri_of(port: int) -> str:
    """The address of an embedded mongod on this port."""
    return f"mongodb://{HOST}:{port}/?replicaSet={REPLICA_SET}"


class EmbeddedMongod:
    """`async with EmbeddedMongod(data_dir, mongod_path) as mongod:` runs mongod while the block does.

    Enter it from the main thread. It is a writable primary on entry; `uri`, `port` and `version` tell how to
    reach it. Data, log and port stay in `data_dir`, so that the next start finds everything. If it dies it is
    started again on its port. Raises `StartError`, one line that says what to do, and `FolderInUse`.

    `arguments` are further arguments of mongod's command line.
    """

    def __init__(self, data_dir: Path, mongod_path: Path | None, arguments: Sequence[str] = ()) -> None:
        self.port = 0
        self.version = ""
        self._dir = data_dir.absolute()
        self._mongod_path = mongod_path
        self._arguments = arguments
        self._lock: IO[str] | None = None
        self._process: Process | None = None
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def uri(self) -> str:
        return uri_of(self.port)

    async def __aenter__(self) -> Self:
        program = find_mongod(self._mongod_path)
        self._lock = lock_folder(self._dir)
        try:
            await stop_orphan(self._dir / "mongodb")
            keep_old_log(self._log_path)
            await self._start_on_some_port(program)
        except BaseException:
            await self.__aexit__()
            raise
        self._supervisor = asyncio.create_task(self._supervise(program))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._supervisor:
            self._supervisor.cancel()
            with suppress(asyncio.CancelledError):
                await self._supervisor
        if self._process:
            await _stop(self._process)
        if self._lock:
            self._lock.close()

    @property
    def _log_path(self) -> Path:
        return self._dir / "mongod.log"

    async def _start_on_some_port(self, program: Path) -> None:
        port = remembered_port(self._dir)
        for _ in range(PORT_TRIES):
            self.port = port if port and _is_free(port) else _free_port()
            if await self._start(program) != PORT_IN_USE:
                remember_port(self._dir, self.port)
                return
            port = None  # somebody was quicker
        raise StartError("mongod found no free port; try again")

    async def _start(self, program: Path) -> int:
        """Starts mongod and waits until it can be written to. Returns 0, or `PORT_IN_USE`."""
        output = self._dir / "mongod.out"
        with output.open("w", encoding="utf-8") as out:
            process = await self._spawn(program, out)
        ended = asyncio.create_task(process.wait())
        ready = asyncio.create_task(self._become_primary())
        try:
            await asyncio.wait({ended, ready}, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if ready.done():
                ready.result()
                self._process = process
                return 0
            if not ended.done():
                raise StartError(
                    f"mongod did not get ready in {START_SECONDS} seconds (see {self._log_path})"
                )
            if ended.result() == PORT_IN_USE:
                return PORT_IN_USE
            raise StartError(explain(ended.result(), output.read_text("utf-8", "replace"), self._log_path))
        finally:
            ready.cancel()
            ended.cancel()
            if self._process is not process:
                await _stop(process)

    async def _spawn(self, program: Path, out: IO[str]) -> Process:
        try:
            _try_to_execute(program)
            return await asyncio.create_subprocess_exec(
                program, *self._options(), stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True,  # Ctrl-C is for the server, which stops mongod when it has finished
                preexec_fn=_die_with_parent(),
            )  # fmt: skip
        except OSError as error:
            raise StartError(f"{program} cannot be run: {error.strerror}; correct MONGOD_PATH") from None

    def _options(self) -> list[str]:
        posix_only = [] if sys.platform == "win32" else ["--nounixsocket"]
        return [
            "--dbpath", str(self._dir / "mongodb"), "--logpath", str(self._log_path), "--logappend",
            "--quiet", "--bind_ip", HOST, "--port", str(self.port), "--replSet", REPLICA_SET,
            "--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "64",
            # No zlib: the version in the wheel gives away memory to whoever sends it (CVE-2025-14847).
            "--networkMessageCompressors", "snappy,zstd",
            "--setParameter", "diagnosticDataCollectionEnabled=false",
            *posix_only, *self._arguments,
        ]  # fmt: skip

    async def _become_primary(self) -> None:
        await _until_it_listens(self.port)
        address = f"{HOST}:{self.port}"
        async with AsyncMongoClient[dict[str, Any]](address, directConnection=True) as client:
            while True:
                # An error means not yet; if it never gets ready, the caller's time limit counts.
                with suppress(PyMongoError):
                    if not await self._is_ours(client):
                        await asyncio.sleep(POLL_SECONDS)
                        continue  # ours will soon end, because its port is taken
                    hello = await client.admin.command("hello")
                    if hello.get("isWritablePrimary"):
                        self.version = (await client.server_info())["version"]
                        return
                    await _configure(client, address)
                await asyncio.sleep(POLL_SECONDS)

    async def _is_ours(self, client: AsyncMongoClient[dict[str, Any]]) -> bool:
        """Whether it is not another mongod, which was quicker to take the port and is not to be touched."""
        options = await client.admin.command("getCmdLineOpts")
        return bool(options["parsed"]["storage"].get("dbPath") == str(self._dir / "mongodb"))

    async def _supervise(self, program: Path) -> None:
        while self._process:
            status = await self._process.wait()
            logger.warning("mongod ended by itself (%d) and is started again on port %d", status, self.port)
            self._process = None
            for seconds in (*RESTART_SECONDS, *[RESTART_SECONDS[-1]] * 1000):
                try:
                    if await self._start(program) == 0:
                        break
                    logger.warning("port %d is taken; trying again", self.port)
                except (StartError, OSError) as error:
                    logger.warning("mongod does not start again: %s", error)
                await asyncio.sleep(seconds)


def _is_free(port: int) -> bool:
    with socket() as probe:
        # Connections of an earlier run that are still closing do not count; a listening program does.
        probe.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _try_to_execute(program: Path) -> None:
    """Raises `OSError` if the kernel refuses to. uvloop would not: it lets /bin/sh run such a file."""
    quiet = subprocess.DEVNULL
    command = (program, "--version")
    with subprocess.Popen(command, stdout=quiet, stderr=quiet) as trial:  # noqa: S603 - the operator's choice
        trial.kill()


def _die_with_parent() -> Callable[[], None] | None:
    """What the child does before it becomes mongod: asks Linux for a SIGTERM when we end, however we end.

    Linux means the thread that starts it, hence the main thread. Elsewhere the next start stops an orphan.
    """
    if sys.platform != "linux":
        return None
    libc, parent = ctypes.CDLL(None), os.getpid()

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # too late: we ended before the child could ask
            os._exit(1)

    return ask


async def _until_it_listens(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection(HOST, port)
        except OSError:
            await asyncio.sleep(POLL_SECONDS)
        else:
            writer.close()
            return


async def _configure(client: AsyncMongoClient[dict[str, Any]], address: str) -> None:
    """Makes the node a replica set of one; mends the configuration if the port has changed."""
    members = [{"_id": 0, "host": address}]
    config = await client.local["system.replset"].find_one()
    if config is None:
        await client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": members})
    elif config["members"][0]["host"] != address:
        config |= {"members": members, "version": config["version"] + 1}
        await client.admin.command("replSetReconfig", config, force=True)


async def _stop(process: Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(number)
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
