"""Full text: which passages hold which words of the query, and how rare those words are.

A passage scores the sum of the inverse document frequencies of the words it holds. On short texts that finds more
than BM25, whose counts and lengths mislead (LoCoMo, fraction recall@10: 64.6 against 63.0; docs/search.md), and it
asks the index for row numbers only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from memcrdt.search.arrays import are_allowed, integers
from memcrdt.search.passages import PER_MEMORY
from memcrdt.search.scores import PassageScores
from memcrdt.search.words import STOP_WORDS, TOKENIZER, is_unspaced, searchable
from memcrdt.store.indexer import Connection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TERMS = 64  # of a query: the rarest
ROWS = 20_000  # rows read for candidates: about 2 ms; words that are more common than that only score them

_MATCHES = "SELECT group_concat(rowid) FROM fulltext WHERE fulltext MATCH ?"
_COUNT = "SELECT coalesce((SELECT doc FROM vocabulary WHERE term = ?), 0)"
_COUNT_PREFIX = "SELECT coalesce(sum(doc), 0) FROM vocabulary WHERE term >= ? AND term < ?"
_LAST = "\U0010ffff"
_DOCUMENT = 4  # FTS5_TOKENIZE_DOCUMENT: words as they are stored


class Term(NamedTuple):
    """A word of the query: how FTS5 is asked for it, in how many passages it is, and what that is worth."""

    match: str
    passages: int
    idf: float


@dataclass(frozen=True, slots=True)
class Lexical:
    """What full text found. `total` is the idf of all the query's words, those that are in no passage too."""

    scores: PassageScores  # sums of idf of the allowed passages that hold a word
    words: list[tuple[float, NDArray[np.int64]]]  # for each word its idf and the memories that hold it, ascending
    total: float


def find(db: Connection, query: str, allowed: NDArray[np.bool_] | None) -> Lexical:
    """What full text finds for `query`, whatever it consists of. `allowed` is by memory number."""
    import numpy as np

    terms = query_terms(db, query)
    known = [term for term in terms if term.passages]
    numbers, scores = np.empty(0, np.int64), np.empty(0)
    holders: list[tuple[float, NDArray[np.int64]]] = []
    budget = ROWS
    for asked, term in enumerate(known):
        if asked and term.passages > budget:
            rare = " OR ".join(term.match for term in known[:asked])
            held = [(other.idf, _rows(db, f"{other.match} AND ({rare})")) for other in known[asked:]]
            for idf, rows in held:
                scores[np.searchsorted(numbers, _allowed(rows, allowed))] += idf
            holders += [(idf, _memories(rows)) for idf, rows in held]
            break
        rows = _rows(db, term.match)
        numbers, scores = _add(numbers, scores, _allowed(rows, allowed), term.idf)
        holders.append((term.idf, _memories(rows)))
        budget -= term.passages
    return Lexical(PassageScores(numbers, scores), holders, sum(term.idf for term in terms))


def query_terms(db: Connection, query: str) -> list[Term]:
    """The words of the query, rarest first; stop words only when there is nothing else."""
    passages = int(db.execute("SELECT passages FROM indexed").get)
    words = _words(db, query)
    wanted = {word: stem for word, stem in words.items() if word not in STOP_WORDS} or words
    terms = [_term(db, word, stem, passages) for word, stem in list(wanted.items())[: 4 * TERMS]]
    return sorted(terms, key=lambda term: (term.passages, term.match))[:TERMS]


def _words(db: Connection, query: str) -> dict[str, str]:
    """The stem of each word of the query, in its order; one word for each stem."""
    text = searchable(query).encode()
    words, stems = _tokens(db, text, *TOKENIZER), _tokens(db, text, "porter", *TOKENIZER)
    by_stem = {stem: word for word, stem in zip(reversed(words), reversed(stems), strict=True)}
    return {word: stem for stem, word in reversed(by_stem.items())}


def _tokens(db: Connection, text: bytes, tokenizer: str, *arguments: str) -> list[str]:
    made = db.fts5_tokenizer(tokenizer, list(arguments))
    return [str(token) for token in made(text, _DOCUMENT, None, include_offsets=False, include_colocated=False)]


def _term(db: Connection, word: str, stem: str, passages: int) -> Term:
    if len(word) == 1 and is_unspaced(word):
        count = int(db.execute(_COUNT_PREFIX, (word, word + _LAST)).get)
        return Term(f'"{word}" *', count, _idf(count, passages))
    count = int(db.execute(_COUNT, (stem,)).get)
    return Term(f'"{word}"', count, _idf(count, passages))


def _idf(count: int, passages: int) -> float:
    return math.log(1 + (max(passages - count, 0) + 0.5) / (count + 0.5))


def _rows(db: Connection, match: str) -> NDArray[np.int64]:
    return integers(db.execute(_MATCHES, (match,)).get)


def _allowed(rows: NDArray[np.int64], allowed: NDArray[np.bool_] | None) -> NDArray[np.int64]:
    return rows if allowed is None else rows[are_allowed(rows // PER_MEMORY, allowed)]


def _memories(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    import numpy as np

    memories = rows // PER_MEMORY
    return memories[np.diff(memories, prepend=-1) > 0]


def _add(
    numbers: NDArray[np.int64], scores: NDArray[np.float64], found: NDArray[np.int64], idf: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The union of two ascending columns, with the sums of their scores."""
    import numpy as np

    united = np.union1d(numbers, found)
    sums = np.zeros(len(united))
    sums[np.searchsorted(united, numbers)] = scores
    sums[np.searchsorted(united, found)] += idf
    return united, sums
