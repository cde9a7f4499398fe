"""The examples of docs/api.md and docs/live.md work as they stand there. The one for pages of other origins:
browser/test_other_origins.py."""

import asyncio
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client import Browser
from tests.clients.examples import API, LIVE, example
from tests.clients.npm import CLIENTS, package
from tests.live.tools import figure, held_by
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


@pytest.mark.gen_test
@pytest.mark.parametrize("language", ["python", "js"])
async def test_the_programs_that_poll_hear_of_news_and_of_the_end(site: Site, language: str) -> None:
    text = example(language, site.url, LIVE)
    command = [sys.executable, "-c", text]
    if language == "js":
        package("axios/package.json")
        command = ["node", str(CLIENTS / "polls.mjs"), site.url, text]
    ann = Browser(site.url)
    await ann.sign_up("ann@example.com")
    program = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert program.stdout is not None
    try:
        async with asyncio.timeout(20):
            await figure(site, 'latchkey_requests_total{handler="SessionApiHandler",status="201"}', 1)
            await held_by(site)
            await Browser(site.url).sign_in("ann@example.com")
            assert await program.stdout.readline() == b"signed_in\n"
            await held_by(site)
            await ann.call("DELETE", "/api/sessions")
            assert await program.wait() == 0
    finally:
        if program.returncode is None:
            program.kill()
