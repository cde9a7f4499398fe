import re
from pathlib import Path
from typing import Any

import pytest

import settings as module
from server.errors import SettingsError
from settings import Settings, parse_command_line

README = Path(__file__).parent.parent / "README.md"
PRODUCTION = {
    "ENVIRONMENT": "production",
    "PUBLIC_URL": "https://www.example.com",
    "ALLOWED_HOSTS": "www.example.com",
    "MONGODB_URI": "mongodb://db.example.com/",
    "COOKIE_SECRETS": "s" * 32,
}


def parse(
    *arguments: str, environment: dict[str, str] | None = None, dotenv: Path = Path("/none")
) -> Settings:
    return parse_command_line(arguments, environment or {}, dotenv).settings


def test_the_command_line_wins_over_the_environment_over_dotenv_over_the_default(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("PORT=1\nHOST=file.example\nCOOKIE_NAME=file\n")
    environment = {"PORT": "2", "HOST": "environment.example"}

    chosen = parse("--port", "3", environment=environment, dotenv=dotenv)

    assert (chosen.port, chosen.host, chosen.cookie_name) == (3, "environment.example", "file")
    assert chosen.session_idle_timeout == 1800


def test_an_empty_value_means_the_default() -> None:
    assert parse(environment={"PORT": "", "MONGODB_URI": ""}) == parse()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "eighty"),
        ("PORT", "65536"),
        ("ENVIRONMENT", "staging"),
        ("PUBLIC_URL", "www.example.com"),
        ("PUBLIC_URL", "https://www.example.com/path"),
        ("TRUSTED_ORIGINS", "https://a.example, *"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("TRUSTED_PROXIES", "proxy.example"),
        ("ALLOWED_HOSTS", "https://a.example"),
        ("COOKIE_NAME", "a b"),
        ("COOKIE_NAME", "__Host-sid"),
        ("COOKIE_NAME", "csrf"),
        ("COOKIE_NAME", "device"),
        ("THROTTLE_ACCOUNT_FAILURES", "0"),
        ("COOKIE_PATH", "account"),
        ("COOKIE_DOMAIN", "exa;mple"),
        ("COOKIE_DOMAIN", "a\nb"),
        ("MONGODB_DATABASE", "a b"),
        ("SESSION_ABSOLUTE_TIMEOUT", "999999999999"),
        ("COOKIE_SAMESITE", "none"),
        ("COOKIE_PARTITIONED", "true"),
        ("COOKIE_PARTITIONED", "maybe"),
        ("SESSION_IDLE_TIMEOUT", "0"),
        ("SESSION_IDLE_TIMEOUT", "1.5"),
        ("STORE_DEADLINE", "0"),
        ("STORE_DEADLINE", "nan"),
        ("ARGON2_MEMORY_KIB", "8"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_a_wrong_value_is_one_line_with_variable_value_and_what_is_expected(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(environment={name: value})

    text = str(caught.value)
    assert name in text
    assert value.split(",", maxsplit=1)[0].lower() in text.lower() or repr(value) in text
    assert "expected" in text
    assert "\n" not in text


@pytest.mark.covers("SEC-2", "SEC-6")
def test_a_short_secret_is_refused_everywhere_and_never_shown() -> None:
    with pytest.raises(SettingsError) as caught:
        parse(environment={"COOKIE_SECRETS": f"{'s' * 32},hunter2"})

    assert "32 bytes" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("arguments", [["--no-such-flag"], ["--port"], ["--por", "1"]])
def test_an_unknown_or_unfinished_flag_is_one_line(arguments: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(*arguments)

    assert arguments[0] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.covers("SEC-2")
@pytest.mark.parametrize("missing", sorted(set(PRODUCTION) - {"ENVIRONMENT"}))
def test_production_refuses_what_is_only_good_enough_for_development(missing: str) -> None:
    with pytest.raises(SettingsError, match=missing):
        parse(environment=PRODUCTION | {missing: ""})


@pytest.mark.covers("CK-12")
def test_production_starts_with_everything_set_and_with_secure_cookies() -> None:
    assert parse(environment=PRODUCTION).is_secure


@pytest.mark.covers("CK-12")
def test_production_refuses_plain_http() -> None:
    with pytest.raises(SettingsError, match="PUBLIC_URL"):
        parse(environment=PRODUCTION | {"PUBLIC_URL": "http://www.example.com"})


def test_secrets_do_not_appear_when_the_settings_are_printed() -> None:
    chosen = parse(environment=PRODUCTION)

    assert "s" * 32 not in repr(chosen)
    assert "db.example.com" not in repr(chosen)


@pytest.mark.parametrize(
    ("environment", "hosts"),
    [
        ({}, {"localhost", "127.0.0.1", "[::1]"}),
        ({"PUBLIC_URL": "https://www.example.com:8443"}, {"www.example.com"}),
        ({"PUBLIC_URL": "https://a.example", "ALLOWED_HOSTS": "b.example"}, {"a.example", "b.example"}),
    ],
)
def test_the_site_answers_to_its_own_names(environment: dict[str, str], hosts: set[str]) -> None:
    assert set(parse(environment=environment).hosts) == hosts


def test_help_lists_every_setting_with_default_and_variable(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse("--help")

    text = " ".join(capsys.readouterr().out.split())
    assert caught.value.code == 0
    for setting in all_settings():
        flag = "--" + setting.name.replace("_", "-")
        assert f"{flag} VALUE" in text
        assert f"[{module.default_text(setting)}] ({setting.name.upper()})" in text


def test_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("--version")

    assert re.fullmatch(r"Latchkey \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_the_readme_lists_every_setting_with_its_default() -> None:
    rows = set(re.findall(r"^\| `([A-Z0-9_]+)` \| (.+?) \|", README.read_text(), re.MULTILINE))
    documented = {(name, default.strip("`")) for name, default in rows}

    expected = {(setting.name.upper(), module.default_text(setting)) for setting in all_settings()}
    assert documented == expected


def all_settings() -> Any:
    return module.fields(Settings)
