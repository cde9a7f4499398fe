"""Compares the promises listed in docs/ with the tests: `python -m tests.covered`.

A promise is a table row that begins with an id such as `S97`. It is kept by a test marked
`@pytest.mark.covers` and the id, or its last cell says why there is none, beginning with "not ".
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

_ROW = re.compile(r"^\| ([A-Z]+-?\d+) \|.*\| *([^|]*?) *\|$", re.MULTILINE)
_MARK = re.compile(r"mark\.covers\(([^)]*)\)")


def promises() -> dict[str, str]:
    """Every id in docs/ with its last cell."""
    return {row[1]: row[2] for doc in ROOT.glob("docs/*.md") for row in _ROW.finditer(doc.read_text())}


def tested() -> set[str]:
    """Every id that a test is marked with."""
    marks = (mark[1] for test in ROOT.glob("tests/**/*.py") for mark in _MARK.finditer(test.read_text()))
    return {name for mark in marks for name in re.findall(r'"([^"]+)"', mark)}


def problems() -> list[str]:
    listed, marked = promises(), tested()
    excused = {name for name, reason in listed.items() if reason.startswith("not ")}
    return [
        *(f"{name} has no test and no reason" for name in sorted(set(listed) - marked - excused)),
        *(f"{name} has a test, and docs/ says why it has none" for name in sorted(excused & marked)),
        *(f"{name} is tested, but docs/ does not list it" for name in sorted(marked - set(listed))),
    ]


def main() -> int:
    found = problems()
    for line in found:
        print(line)
    print(f"{len(promises())} promises, {len(tested())} with a test")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
