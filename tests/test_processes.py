"""Several server processes behind one port, as an operator meets them."""

import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.site import Site, finish, running


@pytest.fixture
def where(mongodb_uri: str, database_name: str, tmp_path: Path) -> list[str]:
    database = ["--mongodb-uri", mongodb_uri, "--mongodb-database", database_name]
    return [*database, "--data-dir", str(tmp_path), "--argon2-memory-kib", "7168", "--processes", "2"]


@pytest.fixture
def site(where: list[str]) -> Iterator[Site]:
    with running(*where) as started:
        yield started


def next_line(site: Site, pattern: str) -> "re.Match[str]":
    """The next line on standard error that matches."""
    assert site.process.stderr is not None
    for line in site.process.stderr:
        if match := re.search(pattern, line):
            return match
    raise AssertionError(f"no line like {pattern}")


def process_ids(site: Site, count: int = 2) -> list[int]:
    return [int(next_line(site, r"server process (\d+) is ready")[1]) for _ in range(count)]


def answered(site: Site) -> int:
    """How many visits to the front page the site has counted, in all of its processes."""
    with urlopen(f"{site.url}/metrics") as answer:
        figures = answer.read().decode()
    return sum(int(float(n)) for n in re.findall(r'requests_total{handler="HomeHandler".*} (\S+)', figures))


def is_counted(site: Site, visits: int) -> bool:
    """Whether the site counts so many visits. It counts one just after the answer, so this asks again."""
    return any(answered(site) == visits for _ in range(100))


def visit(site: Site) -> None:
    with urlopen(site.url) as answer:
        assert answer.status == 200


def test_both_processes_answer_on_one_port_and_their_figures_add_up(site: Site) -> None:
    assert len(set(process_ids(site))) == 2
    for _ in range(40):  # each on a connection of its own, which the kernel gives to one of the two
        visit(site)

    assert is_counted(site, 40)
    assert {answered(site) for _ in range(10)} == {40}  # whichever process is asked


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_all_processes_in_order(site: Site, number: int) -> None:
    ids = process_ids(site)
    exit_status, errors = site.stop(number)

    assert exit_status == 0
    assert "Traceback" not in errors
    assert not [pid for pid in ids if Path(f"/proc/{pid}").exists()]


def test_a_process_that_dies_is_started_again_and_what_it_counted_stays(site: Site) -> None:
    first, second = process_ids(site)
    for _ in range(10):
        visit(site)
    assert is_counted(site, 10)
    os.kill(first, signal.SIGKILL)

    (third,) = process_ids(site, 1)
    assert third not in {first, second}
    visit(site)
    assert is_counted(site, 11)


def test_the_processes_do_not_outlive_their_parent(site: Site) -> None:
    process_ids(site)
    site.process.kill()
    assert site.process.stderr is not None
    site.process.stderr.read()  # ends when the last process has ended

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(site.url.rpartition(":")[2])))


def test_a_port_in_use_is_one_line_and_exit_status_1(where: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        exit_status, _, errors = finish(*where, "--port", port)

    assert exit_status == 1
    assert errors == f"latchkey: port {port} is in use; choose another with --port, or 0\n"


def test_a_second_site_on_the_port_of_several_processes_is_refused(where: list[str], site: Site) -> None:
    port = site.url.rpartition(":")[2]

    for processes in ("1", "2"):
        exit_status, _, errors = finish(*where, "--port", port, "--processes", processes)
        assert (exit_status, errors.count("\n")) == (1, 1), errors


def test_an_unreachable_database_is_one_line_although_there_are_two_processes() -> None:
    arguments = ["--mongodb-uri", "mongodb://127.0.0.1:1/", "--port", "0", "--store-deadline", "0.5"]

    exit_status, _, errors = finish(*arguments, "--processes", "2")

    assert exit_status == 1
    assert errors.startswith("latchkey: MongoDB at 127.0.0.1:1 cannot be reached: ")
    assert errors.count("\n") == 1
