"""The examples of docs/api.md work as they stand there. The one for pages: browser/test_other_origins.py."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.examples import API, example
from tests.site import Site

needs_curl = pytest.mark.skipif(
    shutil.which("curl") is None, reason="curl is missing; on Debian and Ubuntu: apt-get install curl"
)


def run(*command: str, folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_curl
def test_the_examples_for_curl_and_python_work(site: Site, tmp_path: Path) -> None:
    answers = run("bash", "-ec", example("sh", site.url), folder=tmp_path)
    printed = run(sys.executable, "-c", example("python", site.url), folder=tmp_path)

    assert answers.count('"authenticated": true') == 2
    assert printed == "ann@example.com\n401 invalid_credentials\n"


@needs_curl
def test_the_answers_shown_have_the_fields_of_real_ones(site: Site, tmp_path: Path) -> None:
    shown = re.findall(r"^```json\n(.*?)^```$", API.read_text(), re.MULTILINE | re.DOTALL)
    session = json.loads(run("curl", f"{site.url}/api/session", folder=tmp_path))
    wrong = ["-H", "Content-Type: application/json", "-d", '{"email": "x", "password": "x"}']
    problem = json.loads(run("curl", *wrong, f"{site.url}/api/session", folder=tmp_path))

    assert list(json.loads(shown[0])) == list(session)
    assert json.loads(shown[1]) == problem
