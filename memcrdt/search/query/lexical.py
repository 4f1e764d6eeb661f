"""Full text: which passages contain which words of the query, and how rare those words are.

The score of a passage is the sum of the inverse document frequencies (idf) of the words that it contains. On short
texts this sum finds more than BM25, which word counts and text lengths mislead (LoCoMo, fraction recall@10: 64.6
against 63.0; docs/search.md), and it needs only row numbers from the index.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from memcrdt.model.normalization import nfc
from memcrdt.search.arrays import are_allowed, parse_integers
from memcrdt.search.folding import fold, spelled_out
from memcrdt.search.index.passages import PER_MEMORY
from memcrdt.search.query.scores import PassageScores
from memcrdt.search.words import STOP_WORDS, TOKENIZER, compounds, is_unspaced, searchable
from memcrdt.store.indexer import SqlConnection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TERMS: Final = 64  # words of a query that count: the rarest
ROWS: Final = 20_000  # rows read for candidates: about 2 ms; more common words only score these candidates

PASSAGES: Final = "SELECT group_concat(rowid) FROM fulltext WHERE fulltext MATCH ?"
_COUNT = "SELECT coalesce((SELECT doc FROM vocabulary WHERE term = ?), 0)"
_COUNT_PREFIX = "SELECT coalesce(sum(doc), 0) FROM vocabulary WHERE term >= ? AND term < ?"
_LAST = "\U0010ffff"
_DOCUMENT = 4  # FTS5_TOKENIZE_DOCUMENT: words as they are stored


class QueryTerm(NamedTuple):
    """A word of the query: its FTS5 expression, the number of passages that contain it, and its idf."""

    match: str
    passages: int
    idf: float


@dataclass(frozen=True, slots=True)
class WordMatches:
    """The matches in the full-text index.

    Attributes:
        scores: The sum of idf of each allowed passage that contains a word.
        words: The idf of each word and the memories that contain it, ascending.
        total: The idf of all words of the query, including words that no passage contains.
    """

    scores: PassageScores
    words: list[tuple[float, NDArray[np.int64]]]
    total: float

    def shares(self, memories: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the share of the query's idf in each memory's best passage, from 0 to 1."""
        return self.scores.of(memories) / (self.total or 1.0)

    def share_at(self, passage: int) -> float:
        """Return the share of the query's idf in one passage, from 0 to 1."""
        return self.scores.at(passage) / (self.total or 1.0)


def find(db: SqlConnection, query: str, allowed: NDArray[np.bool_] | None) -> WordMatches:
    """Look up the words of `query`; any text is a valid query. `allowed` is by memory number."""
    terms = query_terms(db, query)
    known = [term for term in terms if term.passages]
    rows = [_rows(db, match) for match in matches(known)]
    shown = [_allowed(found, allowed) for found in rows]
    idfs = [term.idf for term in known]
    scores = PassageScores(*_summed(shown, idfs))
    holders = [(idf, _memories(found)) for idf, found in zip(idfs, rows, strict=True)]
    return WordMatches(scores, holders, sum(term.idf for term in terms))


def matches(known: list[QueryTerm]) -> list[str]:
    """Return the FTS5 expression to read each word with. For common words, it asks only for passages with a rarer word.

    Args:
        known: The words that some passage contains, rarest first.
    """
    budget = ROWS
    for asked, term in enumerate(known):
        if asked and term.passages > budget:
            rare = " OR ".join(other.match for other in known[:asked])
            return [other.match if at < asked else f"{other.match} AND ({rare})" for at, other in enumerate(known)]
        budget -= term.passages
    return [term.match for term in known]


def query_terms(db: SqlConnection, query: str) -> list[QueryTerm]:
    """Return the words of the query, rarest first. Stop words are included only if the query has no other words."""
    passages = int(db.execute("SELECT passages FROM indexed").get)
    words = list(query_words(db, query).items())[: 4 * TERMS]
    terms = {word: _term(db, word, stem, passages) for word, stem in words}
    for word in _other_spellings(query, terms):
        terms.pop(word, None)
    return sorted(terms.values(), key=lambda term: (term.passages, term.match))[:TERMS]


def _other_spellings(query: str, terms: Mapping[str, QueryTerm]) -> Iterator[str]:
    """Yield the words that would count twice: the parts of a name that the index knows, or a name that it does not."""
    for compound in compounds(spelled_out(fold(nfc(query)))):
        whole = compound.whole.lower()
        if whole not in terms or not terms[whole].passages:
            yield whole
        elif compound.is_one:
            yield from (part.lower() for part in compound.parts)


def query_words(db: SqlConnection, query: str) -> dict[str, str]:
    """Return the stem of each word of the query that counts, by word."""
    words = _words(db, query)
    return {word: stem for word, stem in words.items() if word not in STOP_WORDS} or words


def tokens_with_offsets(db: SqlConnection, text: bytes) -> list[tuple[int, int, str]]:
    """Return the start byte, the end byte and the stem of each word of `text`, as words.stretches() writes it."""
    made = db.fts5_tokenizer("porter", list(TOKENIZER))
    return cast("list[tuple[int, int, str]]", made(text, _DOCUMENT, None, include_colocated=False))


def _words(db: SqlConnection, query: str) -> dict[str, str]:
    """Return the stem by word, in the order of the query; one word for each stem."""
    text = searchable(query).encode()
    words, stems = _tokens(db, text, *TOKENIZER), _tokens(db, text, "porter", *TOKENIZER)
    by_stem = {stem: word for word, stem in zip(reversed(words), reversed(stems), strict=True)}
    return {word: stem for stem, word in reversed(by_stem.items())}


def _tokens(db: SqlConnection, text: bytes, tokenizer: str, *arguments: str) -> list[str]:
    made = db.fts5_tokenizer(tokenizer, list(arguments))
    return [str(token) for token in made(text, _DOCUMENT, None, include_offsets=False, include_colocated=False)]


def _term(db: SqlConnection, word: str, stem: str, passages: int) -> QueryTerm:
    if len(word) == 1 and is_unspaced(word):
        count = int(db.execute(_COUNT_PREFIX, (word, word + _LAST)).get)
        return QueryTerm(f'"{word}" *', count, _idf(count, passages))
    count = int(db.execute(_COUNT, (stem,)).get)
    return QueryTerm(f'"{word}"', count, _idf(count, passages))


def _idf(count: int, passages: int) -> float:
    return math.log(1 + (max(passages - count, 0) + 0.5) / (count + 0.5))


def _rows(db: SqlConnection, match: str) -> NDArray[np.int64]:
    return parse_integers(db.execute(PASSAGES, (match,)).get)


def _allowed(rows: NDArray[np.int64], allowed: NDArray[np.bool_] | None) -> NDArray[np.int64]:
    return rows if allowed is None else rows[are_allowed(rows // PER_MEMORY, allowed)]


def _memories(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    import numpy as np

    memories = rows // PER_MEMORY
    return memories[np.diff(memories, prepend=-1) > 0]


def _summed(rows: list[NDArray[np.int64]], idfs: list[float]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the union of ascending columns, and for each row the sum of the idfs of the columns that contain it."""
    import numpy as np

    if not rows:
        return np.empty(0, np.int64), np.empty(0)
    every = np.concatenate(rows)
    order = np.argsort(every, kind="stable")  # fast: each column is a sorted run
    every, values = every[order], np.repeat(idfs, [len(found) for found in rows])[order]
    starts = np.flatnonzero(np.diff(every, prepend=-1))
    return every[starts], np.add.reduceat(values, starts) if len(starts) else values
