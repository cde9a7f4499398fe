"""How one call is described."""

from collections.abc import Sequence
from http.client import responses

from server.openapi.problems import PROBLEMS
from server.openapi.schemas import Json, ref

_EVERYWHERE = (
    "method_not_allowed", "payload_too_large", "unsupported_media_type", "misdirected_request",
    "internal_error",
)  # fmt: skip
_ERROR_HEADERS = {405: ["Allow"], 429: ["Retry-After"], 503: ["Retry-After"]}
_HEADER_NAMES = {"New-Session": "Set-Cookie", "Ask-Again": "Retry-After"}


def call(
    name: str,
    summary: str,
    about: str,
    *,
    answer: Json,
    body: Json | None = None,
    parameters: Sequence[Json] = (),
    problems: Sequence[str] = (),
    is_for_members: bool = False,
) -> Json:
    """One call. `body`: its fields; those without a default are required. `problems`: codes of errors, beside
    those that any call or any body can have."""
    session: Json = {"session": []}
    described: Json = {
        "operationId": name,
        "summary": summary,
        "description": about,
        "security": [session] if is_for_members else [{}, session],
    }
    if parameters:
        described["parameters"] = list(parameters)
    if is_for_members:
        problems = [*problems, "unauthenticated", "session_ended"]
    if body is not None:
        required = [field for field, schema in body.items() if "default" not in schema]
        fields = {"type": "object", "required": required, "properties": body}
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": fields}}}
        problems = [*problems, "malformed", "invalid_input"]
    return described | {"responses": answer | _errors([*problems, *_EVERYWHERE])}


def parameter(name: str, about: str, schema: Json, where: str = "query") -> Json:
    """A parameter of a call; those in the path are required."""
    return {"name": name, "in": where, "required": where == "path", "description": about, "schema": schema}


def json_answer(status: int, about: str, schema: str, headers: Sequence[str] = ()) -> Json:
    """The answer with a body of this schema, and these headers beside those that every answer has."""
    return _answer(status, about, {"application/json": {"schema": ref("schemas", schema)}}, headers)


def empty_answer(status: int, about: str, headers: Sequence[str] = ()) -> Json:
    """The answer without a body."""
    return _answer(status, about, None, headers)


def _errors(codes: Sequence[str]) -> Json:
    """The answers for these codes, one a status."""
    found: Json = {}
    for status in sorted({PROBLEMS[code][0] for code in codes}):
        own = [code for code in codes if PROBLEMS[code][0] == status]
        about = " ".join(f"`{code}`: {PROBLEMS[code][1]}" for code in own)
        narrowed = {"properties": {"status": {"const": status}, "code": {"enum": own},
                                   "title": {"const": responses[status]}}}  # fmt: skip
        schema = {"allOf": [ref("schemas", "Problem"), narrowed]}
        content = {"application/problem+json": {"schema": schema}}
        found |= _answer(status, about, content, _ERROR_HEADERS.get(status, []))
    return found


def _answer(status: int, about: str, content: Json | None, headers: Sequence[str]) -> Json:
    names = ["X-Request-ID", "Vary", *headers]
    sent = {_HEADER_NAMES.get(name, name): ref("headers", name) for name in names}
    answer: Json = {"description": about, "headers": sent}
    return {str(status): answer | ({"content": content} if content else {})}
