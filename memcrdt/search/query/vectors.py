"""Meaning: the query as a vector, and the passages nearest to it.

Binary codes propose the nearest passages, and their exact cosines decide. The vector of a query comes from the model
that the store is searched with, from the caller, or, for `similar`, from the vectors of a memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from memcrdt.errors import EmbedderError
from memcrdt.model.values import Vector
from memcrdt.search.arrays import json_list, normalised
from memcrdt.search.index import registry
from memcrdt.search.index.candidate_index import CandidateIndex, ProposalCounts
from memcrdt.search.index.given import check_embedder, unit_vector
from memcrdt.search.index.index import SearchIndex
from memcrdt.search.index.passages import PER_MEMORY, number_range
from memcrdt.search.query.scores import PassageScores
from memcrdt.search.words import names_apart
from memcrdt.store.indexer import SqlConnection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# How many rows the codes propose in two steps, by the number of vectors: see the table in docs/search.md.
FIRST, FIRST_SHARE = 900, 500
SECOND, SECOND_SHARE = 220, 4_000
FEW: Final = 500  # if a filter leaves at most this many memories, all of them are compared
STALE: Final = 0.1  # if more than this share of the proposed rows is gone from the table, the codes are read again

_VECTORS = "SELECT embedding FROM vectors WHERE passage BETWEEN ? AND ? AND model = ?"
_BY_VECTOR = """
SELECT passage, 1 - vec_distance_cosine(embedding, ?) FROM vectors
WHERE vector IN (SELECT value FROM json_each(?))"""
_BY_MEMORY = f"""
SELECT v.passage, 1 - vec_distance_cosine(v.embedding, ?) FROM json_each(?) j
JOIN vectors v ON v.passage BETWEEN j.value * {PER_MEMORY} AND j.value * {PER_MEMORY} + {PER_MEMORY - 1}
WHERE v.model = ?"""


@dataclass(frozen=True, slots=True)
class QueryVector:
    """The query as a unit vector [dim] of one model, and the mean cosine of unrelated texts in that model."""

    vector: NDArray[np.float32]
    model: int
    unrelated: float


def of_text(db: SqlConnection, index: SearchIndex, query: str) -> QueryVector | None:
    """Embed the query with the model that is searched.

    Returns:
        The vector; None if the store has no model yet, if the memory was opened without an embedder, if the embedder
        fails, or if the vector is zero. The search uses words alone then.
    """
    current = registry.in_use(db).get("current") if index.embedders.own else None
    embedder = index.embedder(db, current) if current else None
    if current is None or embedder is None:
        return None
    had_failed = embedder.query_failure is not None
    try:
        vector = embedder.embed_query(names_apart(query))
    except EmbedderError:  # full text answers; the status shows the error
        return None
    if had_failed:  # it works again, so the waiting memories need not wait for the worker's next attempt
        index.on_waiting()
    return QueryVector(vector, current.model, index.embedders.unrelated(db, current.name)) if vector.any() else None


def of_numbers(db: SqlConnection, index: SearchIndex, numbers: Vector) -> QueryVector | None:
    """Return a given vector as a query; None while the store has no model. Raises InputError for another model."""
    embedder = check_embedder(index.embedders.own)
    current = registry.in_use(db).get("current")
    if current is None:
        return None
    vector = unit_vector(db, current, embedder, numbers)
    return QueryVector(vector, current.model, index.embedders.unrelated(db, current.name))


def of_memory(db: SqlConnection, index: SearchIndex, memory: int) -> QueryVector | None:
    """Return the direction of a memory as a query; None while the memory has no vector."""
    current = registry.in_use(db).get("current")
    vector = mean_direction(db, memory, current.model) if current else None
    if current is None or vector is None:
        return None
    return QueryVector(vector, current.model, index.embedders.unrelated(db, current.name))


def mean_direction(db: SqlConnection, memory: int, model: int) -> NDArray[np.float32] | None:
    """Return the mean direction of a memory's passages as a unit vector [dim]; None while it has no vector."""
    import numpy as np

    found = [np.frombuffer(row[0], "<f4") for row in db.execute(_VECTORS, (*number_range(memory), model))]
    return normalised(np.sum(found, axis=0, dtype=np.float32, keepdims=True))[0] if found else None


def nearest(
    db: SqlConnection, query: QueryVector, candidates: CandidateIndex, allowed: NDArray[np.bool_] | None
) -> PassageScores:
    """Return the cosines of the passages nearest to the query, and of some others. `allowed` is by memory number."""
    import numpy as np

    if allowed is not None and np.count_nonzero(allowed) <= FEW:
        return cosines(db, query, np.flatnonzero(allowed))
    found, proposed = _propose(db, query, candidates, allowed)
    if len(found.passages) < proposed * (1 - STALE):
        candidates.reset()
        found, _ = _propose(db, query, candidates, allowed)
    return found


def cosines(db: SqlConnection, query: QueryVector, memories: NDArray[np.int64]) -> PassageScores:
    """Return the cosines of all passages of these memories that have vectors."""
    return _scores(db, _BY_MEMORY, (query.vector.tobytes(), json_list(memories), query.model))


def _propose(
    db: SqlConnection, query: QueryVector, candidates: CandidateIndex, allowed: NDArray[np.bool_] | None
) -> tuple[PassageScores, int]:
    """Return the cosines of the proposed passages, and the number of proposed rows."""
    rows = candidates.refresh(db)
    count = len(rows.vectors)
    counts = ProposalCounts(FIRST + count // FIRST_SHARE, SECOND + count // SECOND_SHARE)
    chosen = rows.nearest(query.vector, counts, allowed)
    return _scores(db, _BY_VECTOR, (query.vector.tobytes(), json_list(chosen))), len(chosen)


def _scores(db: SqlConnection, sql: str, bindings: tuple[bytes | str | int, ...]) -> PassageScores:
    return PassageScores.of_rows(cast("list[tuple[int, float]]", db.execute(sql, bindings).fetchall()))
