"""Figures for Prometheus: requests, sessions, and what the database is asked.

With several processes each writes its figures to files in a folder that the parent has named in
PROMETHEUS_MULTIPROC_DIR, and whichever of them is asked adds all up.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent
from tornado.web import RequestHandler

from server.sessions import SessionEvents

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 30)


class Metrics(CommandListener):
    """The figures of this process. Labels are names from the code, never what a client sent: a client could
    make up names until the memory is full."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "latchkey_requests", "Requests answered", ["handler", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "latchkey_request_seconds", "From the request's arrival to the end of its answer",
            registry=self._registry, buckets=SECONDS,
        )  # fmt: skip
        self._in_flight = Gauge(
            "latchkey_requests_in_flight", "Requests not yet answered, long-polls included",
            registry=self._registry, multiprocess_mode="livesum",
        )  # fmt: skip
        self._sessions = Counter(
            "latchkey_sessions", "Sessions that began, got a new token, ended, or were found gone",
            ["event"], registry=self._registry,
        )  # fmt: skip
        self._commands = Counter(
            "latchkey_database_commands", "Commands sent to MongoDB", ["command"], registry=self._registry
        )
        self._failures = Counter(
            "latchkey_database_failures", "Commands that failed", ["command"], registry=self._registry
        )
        self._request_counts: dict[tuple[type, int], Counter] = {}

    def session_events(self) -> SessionEvents:
        """Listeners that count."""
        created, renewed, destroyed, expired_seen = (
            self._sessions.labels(event) for event in ("created", "renewed", "destroyed", "expired_seen")
        )
        return SessionEvents(
            created=lambda _: created.inc(),
            renewed=lambda *_: renewed.inc(),
            destroyed=lambda _: destroyed.inc(),
            expired_seen=expired_seen.inc,
        )

    def set_in_flight(self, requests: int) -> None:
        """How many requests are under way now."""
        self._in_flight.set(requests)

    def count_request(self, handler: RequestHandler) -> None:
        """Call it when a request has been answered."""
        key = (type(handler), handler.get_status())
        if key not in self._request_counts:
            self._request_counts[key] = self._requests.labels(key[0].__name__, str(key[1]))
        self._request_counts[key].inc()
        self._seconds.observe(handler.request.request_time())

    def exposition(self) -> bytes:
        """All figures as text (Prometheus exposition format 0.0.4), those of other processes added."""
        if SHARED_FOLDER not in os.environ:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)

    def started(self, event: CommandStartedEvent) -> None:
        self._commands.labels(event.command_name).inc()

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None:
        self._failures.labels(event.command_name).inc()


@contextmanager
def shared_figures() -> Iterator["SharedFigures"]:
    """A folder for the figures of several processes, as long as the block runs."""
    with TemporaryDirectory(prefix="latchkey-figures-") as folder:
        yield SharedFigures(folder)


class SharedFigures:
    """What the parent of several processes has to do with their figures. Made by `shared_figures`."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to take part."""
        return {SHARED_FOLDER: self._folder}

    def forget(self, pid: int) -> None:
        """Call it when a process has ended: what it had under way is over, what it counted stays."""
        mark_process_dead(pid, self._folder)  # type: ignore[no-untyped-call]
