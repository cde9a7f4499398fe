"""Why a mongod did not start, in one line that says what to do."""

import json
import re
import signal
from pathlib import Path

PORT_IN_USE = 48
_WRONG_VERSION = 62
_FOLDER_IN_USE = 100
_LOADER_FAILED = 127


def explain(status: int, output: str, log_path: Path) -> str:
    """The line for a mongod that ended with `status` (negative: by a signal), having printed `output`."""
    log = _tail(log_path)
    ending = f"signal {-status}" if status < 0 else f"status {status}"
    return _known(status, output + log, log_path.parent) or (
        f"mongod ended with {ending}: {_last_words(log, output)} (see {log_path})"
    )


def _known(status: int, text: str, folder: Path) -> str | None:
    """The line for a failure that has a known way out. What is in the text says more than the status."""
    library = re.search(r"error while loading shared libraries: (\S+?):", text)
    if library or status == _LOADER_FAILED:
        return (
            f"mongod lacks {library[1] if library else 'a system library'}; on Debian and Ubuntu: "
            "apt-get install libcurl4 (newer ones: libcurl4t64); or set MONGODB_URI"
        )
    if "No space left" in text:
        return f"there is no space left on the disk of {folder}; free some or set DATA_DIR"
    if "Permission denied" in text:
        return f"mongod may not write to {folder}; set DATA_DIR to a folder of yours"
    return {
        -signal.SIGILL: "this processor is too old for the embedded MongoDB (no AVX); set MONGODB_URI",
        _FOLDER_IN_USE: f"another mongod uses {folder / 'mongodb'}; stop it or set DATA_DIR",
        _WRONG_VERSION: f"{folder / 'mongodb'} is of another MongoDB version; set DATA_DIR or MONGOD_PATH",
    }.get(status)


def _tail(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")[-20_000:]
    except OSError:
        return ""


def _last_words(log: str, output: str) -> str:
    """The newest error in mongod's log, which is JSON, or the last line it printed."""
    for line in reversed(log.splitlines()):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("s") in {"E", "F"}:
            reason = entry.get("attr", {}).get("error", "")
            return f"{entry.get('msg', '')} {reason if isinstance(reason, str) else ''}".strip()
    lines = output.strip().splitlines()
    return lines[-1] if lines else "no reason given"
