"""Password hashes: argon2id, computed beside the event loop by a few threads of its own."""

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Self, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

MAX_WAITING = 32
# About a third of the others' share of a busy core: sign-ins go on, requests hardly feel them.
NICENESS = 5

T = TypeVar("T")


class HashQueueFull(Exception):
    """More passwords wait to be hashed than can be dealt with soon; try again in a few seconds."""


class Passwords:
    """Hashes and verifies passwords, `async with` it: the threads end with the block.

    Parameters as in OWASP's Password Storage Cheat Sheet: `memory_kib` KiB and `time_cost` passes, one lane.
    There are as many threads as cores, which bounds the memory too, and at most 32 callers wait for one. On
    Linux they give way to the threads that answer requests.
    Passwords are compared byte by byte as UTF-8, neither trimmed nor normalised (ASVS 6.2.8).
    """

    def __init__(self, memory_kib: int, time_cost: int) -> None:
        self._hasher = PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=1)
        self._workers = os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(
            self._workers, thread_name_prefix="argon2", initializer=_let_others_go_first
        )
        self._pending = 0
        self._decoy = ""

    async def __aenter__(self) -> Self:
        self._decoy = await self.hash("a password that nobody has")
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)

    async def hash(self, password: str) -> str:
        """A salted hash with its parameters in it. Raises `HashQueueFull`."""
        return await self._run(lambda: self._hasher.hash(password))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether the hash is this password's. None, for an unknown account, takes just as long: the time of
        an answer must not tell who has an account. Raises `HashQueueFull`."""
        is_right = await self._run(lambda: self._matches(password_hash or self._decoy, password))
        return is_right and password_hash is not None

    def needs_rehash(self, password_hash: str) -> bool:
        """Whether the hash was made with other parameters. Ask after a sign-in: only then is the password
        at hand to hash it anew."""
        return self._hasher.check_needs_rehash(password_hash)

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (Argon2Error, InvalidHashError):  # a wrong password, or a damaged hash: the same to outsiders
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        if self._pending >= self._workers + MAX_WAITING:
            raise HashQueueFull
        self._pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._pending -= 1


def _let_others_go_first() -> None:
    if sys.platform != "linux":  # elsewhere a thread has no priority of its own to lower
        return
    thread = threading.get_native_id()
    with suppress(OSError):  # a sandbox may forbid it
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICENESS)
