# ruff: noqa: RUF001, RUF002 - letters of other scripts look like Latin ones
"""Folding: the letters that people type for one another are one letter for search.

Every character becomes exactly one other, so the places of words in a text stay the same. The tokenizer then ignores
case and drops the accents of Latin, Greek and Cyrillic letters. Of the characters of Unicode,

- Latin letters with a stroke, and a few like them, become the letter that keyboards elsewhere have: ł is l, đ is d;
- forms of a width or a place become the plain character (NFKC): full-width Latin, half-width kana, Arabic as printed;
- letters with marks become the letter, if nothing but marks is left out: ё is е, ά is α, أ is ا, and final ς is σ;
- digits of every script become 0 to 9;
- Arabic vowel marks, the tatweel and Hebrew points become an accent, which the tokenizer drops.

ß, æ, œ, þ and ligatures stand for two letters or three: spelled_out() writes these. ä, ö and ü are not ae, oe and ue:
that is right in German only, and would make other words of Swedish, Finnish and Turkish ones. й and ї are letters of
their own, and stay. So do the marks of Indic scripts, which are vowels or change the word, and the voicing marks of
kana.
"""

from __future__ import annotations

import unicodedata
from typing import Final

# Of the rules of search/words.py, and of which memories are searched: a store with full text of another version indexes
# it again. 5: full text that an earlier version may have damaged (index/full_text.py).
VERSION: Final = 5

_DROPPED: Final = "\u0301"  # an accent: the tokenizer drops it within a word
_LETTERS: Final = {"ı": "i", "ŀ": "l", "ŉ": "n", "ð": "d", "Ð": "d", "ς": "σ", "ى": "ي", "ٱ": "ا"}
_OWN: Final = frozenset("йЙїЇ")
_SPELLED: Final = {"ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "þ": "th", "Þ": "TH"} | {
    chr(code): unicodedata.normalize("NFKC", chr(code)) for code in (0x132, 0x133, *range(0xFB00, 0xFB07))
}
_SPELLED_TABLE: Final = str.maketrans(_SPELLED)
_UNMARKED: Final = ("LATIN ", "GREEK ", "CYRILLIC ", "ARABIC ", "HEBREW ")
_MARKS: Final = ((0x0591, 0x05C7), (0x0610, 0x061A), (0x064B, 0x065F), (0x06D6, 0x06ED))


class _Table(dict[int, str]):
    """The folded form of each character by its code, worked out at its first use."""

    def __missing__(self, code: int) -> str:
        self[code] = folded = _folded(chr(code))
        return folded


_TABLE: Final = _Table()


def fold(text: str) -> str:
    """Return `text` of the same length, with each character folded."""
    return text if text.isascii() else text.translate(_TABLE)


def spelled_out(text: str) -> str:
    """Return `text` with each letter that stands for several written as these."""
    return text if text.isascii() else text.translate(_SPELLED_TABLE)


def _folded(char: str) -> str:
    if char in _LETTERS or char in _OWN:
        return _LETTERS.get(char, char)
    code = ord(char)
    if char == "\u0640" or (unicodedata.category(char) == "Mn" and any(a <= code <= z for a, z in _MARKS)):
        return _DROPPED
    if (digit := unicodedata.digit(char, None)) is not None:
        return str(digit)
    name = unicodedata.name(char, "")
    if name.startswith("LATIN ") and " WITH STROKE" in name:
        with_accents = name.partition(" WITH ")[0]
        return _named(with_accents, char)
    plain = unicodedata.normalize("NFKC", char)
    if name.startswith(_UNMARKED):
        plain = "".join(c for c in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(c))
    if len(plain) != 1 or not plain.isalnum():
        return char
    return _LETTERS.get(plain, plain)


def _named(name: str, char: str) -> str:
    try:
        return unicodedata.lookup(name)
    except KeyError:  # its base has no name of its own
        return char
