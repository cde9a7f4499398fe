"""All settings of the site: one frozen object, read once at the start and checked before anything runs.

The command line wins over the environment, the environment over the file `.env`, and that over the default.
A setting `session_idle_timeout` is the flag `--session-idle-timeout` and the variable SESSION_IDLE_TIMEOUT.
An empty value means the default. Durations are in seconds.
"""

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, NoReturn, cast
from urllib.parse import urlsplit

from dotenv import dotenv_values

from server import values
from server.errors import SettingsError

VERSION = "0.1.0"


def _setting(
    default: Any, parse: "Callable[[str], Any]", expected: str, about: str, *, is_secret: bool = False
) -> Any:
    metadata = {"parse": parse, "expected": expected, "about": about, "is_secret": is_secret}
    return field(default=default, repr=not is_secret, metadata=metadata)


_PORT = "a number from 0 to 65535"
_FAILURES = "a number from 1 to 1000"
_LIFETIME = "a number from 1 to 34560000 (400 days)"


@dataclass(frozen=True)
class Settings:
    """Each field's description says what it is for; its unit is seconds unless it says otherwise."""

    environment: str = _setting(
        "development", values.choice("development", "production"), "development or production",
        "production refuses to start with anything that is only good enough for development",
    )  # fmt: skip
    host: str = _setting("127.0.0.1", values.text, "an address", "address to listen on")
    port: int = _setting(8000, values.number(0, 65535), _PORT, "port to listen on; 0 takes any free one")
    processes: int = _setting(
        1, values.number(0, 256), "a number from 0 to 256", "server processes on the port; 0: one per core"
    )
    public_url: str = _setting(
        "", values.origin, "an origin such as https://www.example.com",
        "the site's own origin as browsers see it; https switches secure cookies on",
    )  # fmt: skip
    allowed_hosts: tuple[str, ...] = _setting(
        (), values.hosts, "host names separated by commas, without ports",
        "host names the site answers to; empty: that of public_url, or only this machine",
    )  # fmt: skip
    trusted_origins: tuple[str, ...] = _setting(
        (), values.origins, "origins separated by commas, such as https://app.example.com",
        "other origins whose scripts may use the API with the person's cookie",
    )  # fmt: skip
    trusted_proxies: tuple[str, ...] = _setting(
        (), values.networks, "addresses or networks such as 10.0.0.0/8, separated by commas",
        "proxies whose X-Forwarded-For, X-Real-IP and X-Forwarded-Proto are believed",
    )  # fmt: skip
    mongodb_uri: str = _setting(
        "", values.text, "a MongoDB address", "database to use; empty starts an embedded one in data_dir",
        is_secret=True,
    )  # fmt: skip
    mongodb_database: str = _setting(
        "latchkey",
        values.matching(r"[A-Za-z0-9_-]{1,63}"),
        "up to 63 letters, digits, - and _",
        "name of the database",
    )
    data_dir: Path = _setting(
        Path(".data"), Path, "a folder", "home of the embedded database and of the development secret"
    )
    mongod_path: Path | None = _setting(
        None, Path, "a program", "mongod to embed; empty: the one on PATH, or in the installed wheel"
    )
    cookie_secrets: tuple[str, ...] = _setting(
        (), values.secrets, f"secrets of {values.SECRET_LENGTH} bytes or more, by comma, newest first",
        "keys that sign the cookies; the first signs, all verify; development generates one", is_secret=True,
    )  # fmt: skip
    cookie_name: str = _setting(
        "sid",
        values.cookie_name,
        "a cookie name without prefix, and not csrf or device",
        "name of the session cookie",
    )
    cookie_samesite: str = _setting(
        "lax", values.choice("lax", "strict", "none"), "lax, strict or none", "SameSite of the session cookie"
    )
    cookie_domain: str = _setting(
        "",
        values.matching(r"\.?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*"),
        "a domain",
        "Domain of the session cookie; empty: this host only",
    )
    cookie_path: str = _setting(
        "/", values.matching(r"/[!-:<-~]*"), "a path from /", "Path of the session cookie"
    )
    cookie_partitioned: bool = _setting(
        False, values.boolean, "true or false", "Partitioned (CHIPS) session cookie"
    )
    session_idle_timeout: int = _setting(
        1800, values.lifetime, _LIFETIME, "a session ends after this without activity"
    )
    session_absolute_timeout: int = _setting(
        86400, values.lifetime, _LIFETIME, "a session ends after this in any case"
    )
    remember_idle_timeout: int = _setting(
        604800, values.lifetime, _LIFETIME, 'idle timeout with "keep me signed in"'
    )
    remember_absolute_timeout: int = _setting(
        2592000, values.lifetime, _LIFETIME,
        'absolute timeout with "keep me signed in"',
    )  # fmt: skip
    session_touch_interval: int = _setting(
        60, values.number(0), "a whole number from 0",
        "least time between two writes that only keep a session alive; at most a tenth of its idle timeout",
    )  # fmt: skip
    session_max_per_user: int = _setting(
        20, values.number(1, 1000), "a number from 1 to 1000",
        "sessions one account may have at once; a sign-in beyond it ends the least recently active",
    )  # fmt: skip
    session_encryption_keys: tuple[str, ...] = _setting(
        (), values.secrets, f"secrets of {values.SECRET_LENGTH} bytes or more, by comma, newest first",
        "encrypt the values of sessions in the database; the first encrypts, all decrypt", is_secret=True,
    )  # fmt: skip
    reauth_window: int = _setting(
        600, values.number(1, 86400), "a number from 1 to 86400",
        "sensitive pages ask for the password again once it was typed longer ago than this",
    )  # fmt: skip
    poll_timeout: float = _setting(
        25.0, values.seconds, "a number of seconds", "a long-poll without news is answered after this"
    )
    poll_max_per_process: int = _setting(
        20000, values.number(1), "a whole number from 1", "long-polls that one process holds at a time"
    )
    password_min_length: int = _setting(15, values.number(8, 128), "a number from 8 to 128", "in characters")
    argon2_memory_kib: int = _setting(
        65536,
        values.number(7168, 4194304),
        "a number from 7168 to 4194304",
        "memory of one password hash, in KiB",
    )
    argon2_time_cost: int = _setting(
        2, values.number(1, 100), "a number from 1 to 100", "passes of one password hash"
    )
    throttle_account_failures: int = _setting(
        5, values.number(1, 1000), _FAILURES,
        "wrong passwords a minute that an account forgives; then it refuses for 60 s, doubling to 15 min",
    )  # fmt: skip
    throttle_address_failures: int = _setting(
        10, values.number(1, 1000), _FAILURES, "the same for a network address (IPv6: a /64)"
    )
    throttle_signups: int = _setting(
        20, values.number(1, 1000), _FAILURES, "sign-ups a minute from one network address"
    )
    store_deadline: float = _setting(
        2.0,
        values.seconds,
        "a number of seconds",
        "the database gets this long for an answer; then the request is a 503",
    )
    drain_timeout: float = _setting(
        10.0, values.seconds, "a number of seconds", "at a stop, requests under way get this long to end"
    )
    registration: str = _setting(
        "open",
        values.choice("open", "closed"),
        "open or closed",
        "closed: only `run.py create-user` makes accounts",
    )
    log_level: str = _setting(
        "info",
        values.choice("debug", "info", "warning", "error"),
        "debug, info, warning or error",
        "least severity",
    )
    log_format: str = _setting(
        "text", values.choice("text", "json"), "text or json", "json: one object a line"
    )
    metrics_token: str = _setting(
        "", values.secret, f"a secret of {values.SECRET_LENGTH} bytes or more",
        "bearer token that opens /metrics; without it only this machine, and in production nobody",
        is_secret=True,
    )  # fmt: skip

    def __post_init__(self) -> None:
        for name, problem in _contradictions(self):
            value = getattr(self, name)
            raise SettingsError(
                _message(name, ",".join(value) if isinstance(value, tuple) else value, problem)
            )

    @property
    def is_production(self) -> bool:
        return self.environment == "production"

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach the site over https, so that cookies are Secure."""
        return self.is_production or self.public_url.startswith("https:")

    @property
    def hosts(self) -> tuple[str, ...]:
        """The host names the site answers to."""
        public = urlsplit(self.public_url).hostname
        own = (f"[{public}]" if ":" in public else public,) if public else ()
        return self.allowed_hosts + own or ("localhost", "127.0.0.1", "[::1]")


_COMMANDS = """\
commands; the site may be running:
  create-user EMAIL     makes an account; asks for the password, or reads it from standard input
  disable-user EMAIL    refuses sign-ins and ends all sessions of the account
  enable-user EMAIL     allows sign-ins again
  delete-user EMAIL     deletes the account, its sessions and all that belongs to it, without asking
  list-sessions EMAIL   shows where the account is signed in
  end-sessions EMAIL    signs the account out everywhere
  end-all-sessions      signs everybody out; at a terminal it asks first
"""


@dataclass(frozen=True)
class CommandLine:
    """What was asked for: the settings, and a command with its arguments ("" runs the site)."""

    settings: Settings
    command: str
    arguments: tuple[str, ...]


def parse_command_line(
    arguments: Sequence[str], environment: Mapping[str, str] = os.environ, dotenv: Path = Path(".env")
) -> CommandLine:
    """The settings for these arguments, and the command among them.

    Raises `SettingsError` for an unknown flag or a bad value, and `SystemExit(0)` after --help and --version.
    """
    parsed = vars(_parser().parse_args(arguments))
    stored = {key: value for key, value in dotenv_values(dotenv).items() if value}
    chosen = {}
    for setting in _all():
        variable = setting.name.upper()
        text = parsed[setting.name] or environment.get(variable) or stored.get(variable)
        if text:
            chosen[setting.name] = _parse(setting, text)
    return CommandLine(Settings(**chosen), parsed["command"] or "", tuple(parsed["arguments"]))


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        raise SettingsError(f"{message}; see python run.py --help")


def _parser() -> _Parser:
    parser = _Parser(
        prog="python run.py",
        description="Runs the site. Every setting is a flag, an environment variable or a line in .env.",
        epilog=_COMMANDS,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(
            prog, max_help_position=36, width=110
        ),
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"Latchkey {VERSION}")
    parser.add_argument("command", nargs="?", metavar="command", help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs="*", help=argparse.SUPPRESS)
    for setting in _all():
        about = setting.metadata["about"].replace("%", "%%")
        parser.add_argument(
            "--" + setting.name.replace("_", "-"),
            metavar="VALUE",
            help=f"{about} [{default_text(setting)}] ({setting.name.upper()})",
        )
    return parser


def default_text(setting: "Field[Any]") -> str:
    """The default of a field of `Settings` as it would be written in the environment."""
    default = setting.default
    if default in (None, "", ()):
        return "empty"
    return (
        str(default).lower()
        if isinstance(default, bool)
        else f"{default:g}"
        if isinstance(default, float)
        else str(default)
    )


def _all() -> "tuple[Field[Any], ...]":
    return fields(Settings)


def _parse(setting: "Field[Any]", text: str) -> Any:
    try:
        return cast("Callable[[str], Any]", setting.metadata["parse"])(text)
    except ValueError:
        raise SettingsError(
            _message(setting.name, text, f"expected {setting.metadata['expected']}")
        ) from None


def _message(name: str, value: object, problem: str) -> str:
    # A secret in a log is a leak, even one that was refused.
    is_secret = next(setting for setting in _all() if setting.name == name).metadata["is_secret"]
    shown = "(not shown)" if value and is_secret else repr(str(value))
    return f"{name.upper()} is {shown}; {problem}"


def _contradictions(settings: Settings) -> "list[tuple[str, str]]":
    """The first setting that cannot work with the others, as (name, what is expected)."""
    s = settings
    rules = [
        (not s.is_secure and s.cookie_samesite == "none", "cookie_samesite",
         "none works only over https: expected an https PUBLIC_URL with it"),
        (not s.is_secure and s.cookie_partitioned, "cookie_partitioned",
         "it works only over https: expected an https PUBLIC_URL with it"),
        (s.is_production and not s.public_url.startswith("https:"), "public_url",
         "expected an https origin in production"),
        (s.is_production and not s.allowed_hosts, "allowed_hosts", "expected the host names in production"),
        (s.is_production and not s.mongodb_uri, "mongodb_uri",
         "expected a MongoDB address in production, where no database is embedded"),
        (s.is_production and not s.cookie_secrets, "cookie_secrets",
         "expected one in production; python -c 'import secrets; print(secrets.token_urlsafe(32))' makes it"),
    ]  # fmt: skip
    return [(name, problem) for is_wrong, name, problem in rules if is_wrong]
