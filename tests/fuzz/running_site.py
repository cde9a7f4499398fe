"""Strange input, a hundred thousand times, to a running site: nothing of it may become an error of ours.

Pieces that have broken parsers before are put together, cut and mutated at random, from a seed, and go where
the site parses something: cookies, `next`, JSON, forms, addresses, user agents, paths and headers.
"""

import asyncio
import json
import random
import re
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote_from_bytes

from tests.benchmarks import peers, report
from tests.benchmarks.compare import embedded_mongod
from tests.fuzz.pieces import PIECES

INPUTS = 120_000
CONNECTIONS = 16
SEED = 1
UNLIMITED = [
    "--log-level", "error", "--argon2-memory-kib", "7168", "--argon2-time-cost", "1",
    "--throttle-signups", "1000", "--throttle-account-failures", "1000",
    "--throttle-address-failures", "1000",
]  # fmt: skip


def main() -> int:
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        _, uri, version = stack.enter_context(embedded_mongod(folder))
        site = stack.enter_context(peers.latchkey(uri, folder, 10, *UNLIMITED))
        cookies = site.cookies.read_bytes().split()
        began = time.monotonic()
        answers = asyncio.run(send_all(site.url, cookies))
        seconds = time.monotonic() - began
    errors = {status: count for status, count in answers.items() if status >= 500}
    rows = [[str(status or "closed"), f"{count:,}"] for status, count in sorted(answers.items())]
    how = f"{sum(answers.values()):,} inputs in {seconds:.0f} s, seed {SEED}."
    how += f" Answers of 500 or more: {sum(errors.values())}."
    text = f"{report.machine(f'mongod {version}')} {how}\n\n{report.table(['answer', 'times'], rows)}"
    report.write("fuzz", text, report.SECURITY)
    return 1 if errors else 0


async def send_all(url: str, cookies: list[bytes]) -> Counter[int]:
    host, _, port = url.removeprefix("http://").partition(":")
    answers: Counter[int] = Counter()
    await asyncio.gather(
        *(
            work(host, int(port), cookies, random.Random(SEED + number), answers)
            for number in range(CONNECTIONS)
        )
    )
    return answers


async def work(
    host: str, port: int, cookies: list[bytes], chance: random.Random, answers: Counter[int]
) -> None:
    """Sends its share over one connection after the other: a connection may be cut as a refusal."""
    writer = None
    for _ in range(INPUTS // CONNECTIONS):
        if writer is None:
            reader, writer = await asyncio.open_connection(host, port)
        sent = chance.choice(KINDS)(chance, cookies)
        status, is_open = await exchange(reader, writer, sent)
        answers[status] += 1
        if status >= 500:
            print(status, sent[:2000], file=sys.stderr)
        if not is_open:
            writer.close()
            writer = None


async def exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: bytes
) -> tuple[int, bool]:
    """The status of the answer, 0 if the connection was closed without one, and whether it is still open."""
    try:
        writer.write(sent)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
        length = re.search(rb"\r\nContent-Length: (\d+)", head)
        await reader.readexactly(int(length[1]) if length else 0)
    except (asyncio.IncompleteReadError, ConnectionError):
        return 0, False
    return int(head.split(b" ", 2)[1]), b"\r\nConnection: close" not in head and not reader.at_eof()


def odd(chance: random.Random) -> bytes:
    """A few pieces in a row, perhaps with a byte changed."""
    text = bytearray(b"".join(chance.choices(PIECES, k=chance.randint(0, 5))))
    if text and chance.random() < 0.3:
        text[chance.randrange(len(text))] = chance.randrange(256)
    return bytes(text)


def request(method: str, path: bytes, headers: dict[str, bytes], body: bytes | None = None) -> bytes:
    # A line break would end the header, and test Tornado's parser instead of ours.
    lines = [f"{name}: ".encode() + re.sub(rb"[\r\n\0]", b"", value) for name, value in headers.items()]
    if body is not None:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(
        [method.encode() + b" " + path + b" HTTP/1.1", b"Host: 127.0.0.1", *lines, b"", body or b""]
    )


def cookie(chance: random.Random, cookies: list[bytes]) -> bytes:
    good = bytearray(chance.choice(cookies))
    for _ in range(chance.randint(0, 3)):
        good[chance.randrange(len(good))] = chance.randrange(256)
    parts = [bytes(good), odd(chance), b"sid=" + odd(chance)]
    chance.shuffle(parts)
    return request("GET", b"/api/session", {"Cookie": b"; ".join(parts)})


def next_page(chance: random.Random, cookies: list[bytes]) -> bytes:
    path = chance.choice([b"/login", b"/signup", b"/confirm"])
    return request(
        "GET", path + b"?next=" + quote_from_bytes(odd(chance)).encode(), {"Cookie": chance.choice(cookies)}
    )


def json_body(chance: random.Random, _: list[bytes]) -> bytes:
    text = odd(chance).decode("utf-8", "replace")
    value = chance.choice([text, None, 0, [text], {"$ne": text}, {text: text}, True])
    body = json.dumps({"email": value, "password": text, "remember": chance.choice([value, False])}).encode()
    if chance.random() < 0.5:
        cut = chance.randrange(len(body))
        body = body[:cut] + odd(chance) + body[cut + chance.randint(0, 3) :]
    kind = chance.choice([b"application/json"] * 4 + [odd(chance)])
    return request("POST", chance.choice([b"/api/session", b"/api/users"]), {"Content-Type": kind}, body)


def form(chance: random.Random, _: list[bytes]) -> bytes:
    names = [b"email", b"password", b"remember", b"next", b"_csrf", odd(chance)]
    pairs = [name + b"=" + quote_from_bytes(odd(chance)).encode() for name in names if chance.random() < 0.8]
    body = b"&".join(pairs) + (odd(chance) if chance.random() < 0.3 else b"")
    kind = chance.choice(
        [b"application/x-www-form-urlencoded"] * 3 + [b"multipart/form-data; boundary=" + odd(chance)]
    )
    return request("POST", chance.choice([b"/login", b"/signup", b"/logout"]), {"Content-Type": kind}, body)


def headers(chance: random.Random, cookies: list[bytes]) -> bytes:
    names = [
        "User-Agent",
        "Origin",
        "Sec-Fetch-Site",
        "X-Forwarded-For",
        "Accept",
        "X-CSRF-Token",
        "Range",
        "If-None-Match",
    ]
    sent = {name: odd(chance) for name in names if chance.random() < 0.6}
    path = chance.choice(
        [b"/", b"/account", b"/account/sessions", b"/api/sessions", b"/static/app.css", b"/metrics"]
    )
    return request(
        chance.choice(["GET", "DELETE", "PATCH"]), path, {"Cookie": chance.choice(cookies), **sent}
    )


def path(chance: random.Random, cookies: list[bytes]) -> bytes:
    start = chance.choice(
        [b"/", b"/static/", b"/api/", b"/api/sessions/", b"/account/sessions/", b"/api/events?after="]
    )
    where = start + quote_from_bytes(odd(chance), safe="/%?&=").encode()
    return request("GET", where + (b"&wait=0" if b"?" in start else b""), {"Cookie": chance.choice(cookies)})


KINDS = [cookie, next_page, json_body, form, headers, path]


if __name__ == "__main__":
    sys.exit(main())
