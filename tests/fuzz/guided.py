"""Strange input that is led by the code it reaches: libFuzzer through Atheris, on each parser in turn.

`python -m tests.fuzz.guided` runs them all and writes the figures; with the name of a parser, that one alone,
and further arguments are libFuzzer's. An input that breaks a promise is shown, and fails the run.
"""

import re
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import atheris

from tests.benchmarks import report

INPUTS = 100_000
SEED = 1
LONGEST_BYTES = 600
INSTRUMENTED = ["server", "handlers", "tornado", "email_validator", "ua_parser", "tests.fuzz.parsers"]


def main() -> int:
    if len(sys.argv) > 1:
        return fuzz(sys.argv[1], sys.argv[2:])
    rows, broken = [], []
    for name in parsers():
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.guided", name, f"-runs={INPUTS}", f"-seed={SEED}"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            broken.append(name)
            print(done.stdout[-2000:], done.stderr[-4000:], file=sys.stderr)
        rows.append([name.replace("_", " "), *_figures(done.stderr), "no" if done.returncode else "yes"])
    how = f"Atheris {version('atheris')}, seed {SEED}."
    head = ["parser", "inputs", "seconds", "branches reached", "kept its promise"]
    report.write("guided", f"{report.machine()} {how}\n\n{report.table(head, rows)}", report.SECURITY)
    return 1 if broken else 0


def parsers() -> list[str]:
    from tests.fuzz.parsers import PARSERS

    return [parser.name for parser in PARSERS]


def fuzz(name: str, arguments: list[str]) -> int:
    """Does not come back: libFuzzer ends the process."""
    atheris.enabled_hooks.add("str")
    with atheris.instrument_imports(include=INSTRUMENTED):
        from tests.fuzz.parsers import PARSERS
        from tests.fuzz.pieces import PIECES
    parser = next(parser for parser in PARSERS if parser.name == name)
    with tempfile.TemporaryDirectory() as folder:
        words = Path(folder, "words")
        words.write_text("".join(f'"{_escaped(piece)}"\n' for piece in PIECES if 0 < len(piece) < 64))
        seeds = Path(folder, "seeds")
        seeds.mkdir()
        for number, seed in enumerate(parser.seeds):
            (seeds / str(number)).write_bytes(seed)
        options = [f"-dict={words}", f"-max_len={LONGEST_BYTES}", f"-artifact_prefix={folder}/"]
        atheris.Setup([sys.argv[0], str(seeds), *options, *arguments], parser.check)
        atheris.Fuzz()
    return 0


def _escaped(piece: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in piece)


def _figures(text: str) -> tuple[str, str, str]:
    """Inputs, seconds and branches, from what libFuzzer says last."""
    done = re.search(r"Done (\d+) runs in (\d+) second", text)
    branches = re.findall(r"cov: (\d+)", text)
    return (
        f"{int(done[1]):,}" if done else "",
        done[2] if done else "",
        f"{int(branches[-1]):,}" if branches else "",
    )


if __name__ == "__main__":
    sys.exit(main())
