"""Pairing codes such as 7-crossover-granite: a public number to find the device, and two secret words.

The words come from two lists of 256, so they have 16 bits. That is enough, because one wrong guess ends a code. A code
that can also be used at a relay has a number of six digits: more people can reach a relay than a local network, and
they must not use up a code by trying a few numbers.
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
RELAY_NUMBERS: Final = range(100_000, 1_000_000)
# A chat may turn hyphens into other dashes: hyphens, figure, en and em dash, bar, minus, small and full width.
_DASHES: Final = dict.fromkeys(map(ord, "-\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"), " ")


@dataclass(frozen=True, slots=True)
class Code:
    """A pairing code. `number` is public, the words are secret."""

    number: int
    first: str
    second: str

    def __str__(self) -> str:
        return f"{self.number}-{self.first}-{self.second}"

    @property
    def is_for_relays(self) -> bool:
        """Whether the device that shows the code can also be met at relays."""
        return self.number in RELAY_NUMBERS

    @property
    def secret(self) -> bytes:
        """The password for SPAKE2."""
        return str(self).encode()


def new_code(*, for_relays: bool = False) -> Code:
    """Return a random code. `for_relays`: the device that shows it can also be met at relays."""
    first, second = _words()
    number = secrets.choice(RELAY_NUMBERS if for_relays else range(1, NUMBERS + 1))
    return Code(number, secrets.choice(first), secrets.choice(second))


def parse_code(text: str) -> Code:
    """Parse a typed code. Upper case, and spaces or other dashes instead of hyphens, are accepted.

    A mistyped word is an error that suggests the most similar word. So a typing error is found before it is sent, and
    does not end the code.

    Raises:
        InputError: The text is not a code.
    """
    parts = text.lower().translate(_DASHES).split()
    if len(parts) != 3 or not parts[0].isdecimal() or not _is_number(int(parts[0][:7])):
        raise InputError(f"{text[:80]!r} is not a code; a code is a number and two words, such as 7-crossover-granite")
    for word, known in zip(parts[1:], _words(), strict=True):
        if word not in known:
            like = get_close_matches(word, known, 1)
            hint = f"did you mean {like[0]!r}?" if like else "read it again from the other device"
            raise InputError(f"the word {word[:40]!r} cannot be at this place in a code; {hint}")
    return Code(int(parts[0]), parts[1], parts[2])


def _is_number(number: int) -> bool:
    return 1 <= number <= NUMBERS or number in RELAY_NUMBERS


@cache
def _words() -> tuple[list[str], list[str]]:
    first, second = (files(__package__) / "words.txt").read_text(encoding="ascii").split("\n\n")
    return first.split(), second.split()
