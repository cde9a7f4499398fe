"""The document around the calls."""

from server.openapi.calls import paths
from server.openapi.schemas import HEADERS, SCHEMAS, Json

_ABOUT = """\
The session is a cookie, the one that the pages use. Bodies are `application/json` and nothing else: that is \
why scripts need no CSRF token. Errors are problem documents (RFC 9457) with a `code` that never changes. \
Every address answers OPTIONS, and scripts of trusted origins may read every answer, errors too."""


def describe(version: str, cookie_name: str, password_min_length: int) -> Json:
    """The description of this site's API, ready to be JSON."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Latchkey",
            "version": version,
            "summary": "Sign-in and sessions, for scripts and programs",
            "description": _ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "The site that serves this description"}],
        "paths": paths(password_min_length),
        "components": {
            "securitySchemes": {
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": cookie_name,
                    "description": "Set by signing in. HttpOnly: browsers send it, scripts cannot read it.",
                }
            },
            "headers": HEADERS,
            "schemas": SCHEMAS,
        },
    }
