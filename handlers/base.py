"""BaseHandler: what every page and every API call of the site has in common."""

import logging
import secrets
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

from tornado.web import HTTPError, RequestHandler

from handlers.browser import BrowserHandler
from handlers.headers import add_security_headers
from server import audit
from server.accounts import HashQueueFull, TooManyAttempts, User, device_label
from server.sessions import Client, StoreUnavailable

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
RETRY_SECONDS = 2
REFUSALS = {
    **dict.fromkeys((400, 413, 415, 421, 422), "input_validation_fail"),
    403: "authz_fail",
    429: "excess_rate_limit_exceeded",
}

logger = logging.getLogger("latchkey")


class BaseHandler(BrowserHandler):
    """The session, the services, the signed-in user, the headers and the refusals before a handler runs."""

    is_page = True
    _error: BaseException | None = None
    _retry_seconds = RETRY_SECONDS
    _methods: ClassVar[list[str]]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._methods = [
            method for method in METHODS if _implements(cls, "get" if method == "HEAD" else method.lower())
        ]

    @cached_property
    def request_id(self) -> str:
        """Names this request in the logs and towards the client."""
        return secrets.token_hex(8)

    def initialize(self) -> None:
        audit.begin_request(self.request_id, self.request.remote_ip or "")

    def get_current_user(self) -> dict[str, str] | None:
        """The profile that sign-in put into the session: {"id", "email"}, or None. Tornado's
        `@authenticated` asks here."""
        profile = self.session.peek("user") if self.has_session else None
        return dict(profile) if profile else None

    def client(self) -> Client:
        client = super().client()
        return replace(client, label=device_label(client.user_agent))

    async def prepare(self) -> None:
        self.admit()
        if self.request.method not in (*self.allowed_methods(), "OPTIONS"):
            raise HTTPError(405)
        await super().prepare()

    async def authenticate(self, email: str, password: str) -> User | None:
        """The user with this address and password, or None. Every page and call that tries a password asks
        here. Raises `TooManyAttempts` if too many were wrong before."""
        return await self.services.guard.authenticate(email, password, self.visitor())

    async def authenticate_again(self, password: str) -> User | None:
        """The signed-in user, read anew, if this is the password; else None."""
        user = await self.authenticate(self.current_user["email"], password)
        return user if user and user.id == self.session.user_id else None

    async def sign_in(self, user: User, *, is_remembered: bool) -> bool:
        """Gives this browser a new session of the user's, in place of any it had. False, which is to be
        answered as a wrong password, if the account was changed since `authenticate`."""
        services = self.services
        lifetime = services.remembered_lifetime if is_remembered else services.lifetime
        has_started = await services.access.sign_in(self.session, user, lifetime, self.client())
        self.current_user = self.get_current_user()
        if has_started:
            self.remember_device(user.email)
        return has_started

    async def tell_others(self, user_id: str, event_type: str, client: Client | None = None) -> None:
        """Lets all browsers of the user know what happened in this one, or to `client`. What happened stays
        so even if they cannot be told."""
        client = client or self.client()
        data = {"device": client.label, "ip": client.ip, "by": self.session.handle}
        try:
            await self.services.live.notify(user_id, event_type, data)
        except StoreUnavailable as error:
            logger.warning("nobody was told of %s: %s", event_type, error)

    async def sign_out(self) -> None:
        """Ends this browser's session, if it has one, and has the browser forget what it has seen in it."""
        await self.session.destroy()
        self.current_user = None
        # Not "cookies": our own line does that, and the directive would reach neighbouring hosts too.
        self.set_header("Clear-Site-Data", '"cache", "storage"')

    def allowed_methods(self) -> list[str]:
        """The methods this handler has code for. HEAD goes with GET."""
        return self._methods

    def head(self, *args: str, **kwargs: str) -> Any:
        return self.get(*args, **kwargs)

    def set_default_headers(self) -> None:
        add_security_headers(self._headers, is_page=self.is_page, is_secure=self.settings["is_secure"])
        self._headers["Cache-Control"] = "no-store"
        self._headers["X-Request-ID"] = self.request_id
        if self.settings["stopping"].is_set():
            self.set_header("Connection", "close")

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        self._error = error = kwargs.get("exc_info", (None, None))[1]
        if isinstance(error, HashQueueFull):
            status_code = 503
        elif isinstance(error, TooManyAttempts):
            status_code, self._retry_seconds = 429, error.retry_after
        super().send_error(status_code, **kwargs)

    def log_exception(self, typ: Any, value: BaseException | None, tb: Any) -> None:
        if isinstance(value, HTTPError | HashQueueFull | TooManyAttempts):
            return
        if isinstance(value, StoreUnavailable):
            super().log_exception(typ, value, tb)
            return
        # Not Tornado's line: it has the query of the address in it.
        where = f"{self.request.method} {self.request.path}"
        logger.error("Uncaught exception %s (request %s)", where, self.request_id, exc_info=value)

    def set_error_headers(self, status: int) -> None:
        """The headers that the status of an error asks for. For `write_error` of subclasses."""
        if status == 405:
            self.set_header("Allow", ", ".join(self.allowed_methods()))
        if status in {429, 503}:
            self.set_header("Retry-After", str(self._retry_seconds))

    def write_error(self, status_code: int, **kwargs: Any) -> None:  # noqa: ARG002 - Tornado's signature
        self.set_error_headers(status_code)
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.finish(f"{status_code}\n")

    def on_finish(self) -> None:
        """What was refused goes to the security log."""
        event = REFUSALS.get(self.get_status())
        if self.get_status() == 403 and getattr(self._error, "code", "csrf_failed") == "csrf_failed":
            event = "malicious_csrf"
        if event:
            user = self.current_user if self.has_session else None
            handle = self.session.handle if self.has_session else None
            audit.record(event, is_warning=True, user_id=user and user["id"], session=handle)
        self._error = None  # its traceback leads back here: a circle that only the collector breaks

    def compute_etag(self) -> None:
        """None: pages are personal and never kept by a cache."""

    def check_etag_header(self) -> bool:
        """False: without a tag of ours there is nothing to compare the browser's with."""
        return False


def _implements(handler: type[RequestHandler], method: str) -> bool:
    return getattr(handler, method) is not getattr(RequestHandler, method)
