"""How the text of a setting becomes a value. Every function raises ValueError for text it cannot take."""

import re
from collections.abc import Callable
from ipaddress import ip_network
from urllib.parse import urlsplit

SECRET_LENGTH = 32
MAX_LIFETIME = 400 * 86400


def text(text: str) -> str:
    return text


def items(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


def boolean(text: str) -> bool:
    if text.lower() not in {"true", "yes", "1", "false", "no", "0"}:
        raise ValueError(text)
    return text.lower() in {"true", "yes", "1"}


def number(low: float, high: float = float("inf")) -> Callable[[str], int]:
    def parse(text: str) -> int:
        number = int(text)
        if not low <= number <= high:
            raise ValueError(text)
        return number

    return parse


def lifetime(text: str) -> int:
    """Seconds, from 1 to 400 days: browsers keep no cookie longer (RFC 6265bis, 5.5)."""
    return number(1, MAX_LIFETIME)(text)


def seconds(text: str) -> float:
    duration = float(text)
    if not 0 < duration <= 86400:
        raise ValueError(text)
    return duration


def choice(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError(text)
        return text.lower()

    return parse


def origin(text: str) -> str:
    """`text` as an origin: scheme, host and, unless it is the scheme's own, the port."""
    parts = urlsplit(text.rstrip("/").lower())
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
        raise ValueError(text)
    if parts.path or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(text)
    return f"{parts.scheme}://{parts.netloc}"


def origins(text: str) -> tuple[str, ...]:
    return tuple(origin(item) for item in items(text))


def hosts(text: str) -> tuple[str, ...]:
    names = tuple(host.lower() for host in items(text))
    if any(not re.fullmatch(r"[a-z0-9.-]+|\[[0-9a-f:.]+\]", host) for host in names):
        raise ValueError(text)
    return names


def networks(text: str) -> tuple[str, ...]:
    """Addresses, and networks such as 10.0.0.0/8."""
    return tuple(str(ip_network(item)) for item in items(text))


def secrets(text: str) -> tuple[str, ...]:
    parts = items(text)
    if any(len(secret.encode()) < SECRET_LENGTH for secret in parts):
        raise ValueError(text)
    return parts


def secret(text: str) -> str:
    (one,) = secrets(text)
    return one


def matching(pattern: str) -> Callable[[str], str]:
    """Text that matches the regular expression from its first to its last character."""

    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(text)
        return text

    return parse


def cookie_name(text: str) -> str:
    """A token of RFC 6265, without a prefix, which is added where it fits, and none of our other cookies."""
    if text.startswith("__") or text in {"csrf", "device"}:
        raise ValueError(text)
    return matching(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")(text)
