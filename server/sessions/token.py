"""Session tokens: the secret in the cookie, and what the store keeps of it."""

import hashlib
import re
import secrets

TOKEN_BYTES = 32
HANDLE_BYTES = 8

_TOKEN = re.compile(r"[A-Za-z0-9_-]{22,128}")


def new_token() -> str:
    """A fresh session token: 256 random bits as 43 URL-safe characters (ASVS 7.2.3 asks for 128)."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def is_token(text: str) -> bool:
    """Whether `text` has the form of a session token. Says nothing about a session behind it."""
    return _TOKEN.fullmatch(text) is not None


def digest(token: str) -> bytes:
    """The id under which the store keeps the session of `token`: its SHA-256, 32 bytes.

    A stolen copy of the database therefore opens no session. A token of 256 random bits needs neither salt
    nor stretching.
    """
    return hashlib.sha256(token.encode()).digest()


def new_handle() -> str:
    """A fresh public name for a session, 16 hexadecimal characters, for lists and logs. Not a credential."""
    return secrets.token_hex(HANDLE_BYTES)
