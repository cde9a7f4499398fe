"""From settings to a running site, and from a signal to an orderly end."""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Coroutine
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.web import Application

from server.app import make_app
from server.commands import run_command
from server.embedding import open_uri
from server.errors import LatchkeyError, SettingsError
from server.limits import limit_forms, make_server
from server.logs import configure_logs
from server.metrics import shared_figures
from server.ports import bind, reserve, url
from server.processes import Processes, available_cores, same_command
from server.services import Services, open_services
from settings import CommandLine, Settings

NEW_OBJECTS_PER_COLLECTION = 20_000
STOP_MARGIN_SECONDS = 5
WORKER = "worker"  # the command by which a parent starts each of its processes; not for people

logger = logging.getLogger("latchkey")


def run(command_line: CommandLine) -> int:
    """Runs the site, or the command on the command line, to its end. Returns the exit status.

    What keeps it from starting is told in one line on standard error.
    """
    settings = command_line.settings
    configure_logs(settings.log_level, settings.log_format)
    try:
        _run_loop(_perform(command_line))
    except LatchkeyError as error:
        print(f"latchkey: {error}", file=sys.stderr)
        return error.exit_status
    return 0


async def _perform(command_line: CommandLine) -> None:
    settings, command, arguments = command_line.settings, command_line.command, command_line.arguments
    if not command:
        await _serve(settings)
    elif command == WORKER:
        await _work(settings)
    else:
        await run_command(settings, command, arguments)


async def _serve(settings: Settings) -> None:
    count = settings.processes or available_cores()
    if count == 1:
        await _serve_alone(settings)
    elif hasattr(socket, "SO_REUSEPORT"):
        await _serve_with(count, settings)
    else:
        raise SettingsError(f"PROCESSES is {count}; this system lets only one process listen on a port")


async def _serve_alone(settings: Settings) -> None:
    stop = _stop_on_signal()
    listening = bind(settings.host, settings.port)
    async with open_uri(settings) as database, open_services(settings, database.uri) as services:
        await _answer(settings, services, listening, stop, database.description)


async def _serve_with(count: int, settings: Settings) -> None:
    stop = _stop_on_signal()
    with reserve(settings.host, settings.port) as reserved, shared_figures() as figures:
        async with open_uri(settings) as database:
            async with open_services(settings, database.uri):
                pass  # what cannot work is told once, here, and not by every process
            environment = {**os.environ, **figures.environment(), "MONGODB_URI": database.uri}
            port = str(reserved.getsockname()[1])
            async with Processes(
                same_command("--port", port, WORKER), environment, count,
                stop_seconds=settings.drain_timeout + STOP_MARGIN_SECONDS, on_end=figures.forget,
            ):  # fmt: skip
                _announce(url(settings.host, reserved), database.description)
                await stop.wait()


async def _work(settings: Settings) -> None:
    """One of several processes: shares the port, and stops when its parent does."""
    stop = _stop_on_signal()
    parent = asyncio.create_task(_stop_with_parent(stop))
    listening = bind(settings.host, settings.port, is_shared=True)
    async with open_services(settings, settings.mongodb_uri) as services:
        await _answer(settings, services, listening, stop)
    parent.cancel()


async def _answer(
    settings: Settings, services: Services, listening: socket.socket, stop: asyncio.Event, *further_lines: str
) -> None:
    """Answers requests until told to stop, and then lets those under way end."""
    limit_forms()
    app = make_app(settings, services)
    server = make_server(app)
    # What is in memory by now stays for good. Searching it for garbage again and again would stop every
    # request for milliseconds. And with Python's 700 new objects between two searches, a busy server does
    # little but search the requests under way, which are no garbage.
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS_PER_COLLECTION)
    server.add_socket(listening)
    _announce(url(settings.host, listening), *further_lines)
    await stop.wait()
    await _drain(server, app, settings.drain_timeout)


def _announce(address: str, *further_lines: str) -> None:
    for line in (f"Latchkey is listening on {address}", *further_lines):
        print(line, flush=True)


async def _stop_with_parent(stop: asyncio.Event) -> None:
    """The parent holds our standard input open. It ends with the parent, even if that was killed."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()
    stop.set()


def _stop_on_signal() -> asyncio.Event:
    """An event that SIGTERM or SIGINT sets. A second one ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        stop.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    return stop


async def _drain(server: HTTPServer, app: Application, seconds: float) -> None:
    """Takes no new connections and gives requests under way so many seconds to end."""
    logger.info("stopping")
    app.settings["stopping"].set()
    app.settings["services"].live.stop()
    server.stop()
    try:
        async with asyncio.timeout(seconds):
            await app.settings["in_flight"].wait_empty()
    except TimeoutError:
        logger.warning("%d requests did not end in time", len(app.settings["in_flight"]))
    await server.close_all_connections()


def _run_loop(work: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop  # noqa: PLC0415 - there is none on Windows
    except ImportError:
        asyncio.run(work)
    else:
        uvloop.run(work)
