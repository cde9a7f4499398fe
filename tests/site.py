"""The site as its own process, started as a developer starts it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
START_SECONDS = 30


class Site:
    """A running `python run.py`. `url` is what it printed first."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        assert process.stdout is not None
        self.first_line = process.stdout.readline().rstrip("\n")
        match = re.fullmatch(r"Latchkey is listening on (http://\S+)", self.first_line)
        assert match, (self.first_line, process.communicate(timeout=START_SECONDS))
        self.url = match[1]
        self.second_line = process.stdout.readline().rstrip("\n")

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Sends the signal and waits. Returns the exit status and everything on standard error."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=START_SECONDS)
        return self.process.returncode, errors


def start(*arguments: str, environment: dict[str, str] | None = None) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "run.py", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **(environment or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def running(*arguments: str, environment: dict[str, str] | None = None) -> Iterator[Site]:
    """The site on a free port, stopped at the end."""
    process = start("--port", "0", *arguments, environment=environment)
    try:
        yield Site(process)
    finally:
        if process.poll() is None:
            process.terminate()
        _end(process)


def finish(
    *arguments: str, stdin: str = "", environment: dict[str, str] | None = None
) -> tuple[int, str, str]:
    """Runs a command to its end. Returns exit status, standard output and standard error."""
    process = start(*arguments, environment=environment)
    output, errors = _end(process, stdin)
    return process.returncode, output, errors


def _end(process: "subprocess.Popen[str]", stdin: str | None = None) -> tuple[str, str]:
    try:
        return process.communicate(stdin, timeout=START_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
