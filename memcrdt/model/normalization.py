"""Unicode forms in which texts are compared.

A character such as é has several spellings: one code point, or a letter and a mark. Keyboards usually write the first,
file names on a Mac the second. Keys, names, scopes, tags, authors, kinds, sources and metadata are stored and shown in
NFC, the composed form. The text of a memory keeps the form in which it was given, and is compared in NFC.

Search folds more than that: see memcrdt/search/words.py.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from memcrdt.model.values import Json

# Python orders the marks of one letter in quadratic time, and a text from elsewhere may have 30,000 of them. So a long
# word is normalised in parts of 256 characters, each with the marks and parts of Hangul that belong to its last one.
_PART: Final = re.compile("\\S{1,256}[\u0300-\u036f\u1160-\u11ff\u3099\u309a]{0,32}")


def nfc(text: str) -> str:
    """Return `text` in NFC."""
    if text.isascii():
        return text
    return _PART.sub(lambda part: unicodedata.normalize("NFC", part[0]), text)


def nfc_json(value: Json) -> Json:
    """Return a JSON value with all texts in it, including keys, in NFC."""
    if isinstance(value, str):
        return nfc(value)
    if isinstance(value, list):
        return [nfc_json(item) for item in value]
    if isinstance(value, dict):
        return {nfc(key): nfc_json(item) for key, item in value.items()}
    return value


def caseless(text: str) -> str:
    """Return `text` for comparisons that ignore case: two texts that differ in case or form give the same result."""
    return text.lower() if text.isascii() else nfc(nfc(text).casefold())
