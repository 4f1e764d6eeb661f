"""Phrases: passages that have some words in their order. Full text has no positions, so texts are read and compared."""

from __future__ import annotations

import json
import re
from typing import Final

from memcrdt.search.index import passages
from memcrdt.search.index.full_text import matching
from memcrdt.search.words import is_unspaced, written_out
from memcrdt.store.sql import SqlConnection

READ: Final = 1_000  # passages with all words of a phrase that are compared with it, the last added first: about 10 ms

_CANDIDATES = """
SELECT json_group_array(json_array(passage, text)) FROM
  (SELECT rowid AS passage FROM fulltext(?) ORDER BY rowid DESC LIMIT ?) f
  JOIN memories ON memory = passage / ?"""
_WORD: Final = re.compile(r"\w+")


def find_phrase(db: SqlConnection, phrase: str, match: str) -> list[int]:
    """Return the passages that have a phrase, ascending. Case, accents and signs between its words do not count.

    Args:
        db: A connection of the store.
        phrase: The phrase.
        match: The FTS5 expression for passages with all words of the phrase.
    """
    wanted = _wanted(phrase)
    rows = json.loads(str(db.execute(_CANDIDATES, (matching(db, match), READ, passages.PER_MEMORY)).get))
    return sorted(passage for passage, text in rows if wanted in f" {_in_order(_window(passage, text))} ")


def has_phrase(text: str, phrase: str) -> bool:
    """Return whether a text has a phrase or a word, compared as in find_phrase()."""
    return _wanted(phrase) in f" {_in_order(text)} "


def _wanted(phrase: str) -> str:
    """Return the words of a phrase between spaces, except beside characters of scripts without spaces."""
    words = _in_order(phrase)
    start, end = ("" if is_unspaced(each) else " " for each in (words[:1], words[-1:]))
    return f"{start}{words}{end}"


def _in_order(text: str) -> str:
    return " ".join(_WORD.findall(written_out(text).casefold()))


def _window(passage: int, text: str) -> str:
    windows = passages.split(text)
    place = passage % passages.PER_MEMORY
    return windows[place] if place < len(windows) else ""
