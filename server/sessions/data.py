"""The data of a session, and which of its keys changed."""

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from server.sessions.store import UnstorableValue

MAX_KEY_BYTES = 128
# Together far below the 16 MiB of a MongoDB document, and already more than a session should carry around.
MAX_VALUE_BYTES = 64 * 1024
MAX_KEYS = 100


@dataclass(frozen=True, slots=True)
class Changes:
    """The keys to write and the keys to remove. False if there is nothing to do."""

    set_keys: Mapping[str, Any]
    unset_keys: tuple[str, ...]
    encoded: Mapping[str, bytes | None]

    def __bool__(self) -> bool:
        return bool(self.set_keys or self.unset_keys)


_NO_CHANGES = Changes({}, (), {})


class SessionData(MutableMapping[str, Any]):
    """A mapping that knows which top-level keys differ from what is stored.

    Changes inside a value count too, such as `data["cart"].append(item)`: a value that can be changed in
    place is encoded when it is handed out and compared at the end. Values that are only compared are never
    written, so reading costs nothing.
    """

    def __init__(self, encode: Callable[[Any], bytes]) -> None:
        self._encode = encode
        self._values: dict[str, Any] = {}
        self._originals: dict[str, bytes | None] = {}

    def __getitem__(self, key: str) -> Any:
        value = self._values[key]
        if isinstance(value, (dict, list)):
            self._remember(key)
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        check_key(key)
        self._remember(key)
        self._values[key] = value

    def __delitem__(self, key: str) -> None:
        if key not in self._values:
            raise KeyError(key)
        self._remember(key)
        del self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def peek(self, key: str) -> Any:
        """The value, or None, for reading only: a change inside it is not noticed. Cheaper than `data[key]`,
        which watches dicts and lists."""
        return self._values.get(key)

    def changes(self) -> Changes:
        """What to write. Raises `UnstorableValue`, naming the key, for a value the store cannot keep.

        A value has at most 64 KiB, and a session at most 100 keys.
        """
        if not self._originals:
            return _NO_CHANGES
        now = {key: self._encoded(key) for key in self._originals}
        if len(self._values) > MAX_KEYS:
            raise UnstorableValue(f"the session has {len(self._values)} keys, more than {MAX_KEYS}")
        changed = [key for key, original in self._originals.items() if now[key] != original]
        for key in changed:
            if len(now[key] or b"") > MAX_VALUE_BYTES:
                raise UnstorableValue(
                    f"the session cannot keep {key!r}: {len(now[key] or b'')} bytes are too much"
                )
        return Changes(
            {key: self._values[key] for key in changed if now[key] is not None},
            tuple(key for key in changed if now[key] is None),
            now,
        )

    def accept(self, values: Mapping[str, Any]) -> None:
        """Takes over what is stored; changes not saved are lost."""
        self._values = dict(values)
        self._originals = {}

    def accept_key(self, key: str, value: Any) -> None:
        """Takes over what is stored under one key."""
        self._values[key] = value
        self._originals.pop(key, None)

    def mark_saved(self, changes: Changes) -> None:
        """These changes are stored. Values handed out before are watched on; what has changed since the
        changes were determined still counts."""
        self._originals |= changes.encoded

    def _remember(self, key: str) -> None:
        if key not in self._originals:
            self._originals[key] = self._encoded(key)

    def _encoded(self, key: str) -> bytes | None:
        if key not in self._values:
            return None
        try:
            return self._encode(self._values[key])
        except UnstorableValue as error:
            raise UnstorableValue(f"the session cannot keep the value of {key!r}: {error}") from error


def check_key(key: object) -> None:
    """Raises TypeError or ValueError, naming the key, unless it can name a field in every store.

    A dot or a leading dollar sign would address another field, and MongoDB accepts a NUL that its own
    drivers cannot read back.
    """
    if not isinstance(key, str):
        raise TypeError(f"a session key is a string, not {key!r}")
    size = len(key.encode(errors="surrogatepass"))
    if not 1 <= size <= MAX_KEY_BYTES:
        raise ValueError(f"a session key has 1 to {MAX_KEY_BYTES} bytes: {key[:40]!r} has {size}")
    if "." in key or "\0" in key or key.startswith("$") or not key.isprintable():
        raise ValueError(f"a session key has no dot, no control character and no leading dollar: {key!r}")
