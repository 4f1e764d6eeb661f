"""Highlights: the places of a query's words in a text.

Words are compared as in the full-text index: folded, stemmed, and as pairs of characters in scripts without spaces.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from memcrdt.search.query import lexical
from memcrdt.search.words import is_unspaced, stretches
from memcrdt.store.indexer import SqlConnection

Spans: TypeAlias = "tuple[tuple[int, int], ...]"


class _Token(NamedTuple):
    """The stem of a word, and its place in the tokenised text, in characters."""

    start: int
    end: int
    stem: str


class Highlighter:
    """Finds the words of one query in texts."""

    def __init__(self, db: SqlConnection, query: str) -> None:
        self._db = db
        stems = frozenset(lexical.query_words(db, query).values())
        single = {stem for stem in stems if len(stem) == 1 and is_unspaced(stem)}
        ends = {stem[-1] for stem in stems if len(stem) > 1}  # ends of runs, which the query has only in a pair
        self._characters = single - ends
        self._stems = stems - single

    def spans(self, text: str) -> Spans:
        """Return the start and end, in characters, of each word in `text` that the query has.

        Spans are ascending and do not overlap.
        """
        pieces = stretches(text)
        found: list[tuple[int, int]] = []
        place, begin = 0, 0  # the number of a piece, and where it begins in the tokenised text
        for token in self._tokens(" ".join(piece.words for piece in pieces)):
            while token.start > begin + len(pieces[place].words):
                begin += len(pieces[place].words) + 1
                place += 1
            piece = pieces[place]
            if piece.is_plain:
                found.append((piece.start + token.start - begin, piece.start + token.end - begin))
            else:
                found.append((piece.start, piece.start + (piece.length if token.stem in self._stems else 1)))
        return _united(found)

    def _tokens(self, text: str) -> Iterator[_Token]:
        """Yield the words of `text` that the query has."""
        data = text.encode()
        last, characters = 0, 0
        for start, end, stem in lexical.tokens_with_offsets(self._db, data):
            if stem in self._stems or stem[:1] in self._characters:  # the stem of a lone combining mark is empty
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
