"""Words: how a text is prepared for the full-text index. Stored texts and queries are prepared in the same way.

Letters are folded first (folding.py). SQLite's tokenizer (unicode61, accents folded, porter stems) splits text with
spaces into words. Scripts written without spaces are first turned into overlapping pairs of characters, so that any
substring of two or more characters is found.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from memcrdt.model.normalization import nfc
from memcrdt.search.folding import fold

# Thai, Lao, Myanmar, Khmer; kana; CJK ideographs with their extensions; Hangul.
_UNSPACED: Final = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]+"
)
# Emoji and other pictures, which the tokenizer drops; then their variations: joiners, styles, skin tones.
_PICTURE: Final = re.compile(
    "[\u231a\u231b\u23e9-\u23fa\u2600-\u27bf\u2b50\u2b55\U0001f000-\U0001f3fa\U0001f400-\U0001faff]"
)
_VARIED: Final = re.compile("[\ufe0f\u200d\U0001f3fb-\U0001f3ff]+")
_WORD: Final = re.compile(r"\w+")
_SPECIAL: Final = re.compile(f"{_UNSPACED.pattern}|{_PICTURE.pattern}(?:{_VARIED.pattern})?")
TOKENIZER: Final = ("unicode61", "remove_diacritics", "2", "categories", "L* N* Co Mn Mc")  # as in schema/0002.sql
STOP_WORDS: Final = frozenset(
    """
    a an the and or but if then than so of to in on at by for with from as about into over after before between out up
    down off is are was were be been being am do does did doing have has had having i me my we us our you your he him
    his she her it its they them their this that these those what which who whom whose when where why how not no nor
    only own same too very can will just should would could might must shall there here all any both each few more
    most other some such s t d ll m re ve don didn doesn isn wasn weren won
    """.split()  # noqa: SIM905 - one word a line would hide the list
)


def searchable(text: str) -> str:
    """Return `text`, folded, for the full-text index: unspaced script as pairs of characters, pictures as words."""
    if text.isascii():
        return text
    text = fold(nfc(text))
    named = _PICTURE.sub(lambda picture: f" {_named(picture[0])} ", text)
    if named != text:
        named = _VARIED.sub(" ", named)
    return _UNSPACED.sub(lambda run: f" {_pairs(run[0])} ", named)


class Stretch(NamedTuple):
    """A part of a text, in characters, and the `words` that searchable() makes of it.

    In a plain part the words are the characters of the text, one by one.
    """

    words: str
    start: int
    length: int
    is_plain: bool


def stretches(text: str) -> list[Stretch]:
    """Return what searchable() makes of `text`, part by part: plain text, pairs of characters, pictures."""
    text = fold(text)  # of the same length
    found, end = [], 0
    for special in [] if text.isascii() else _SPECIAL.finditer(text):
        start, run = special.start(), special[0]
        found.append(Stretch(text[end:start], end, start - end, True))
        if _UNSPACED.match(run):
            found += [Stretch(run[i : i + 2], start + i, len(run[i : i + 2]), False) for i in range(len(run))]
        else:
            found.append(Stretch(_named(run[0]), start, len(run), False))
        end = special.end()
    return [*found, Stretch(text[end:], end, len(text) - end, True)]


def word_set(text: str) -> frozenset[str]:
    """Return the words of `text`, folded but not stemmed, for comparing texts with each other."""
    return frozenset(_WORD.findall(searchable(text).casefold()))


def is_unspaced(text: str) -> bool:
    """Return whether all of `text` is in a script that is written without spaces."""
    return _UNSPACED.fullmatch(text) is not None


def is_mostly_unspaced(text: str) -> bool:
    """Return whether more than half of `text` is in scripts that are written without spaces."""
    return not text.isascii() and 2 * sum(len(run[0]) for run in _UNSPACED.finditer(text)) > len(text)


def _named(picture: str) -> str:
    return f"picture{ord(picture)}"


def _pairs(run: str) -> str:
    # The last character is a word of its own: a run may have one character, and every character begins a word.
    return " ".join(run[i : i + 2] for i in range(len(run)))
