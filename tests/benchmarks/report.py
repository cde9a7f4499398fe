"""Puts tables into docs/, each between two marks, with the machine they were made on."""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

DOCS = Path(__file__).parent.parent.parent / "docs"
PERFORMANCE = DOCS / "performance.md"
SECURITY = DOCS / "security.md"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine(*further: str) -> str:
    """One line: date, processor, versions."""
    packages = [f"{name} {version(name)}" for name in ("tornado", "motor", "pymongo", "uvloop")]
    parts = [
        f"{datetime.now(UTC):%Y-%m-%d}", f"{os.cpu_count()} cores ({_processor()})",
        f"{platform.system()} {platform.release().partition('-')[0]}", f"Python {platform.python_version()}",
        *packages, *further,
    ]  # fmt: skip
    return ", ".join(parts) + "."


def first_line(*command: str) -> str:
    """What a program says of its version; "" if it is not there."""
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).strip().partition("\n")[0]


def write(name: str, text: str, path: Path = PERFORMANCE) -> None:
    """Replaces what stands between the marks `name` in the document, and prints it."""
    print(text)
    marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    document = path.read_text()
    assert marked.search(document), f"{path} has no marks {name!r}"
    path.write_text(marked.sub(lambda match: f"{match[1]}\n{text}\n\n{match[2]}", document))


def _processor() -> str:
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()
