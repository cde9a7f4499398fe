"""The device cookie: it remembers who has signed in from this browser, and opens nothing by itself.

Guesses from known browsers are counted apart, so that a stranger who guesses at somebody's password cannot
lock the owner out (OWASP, "Slow Down Online Guessing Attacks with Device Cookies").
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from tornado.web import create_signed_value, decode_signed_value

MAX_AGE_DAYS = 180
MAX_ACCOUNTS = 10
NONCE_BYTES = 16
MARK_LENGTH = 22

_PURPOSE = "device"


@dataclass(frozen=True, slots=True)
class Device:
    """A browser: a random name, and a mark for each of the accounts that signed in from it, newest first.

    Marks are hashes salted with the name: the cookie tells nobody an address in clear.
    """

    name: str
    marks: tuple[str, ...] = ()

    def knows(self, email: str) -> bool:
        """Whether the account with this (normalised) address has signed in here."""
        return self._mark(email) in self.marks

    def having(self, email: str) -> "Device":
        """The same browser, after a sign-in to this account. Of more than ten the oldest is forgotten."""
        mark = self._mark(email)
        others = (other for other in self.marks if other != mark)
        return Device(self.name, (mark, *others)[:MAX_ACCOUNTS])

    def _mark(self, email: str) -> str:
        return hashlib.sha256(f"{self.name}:{email}".encode()).hexdigest()[:MARK_LENGTH]


class DeviceCookie:
    """Signs and reads the cookie. `site_secrets` are newest first: the first signs, all verify."""

    def __init__(self, site_secrets: Sequence[str]) -> None:
        # Keys of its own, so that nothing signed for one purpose passes for another.
        self._keys = [hmac.digest(key.encode(), b"latchkey device", "sha256").hex() for key in site_secrets]

    def new(self) -> Device:
        """A browser that nobody has signed in from."""
        return Device(secrets.token_urlsafe(NONCE_BYTES))

    def sign(self, device: Device) -> str:
        """The value of the cookie, good for 180 days."""
        value = ":".join((device.name, *device.marks))
        return create_signed_value(self._keys[0], _PURPOSE, value, version=2).decode()

    def read(self, signed: str) -> Device | None:
        """The browser that the cookie was made for, or None if it is too old or not ours."""
        for key in self._keys:
            value = decode_signed_value(key, _PURPOSE, signed, max_age_days=MAX_AGE_DAYS, min_version=2)
            if value:
                name, *marks = value.decode().split(":")
                return Device(name, tuple(marks))
        return None
