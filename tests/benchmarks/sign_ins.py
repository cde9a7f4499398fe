"""Sign-ins a second, and whether other requests feel the hashing of passwords."""

import asyncio
import json
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import Self

from server.services import open_services
from settings import Settings
from tests.benchmarks import peers, report
from tests.benchmarks.compare import embedded_mongod
from tests.benchmarks.load import drive
from tests.client import PASSWORD

PEOPLE = 4
SECONDS = 10
CONNECTIONS = 4


def main() -> int:
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        _, uri, version = stack.enter_context(embedded_mongod(folder))
        asyncio.run(make_accounts(uri, folder))
        site = stack.enter_context(peers.latchkey(uri, folder, 100))
        drive(site.url, site.cookies, connections=CONNECTIONS, seconds=1)
        rows = []
        for people in (0, 1, PEOPLE):
            with SigningIn(site.url, people) as signing_in:
                result = drive(site.url, site.cookies, connections=CONNECTIONS, seconds=SECONDS)
            rows.append(
                [
                    str(people), f"{signing_in.count / signing_in.seconds:.1f}", f"{result.rate:.0f}",
                    f"{result.p50:.1f}", f"{result.p99:.1f}",
                ]
            )  # fmt: skip
        head = ["people signing in without pause", "sign-ins/s", "other requests/s", "p50 ms", "p99 ms"]
        how = f"Argon2id as by default; {CONNECTIONS} connections of other requests, {SECONDS} s."
        report.write("sign-ins", f"{report.machine(f'mongod {version}')} {how}\n\n{report.table(head, rows)}")
    return 0


async def make_accounts(uri: str, folder: Path) -> None:
    settings = Settings(mongodb_uri=uri, cookie_secrets=(peers.SECRET,), data_dir=folder)
    async with open_services(settings, uri) as services:
        for number in range(PEOPLE):
            await services.accounts.create(f"person{number}@example.com", PASSWORD)


class SigningIn:
    """`with SigningIn(url, people)`: so many people sign in again and again while the block runs."""

    def __init__(self, url: str, people: int) -> None:
        self.count = 0
        self.seconds = 0.0
        self._host = url.removeprefix("http://")
        self._threads = [threading.Thread(target=self._work, args=[number]) for number in range(people)]
        self._is_over = threading.Event()

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        self.seconds = time.monotonic() - self._began

    def _work(self, number: int) -> None:
        body = json.dumps({"email": f"person{number}@example.com", "password": PASSWORD})
        connection = HTTPConnection(self._host)
        while not self._is_over.is_set():
            connection.request("POST", "/api/session", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 201, answer.status
            self.count += 1
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
