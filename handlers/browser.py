"""BrowserHandler: what a browser shows beside its session: a nonce for forms, and that it is known here."""

from functools import cached_property

from handlers.site import SiteHandler
from server.accounts import Visitor
from server.accounts.device_cookie import MAX_AGE_DAYS as DEVICE_DAYS
from server.csrf import NONCE_SECONDS
from server.services import Services
from server.sessions import SessionHandler

NONCE_COOKIE = "csrf"
DEVICE_COOKIE = "device"
SECONDS_PER_DAY = 86400


class BrowserHandler(SiteHandler, SessionHandler):
    """The session, the services, and the two cookies that are there before anybody signs in."""

    @property
    def services(self) -> Services:
        services: Services = self.settings["services"]
        return services

    def visitor(self) -> Visitor:
        """Where this request comes from, for what is limited by that."""
        signed = self.get_cookie(self._secure_name(DEVICE_COOKIE))
        device = self.services.device_cookie.read(signed) if signed else None
        return Visitor(self.request.remote_ip or "", device)

    def remember_device(self, email: str) -> None:
        """Has the browser show from now on that this account has signed in from it."""
        cookie = self.services.device_cookie
        device = self.visitor().device or cookie.new()
        value = cookie.sign(device.having(email))
        self.set_cookie(
            self._secure_name(DEVICE_COOKIE), value, httponly=True, samesite="Lax",
            secure=self.settings["is_secure"], max_age=DEVICE_DAYS * SECONDS_PER_DAY,
        )  # fmt: skip

    def csrf_token(self) -> str:
        """The token for forms of this browser: bound to the session of who is signed in, or to a nonce."""
        if self.session.user_id is not None:
            return self.services.csrf.token(self.session.id or b"")
        return self.services.csrf.token(self._nonce_to_use)

    def is_csrf_token(self, token: str) -> bool:
        """Whether the token was made for the session of who is signed in, or for this browser's nonce."""
        binding = self._nonce() if self.session.user_id is None else self.session.id
        return binding is not None and self.services.csrf.is_valid(token, binding)

    @property
    def nonce_cookie(self) -> str:
        return self._secure_name(NONCE_COOKIE)

    def _secure_name(self, name: str) -> str:
        return f"__Host-{name}" if self.settings["is_secure"] else name

    def _nonce(self) -> bytes | None:
        signed = self.get_cookie(self.nonce_cookie)
        return self.services.csrf.read_nonce(signed) if signed else None

    @cached_property
    def _nonce_to_use(self) -> bytes:
        """The browser's nonce. A new one is sent, or the old one again before it gets too old for a form."""
        signed, csrf = self.get_cookie(self.nonce_cookie, ""), self.services.csrf
        nonce = csrf.read_nonce(signed) or csrf.new_nonce()
        if csrf.read_nonce(signed, NONCE_SECONDS / 2) is None:
            self.set_cookie(
                self.nonce_cookie, csrf.sign_nonce(nonce), httponly=True, samesite="Lax",
                secure=self.settings["is_secure"], max_age=NONCE_SECONDS,
            )  # fmt: skip
        return nonce
