"""Encryption of session values at rest: AES-256-GCM, each value alone, bound to its place.

Whoever can only read the database, or a backup of it, sees no data; whoever can write it cannot move a value
to another session or key, or take up an old one after the token has changed.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_ID_BYTES = 4
NONCE_BYTES = 12


class ValueCipher:
    """Seals and opens values. `keys` are secrets of 32 bytes or more, newest first: one seals, all open.

    A sealed value is the key's id, a random nonce and the ciphertext with its tag; the session's id and the
    name of the value are authenticated with it, so that it opens nowhere else.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        if isinstance(keys, str | bytes):
            raise TypeError("keys are a list of texts: one text would be a list of letters")
        if not all(keys) or not keys:
            raise ValueError("a cipher needs at least one key, and no empty one")
        derived = [hmac.digest(key.encode(), b"session values", hashlib.sha256) for key in keys]
        self._ciphers = {hashlib.sha256(key).digest()[:KEY_ID_BYTES]: AESGCM(key) for key in derived}
        self._newest = next(iter(self._ciphers))

    def seal(self, value: bytes, session_id: bytes, name: str) -> bytes:
        """The value, encrypted for this place."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = self._ciphers[self._newest].encrypt(nonce, value, _place(session_id, name))
        return self._newest + nonce + sealed

    def open(self, sealed: bytes, session_id: bytes, name: str) -> bytes | None:
        """The value, or None if it was sealed for another place, with an unknown key, or is damaged."""
        cipher = self._ciphers.get(sealed[:KEY_ID_BYTES])
        nonce, text = sealed[KEY_ID_BYTES:][:NONCE_BYTES], sealed[KEY_ID_BYTES + NONCE_BYTES :]
        try:
            return cipher.decrypt(nonce, text, _place(session_id, name)) if cipher else None
        except (InvalidTag, ValueError):
            return None


def _place(session_id: bytes, name: str) -> bytes:
    return len(session_id).to_bytes(1, "big") + session_id + name.encode()
