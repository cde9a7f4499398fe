"""The session cookie: a token, signed. Reading it costs no query; a forged one reaches no store."""

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass

from tornado.web import create_signed_value, decode_signed_value

from server.sessions.token import is_token

# A browser sends one cookie of a name, or two after its domain or path was changed. More is an attack.
MAX_COOKIES_TRIED = 4
CLOCK_SKEW_SECONDS = 300
SECONDS_PER_DAY = 86400

_COOKIE_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_UNSAFE = re.compile(r"[;,\s\x00-\x1f\x7f]")
_SAME_SITE = {"lax": "Lax", "strict": "Strict", "none": "None"}
_PRIORITY = {"": "", "low": "Low", "medium": "Medium", "high": "High"}


@dataclass(frozen=True, slots=True)
class PresentedToken:
    """A token whose signature is good. `is_current` is False if an older key signed it."""

    value: str
    is_current: bool


class SessionCookie:
    """Writes and reads the cookie that carries a session's token.

    `secrets` are the signing keys, newest first: the first signs, all verify. `max_age` is the age in seconds
    past which a signature counts for nothing; the store decides the life of a session long before. With
    `secure` the name gets the prefix `__Host-` where path and domain allow it, else `__Secure-`, so that no
    neighbouring host can plant a cookie (RFC 6265bis, 4.1.3). Raises ValueError for a combination that
    browsers would drop without a word.
    """

    def __init__(
        self,
        name: str,
        secrets: Iterable[str],
        *,
        max_age: int,
        secure: bool,
        samesite: str = "lax",
        path: str = "/",
        domain: str = "",
        partitioned: bool = False,
        priority: str = "",
    ) -> None:
        if isinstance(secrets, str | bytes):
            raise TypeError("secrets are a list of texts: one text would be a list of letters")
        self._secrets = tuple(secrets)
        if not all(self._secrets) or not self._secrets:
            raise ValueError("a session cookie needs at least one secret, and no empty one")
        if not path.startswith("/") or _UNSAFE.search(path + domain):
            raise ValueError(f"path {path!r} or domain {domain!r} cannot stand in a cookie")
        if not max_age > 0:
            raise ValueError(f"max_age is {max_age}; expected seconds, more than 0")
        if not _COOKIE_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a cookie name")
        if name.startswith("__"):
            raise ValueError(f"{name!r} has a prefix already; the one that fits is added here")
        if samesite not in _SAME_SITE:
            raise ValueError("samesite is lax, strict or none")
        if priority not in _PRIORITY:
            raise ValueError("priority is low, medium, high or empty")
        if not secure and (samesite == "none" or partitioned):
            raise ValueError("browsers drop a cookie with SameSite=None or Partitioned that is not Secure")
        self.name = _prefix(secure, path, domain) + name
        self._max_age_days = max_age / SECONDS_PER_DAY
        self._attributes = _attributes(
            {
                "Path": path,
                "Domain": domain,
                "SameSite": _SAME_SITE[samesite],
                "Priority": _PRIORITY[priority],
            },
            {"HttpOnly": True, "Secure": secure, "Partitioned": partitioned},
        )

    def read(self, headers: Iterable[str]) -> list[PresentedToken]:
        """The tokens with a good signature among the `Cookie` headers, in the order they were sent.

        Tornado's own parser keeps one of several cookies with the same name, and not always the good one;
        this tries each of the first few. Anything odd is no token, never an error.
        """
        return [token for value in self._values(headers) if (token := self._verify(value))]

    def set_line(self, token: str, max_age: int | None) -> str:
        """The `Set-Cookie` line for the token. `max_age` is in seconds; None ends with the browser."""
        value = create_signed_value(self._secrets[0], self.name, token, version=2).decode()
        lasts = "" if max_age is None else f"; Max-Age={max_age}"
        return f"{self.name}={value}{lasts}{self._attributes}"

    def clear_line(self) -> str:
        """The `Set-Cookie` line that removes the cookie. Browsers match it by the same attributes."""
        return f"{self.name}=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT{self._attributes}"

    def _values(self, headers: Iterable[str]) -> list[str]:
        values = []
        for header in headers:
            for pair in header.split(";"):
                name, _, value = pair.partition("=")
                if name.strip() == self.name:
                    values.append(value.strip().strip('"'))
        return values[:MAX_COOKIES_TRIED]

    def _verify(self, value: str) -> PresentedToken | None:
        for position, secret in enumerate(self._secrets):
            # Each key as a plain string: Tornado's numbered keys would change meaning when the list does.
            # Version 1 is refused: it logs the cookie when it does not like it.
            decoded = decode_signed_value(
                secret, self.name, value, max_age_days=self._max_age_days, min_version=2
            )
            if decoded is None:
                continue
            token = decoded.decode("latin-1")
            if is_token(token) and not _is_from_the_future(value):
                return PresentedToken(token, is_current=position == 0)
        return None


def _prefix(secure: bool, path: str, domain: str) -> str:
    if not secure:
        return ""
    return "__Host-" if path == "/" and not domain else "__Secure-"


def _attributes(pairs: dict[str, str], flags: dict[str, bool]) -> str:
    # Written by hand, because http.cookies knows no Partitioned before Python 3.14.
    valued = [f"; {name}={value}" for name, value in pairs.items() if value]
    return "".join(valued + [f"; {name}" for name, is_set in flags.items() if is_set])


def _is_from_the_future(value: str) -> bool:
    # Tornado checks only the old end. The signature is good here, so the fields are where they belong.
    _, _, stamp, _ = value.split("|", 3)
    return int(stamp.partition(":")[2]) > time.time() + CLOCK_SKEW_SECONDS
