"""The folder of an embedded mongod: whose it is, and what an earlier run has left in it."""

import asyncio
import logging
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO

from server.errors import StartError

STOP_SECONDS = 10
POLL_SECONDS = 0.02
PORT_FILE = "mongodb.port"

logger = logging.getLogger("latchkey.mongod")


class FolderInUse(StartError):
    """Another running Latchkey has its database in this folder."""


def remembered_port(data_dir: Path) -> int | None:
    """The port that the mongod of this folder has, or had last. None if there never was one."""
    try:
        port = int((data_dir / PORT_FILE).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return port if 0 < port < 65536 else None


def lock_folder(folder: Path) -> IO[str]:
    """Makes the folder ours for as long as the file stays open; the kernel gives it back when we die."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "mongodb").mkdir(mode=0o700, exist_ok=True)
        lock = (folder / "lock").open("w", encoding="ascii")
    except OSError as error:
        raise StartError(
            f"cannot use {folder}: {error.strerror}; set DATA_DIR to a folder of yours"
        ) from None
    if sys.platform != "win32":
        import fcntl  # noqa: PLC0415 - not on Windows, where mongod's own lock has to do

        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise FolderInUse(f"another Latchkey is using {folder}; stop it or set DATA_DIR") from None
    return lock


def remember_port(data_dir: Path, port: int) -> None:
    """Keeps the port for the next start, and for commands that run beside the site."""
    path = data_dir / PORT_FILE
    try:
        path.write_text(str(port), encoding="ascii")
    except OSError as error:
        raise StartError(f"cannot write {path}: {error.strerror}; mend that or set DATA_DIR") from None


async def stop_orphan(dbpath: Path) -> None:
    """Ends a mongod that outlived the server it belonged to. The folder is locked: it is nobody else's."""
    pid = await _pid_of_mongod_on(dbpath)
    if pid is None:
        return
    logger.warning("a mongod left over from an earlier run is stopped (process %d)", pid)
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
        for _ in range(int(STOP_SECONDS / POLL_SECONDS)):
            if await _pid_of_mongod_on(dbpath) is None:
                return
            await asyncio.sleep(POLL_SECONDS)


async def _pid_of_mongod_on(dbpath: Path) -> int | None:
    if sys.platform == "win32":
        return None
    try:
        pid = int((dbpath / "mongod.lock").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    if _command_line(os.getpid()):  # there is a /proc: Linux, where slim images have no ps
        return pid if f"--dbpath {dbpath} " in _command_line(pid) else None
    try:
        ps = await asyncio.create_subprocess_exec(
            "ps", "-ww", "-o", "stat=,command=", "-p", str(pid), stdout=asyncio.subprocess.PIPE
        )
    except FileNotFoundError:  # mongod's own lock has to do
        return None
    line = (await ps.communicate())[0].decode(errors="replace").strip()
    # The number may belong to another program by now.
    is_ours = f"--dbpath {dbpath} " in f"{line} " and not line.startswith("Z")
    return pid if is_ours else None


def _command_line(pid: int) -> str:
    """Each argument and a space after it. Empty for a zombie and for nobody."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    return raw.replace(b"\0", b" ").decode(errors="replace")


def keep_old_log(log: Path) -> None:
    with suppress(FileNotFoundError):
        log.replace(log.with_suffix(".log.1"))
