"""Full text: which passages contain which words of the query, and how rare those words are.

The score of a passage is the sum of the inverse document frequencies (idf) of the words that it contains. On short
texts this sum finds more than BM25, which word counts and text lengths mislead (LoCoMo, fraction recall@10: 64.6
against 63.0; docs/benchmarks/ranking.md), and it needs only row numbers from the index.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memcrdt.search.arrays import are_allowed, parse_integers, run_starts
from memcrdt.search.index.passages import PER_MEMORY
from memcrdt.search.query.scores import PassageScores
from memcrdt.search.query.terms import QueryTerm, QueryTerms
from memcrdt.store.sql import SqlConnection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class WordMatches:
    """The matches in the full-text index.

    Attributes:
        scores: The sum of idf of each allowed passage that contains a word.
        identifiers: The sum of idf of each allowed passage that contains a whole identifier.
        names: The same for names of code, as a share of what they would count if one passage alone had all of them.
        words: The idf of each word and the memories that contain it, ascending.
        total: The idf of all words of the query, including words that no passage contains.
    """

    scores: PassageScores
    identifiers: PassageScores
    names: PassageScores
    words: list[tuple[float, NDArray[np.int64]]]
    total: float

    def shares(self, memories: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the share of the query's idf in each memory's best passage, from 0 to 1."""
        return self.scores.of(memories) / (self.total or 1.0)

    def identifier_shares(self, memories: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the share of the query's idf in whole identifiers of each memory's best passage, from 0 to 1.

        No sentence has a name of code by chance, so such names count without the other words of the query, but less if
        many passages have them.
        """
        import numpy as np

        return np.maximum(self.identifiers.of(memories) / (self.total or 1.0), self.names.of(memories))

    def share_at(self, passage: int) -> float:
        """Return the share of the query's idf in one passage, from 0 to 1."""
        return self.scores.at(passage) / (self.total or 1.0)


def find(terms: QueryTerms, allowed: NDArray[np.bool_] | None) -> WordMatches:
    """Return the matches of the terms of a query. `allowed` is by memory number."""
    found = {match: parse_integers(rows) for match, rows in terms.rows.items()}
    matched = [(term, _rows(term, found)) for term in terms.terms if term.match in found]
    shown = [(term, _allowed(rows, allowed)) for term, rows in matched]
    identifiers = [(term, rows) for term, rows in shown if term.is_identifier]
    names = _summed([(term, rows) for term, rows in shown if term.is_of_code])
    names = PassageScores(names.passages, names.scores / (terms.rarest * sum(term.is_of_code for term in terms.terms)))
    words = [(term.weight, _memories(rows)) for term, rows in matched]
    return WordMatches(_summed(shown), _summed(identifiers), names, words, terms.total)


def narrowed(db: SqlConnection, terms: QueryTerms, allowed: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    """Return which memories may be found, by number: without excluded words, and with the phrases of an exact query.

    If no allowed memory has the phrases, their words are searched.
    """
    import numpy as np

    if not terms.excluded and terms.required is None:
        return allowed
    size = int(db.execute("SELECT coalesce(max(memory), 0) FROM memories").get) + 1
    mask = np.ones(size, np.bool_) if allowed is None else allowed.copy()
    for rows in terms.excluded:
        memories = parse_integers(rows) // PER_MEMORY
        mask[memories[memories < len(mask)]] = False
    if terms.required is None:
        return mask
    required = np.array([memory for memory in terms.required if memory < len(mask) and mask[memory]], np.int64)
    if not len(required):
        return mask
    only = np.zeros(len(mask), np.bool_)
    only[required] = True
    return only


def _rows(term: QueryTerm, found: Mapping[str, NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return the passages of a term; for a part of a compound, those that do not have the whole."""
    import numpy as np

    rows = found[term.match]
    if term.whole is None or term.whole not in found:
        return rows
    return rows[~np.isin(rows, found[term.whole], assume_unique=True, kind="sort")]


def _allowed(rows: NDArray[np.int64], allowed: NDArray[np.bool_] | None) -> NDArray[np.int64]:
    return rows if allowed is None else rows[are_allowed(rows // PER_MEMORY, allowed)]


def _memories(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    memories = rows // PER_MEMORY
    return memories[run_starts(memories)]


def _summed(matched: list[tuple[QueryTerm, NDArray[np.int64]]]) -> PassageScores:
    """Return the sum of the weights of the terms that each passage has. The passages of each term are ascending."""
    import numpy as np

    if not matched:
        return PassageScores(np.empty(0, np.int64), np.empty(0))
    every = np.concatenate([rows for _, rows in matched])
    order = every.argsort(kind="stable")  # fast: the passages of each term are a sorted run
    every, values = every[order], np.repeat([term.weight for term, _ in matched], [len(r) for _, r in matched])[order]
    starts = run_starts(every)
    return PassageScores(every[starts], np.add.reduceat(values, starts) if len(starts) else values)
