"""ApiHandler: JSON in, JSON out, errors as problem+json (RFC 9457), CORS for trusted origins."""

import json
from datetime import datetime
from http.client import responses
from typing import Any, NoReturn

from tornado.web import HTTPError

from handlers.base import BaseHandler
from server.accounts import HashQueueFull, TooManyAttempts

PREFLIGHT_SECONDS = 600

_CODES = {
    400: "malformed",
    401: "unauthenticated",
    403: "csrf_failed",
    404: "not_found",
    405: "method_not_allowed",
    413: "payload_too_large",
    415: "unsupported_media_type",
    421: "misdirected_request",
    422: "invalid_input",
    429: "too_many_attempts",
    500: "internal_error",
    503: "unavailable",
}


class Problem(HTTPError):
    """An answer that is an error: `code` is for programs and never changes, `detail` is for people.
    `retry_after`: the seconds after which asking again makes sense."""

    def __init__(self, status: int, code: str, detail: str, retry_after: int | None = None) -> None:
        super().__init__(status, detail)
        self.code = code
        self.detail = detail
        self.retry_after = retry_after


class ApiHandler(BaseHandler):
    """A call of the API. Bodies are `application/json` only: a browser cannot send that to another site
    without asking first, so scripts need no token (OWASP CSRF Cheat Sheet)."""

    is_page = False

    def set_default_headers(self) -> None:
        super().set_default_headers()
        self.add_header("Vary", "Origin")
        origin = self.request.headers.get("Origin", "")
        # On errors too, or the browser hides them from the script that asked.
        if origin in self.settings["trusted_origins"]:
            self.set_header("Access-Control-Allow-Origin", origin)
            self.set_header("Access-Control-Allow-Credentials", "true")
            self.set_header("Access-Control-Expose-Headers", "Retry-After, X-Request-ID")

    async def prepare(self) -> None:
        await super().prepare()
        if self.request.body and not self._has_json():
            raise HTTPError(415)

    def options(self, *_: str) -> None:
        """The preflight: which methods and headers a script of a trusted origin may use."""
        self.set_status(204)
        self.set_header("Allow", ", ".join([*self.allowed_methods(), "OPTIONS"]))
        if "Access-Control-Allow-Origin" in self._headers:
            self.set_header("Access-Control-Allow-Methods", ", ".join(self.allowed_methods()))
            self.set_header("Access-Control-Allow-Headers", "Content-Type, X-CSRF-Token")
            self.set_header("Access-Control-Max-Age", str(PREFLIGHT_SECONDS))

    def json_body(self) -> dict[str, Any]:
        """The JSON object in the request's body. Raises `Problem` 400 if it is no JSON, 422 if no object."""
        try:
            body = json.loads(
                self.request.body.decode(), parse_constant=_refuse, object_pairs_hook=_object_without_twins
            )
            json.dumps(body, ensure_ascii=False).encode()  # a lone surrogate is no text
        except (ValueError, RecursionError):
            raise Problem(400, "malformed", "The body is not valid JSON.") from None
        if not isinstance(body, dict):
            raise Problem(422, "invalid_input", "The body is not a JSON object.")
        return body

    def text_in(self, body: dict[str, Any], name: str) -> str:
        """A field that must be a string. Anything else, an operator of the database above all, is a 422."""
        value = body.get(name)
        if not isinstance(value, str):
            raise Problem(422, "invalid_input", f"The field {name!r} must be a string.")
        return value

    def flag_in(self, body: dict[str, Any], name: str) -> bool:
        """A field that must be true or false, false if it is missing."""
        value = body.get(name, False)
        if not isinstance(value, bool):
            raise Problem(422, "invalid_input", f"The field {name!r} must be true or false.")
        return value

    def answer(self, status: int, body: dict[str, Any]) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(body))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None))[1]
        status = self.refined_status(status_code)
        self.set_status(status)
        self.set_error_headers(status)
        if isinstance(error, Problem) and error.retry_after is not None:
            self.set_header("Retry-After", str(error.retry_after))
        title = responses.get(status, "Error")
        code = error.code if isinstance(error, Problem) else _CODES.get(status, "error")
        detail = error.detail if isinstance(error, Problem) else _detail(status, error)
        self.set_header("Content-Type", "application/problem+json")
        self.finish(
            json.dumps(
                {"type": "about:blank", "title": title, "status": status, "detail": detail, "code": code}
            )
        )

    def refined_status(self, status: int) -> int:
        """Tornado reads form bodies before `prepare`, and calls a broken one a 400 before our own checks."""
        if status != 400 or self._has_json():
            return status
        if self.request.method not in (*self.allowed_methods(), "OPTIONS"):
            return 405
        return 415 if self.request.body else 400

    def _has_json(self) -> bool:
        headers = self.request.headers
        kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        return kind == "application/json" and headers.get("Content-Encoding", "identity") == "identity"


def utc(moment: datetime | None) -> str | None:
    """An aware time in UTC as ISO 8601 with milliseconds, or None."""
    if moment is None:
        return None
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _detail(status: int, error: BaseException | None) -> str:
    if isinstance(error, HashQueueFull):
        return "Too many people are signing in right now. Try again in a few seconds."
    if isinstance(error, TooManyAttempts):
        return "There were too many attempts. Try again after the seconds in Retry-After."
    return {
        403: "The request comes from an origin that is not trusted.",
        413: "The body is larger than 64 KiB.",
        404: "There is nothing at this address.",
        405: "The address does not support this method.",
        415: "The body must be application/json, without a Content-Encoding.",
        421: "This server does not answer to that host name.",
        500: "The site has a fault, which has been noted.",
        503: "The database cannot be reached. Sessions are kept; try again in a few seconds.",
    }.get(status, responses.get(status, "Error"))


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)  # NaN and Infinity are not JSON


def _object_without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Two readers of {"a": 1, "a": 2} may disagree about a; nobody honest sends it.
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return names
