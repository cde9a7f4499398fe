"""Several server processes on one port: the parent that starts them, watches them and stops them."""

import asyncio
import logging
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Self

from server.errors import StartError

START_SECONDS = 30
RESTART_SECONDS = (0.5, 1, 2, 5, 10)

logger = logging.getLogger("latchkey.processes")


def available_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def same_command(*further: str) -> list[str]:
    """The command line of this process, interpreter and its options included, with more at its end."""
    return [sys.executable, *sys.orig_argv[1:], *further]


class Processes:
    """`async with Processes(...)` runs `command` `count` times while the block does. All are ready on entry.

    A process is ready when it writes a line to its standard output, and stops in order at a SIGTERM or when
    its standard input ends: that happens whatever becomes of the parent. One that ends by itself is started
    again; `on_end` gets its process id. Each is a fresh interpreter, because a fork would copy threads and
    event loops in the middle of their work.

    `stop_seconds` is how long a process may take to stop before it is killed. Raises `StartError` if one does
    not start; it has told the reason on standard error then.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        count: int,
        *,
        stop_seconds: float,
        on_end: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._command = command
        self._environment = environment
        self._count = count
        self._stop_seconds = stop_seconds
        self._on_end = on_end
        self._running: set[Process] = set()
        self._watchers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        try:
            started = await asyncio.gather(*(self._start() for _ in range(self._count)))
        except BaseException:
            await self._stop_all()
            raise
        self._watchers = [asyncio.create_task(self._watch(process)) for process in started]
        return self

    async def __aexit__(self, *_: object) -> None:
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        await self._stop_all()

    async def _start(self) -> Process:
        process = await asyncio.create_subprocess_exec(
            *self._command, env=self._environment, stdin=PIPE, stdout=PIPE,
            start_new_session=True,  # Ctrl-C is for the parent, which stops all in order
        )  # fmt: skip
        self._running.add(process)
        assert process.stdout is not None
        line = b""
        with suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                line = await process.stdout.readline()
        if not line:
            await self._stop(process)
            raise StartError("a server process did not start; what it said is above")
        logger.info("server process %d is ready", process.pid)
        return process

    async def _watch(self, process: Process) -> None:
        while True:
            assert process.stdout is not None
            await process.stdout.read()  # a full pipe would stop it
            status = await process.wait()
            self._running.discard(process)
            self._on_end(process.pid)
            logger.warning(
                "server process %d ended by itself (%d); another one is started", process.pid, status
            )
            process = await self._restart()

    async def _restart(self) -> Process:
        tries = 0
        while True:
            await asyncio.sleep(RESTART_SECONDS[min(tries, len(RESTART_SECONDS) - 1)])
            try:
                return await self._start()
            except (StartError, OSError) as error:
                logger.warning("no other server process starts: %s", error)
                tries += 1

    async def _stop_all(self) -> None:
        await asyncio.gather(*(self._stop(process) for process in self._running.copy()))

    async def _stop(self, process: Process) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                process.send_signal(number)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._stop_seconds):
                    await process.wait()
                    break
        self._running.discard(process)
