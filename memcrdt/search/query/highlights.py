"""Highlights: the places of a query's words in a text.

Words are compared as in the full-text index: folded, stemmed, and as pairs of characters in scripts without spaces.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias, cast

from memcrdt.search.index.full_text import DOCUMENT
from memcrdt.search.query.terms import QueryTerms
from memcrdt.search.words import TOKENIZER, is_unspaced, stretches
from memcrdt.store.sql import SqlConnection, tokenizing

Spans: TypeAlias = "tuple[tuple[int, int], ...]"
_Found: TypeAlias = "list[tuple[int, int, str]]"


class _Token(NamedTuple):
    """The stem of a word, and its place in the tokenised text."""

    start: int
    end: int
    stem: str


class Highlighter:
    """Finds the terms of one query in texts."""

    def __init__(self, db: SqlConnection, terms: QueryTerms) -> None:
        self._tokenizer = tokenizing(db).fts5_tokenizer("porter", list(TOKENIZER))
        stems = terms.stems
        single = {stem for stem in stems if len(stem) == 1 and is_unspaced(stem)}
        ends = {stem[-1] for stem in stems if len(stem) > 1}  # ends of runs, which the query has only in a pair
        self._beginnings = (*(single - ends), *terms.beginnings)
        self._stems = stems - single

    def spans(self, text: str) -> Spans:
        """Return the start and end, in characters, of each word in `text` that the query has.

        Spans are ascending and do not overlap.
        """
        pieces = stretches(text)
        if len(pieces) == 1 and text.isascii():  # nothing to translate: most texts
            return tuple((token.start, token.end) for token in self._tokens(text.encode()))
        found: list[tuple[int, int]] = []
        place, begin = 0, 0  # the number of a piece, and where it begins in the tokenised text
        for token in self._in_characters(" ".join(piece.words for piece in pieces)):
            while token.start > begin + len(pieces[place].words):
                begin += len(pieces[place].words) + 1
                place += 1
            piece = pieces[place]
            if piece.is_plain:
                found.append((piece.start + token.start - begin, piece.start + token.end - begin))
            else:
                found.append((piece.start, piece.start + (piece.length if token.stem in self._stems else 1)))
        return _united(found)

    def _tokens(self, text: bytes) -> list[_Token]:
        """Return the words of `text` that the query has, with their places in bytes."""
        stems, beginnings = self._stems, self._beginnings
        return [
            _Token(start, end, stem)
            for start, end, stem in cast(_Found, self._tokenizer(text, DOCUMENT, None, include_colocated=False))
            if stem in stems or (beginnings and stem.startswith(beginnings))
        ]

    def _in_characters(self, text: str) -> Iterator[_Token]:
        data, last, characters = text.encode(), 0, 0
        if len(data) == len(text):
            yield from self._tokens(data)
            return
        for start, end, stem in self._tokens(data):
            characters += len(data[last:start].decode())
            last = start
            yield _Token(characters, characters + len(data[start:end].decode()), stem)


def _united(spans: list[tuple[int, int]]) -> Spans:
    """Join spans that overlap, as pairs of characters do."""
    united: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if united and start < united[-1][1]:
            united[-1] = united[-1][0], max(end, united[-1][1])
        else:
            united.append((start, end))
    return tuple(united)
