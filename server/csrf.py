"""Tokens that prove a form came from a page of ours, to the person it was made for.

Once signed in, the token follows from the session; before, from a nonce in a short-lived signed cookie. It
changes with either, so a token seen before sign-in is worthless after it (OWASP CSRF Cheat Sheet, signed
double submit bound to the session). Nothing is stored.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence

from tornado.web import create_signed_value, decode_signed_value

NONCE_BYTES = 16
NONCE_SECONDS = 3600
SECONDS_PER_DAY = 86400

_PURPOSE = "csrf"


class CsrfTokens:
    """Makes and checks tokens. `site_secrets` are newest first: the first makes, all are accepted."""

    def __init__(self, site_secrets: Sequence[str]) -> None:
        # Keys of its own, so that nothing signed for one purpose passes for another.
        self._keys = [
            hmac.new(key.encode(), b"latchkey csrf", hashlib.sha256).hexdigest() for key in site_secrets
        ]

    def new_nonce(self) -> bytes:
        """A fresh nonce for a browser that nobody is signed in with."""
        return secrets.token_urlsafe(NONCE_BYTES).encode()

    def sign_nonce(self, nonce: bytes) -> str:
        """The nonce as its cookie carries it, good for an hour."""
        return create_signed_value(self._keys[0], _PURPOSE, nonce, version=2).decode()

    def read_nonce(self, signed: str, max_age: float = NONCE_SECONDS) -> bytes | None:
        """The nonce of a cookie, to bind tokens to, or None if it is older than `max_age` seconds or not
        ours."""
        days = max_age / SECONDS_PER_DAY
        for key in self._keys:
            if nonce := decode_signed_value(key, _PURPOSE, signed, max_age_days=days, min_version=2):
                return nonce
        return None

    def token(self, binding: bytes) -> str:
        """The token for a session's id, or for a nonce."""
        return _token(self._keys[0], binding)

    def is_valid(self, token: str, binding: bytes) -> bool:
        """Whether the token was made for this session or nonce."""
        given = token.encode(errors="replace")
        return any(hmac.compare_digest(given, _token(key, binding).encode()) for key in self._keys)


def _token(key: str, binding: bytes) -> str:
    return hmac.digest(key.encode(), binding, "sha256").hex()
