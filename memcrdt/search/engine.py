"""The search itself: candidates from full text and vectors, their fusion, and the score that is shown."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from memcrdt.model.filters import Filters
from memcrdt.search import lexical, semantic
from memcrdt.search.arrays import integers, json_list
from memcrdt.search.index import SearchIndex
from memcrdt.search.lexical import Lexical
from memcrdt.search.passages import PER_MEMORY, split
from memcrdt.search.semantic import Query
from memcrdt.store.filtering import Where, hidden, where
from memcrdt.store.indexer import Connection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CANDIDATES = 300  # passages taken from full text
SEMANTIC_WEIGHT = 0.5

_NEWEST = """
SELECT group_concat(passage) FROM
  (SELECT j.value AS passage FROM json_each(?) j JOIN memories m ON m.memory = j.value / ?
   ORDER BY m.created_at DESC, m.id, j.value LIMIT ?)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How much is wanted. `now` in ms; `min_score` between 0 and 1; `diversity` from 0 to 1."""

    now: int
    limit: int = 10
    min_score: float | None = None
    explain: bool = False
    diversity: float = 0.0
    fold: bool = False


@dataclass(frozen=True, slots=True)
class Scored:
    """A memory, by its local number; `passage` is what of a long one matched; `parts` only with `explain`."""

    memory: int
    score: float
    passage: str | None = None
    parts: Mapping[str, float] = field(default_factory=dict)


def search(db: Connection, index: SearchIndex, query: str, filters: Filters, options: Options) -> list[Scored]:
    """The best memories for `query` among those that `filters` let through, best first; equal ones by ID."""
    allowed = _allowed(db, filters, options.now)
    words = lexical.find(db, query, allowed)
    found = _candidates(db, words, _query_vector(db, index, query), index, allowed)
    top = max((candidate.lexical for candidate in found), default=0.0) or 1.0
    for candidate in found:
        candidate.total = round(candidate.lexical / top + SEMANTIC_WEIGHT * candidate.cosine, 6)
        candidate.score = round(calibrated(candidate.cosine, candidate.lexical / (words.total or 1.0)), 4)
    best = _best_passages(found)
    texts = _texts(db, [candidate.memory for candidate in best])
    best = sorted((c for c in best if c.memory in texts), key=lambda c: (-c.total, texts[c.memory][0]))
    wanted = [c for c in best if options.min_score is None or c.score >= options.min_score]
    return [_scored(candidate, texts[candidate.memory][1], options) for candidate in wanted[: options.limit]]


def calibrated(cosine: float, share: float) -> float:
    """How sure it is that a memory is meant, from 0 to 1: of its cosine and its share of the query's idf."""
    return 1 / (1 + math.exp(4.0 - 6.0 * cosine - 3.0 * share))


@dataclass(slots=True)
class _Candidate:
    memory: int
    window: int
    lexical: float
    cosine: float
    total: float = 0.0
    score: float = 0.0


def _allowed(db: Connection, filters: Filters, now: int) -> NDArray[np.bool_] | None:
    """Which memories may be found, by number; None when all may."""
    import numpy as np

    if filters.narrows() or filters.as_of is not None:
        found = _numbers(db, where(filters, now))
        allowed = np.zeros(int(found.max(initial=0)) + 1, np.bool_)
        allowed[found] = True
        return allowed
    excluded = [numbers for condition in hidden(filters, now) if len(numbers := _numbers(db, condition))]
    if not excluded:
        return None
    allowed = np.ones(int(db.execute("SELECT max(memory) FROM memories").get) + 1, np.bool_)
    for numbers in excluded:
        allowed[numbers] = False
    return allowed


def _numbers(db: Connection, condition: Where) -> NDArray[np.int64]:
    sql = f"SELECT group_concat(m.memory) FROM memories m WHERE {condition.sql}"
    return integers(db.execute(sql, condition.bindings).get)


def _query_vector(db: Connection, index: SearchIndex, query: str) -> Query | None:
    """The query in the model that is searched; None when there is no vector to compare it with."""
    found = db.execute("SELECT model, name FROM models WHERE state = 'current'").fetchone()
    if found is None or index.embedder is None or index.embedder.name != found[1]:
        return None
    vector = index.embedder.embed([query])[0]
    return Query(vector, found[0]) if vector.any() else None


def _candidates(
    db: Connection, words: Lexical, query: Query | None, index: SearchIndex, allowed: NDArray[np.bool_] | None
) -> list[_Candidate]:
    """The passages worth ranking, with both scores of each."""
    import numpy as np

    chosen = _most_words(db, words)
    cosines: dict[int, float] = {}
    if query is not None:
        cosines = semantic.nearest(db, query, index.coarse(query.model), allowed)
        cosines |= semantic.cosines(db, query, np.setdiff1d(chosen, np.fromiter(cosines, np.int64, len(cosines))))
    numbers = np.union1d(chosen, np.fromiter(cosines, np.int64, len(cosines)))
    scores = dict(zip(words.passages.tolist(), words.scores.tolist(), strict=True))
    return [
        _Candidate(p // PER_MEMORY, p % PER_MEMORY, scores.get(p, 0.0), cosines.get(p, 0.0)) for p in numbers.tolist()
    ]


def _most_words(db: Connection, words: Lexical) -> NDArray[np.int64]:
    """The passages with the highest scores. Of many that tie at the end those of the newest memories: the same
    ones on every replica."""
    import numpy as np

    if len(words.scores) <= CANDIDATES:
        return words.passages
    least = np.partition(words.scores, -CANDIDATES)[-CANDIDATES]
    above, tied = words.passages[words.scores > least], words.passages[words.scores == least]
    if len(above) + len(tied) > 2 * CANDIDATES:
        tied = integers(db.execute(_NEWEST, (json_list(tied), PER_MEMORY, CANDIDATES - len(above))).get)
    return np.sort(np.concatenate([above, tied]))


def _best_passages(found: list[_Candidate]) -> list[_Candidate]:
    """One candidate for each memory: its best passage, the first of equal ones."""
    best: dict[int, _Candidate] = {}
    for candidate in found:
        if candidate.memory not in best or candidate.total > best[candidate.memory].total:
            best[candidate.memory] = candidate
    return list(best.values())


def _texts(db: Connection, memories: list[int]) -> dict[int, tuple[str, str]]:
    """ID and text of each."""
    sql = "SELECT memory, id, text FROM memories WHERE memory IN (SELECT value FROM json_each(?))"
    return {row[0]: (row[1], row[2]) for row in db.execute(sql, (json.dumps(memories),))}


def _scored(candidate: _Candidate, text: str, options: Options) -> Scored:
    windows = split(text)
    passage = windows[candidate.window] if len(windows) > 1 and candidate.window < len(windows) else None
    parts = {"lexical": candidate.lexical, "semantic": candidate.cosine, "total": candidate.total}
    return Scored(candidate.memory, candidate.score, passage, parts if options.explain else {})
