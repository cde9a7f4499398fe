"""What bodies and headers look like."""

from typing import Any

Json = dict[str, Any]


def ref(kind: str, name: str) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}


def _object(properties: Json, **more: Any) -> Json:
    return {
        "type": "object", "required": list(properties), "properties": properties,
        "additionalProperties": False, **more,
    }  # fmt: skip


def _or_null(schema: str, about: str) -> Json:
    return {"anyOf": [ref("schemas", schema), {"type": "null"}], "description": about}


_COOKIE = {
    "schema": {"type": "string"},
    "description": "The session's cookie, with the attributes that the settings say.",
}
HEADERS: Json = {
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
    "Ask-Again": {
        "required": False,
        "schema": {"type": "integer", "minimum": 1},
        "description": "Seconds to wait before asking again: the site stops, or there is a new cookie.",
    },
    "Set-Cookie": {**_COOKIE, "description": "Clears the session's cookie, if this call ended one."},
    "New-Session": {**_COOKIE, "required": True},
}


SCHEMAS: Json = {
    "Session": _object(
        {
            "authenticated": {"type": "boolean"},
            "user": _or_null("User", "Null if nobody is signed in."),
            "csrf_token": {"type": "string", "description": "For forms of the pages; the API asks for none."},
            "expires_at": _or_null("Time", "When the session ends if nothing happens any more."),
            "ends_at": _or_null("Time", "When the session ends in any case."),
            "server_time": ref("schemas", "Time"),
        }
    ),
    "Sessions": _object({"sessions": {"type": "array", "items": ref("schemas", "SessionInList")}}),
    "SessionInList": _object(
        {
            "id": {"type": "string", "description": "Names the session here and in logs; opens nothing."},
            "current": {"type": "boolean", "description": "Whether this call was made in it."},
            "device": {"type": "string", "description": "Such as Firefox on Linux."},
            "ip": {"type": "string", "description": "The address that signed in."},
            "created_at": ref("schemas", "Time"),
            "last_seen_at": ref("schemas", "Time"),
            "last_active_at": ref("schemas", "Time"),
            "expires_at": ref("schemas", "Time"),
        }
    ),
    "Ended": _object({"ended": {"type": "integer", "minimum": 0}}),
    "Events": _object(
        {
            "events": {"type": "array", "items": ref("schemas", "Event")},
            "cursor": {"type": ["integer", "null"], "description": "To be sent as `after` next time."},
            "missed": {"type": "boolean", "description": "Whether there was more than the site has kept."},
            "expires_at": _or_null("Time", "When the session ends if nothing happens any more."),
        }
    ),
    "Event": _object(
        {
            "seq": {"type": "integer", "minimum": 1, "description": "Counts the events of a person."},
            "type": {"type": "string"},
            "at": ref("schemas", "Time"),
            "data": {"description": "Any JSON, as the type of the event has it."},
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
