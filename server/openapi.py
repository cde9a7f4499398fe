"""The API in OpenAPI 3.1, served at /api/openapi.json. tests/test_openapi.py holds the site to it."""

from collections.abc import Sequence
from http.client import responses
from typing import Any

Json = dict[str, Any]

_ABOUT = """\
The session is a cookie, the one that the pages use. Bodies are `application/json` and nothing else: that is \
why scripts need no CSRF token. Errors are problem documents (RFC 9457) with a `code` that never changes. \
Every address answers OPTIONS, and scripts of trusted origins may read every answer, errors too."""

PROBLEMS = {
    "malformed": (400, "The body is not valid JSON."),
    "unauthenticated": (401, "The call is for somebody who is signed in."),
    "invalid_credentials": (401, "The email address or the password is wrong; which one is not told."),
    "csrf_failed": (403, "The request comes from a page of an origin that is not trusted."),
    "registration_closed": (403, "New accounts are not open to everybody here."),
    "not_found": (404, "There is nothing at this address."),
    "method_not_allowed": (405, "The address does not have this method; Allow names those it has."),
    "email_taken": (409, "There is already an account with this address."),
    "payload_too_large": (413, "The body is larger than 64 KiB."),
    "unsupported_media_type": (415, "There is a body, and it is not application/json."),
    "misdirected_request": (421, "The request names a host that is not this site."),
    "invalid_input": (422, "A field is missing, of the wrong type, or breaks a rule; `detail` says which."),
    "internal_error": (500, "The site has a fault, which has been noted."),
    "unavailable": (503, "The database cannot be reached, or too many passwords wait to be checked. "
                         "Sessions are kept; try again after Retry-After."),
}  # fmt: skip
"""Every code of an error: its status, and what it means."""

_EVERYWHERE = (
    "method_not_allowed", "payload_too_large", "unsupported_media_type", "misdirected_request",
    "internal_error",
)  # fmt: skip
_ERROR_HEADERS = {405: ["Allow"], 503: ["Retry-After"]}


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
        "paths": _paths(password_min_length),
        "components": {
            "securitySchemes": {
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": cookie_name,
                    "description": "Set by signing in. HttpOnly: browsers send it, scripts cannot read it.",
                }
            },
            "headers": _HEADERS,
            "schemas": _SCHEMAS,
        },
    }


def _paths(password_min_length: int) -> Json:
    email = {"type": "string", "format": "email", "examples": ["ann@example.com"]}
    password = {"type": "string", "examples": ["correct horse battery staple"]}
    new_password = {**password, "minLength": password_min_length, "maxLength": 256}
    remember = {"type": "boolean", "default": False, "description": "Outlive the closing of the browser."}
    return {
        "/api/session": {
            "get": _call(
                "getSession", "Who is signed in, and for how long",
                "Counts as activity, so it moves the idle timeout on. Nobody signed in is a 200 too.",
                answer=_json(200, "The session", "Session"), problems=["unavailable"],
            ),
            "post": _call(
                "signIn", "Sign in",
                "Always makes a new session; the one that the request's cookie named ends.",
                body={"email": email, "password": password, "remember": remember},
                answer=_json(201, "Signed in", "Session", ["New-Session"]),
                problems=["invalid_credentials", "csrf_failed", "unavailable"],
            ),
            "delete": _call(
                "signOut", "Sign out",
                "Without a session it is a 204 too.",
                answer=_empty(204, "Nobody is signed in any more", ["Set-Cookie"]),
                problems=["csrf_failed", "unavailable"],
            ),
        },
        "/api/users": {
            "post": _call(
                "signUp", "Make an account and sign in",
                "The address counts the same however its letters are written.",
                body={"email": email, "password": new_password},
                answer=_json(201, "Made, and signed in", "Session", ["New-Session"]),
                problems=["csrf_failed", "registration_closed", "email_taken", "unavailable"],
            ),
        },
        "/api/openapi.json": {
            "get": _call(
                "getDescription", "This description",
                "Needs no session.",
                answer=_json(200, "OpenAPI 3.1", "Description"),
            ),
        },
    }  # fmt: skip


def _call(
    name: str,
    summary: str,
    about: str,
    *,
    answer: Json,
    body: Json | None = None,
    problems: Sequence[str] = (),
    members_only: bool = False,
) -> Json:
    """One call. `body`: its fields; those without a default are required."""
    session: Json = {"session": []}
    call: Json = {
        "operationId": name,
        "summary": summary,
        "description": about,
        "security": [session] if members_only else [{}, session],
    }
    if body is not None:
        required = [field for field, schema in body.items() if "default" not in schema]
        fields = {"type": "object", "required": required, "properties": body}
        call["requestBody"] = {"required": True, "content": {"application/json": {"schema": fields}}}
        problems = [*problems, "malformed", "invalid_input"]
    return call | {"responses": answer | _errors([*problems, *_EVERYWHERE])}


def _json(status: int, about: str, schema: str, headers: Sequence[str] = ()) -> Json:
    return _answer(status, about, {"application/json": {"schema": _ref("schemas", schema)}}, headers)


def _empty(status: int, about: str, headers: Sequence[str] = ()) -> Json:
    return _answer(status, about, None, headers)


def _errors(codes: Sequence[str]) -> Json:
    """The answers for these codes, one a status."""
    found: Json = {}
    for status in sorted({PROBLEMS[code][0] for code in codes}):
        own = [code for code in codes if PROBLEMS[code][0] == status]
        about = " ".join(f"`{code}`: {PROBLEMS[code][1]}" for code in own)
        narrowed = {"properties": {"status": {"const": status}, "code": {"enum": own},
                                   "title": {"const": responses[status]}}}  # fmt: skip
        schema = {"allOf": [_ref("schemas", "Problem"), narrowed]}
        content = {"application/problem+json": {"schema": schema}}
        found |= _answer(status, about, content, _ERROR_HEADERS.get(status, []))
    return found


def _answer(status: int, about: str, content: Json | None, headers: Sequence[str]) -> Json:
    names = ["X-Request-ID", "Vary", *headers]
    sent = {_HEADER_NAMES.get(name, name): _ref("headers", name) for name in names}
    answer: Json = {"description": about, "headers": sent}
    return {str(status): answer | ({"content": content} if content else {})}


def _ref(kind: str, name: str) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}


_COOKIE = {
    "schema": {"type": "string"},
    "description": "The session's cookie, with the attributes that the settings say.",
}
_HEADER_NAMES = {"New-Session": "Set-Cookie"}
_HEADERS: Json = {
    "X-Request-ID": {
        "required": True,
        "schema": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
        "description": "Names the request in the site's logs.",
    },
    "Vary": {
        "required": True,
        "schema": {"type": "string", "pattern": "Origin"},
        "description": "Names Origin always, and Cookie where the session decides the answer.",
    },
    "Allow": {"required": True, "schema": {"type": "string"}, "description": "The methods of the address."},
    "Retry-After": {
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
        "description": "Seconds to wait before the next try.",
    },
    "Set-Cookie": {**_COOKIE, "description": "Clears the session's cookie, if this call ended one."},
    "New-Session": {**_COOKIE, "required": True},
}


def _object(properties: Json, **more: Any) -> Json:
    return {
        "type": "object", "required": list(properties), "properties": properties,
        "additionalProperties": False, **more,
    }  # fmt: skip


def _or_null(schema: str, about: str) -> Json:
    return {"anyOf": [_ref("schemas", schema), {"type": "null"}], "description": about}


_SCHEMAS: Json = {
    "Session": _object(
        {
            "authenticated": {"type": "boolean"},
            "user": _or_null("User", "Null if nobody is signed in."),
            "csrf_token": {"type": "string", "description": "For forms of the pages; the API asks for none."},
            "expires_at": _or_null("Time", "When the session ends if nothing happens any more."),
            "ends_at": _or_null("Time", "When the session ends in any case."),
            "server_time": _ref("schemas", "Time"),
        }
    ),
    "User": _object({"id": {"type": "string"}, "email": {"type": "string"}}),
    "Time": {
        "type": "string",
        "format": "date-time",
        "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$",
        "description": "ISO 8601, UTC, with milliseconds.",
    },
    "Problem": _object(
        {
            "type": {"const": "about:blank"},
            "title": {"type": "string", "description": "The status in words."},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "For people; its words may change."},
            "code": {"type": "string", "description": "For programs; never changes."},
        }
    ),
    "Description": {"type": "object", "required": ["openapi", "info", "paths"]},
}
