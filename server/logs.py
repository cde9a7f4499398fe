"""Logs on standard error: lines for people, or one JSON object a line for programs."""

import logging
import sys
import textwrap
import time
from typing import Any

from pythonjsonlogger.json import JsonFormatter
from tornado.web import RequestHandler

access = logging.getLogger("latchkey.access")

_TEXT = "%(asctime)s %(levelname)-7s %(name)s %(message)s"
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {0x2028: "\\u2028"}


def configure_logs(level: str, log_format: str) -> None:
    """Sends everything from `level` on to standard error, as "text" or "json"."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if log_format == "json" else _TextFormatter(_TEXT))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.getLogger("pymongo").setLevel(logging.WARNING)
    # Its warnings repeat what the client sent, cookies and queries included.
    logging.getLogger("tornado.general").setLevel(logging.ERROR)


def log_request(handler: RequestHandler) -> None:
    """One line a request, without its query, which may hold secrets. Health checks only at level debug."""
    request, status = handler.request, handler.get_status()
    level = logging.DEBUG if request.path in {"/healthz", "/readyz"} else logging.INFO
    if not access.isEnabledFor(level):
        return
    fields: dict[str, Any] = {
        "method": request.method,
        "path": request.path,
        "status": status,
        "milliseconds": round(request.request_time() * 1000, 1),
        "ip": request.remote_ip,
        "request_id": getattr(handler, "request_id", ""),
    }
    access.log(level, " ".join(map(str, fields.values())), extra=fields)


class _TextFormatter(logging.Formatter):
    """Escapes control characters: a client must not be able to write a line of its own (ASVS 16.4.1).

    Times are UTC, as in JSON. The lines of a traceback are indented.
    """

    converter = time.gmtime  # type: ignore[assignment] # as in logging's documentation
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return super().formatMessage(record).translate(_CONTROL)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        return textwrap.indent(super().formatException(ei), "  ")


class _JsonFormatter(JsonFormatter):
    def __init__(self) -> None:
        super().__init__(
            "%(levelname)s %(name)s %(message)s", timestamp="time", rename_fields={"levelname": "level"}
        )
