"""The description of the API is true: of every address, and of what comes back, whatever is sent."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from handlers.api.base import _CODES
from server.app import ROUTES
from server.openapi import PROBLEMS, describe
from tests.client import PASSWORD
from tests.site import Site

ROOT = Path(__file__).parent.parent
METHODS = ("get", "post", "put", "patch", "delete")
RUN_SECONDS = 300
# Thousands of calls: without limits, and without a log that would fill the pipe that nobody reads meanwhile.
CALM = [
    "--log-level", "error",
    "--poll-timeout", "0.2", "--throttle-signups", "1000",
    "--throttle-account-failures", "1000", "--throttle-address-failures", "1000",
]  # fmt: skip


@pytest.fixture
def description(site: Site) -> Any:
    with urlopen(f"{site.url}/api/openapi.json") as answer:
        assert answer.headers["Content-Type"] == "application/json"
        return json.load(answer)


def test_exactly_the_calls_of_the_site_are_described() -> None:
    described = {path: {*calls} for path, calls in describe("0", "sid", 15)["paths"].items()}
    built = {
        pattern.replace(r"\.", ".").replace("([0-9a-f]{16})", "{id}"): {
            name for name in METHODS if name in vars(handler)
        }
        for pattern, handler in ROUTES
        if pattern.startswith("/api/")
    }

    assert described == built


def test_every_code_has_the_status_that_is_described() -> None:
    for status, code in _CODES.items():
        assert PROBLEMS[code][0] == status


def test_the_description_names_this_site_s_cookie_and_rules(description: Any) -> None:
    assert description["openapi"] == "3.1.0"
    assert description["components"]["securitySchemes"]["session"]["name"] == "sid"
    assert "minLength" in json.dumps(description["paths"]["/api/users"])


@pytest.mark.parametrize("who", ["anonymous", "member"])
@pytest.mark.parametrize("site", [CALM], indirect=True)
def test_whatever_is_sent_the_answer_is_as_described(site: Site, who: str, tmp_path: Path) -> None:
    sign_up(site)
    environment = {
        "PATH": os.environ["PATH"],
        "SITE": site.url,
        "HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
    }
    if who == "member":
        environment["SCHEMATHESIS_HOOKS"] = "tests.openapi_auth"
    run = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"), "run", f"{site.url}/api/openapi.json",
            "--checks", "all",
            # What an email address is, no schema says: some that it allows are refused, with a 422.
            "--exclude-checks", "positive_data_acceptance",
            "--phases", "examples,coverage,fuzzing", "--max-examples", "40",
            "--seed", "1", "--generation-database", "none", "--warnings", "off", "--no-color",
        ],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=RUN_SECONDS, check=False,
    )  # fmt: skip

    assert run.returncode == 0, run.stdout + run.stderr


def sign_up(site: Site) -> None:
    account = json.dumps({"email": "member@example.com", "password": PASSWORD}).encode()
    with urlopen(Request(f"{site.url}/api/users", account, {"Content-Type": "application/json"})):
        pass
