"""Words: how a text is prepared for the full-text index. Stored texts and queries are prepared in the same way.

Letters are folded first (folding.py), and letters such as ß are written as the two that people type for them. SQLite's
tokenizer (unicode61, accents folded, porter stems) splits text with spaces into words. Scripts written without spaces
are first turned into overlapping pairs of characters, so that any substring of two or more characters is found.

Some words are spelled in two ways, so the index also gets the other one (compounds.py): the whole and the parts of a
name such as getUserName, src/net/door.py or --dry-run, and `email` for `e-mail`.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterator
from typing import Final, NamedTuple

from memcrdt.model.normalization import nfc
from memcrdt.search.compounds import Compound, camel_parts, compounds, has_capital_inside, is_camel_of_code
from memcrdt.search.folding import fold, spelled_out

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
_ALNUM: Final = re.compile("[A-Za-z0-9]+")
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


def names_apart(text: str) -> str:
    """Return `text` for a model of meaning, which does not know names of code: their parts become words.

    Models know names of products, such as GitHub and iPhone. They split names at signs themselves.
    """
    if not has_capital_inside(text):
        return text
    names = {word: " ".join(parts) for word in _ALNUM.findall(text) if is_camel_of_code(parts := camel_parts(word))}
    return _ALNUM.sub(lambda word: names.get(word[0], word[0]), text) if names else text


def searchable(text: str) -> str:
    """Return `text`, folded, for the full-text index.

    Unspaced script becomes pairs of characters, pictures and ligatures become words, and compounds get their other
    spelling.
    """
    return spaced(_with_other_spellings(written_out(text)))


def written_out(text: str) -> str:
    """Return `text` folded, with each letter that stands for several written as these."""
    return text if text.isascii() else spelled_out(fold(nfc(text)))


def spaced(text: str) -> str:
    """Return `text` with spaces between words: unspaced script becomes pairs of characters, pictures become words."""
    if text.isascii():
        return text
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
    """Return what searchable() makes of `text`, part by part: plain text, pairs of characters, pictures, compounds."""
    text = fold(text)  # of the same length
    others = [other for compound in compounds(text) for other in _other_spellings(compound)]
    if not text.isascii() and spelled_out(fold(nfc(text))) != text:
        words = ((start, word, spelled_out(fold(nfc(word)))) for start, word in _words_with_marks(text))
        others += [Stretch(spelled, start, len(word), False) for start, word, spelled in words if spelled != word]
    found, end = [], 0
    for special in [] if text.isascii() else _SPECIAL.finditer(text):
        start, run = special.start(), special[0]
        found.append(Stretch(text[end:start], end, start - end, True))
        if _UNSPACED.match(run):
            found += [Stretch(run[i : i + 2], start + i, len(run[i : i + 2]), False) for i in range(len(run))]
        else:
            found.append(Stretch(_named(run[0]), start, len(run), False))
        end = special.end()
    return [*found, Stretch(text[end:], end, len(text) - end, True), *others]


def _words_with_marks(text: str) -> Iterator[tuple[int, str]]:
    """Yield the words of `text` with their places. The combining marks of their letters belong to them."""
    start = 0
    for is_word, characters in itertools.groupby(text, lambda each: unicodedata.category(each)[0] in "LMN"):
        word = "".join(characters)
        if is_word:
            yield start, word
        start += len(word)


def _other_spellings(compound: Compound) -> list[Stretch]:
    """Return the words of a compound that the tokenizer does not find in it: the whole, and parts within a word."""
    start, text, whole, _ = compound
    others = [] if compound.is_camel else [Stretch(whole, start, len(text), False)]
    for word in _ALNUM.finditer(text):
        if len(parts := camel_parts(word[0])) > 1:
            places = itertools.accumulate(map(len, parts), initial=start + word.start())
            others += [Stretch(part, place, len(part), True) for part, place in zip(parts, places, strict=False)]
    return others


def _with_other_spellings(text: str) -> str:
    others = [other.words for compound in compounds(text) for other in _other_spellings(compound)]
    return " ".join((text, *others)) if others else text


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
