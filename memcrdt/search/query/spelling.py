"""Words that are spelled nearly like a word: one letter more, less or other, or two letters in each other's place.

They are made from the word and looked up in the index, so the index needs nothing for them. The first letter stays: few
people mistake it, and the words that share it are near each other in the index. Of the edits of
the second letter, only the usual ones count.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Final

LETTERS: Final = 5  # a shorter word has too many neighbours
_LONGEST: Final = 24
_FORM: Final = 3  # letters that forms of a word share at least
_ENDING: Final = 3  # letters of the longest ending
_STEM: Final = 0.55  # of the letters of a word, which its forms share
_VOWELS: Final = "aeiouy"
_SECOND: Final = "aeiouyhlrc"  # letters that people leave out at the second place
_ALPHABETS: Final = (
    "abcdefghijklmnopqrstuvwxyz",
    "абвгдежзийклмнопрстуфхцчшщъыьэюяіїєґ",
    "αβγδεζηθικλμνξοπρστυφχψω",
    "אבגדהוזחטיךכלםמןנסעףפץצקרשת",
    "ابتثجحخدذرزسشصضطظعغفقكلمنهوية",
)


def is_other_form(one: str, other: str) -> bool:
    """Return whether two words differ only in their ends, as forms of one word do in most languages."""
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
    return same >= _FORM and len(one) - same <= _ENDING and len(other) - same <= _ENDING and same >= _STEM * len(one)


def neighbours(word: str) -> list[str]:
    """Return the words that differ from `word`, in lower case, in one edit. Empty for a short word, and for no word."""
    alphabet = next((letters for letters in _ALPHABETS if word[:1] in letters), "")
    if not (LETTERS <= len(word) <= _LONGEST and set(word) <= set(alphabet)):
        return []
    found: dict[str, None] = {}
    for place in range(1, len(word) + 1):
        before, here, after = word[:place], word[place : place + 1], word[place + 1 :]
        added = _SECOND if place == 1 else alphabet
        others = alphabet if place > 1 else _VOWELS if here in _VOWELS else ""
        found |= dict.fromkeys(before + letter + here + after for letter in added)
        if here:
            found |= dict.fromkeys([before + after, *(before + letter + after for letter in others)])
        if after:
            found[before + after[0] + here + after[1:]] = None
    found.pop(word, None)
    return list(found)
