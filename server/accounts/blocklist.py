"""Passwords that are guessed first: leaked ones, simple patterns, and what everybody knows of the person."""

import gzip
import re
import string
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

LIST = Path(__file__).with_name("common_passwords.txt.gz")
FEWEST_CHARACTERS = 5
FEWEST_RUNS = 6
SHORTEST_UNIT = 12
SHORTEST_REST = 8
SHORTEST_WORD = 3

_SIGNS = string.digits + string.punctuation + " "
_ROWS = (
    "01234567890", string.ascii_lowercase, "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "azertyuiop",
    "йцукенгшщзхъ", "фывапролджэ", "ячсмитьбю",
)  # fmt: skip
_NEIGHBOURS = {pair for row in _ROWS for line in (row, row[::-1]) for pair in pairwise(line)}


class Blocklist:
    """What nobody may choose as a password (ASVS 6.2.4, 6.2.11, 6.2.12). Reads its list once, from a file.

    `site_words` are words of the site itself, such as its name. No rule asks for digits or capitals.
    """

    def __init__(self, site_words: Sequence[str] = (), path: Path = LIST) -> None:
        self._site_words = tuple(site_words)
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            self._common = frozenset(line.rstrip("\n") for line in lines if not line.startswith("#"))

    def problem(self, password: str, email: str) -> str:
        """Why the password is too easy to guess, in a sentence for people, or ""."""
        folded = password.lower()
        if self._is_common(folded):
            return "Choose another password: many people have used this one, so it is guessed first"
        if _is_pattern(folded):
            return "Choose another password: this one is a pattern that is quickly guessed"
        rest = _without(folded, [*_words(email), *_words(*self._site_words)])
        if rest != folded and (len(rest) < SHORTEST_REST or self._is_common(rest) or _is_pattern(rest)):
            return (
                "Choose another password: this one is little more than your address or the name of this site"
            )
        return ""

    def _is_common(self, folded: str) -> bool:
        """Whether it is on the list, as it is or with digits and signs put before and after it."""
        return not self._common.isdisjoint((folded, folded.rstrip(_SIGNS), folded.strip(_SIGNS)))


def _is_pattern(folded: str) -> bool:
    """Few different characters, something short repeated, or few runs along the alphabet or the keyboard."""
    if len(set(folded)) < FEWEST_CHARACTERS:
        return True
    if any(
        folded[:-period] == folded[period:] for period in range(1, min(SHORTEST_UNIT, len(folded) // 2 + 1))
    ):
        return True
    # The second one finds zigzags such as 1q2w3e4r.
    return _runs(folded) < FEWEST_RUNS or _runs(folded[::2]) + _runs(folded[1::2]) < FEWEST_RUNS


def _runs(text: str) -> int:
    return 1 + sum(not _follows(*pair) for pair in pairwise(text))


def _follows(before: str, after: str) -> bool:
    return before == after or (before, after) in _NEIGHBOURS


def _words(*names: str) -> Iterator[str]:
    """The names and their parts, the longest first."""
    folded = [name.strip().lower() for name in names]
    words = {part for name in folded for part in (name, *name.split("@"), *re.split(r"[\W_]+", name))}
    return iter(sorted((word for word in words if len(word) >= SHORTEST_WORD), key=len, reverse=True))


def _without(text: str, words: Iterable[str]) -> str:
    for word in words:
        text = text.replace(word, "")
    return text
