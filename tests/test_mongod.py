"""The embedded mongod keeps its data, leaves nothing running, and says in one line why it does not start."""

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import uvloop
from pymongo import AsyncMongoClient, MongoClient

from server.errors import StartError
from server.mongod import EmbeddedMongod, find_mongod, remembered_port, uri_of
from server.mongod.folder import stop_orphan
from tests.client import PASSWORD
from tests.site import ROOT, finish, running

PS = shutil.which("ps") or "ps"  # some tests change PATH
LIBRARIES = "on Debian and Ubuntu: apt-get install libcurl4 (newer ones: libcurl4t64); or set MONGODB_URI"

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    chosen: Run = request.param
    return chosen


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    with cleared_at_the_end(tmp_path / "data") as folder:
        yield folder


class RunningSite(NamedTuple):
    data_dir: Path
    seconds_to_start: float


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
    """One site for the tests that leave it as it is."""
    with cleared_at_the_end(tmp_path_factory.mktemp("site") / "data") as folder:
        began = time.monotonic()
        with running("--data-dir", str(folder)):
            yield RunningSite(folder, time.monotonic() - began)


@pytest.fixture
def fake(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a program that stands in for mongod out of a few lines of shell."""

    def make(script: str) -> Path:
        return program_at(tmp_path / "fake-mongod", f"#!/bin/sh\n{script}\n")

    return make


# Starting, and starting again.


def test_the_first_start_is_a_writable_primary_and_the_second_keeps_port_and_data(
    run: Run, data_dir: Path
) -> None:
    async def visit() -> None:
        async with EmbeddedMongod(data_dir, None) as first:
            assert await is_writable_primary(first)
            assert re.fullmatch(r"\d+\.\d+\.\d+", first.version)
            await write(first.uri, "a note")

        async with EmbeddedMongod(data_dir, None) as second:
            assert await is_writable_primary(second)
            assert second.port == first.port == remembered_port(data_dir)
            assert await notes(second.uri) == ["a note"]

    run(visit())
    assert not mongods_on(data_dir)


def test_a_remembered_port_that_somebody_else_has_is_exchanged_and_the_data_stays(data_dir: Path) -> None:
    async def visit() -> None:
        async with EmbeddedMongod(data_dir, None) as first:
            await write(first.uri, "a note")

        async with (
            await asyncio.start_server(hang_up, "127.0.0.1", first.port),
            EmbeddedMongod(data_dir, None) as second,
        ):
            assert await is_writable_primary(second)
            assert second.port != first.port
            assert second.port == remembered_port(data_dir)
            assert await notes(second.uri) == ["a note"]

    asyncio.run(visit())


def test_another_mongod_that_takes_the_port_first_is_not_mistaken_for_ours(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def visit() -> None:
        with cleared_at_the_end(tmp_path / "other") as folder:
            async with EmbeddedMongod(folder, None) as other:
                await write(other.uri, "not ours")
                data_dir.mkdir()
                (data_dir / "mongodb.port").write_text(str(other.port))
                monkeypatch.setattr("server.mongod.embedded._is_free", lambda _: True)

                async with EmbeddedMongod(data_dir, None) as mongod:
                    assert mongod.port != other.port
                    assert await notes(mongod.uri) == []

    asyncio.run(visit())


def test_a_folder_that_vanishes_under_a_running_mongod_is_no_error_at_the_end(
    data_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def visit() -> None:
        async with EmbeddedMongod(data_dir, None):
            (killed,) = mongods_on(data_dir)
            data_dir.rename(data_dir.with_suffix(".gone"))
            os.kill(killed, signal.SIGKILL)
            await eventually(lambda: "does not start again" in caplog.text)

    asyncio.run(visit())
    shutil.rmtree(data_dir.with_suffix(".gone"))


def test_a_mongod_that_is_killed_comes_back_on_its_port_with_its_data(data_dir: Path) -> None:
    async def visit() -> None:
        async with EmbeddedMongod(data_dir, None) as mongod:
            uri = mongod.uri
            await write(uri, "a note")
            (killed,) = mongods_on(data_dir)

            os.kill(killed, signal.SIGKILL)

            await eventually(lambda: mongods_on(data_dir) not in ([], [killed]))
            assert await notes(uri) == ["a note"]
            await write(uri, "another")

    asyncio.run(visit())
    assert not mongods_on(data_dir)


def test_a_start_that_fails_at_its_end_leaves_no_mongod_running(data_dir: Path) -> None:
    (data_dir / "mongodb.port").mkdir(parents=True)

    assert refusal(data_dir) == (
        f"cannot write {data_dir}/mongodb.port: Is a directory; mend that or set DATA_DIR"
    )

    assert not mongods_on(data_dir)


# What an earlier run has left behind.


@pytest.mark.skipif(sys.platform != "linux", reason="without /proc it takes ps")
def test_an_orphaned_mongod_is_stopped_on_a_machine_without_ps(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with orphan_on(data_dir) as orphan:
        program = find_mongod(None)
        monkeypatch.setenv("PATH", str(data_dir))

        start(data_dir, program)

        assert orphan.wait(timeout=1) == 0


def test_a_killed_site_takes_mongod_with_it_and_the_next_start_has_the_data(data_dir: Path) -> None:
    with running("--data-dir", str(data_dir)) as site:
        asyncio.run(write(uri_in(data_dir), "a note"))

        site.process.kill()

        asyncio.run(eventually(lambda: not mongods_on(data_dir), seconds=5))
    assert notes_after_a_start(data_dir) == ["a note"]


def test_the_data_survives_when_site_and_mongod_are_killed_at_once(data_dir: Path) -> None:
    with running("--data-dir", str(data_dir)) as site:
        asyncio.run(write(uri_in(data_dir), "a note"))
        (mongod,) = mongods_on(data_dir)

        site.process.kill()
        os.kill(mongod, signal.SIGKILL)

        asyncio.run(eventually(lambda: not mongods_on(data_dir)))
    assert (data_dir / "mongodb" / "mongod.lock").read_text() == f"{mongod}\n"
    assert notes_after_a_start(data_dir) == ["a note"]


def test_an_orphaned_mongod_is_stopped_in_good_order_and_the_start_succeeds(
    data_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with orphan_on(data_dir) as orphan:
        start(data_dir)

        assert orphan.wait(timeout=1) == 0
    assert f"left over from an earlier run is stopped (process {orphan.pid})" in caplog.text


def test_a_program_that_got_the_pid_of_an_earlier_mongod_is_left_alone(data_dir: Path) -> None:
    lock = data_dir / "mongodb" / "mongod.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    # Its command line has the folder's name, as that of an editor or a backup may.
    with started("tail", "-f", str(lock)) as stranger:
        lock.write_text(f"{stranger.pid}\n")

        start(data_dir)

        assert stranger.poll() is None


def test_a_stale_lock_does_not_matter_on_a_machine_without_ps(
    run: Run, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data_dir / "mongodb").mkdir(parents=True)
    (data_dir / "mongodb" / "mongod.lock").write_text(f"{os.getpid()}\n")
    monkeypatch.setenv("PATH", str(data_dir))

    run(stop_orphan(data_dir / "mongodb"))


# Beside a running site.


def test_the_site_listens_within_three_seconds(site: RunningSite) -> None:
    assert site.seconds_to_start < 3


def test_a_second_site_on_the_same_folder_is_refused_in_one_line(site: RunningSite) -> None:
    answer = finish("--port", "0", "--data-dir", str(site.data_dir))

    line = f"latchkey: another Latchkey is using {site.data_dir}; stop it or set DATA_DIR\n"
    assert answer == (1, "", line)


def test_create_user_beside_a_running_site_uses_its_database(site: RunningSite) -> None:
    command = ("create-user", "ada@example.com", "--data-dir", str(site.data_dir))

    assert finish(*command, stdin=f"{PASSWORD}\n") == (0, "ada@example.com can sign in now\n", "")

    with MongoClient[dict[str, Any]](uri_in(site.data_dir)) as client:
        assert client["latchkey"]["users"].count_documents({"email": "ada@example.com"}) == 1


def test_mongod_listens_on_this_machine_only(site: RunningSite) -> None:
    assert is_listening("127.0.0.1", remembered_port(site.data_dir))
    # On Linux it is ours as well, as an address of the network would be.
    assert not is_listening("127.0.0.2", remembered_port(site.data_dir))


def test_mongod_does_not_offer_zlib(site: RunningSite) -> None:
    with MongoClient[dict[str, Any]](uri_in(site.data_dir)) as client:
        hello = client.admin.command("hello", compression=["zlib", "snappy"])

    assert hello["compression"] == ["snappy"]


def test_ctrl_c_is_for_the_site_which_stops_mongod_and_leaves_nothing_running(data_dir: Path) -> None:
    output = data_dir.with_suffix(".out")
    command = (sys.executable, "run.py", "--port", "0", "--data-dir", str(data_dir))
    with started(*command, output=output) as site:
        asyncio.run(eventually(lambda: "Latchkey is listening on" in output.read_text()))

        os.killpg(site.pid, signal.SIGINT)

        assert site.wait(timeout=10) == 0
        assert not mongods_on(data_dir)
    signals = re.findall(r'"Received signal","attr":{"signal":(\d+)', (data_dir / "mongod.log").read_text())
    assert signals == [str(int(signal.SIGTERM))]


# Why it does not start.


@pytest.mark.parametrize(
    ("script", "line"),
    [
        (
            "echo mongod: error while loading shared libraries: libcurl.so.4: cannot open >&2; exit 127",
            f"mongod lacks libcurl.so.4; {LIBRARIES}",
        ),
        ("exit 127", f"mongod lacks a system library; {LIBRARIES}"),
        (
            "ulimit -c 0; kill -ILL $$",
            "this processor is too old for the embedded MongoDB (no AVX); set MONGODB_URI",
        ),
        ("exit 100", "another mongod uses {data_dir}/mongodb; stop it or set DATA_DIR"),
        ("exit 62", "{data_dir}/mongodb is of another MongoDB version; set DATA_DIR or MONGOD_PATH"),
        ("exit 48", "mongod found no free port; try again"),
        (
            """echo '{"s":"E","msg":"Failed","attr":{"error":"No space left on device"}}' >"$4"; exit 14""",
            "there is no space left on the disk of {data_dir}; free some or set DATA_DIR",
        ),
        (
            "echo mongod.log: Permission denied >&2; exit 1",
            "mongod may not write to {data_dir}; set DATA_DIR to a folder of yours",
        ),
        (
            """echo '{"s":"E","msg":"Bad","attr":{"error":"luck"}}\n{"s":"I","msg":"Bye"}' >"$4"; exit 1""",
            "mongod ended with status 1: Bad luck (see {data_dir}/mongod.log)",
        ),
        ("echo one; echo two; exit 1", "mongod ended with status 1: two (see {data_dir}/mongod.log)"),
        (
            "ulimit -c 0; kill -ABRT $$",
            "mongod ended with signal 6: no reason given (see {data_dir}/mongod.log)",
        ),
    ],
)
def test_a_mongod_that_does_not_start_is_explained_in_one_line(
    data_dir: Path, fake: Callable[[str], Path], script: str, line: str
) -> None:
    assert refusal(data_dir, fake(script)) == line.format(data_dir=data_dir)


def test_a_bare_name_is_a_file_in_this_folder_and_is_not_looked_for_on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = program_at(tmp_path / "mongod")
    monkeypatch.chdir(tmp_path)

    assert find_mongod(Path("./mongod")) == program


def test_mongod_path_must_be_a_program(data_dir: Path, tmp_path: Path) -> None:
    not_executable = tmp_path / "notes.txt"
    not_executable.touch()

    for path in (not_executable, tmp_path, tmp_path / "missing"):
        assert refusal(data_dir, path) == f"MONGOD_PATH is '{path}'; expected a program that can be run"


@pytest.mark.parametrize(
    ("text", "reason"),
    [("not a program\n", "Exec format error"), ("#!/no/such/shell\n", "No such file or directory")],
)
def test_a_file_that_the_kernel_does_not_run_is_named(
    run: Run, data_dir: Path, tmp_path: Path, text: str, reason: str
) -> None:
    program = program_at(tmp_path / "mongod", text)

    assert refusal(data_dir, program, run) == f"{program} cannot be run: {reason}; correct MONGOD_PATH"


def test_a_data_dir_that_cannot_be_one_is_named(data_dir: Path) -> None:
    data_dir.touch()

    assert refusal(data_dir) == f"cannot use {data_dir}: File exists; set DATA_DIR to a folder of yours"


# Which mongod it is.


def test_the_configured_mongod_wins_over_the_one_on_path_over_the_one_in_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured, on_path = program_at(tmp_path / "mine"), program_at(tmp_path / "bin" / "mongod")

    monkeypatch.setenv("PATH", str(on_path.parent))
    assert find_mongod(configured) == configured
    assert find_mongod(None) == on_path

    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_mongod(None).parts[-4:] == ("fiftyone", "db", "bin", "mongod")


def test_the_mongod_of_a_wheel_that_was_unpacked_without_permissions_is_made_executable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = program_at(tmp_path / "some_wheel" / "bin" / "mongod")
    program.chmod(0o644)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("server.mongod.binary._WHEEL_PACKAGE", "some_wheel")
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_mongod(None) == program
    assert os.access(program, os.X_OK)


@pytest.mark.parametrize("package", ["no_such_wheel", "no_such_wheel.db", "server.mongod"])
def test_without_any_mongod_there_are_three_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setattr("server.mongod.binary._WHEEL_PACKAGE", package)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(StartError) as error:
        find_mongod(None)

    assert str(error.value) == (
        "there is no database: set MONGODB_URI to a MongoDB of yours, or install MongoDB so that mongod is "
        "on PATH, or run: pip install -r requirements-embedded.txt"
    )


# Helpers.


async def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def is_writable_primary(mongod: EmbeddedMongod) -> bool:
    """Asked once, without the driver's waiting for a primary."""
    async with AsyncMongoClient[dict[str, Any]]("127.0.0.1", mongod.port, directConnection=True) as client:
        return bool((await client.admin.command("hello"))["isWritablePrimary"])


async def write(uri: str, note: str) -> None:
    async with AsyncMongoClient[dict[str, Any]](uri) as client:
        await client["test"]["notes"].insert_one({"_id": note})


async def notes(uri: str) -> list[str]:
    async with AsyncMongoClient[dict[str, Any]](uri) as client:
        return [note["_id"] async for note in client["test"]["notes"].find()]


def start(data_dir: Path, mongod_path: Path | None = None, run: Run = asyncio.run) -> None:
    async def visit() -> None:
        async with EmbeddedMongod(data_dir, mongod_path) as mongod:
            assert await is_writable_primary(mongod)

    run(visit())


def refusal(data_dir: Path, mongod_path: Path | None = None, run: Run = asyncio.run) -> str:
    with pytest.raises(StartError) as error:
        start(data_dir, mongod_path, run)
    return str(error.value)


def notes_after_a_start(data_dir: Path) -> list[str]:
    async def visit() -> list[str]:
        async with EmbeddedMongod(data_dir, None) as mongod:
            return await notes(mongod.uri)

    return asyncio.run(visit())


def mongods_on(data_dir: Path) -> list[int]:
    return processes_with(f"--dbpath {data_dir}/mongodb ")


def processes_with(text: str) -> list[int]:
    """The ids of those whose command line has it. That of a zombie is empty, so that it does not count."""
    every = [PS, "-ww", "-A", "-o", "pid=,command="]
    lines = subprocess.run(every, capture_output=True, text=True, check=True).stdout.splitlines()
    return [int(line.split()[0]) for line in lines if text in line]


def uri_in(data_dir: Path) -> str:
    port = remembered_port(data_dir)
    assert port
    return uri_of(port)


def is_listening(host: str, port: int | None) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


def program_at(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@contextmanager
def cleared_at_the_end(data_dir: Path) -> Iterator[Path]:
    """A folder holds 300 MB, and pytest would keep it. Only a test that fails leaves a process on it."""
    try:
        yield data_dir
    finally:
        for pid in processes_with(str(data_dir)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(data_dir, ignore_errors=True)


@contextmanager
def started(*command: str, output: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """The program, in a process group of its own as in a shell."""
    with (output or Path(os.devnull)).open("w") as out:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={"PATH": os.environ["PATH"]},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def orphan_on(data_dir: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A mongod without a server, as a kill leaves it where a child cannot ask to end with its parent."""
    (data_dir / "mongodb").mkdir(parents=True)
    options = ("--dbpath", str(data_dir / "mongodb"), "--port", "0", "--replSet", "latchkey")
    output = data_dir.with_suffix(".out")
    with started(str(find_mongod(None)), *options, output=output) as process:
        asyncio.run(eventually(lambda: "Waiting for connections" in output.read_text()))
        yield process
