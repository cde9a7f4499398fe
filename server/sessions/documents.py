"""How a session becomes a MongoDB document, and a document a session."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any, TypeVar

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError

from server.sessions.cipher import ValueCipher
from server.sessions.record import Client, Lifetime, RetiredRecord, SessionDraft, SessionRecord
from server.sessions.store import UnstorableValue

T = TypeVar("T")

logger = logging.getLogger("latchkey.sessions")

# A text or a date that Python cannot represent spoils one value, not every request that reads with it.
CODEC: CodecOptions[dict[str, Any]] = CodecOptions(
    tz_aware=True,
    unicode_decode_error_handler="replace",
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)
_STORED = [field.name for field in fields(SessionRecord) if field.name not in {"id", "now"}]
FIELDS: dict[str, Any] = dict.fromkeys([*_STORED, "retired", "sealed"], 1) | {"now": "$$NOW"}
"""What a query must ask for: all that is stored, and the database's clock."""


class SessionDocuments:
    """Makes and reads documents; with a `cipher` the values in them are encrypted."""

    def __init__(self, cipher: ValueCipher | None) -> None:
        self._cipher = cipher

    @property
    def is_encrypted(self) -> bool:
        return self._cipher is not None

    def of(self, draft: SessionDraft) -> dict[str, Any]:
        """The document of a new session, without its times."""
        document: dict[str, Any] = {
            "_id": draft.id,
            "handle": draft.handle,
            "data": self.sealed(draft.id, draft.data),
            "rev": 0,
            "lifetime": asdict(draft.lifetime),
            "client": asdict(draft.client),
        }
        if self._cipher:
            document["sealed"] = True
        if draft.user_id is not None:
            document |= {"user_id": draft.user_id, "epoch": draft.epoch}
        return document

    def read(self, document: dict[str, Any]) -> SessionRecord | RetiredRecord | None:
        """The session or the mark in a document; None, and a line in the log, if it cannot be read."""
        return RetiredRecord(document["_id"]) if document.get("retired") else self.read_live(document)

    def read_live(self, document: dict[str, Any]) -> SessionRecord | None:
        """The session in a document that is no mark; None, and a line in the log, if it cannot be read."""
        try:
            return SessionRecord(
                id=document["_id"],
                handle=document["handle"],
                data=self._opened(document),
                rev=_of_type(int, document["rev"]),
                lifetime=Lifetime(**document["lifetime"]),
                client=Client(**document["client"]),
                user_id=document.get("user_id"),
                epoch=document.get("epoch"),
                created_at=_of_type(datetime, document["created_at"]),
                seen_at=_of_type(datetime, document["seen_at"]),
                active_at=_of_type(datetime, document["active_at"]),
                expires_at=_of_type(datetime, document["expires_at"]),
                ends_at=_of_type(datetime, document["ends_at"]),
                # The driver repeats a write whose answer got lost. The repeated answer comes without the
                # clock; the time the session was last seen will do for once.
                now=_of_type(datetime, document.get("now", document["seen_at"])),
            )
        except (KeyError, TypeError, ValueError, AttributeError, BSONError) as error:
            logger.warning("session %s cannot be read (%r) and counts as gone", document.get("handle"), error)
            return None

    def sealed(self, session_id: bytes, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values as they are stored."""
        if self._cipher is None:
            return dict(values)
        return {name: self._cipher.seal(encode(value), session_id, name) for name, value in values.items()}

    def _opened(self, document: dict[str, Any]) -> dict[str, Any]:
        if document.get("sealed", False) != self.is_encrypted:
            # Encryption was switched on or off. A value in clear could be anybody's, so it is not believed.
            raise KeyError("sealed")
        values = dict(document["data"].items())
        if not self.is_encrypted:
            return values
        return {name: self._open(document["_id"], name, sealed) for name, sealed in values.items()}

    def _open(self, session_id: bytes, name: str, sealed: bytes) -> Any:
        assert self._cipher is not None
        value = self._cipher.open(sealed, session_id, name)
        if value is None:  # one value that was moved or damaged makes the whole session worthless
            raise KeyError(name)
        return bson.decode(value, CODEC)["v"]


def _of_type(kind: type[T], value: Any) -> T:
    if not isinstance(value, kind):
        raise TypeError(f"{type(value).__name__} in place of {kind.__name__}")
    return value


def encode(value: Any) -> bytes:
    """The BSON of a value, equal exactly for what MongoDB stores equally. Raises `UnstorableValue`."""
    try:
        return bson.encode({"v": value})
    except (BSONError, OverflowError, UnicodeError, TypeError, ValueError, RecursionError) as error:
        raise UnstorableValue(str(error)) from error


def times_of(draft: SessionDraft) -> dict[str, Any]:
    """The times of a new session, for a pipeline: the database reads its own clock."""
    ends_at: Any = draft.ends_at or {"$add": ["$$NOW", draft.lifetime.absolute * 1000]}
    idle_end = {"$add": ["$$NOW", draft.lifetime.idle * 1000]}
    return {
        "created_at": draft.created_at or "$$NOW",
        "seen_at": "$$NOW",
        "active_at": "$$NOW",
        "expires_at": {"$min": [idle_end, ends_at]},
        "ends_at": ends_at,
    }
