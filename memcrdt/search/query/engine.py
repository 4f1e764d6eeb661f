"""The search: rank candidates from full text and vectors, rerank them as requested, and explain the ranks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

from memcrdt.model.filters import CheckedFilters
from memcrdt.model.values import Vector
from memcrdt.search.arrays import are_allowed
from memcrdt.search.embedders.calibration import Evidence, calibrated
from memcrdt.search.embedders.reranker import DEPTH, Reranker
from memcrdt.search.index import passages, registry
from memcrdt.search.index.index import SearchIndex
from memcrdt.search.query import lexical, ranking, rerank, vectors
from memcrdt.search.query.candidates import COSINE_WEIGHT, START_CHARS, Cosines, Pool, choose_seeds, make_pool
from memcrdt.search.query.dates import find_time_mention
from memcrdt.search.query.lexical import WordMatches
from memcrdt.search.query.terms import QueryTerms
from memcrdt.search.query.vectors import AwaitedVector, QueryVector
from memcrdt.search.words import word_set
from memcrdt.store.sql import SqlConnection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LOGIT_WEIGHT: Final = 0.1  # of the reranker's logit in the sum: see docs/benchmarks/reranking.md
_ABOVE: Final = 0.00001
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
        rerank_ms: Let the reranker score the best results for this long, in ms; 0 for not at all.
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
    rerank_ms: int = 0

    @property
    def embeds_query(self) -> bool:
        """Whether the text of the query is embedded."""
        return self.vector is None and self.like is None


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
    query: str
    options: SearchOptions
    words: WordMatches
    cosines: Cosines


def _query_vectors(
    db: SqlConnection, index: SearchIndex, query: str, options: SearchOptions, begun: AwaitedVector | None
) -> tuple[QueryVector | None, QueryVector | None]:
    """Return the vectors of the query for the current and the second model."""
    if options.embeds_query:
        begun = begun or vectors.of_text_second(db, index, query)
        return vectors.of_text(db, index, query), begun()
    if options.vector is not None:
        return vectors.of_numbers(db, index, options.vector), None
    assert options.like is not None
    models = registry.in_use(db)
    second = models.second if index.embedders.second else None
    return (
        vectors.of_memory(db, index, options.like, models.current),
        vectors.of_memory(db, index, options.like, second),
    )


def search(
    db: SqlConnection,
    index: SearchIndex,
    terms: QueryTerms,
    filters: CheckedFilters,
    options: SearchOptions,
    *,
    second: AwaitedVector | None = None,
) -> list[ScoredMemory]:
    """Return the best memories for a query, best first; equally good ones by ID.

    Args:
        db: A connection of the store.
        index: The index.
        terms: The terms of the query.
        filters: What the memories have to pass.
        options: As the caller of the search gave them.
        second: The query for the second model, if vectors.of_text_second() was called for it before.
    """
    import numpy as np

    allowed = lexical.narrowed(db, terms, index.filter_masks.allowed(db, filters, options.now))
    words = lexical.find(terms, allowed)
    query_vectors = _query_vectors(db, index, terms.text, options, second)
    asked = _Search(db, terms.text, options, words, Cosines(db, index, *query_vectors, allowed))
    least = 2 * options.limit + (VARIETY if options.fold or options.diversity else 0)
    pool = make_pool(db, choose_seeds(db, words, asked.cosines, least), asked.cosines)
    if not pool.candidates:
        return []
    parts = ranking.score(terms.text, find_time_mention(terms.text, options.now), words, pool)
    places = np.arange(len(pool.memories)) if allowed is None else np.flatnonzero(are_allowed(pool.memories, allowed))
    _boost(asked, pool, places, parts)
    logits = None
    if options.rerank_ms and index.reranker is not None:
        ranked = _ranked(places, _total(parts), pool)
        logits = _logits(asked, index.reranker, pool, ranked)
        parts["reranker"] = _reranked(ranked, logits, _total(parts))
    scores = _shown_scores(asked, pool, parts, logits)
    total = _total(parts)
    chosen = _chosen(asked, pool, _ranked(places[scores[places] >= (options.min_score or 0.0)], total, pool), total)
    return [_result(asked, pool, place, float(scores[place]), parts) for place in chosen]


def _total(parts: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the sums of the parts, rounded: the last bits depend on the machine, and replicas should agree."""
    import numpy as np

    total: NDArray[np.float64] = np.round(np.sum(list(parts.values()), axis=0), 5)
    return total


def _ranked(places: NDArray[np.intp], total: NDArray[np.float64], pool: Pool) -> list[int]:
    ids = [pool.candidates[place].id for place in places]
    keys = sorted(zip((-total[places]).tolist(), ids, places.tolist(), strict=True))
    return [place for _, _, place in keys]


def _shown_scores(
    asked: _Search, pool: Pool, parts: Mapping[str, NDArray[np.float64]], logits: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Return the score of each memory. Turns count as such for a question, and with vectors, as in the calibration."""
    import numpy as np

    shares, vector = asked.words.shares(pool.memories), asked.cosines.vector
    if vector is None:
        return calibrated(Evidence(shares, logits=logits))
    is_turn = [candidate.space is not None for candidate in pool.candidates]
    signs = None
    if asked.options.like is None and any(is_turn):
        signs = np.where(is_turn, np.sum([parts[name] for name in ranking.SIGNS], axis=0), np.nan)
    return calibrated(Evidence(shares, pool.cosines, vector.unrelated, signs, logits))


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


def _logits(asked: _Search, reranker: Reranker, pool: Pool, ranked: list[int]) -> NDArray[np.float64]:
    """Let the reranker read the best memories, and return its logits, [n]; NaN for a memory not read in time."""
    import numpy as np

    best = ranked[:DEPTH]
    texts = [_best_passage(asked, memory) or _text(asked.db, memory) for memory in pool.memories[best].tolist()]
    found = reranker.scores(asked.query, texts, asked.options.rerank_ms)
    logits = np.full(len(pool.memories), np.nan)
    logits[best[: len(found)]] = found
    return logits


def _reranked(ranked: list[int], logits: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what the reranker adds to each sum. A memory that it has not read keeps its rank.

    For that, the memories that it has read, which were the best before, all stay above the others.
    """
    import numpy as np

    part = np.nan_to_num(np.round(LOGIT_WEIGHT * logits, 5))
    read = ~np.isnan(logits)
    others = [place for place in ranked if not read[place]]
    if read.any() and others:
        part[read] += max(0.0, total[others[0]] - (total + part)[read].min() + _ABOVE)
    return part


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
        different = rerank.without_duplicates(considered, lambda place: _text(asked.db, int(pool.memories[place])))
        considered = list(different if options.diversity else islice(different, options.limit))
    if not options.diversity:
        return considered
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
    return ScoredMemory(
        memory, score, _best_passage(asked, memory) if pool.candidates[place].chars > START_CHARS else None, explained
    )


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
