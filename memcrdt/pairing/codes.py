"""Codes such as 7-crossover-granite: a number, by which the devices find each other, and two words, which are secret.

Two of 2 x 256 words are 16 bits: enough, since one wrong guess ends a code.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Final

from memcrdt.errors import InputError

NUMBERS: Final = 99


@dataclass(frozen=True, slots=True)
class Code:
    """`number` is public, the words are secret."""

    number: int
    first: str
    second: str

    def __str__(self) -> str:
        return f"{self.number}-{self.first}-{self.second}"

    @property
    def secret(self) -> bytes:
        """The password for SPAKE2."""
        return str(self).encode()


def new_code() -> Code:
    """Return a random code."""
    first, second = _words()
    return Code(1 + secrets.randbelow(NUMBERS), secrets.choice(first), secrets.choice(second))


def parse_code(text: str) -> Code:
    """Parse a typed code. Case doesn't matter, and blanks may stand for dashes.

    Raises InputError that names a mistyped word and the most similar right one, so that a slip does not cost the code.
    """
    parts = text.lower().replace("-", " ").split()
    if len(parts) != 3 or not parts[0].isdecimal() or not 1 <= int(parts[0][:4]) <= NUMBERS:
        raise InputError(f"{text[:80]!r} is no code; it is a number and two words, such as 7-crossover-granite")
    for word, known in zip(parts[1:], _words(), strict=True):
        if word not in known:
            like = get_close_matches(word, known, 1)
            hint = f"is it {like[0]!r}?" if like else "read it again from the other device"
            raise InputError(f"no code has the word {word[:40]!r} there; {hint}")
    return Code(int(parts[0]), parts[1], parts[2])


@cache
def _words() -> tuple[list[str], list[str]]:
    first, second = (files(__package__) / "words.txt").read_text(encoding="ascii").split("\n\n")
    return first.split(), second.split()
