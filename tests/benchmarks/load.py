"""Load by wrk, and what it costs: CPU time of processes, operations of databases."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True)
class Result:
    """Requests a second; percentiles in milliseconds; requests in all, and how many were refused."""

    rate: float
    p50: float
    p99: float
    requests: int
    refused: int


def drive(url: str, cookies: Path, *, connections: int, seconds: float) -> Result:
    """Has wrk ask for /api/session with these cookies as fast as it can."""
    script = str(HERE / "cookies.lua")
    command = ["wrk", "--latency", "-t1", f"-c{connections}", f"-d{seconds:g}s", "-s", script, url]
    environment = {**os.environ, "COOKIES": str(cookies)}
    text = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return Result(
        float(_first(r"Requests/sec:\s+([\d.]+)", text)),
        _milliseconds(_first(r"^ +50% +(\S+)", text)),
        _milliseconds(_first(r"^ +99% +(\S+)", text)),
        int(_first(r"(\d+) requests in", text)),
        int(refused[1]) if refused else 0,
    )


def cpu_seconds(*roots: int) -> float:
    """The CPU time that these processes and all below them have used so far."""
    return sum(_own_cpu_seconds(pid) for root in roots for pid in _tree(root))


def resident_mib(root: int) -> float:
    """Resident memory of a process and all below it, in MiB."""
    return sum(_resident_kib(pid) for pid in _tree(root)) / 1024


def _tree(root: int) -> list[int]:
    children = Path(f"/proc/{root}/task/{root}/children").read_text().split()
    return [root] + [pid for child in children for pid in _tree(int(child))]


def _own_cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def _resident_kib(pid: int) -> int:
    return int(_first(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text()))


def _first(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    assert match, text
    return match[1]


def _milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(\w+)", text).groups()  # type: ignore[union-attr]
    return float(number) * UNITS[unit]
