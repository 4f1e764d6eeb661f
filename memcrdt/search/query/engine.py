"""The search: rank candidates from full text and vectors, rerank them as requested, and explain the ranks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from memcrdt.model.filters import CheckedFilters
from memcrdt.model.values import Vector
from memcrdt.search.arrays import are_allowed
from memcrdt.search.embedders.calibration import calibrated
from memcrdt.search.index import passages
from memcrdt.search.index.index import SearchIndex
from memcrdt.search.query import lexical, ranking, rerank, vectors
from memcrdt.search.query.candidates import COSINE_WEIGHT, Cosines, Pool, choose_seeds, make_pool
from memcrdt.search.query.dates import find_time_mention
from memcrdt.search.query.lexical import WordMatches
from memcrdt.search.query.vectors import QueryVector
from memcrdt.search.words import word_set
from memcrdt.store.indexer import SqlConnection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VARIETY: Final = 90  # memories after the limit that `fold` and `diversity` may bring forward

_TEXT = "SELECT text FROM memories WHERE memory = ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """The options of a search.

    Attributes:
        now: The time of the search, in ms.
        limit: Maximum number of results.
        min_score: Leave out results with a lower score, from 0 to 1.
        explain: Return the parts of each result's rank.
        diversity: From 0 to 1: prefer results that differ.
        fold: Leave out results that repeat a better one.
        recency: From 0 to 1: put the newer of two memories about the same subject first.
        importance: From 0 to 1: prefer important memories.
        like: The number of a memory whose vectors replace the vector of the query.
        vector: The vector of the query, if the caller has it.
    """

    now: int
    limit: int = 10
    min_score: float | None = None
    explain: bool = False
    diversity: float = 0.0
    fold: bool = False
    recency: float = 0.0
    importance: float = 0.0
    like: int | None = None
    vector: Vector | None = None


@dataclass(frozen=True, slots=True)
class ScoredMemory:
    """A found memory, by its local number.

    Attributes:
        passage: The part of a long text that matched best; None for a short text.
        parts: What each part of the ranking adds, if `explain` was set.
    """

    memory: int
    score: float
    passage: str | None = None
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Search:
    """One search: the question, and its sources of scores."""

    db: SqlConnection
    options: SearchOptions
    words: WordMatches
    cosines: Cosines


def _query_vector(db: SqlConnection, index: SearchIndex, query: str, options: SearchOptions) -> QueryVector | None:
    if options.vector is not None:
        return vectors.of_numbers(db, index, options.vector)
    return vectors.of_text(db, index, query) if options.like is None else vectors.of_memory(db, index, options.like)


def search(
    db: SqlConnection, index: SearchIndex, query: str, filters: CheckedFilters, options: SearchOptions
) -> list[ScoredMemory]:
    """Return the best memories for `query` that pass `filters`, best first; equally good ones by ID."""
    import numpy as np

    allowed = index.filter_masks.allowed(db, filters, options.now)
    words = lexical.find(db, query, allowed)
    vector = _query_vector(db, index, query, options)
    asked = _Search(db, options, words, Cosines(db, index, vector, allowed))
    least = 2 * options.limit + (VARIETY if options.fold or options.diversity else 0)
    pool = make_pool(db, choose_seeds(db, words, asked.cosines, least), asked.cosines)
    if not pool.candidates:
        return []
    parts = ranking.score(query, find_time_mention(query, options.now), words, pool)
    scores = _shown_scores(asked, pool)
    shown = scores >= (options.min_score or 0.0)
    if allowed is not None:
        shown &= are_allowed(pool.memories, allowed)
    places = np.flatnonzero(shown)
    _boost(asked, pool, places, parts)
    total = _total(parts)
    chosen = _chosen(asked, pool, _ranked(places, total, pool), total)
    return [_result(asked, pool, place, float(scores[place]), parts) for place in chosen]


def _total(parts: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the sums of the parts, rounded: the last bits depend on the machine, and replicas should agree."""
    import numpy as np

    total: NDArray[np.float64] = np.round(np.sum(list(parts.values()), axis=0), 5)
    return total


def _ranked(places: NDArray[np.intp], total: NDArray[np.float64], pool: Pool) -> list[int]:
    return sorted(places.tolist(), key=lambda place: (-total[place], pool.candidates[place].id))


def _shown_scores(asked: _Search, pool: Pool) -> NDArray[np.float64]:
    shares, vector = asked.words.shares(pool.memories), asked.cosines.vector
    return calibrated(None, shares) if vector is None else calibrated(pool.cosines, shares, vector.unrelated)


def _boost(asked: _Search, pool: Pool, places: NDArray[np.intp], parts: dict[str, NDArray[np.float64]]) -> None:
    """Add the requested boosts to the parts of the memories that may be shown."""
    import numpy as np

    options, candidates = asked.options, pool.candidates
    if options.importance:
        given = np.array([candidates[place].importance for place in places])
        part = parts["importance"] = np.zeros(len(candidates))
        part[places] = rerank.importance_boost(_total(parts)[places], given, options.importance)
    if options.recency:
        total = _total(parts)
        first = np.array(_ranked(places, total, pool)[: rerank.RECENCY_DEPTH], np.intp)
        at = np.array([candidates[place].at for place in first], np.int64)
        part = parts["recency"] = np.zeros(len(candidates))
        part[first] = rerank.recency_boost(total[first], at, _likeness(asked, pool, first), options.recency)


def _likeness(asked: _Search, pool: Pool, places: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return how alike the memories at these places are, [n, n], from 0 to 1.

    Vectors decide, or words if there are no vectors.
    """
    import numpy as np

    query = asked.cosines.vector
    if query is None:
        words = [word_set(pool.candidates[place].start) for place in places]
        return np.array([[rerank.jaccard(one, other) for other in words] for one in words])
    none = np.zeros_like(query.vector)
    found = [vectors.mean_direction(asked.db, memory, query.model) for memory in pool.memories[places].tolist()]
    rows = np.array([none if vector is None else vector for vector in found])
    cosines = (rows @ rows.T).astype(np.float64)
    alike: NDArray[np.float64] = np.round((cosines - query.unrelated) / (1 - query.unrelated), 5)
    return alike


def _chosen(asked: _Search, pool: Pool, ranked: list[int], total: NDArray[np.float64]) -> list[int]:
    """Return the places to show, chosen from the places in the order of rank."""
    options = asked.options
    if not (options.fold or options.diversity):
        return ranked[: options.limit]
    considered = ranked[: options.limit + VARIETY]
    if options.fold:
        texts = [_text(asked.db, int(pool.memories[place])) for place in considered]
        considered = [considered[place] for place in rerank.without_duplicates(texts)]
    words = [word_set(pool.candidates[place].start) for place in considered]
    chosen = rerank.diversify(
        [float(total[place]) for place in considered],
        lambda one, other: rerank.jaccard(words[one], words[other]),
        options.diversity,
        options.limit,
    )
    return [considered[place] for place in chosen]


def _result(
    asked: _Search, pool: Pool, place: int, score: float, parts: Mapping[str, NDArray[np.float64]]
) -> ScoredMemory:
    memory = int(pool.memories[place])
    explained = {name: round(float(part[place]), 4) for name, part in parts.items()} if asked.options.explain else {}
    return ScoredMemory(memory, score, _best_passage(asked, memory) if pool.candidates[place].long else None, explained)


def _best_passage(asked: _Search, memory: int) -> str | None:
    """Return the window of a long memory that fits the query best; None for a short memory."""
    windows = passages.split(_text(asked.db, memory))
    if len(windows) == 1:
        return None
    numbers = [passages.number(memory, n) for n in range(len(windows))]
    fits = [asked.words.share_at(passage) + COSINE_WEIGHT * asked.cosines.at(passage) for passage in numbers]
    return windows[fits.index(max(fits))]


def _text(db: SqlConnection, memory: int) -> str:
    return str(db.execute(_TEXT, (memory,)).get or "")
