"""From settings to a running site, and from a signal to an orderly end."""

import asyncio
import errno
import logging
import signal
import sys
from collections.abc import Coroutine
from socket import socket
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from server.app import make_app
from server.commands import create_user
from server.embedding import open_uri
from server.errors import LatchkeyError, SettingsError, StartError
from server.logs import configure_logs
from server.services import open_services
from settings import CommandLine, Settings

MAX_BODY_BYTES = 1024 * 1024  # beyond it the connection is cut; handlers refuse far less, in words
MAX_HEADER_BYTES = 16 * 1024
BODY_SECONDS = 10
IDLE_CONNECTION_SECONDS = 75

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
    elif command == "create-user" and len(arguments) == 1:
        await create_user(settings, arguments[0])
    else:
        raise SettingsError(f"{' '.join((command, *arguments))!r} is no command; see python run.py --help")


async def _serve(settings: Settings) -> None:
    stop = _stop_on_signal()
    sockets = _bind(settings)
    async with open_uri(settings) as database, open_services(settings, database.uri) as services:
        app = make_app(settings, services)
        server = HTTPServer(
            app,
            max_body_size=MAX_BODY_BYTES,
            max_header_size=MAX_HEADER_BYTES,
            body_timeout=BODY_SECONDS,
            idle_connection_timeout=IDLE_CONNECTION_SECONDS,
        )
        server.add_sockets(sockets)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        print(f"Latchkey is listening on http://{host}:{sockets[0].getsockname()[1]}", flush=True)
        print(database.description, flush=True)
        await stop.wait()
        await _drain(server, app, settings.drain_timeout)


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


def _bind(settings: Settings) -> list[socket]:
    # One address only: port 0 for "localhost" would give IPv4 and IPv6 two different ports.
    try:
        return bind_sockets(settings.port, settings.host)[:1]
    except (OSError, UnicodeError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise StartError(f"port {settings.port} is in use; choose another with --port, or 0") from None
        where = f"{settings.host}:{settings.port}"
        reason = error.strerror if isinstance(error, OSError) else "no such host name"
        raise StartError(f"cannot listen on {where}: {reason}") from None


async def _drain(server: HTTPServer, app: Application, seconds: float) -> None:
    """Takes no new connections and gives requests under way so many seconds to end."""
    logger.info("stopping")
    app.settings["stopping"].set()
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
