"""What a client may send, and how long it may take, before any handler has a say."""

from tornado.httpserver import HTTPServer
from tornado.httputil import (
    ParseBodyConfig,
    ParseMultipartConfig,
    ParseUrlEncodedConfig,
    set_parse_body_config,
)
from tornado.web import Application

MAX_READ_BYTES = 1024 * 1024  # beyond it the connection is cut; handlers refuse far less, in words
MAX_HEADER_BYTES = 16 * 1024
MAX_FORM_FIELDS = 100
BODY_SECONDS = 10
IDLE_CONNECTION_SECONDS = 75


def make_server(
    app: Application, body_seconds: float = BODY_SECONDS, idle_seconds: float = IDLE_CONNECTION_SECONDS
) -> HTTPServer:
    """A server for the site, with limits on what a client may send, and on how long it may take for a body,
    and for headers after it connected or was answered last: slow ones would hold connections for ever."""
    return HTTPServer(
        app,
        max_body_size=MAX_READ_BYTES,
        max_header_size=MAX_HEADER_BYTES,
        body_timeout=body_seconds,
        idle_connection_timeout=idle_seconds,
    )


def limit_forms() -> None:
    """For the whole process; Tornado knows no other way. Nothing here takes multipart, which has a long
    history of requests that are small to send and slow to parse."""
    set_parse_body_config(
        ParseBodyConfig(
            multipart=ParseMultipartConfig(enabled=False),
            urlencoded=ParseUrlEncodedConfig(max_arguments=MAX_FORM_FIELDS),
        )
    )
