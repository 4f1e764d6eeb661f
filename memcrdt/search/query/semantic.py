"""Vectors: the passages nearest to the query, found by their codes and decided by their exact cosines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from memcrdt.search.arrays import json_list
from memcrdt.search.index.candidate_index import Coarse, Counts
from memcrdt.search.index.passages import PER_MEMORY
from memcrdt.search.query.scores import PassageScores
from memcrdt.store.indexer import Connection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# How many rows the codes propose in two steps, by the number of vectors: see the table in docs/search.md.
FIRST, FIRST_SHARE = 900, 500
SECOND, SECOND_SHARE = 220, 4_000
FEW = 500  # memories that a filter leaves: all of them are compared
STALE = 0.1  # of the proposed rows gone from the table: then what is in memory is read anew

_BY_VECTOR = """
SELECT passage, 1 - vec_distance_cosine(embedding, ?) FROM vectors
WHERE vector IN (SELECT value FROM json_each(?))"""
_BY_MEMORY = f"""
SELECT v.passage, 1 - vec_distance_cosine(v.embedding, ?) FROM json_each(?) j
JOIN vectors v ON v.passage BETWEEN j.value * {PER_MEMORY} AND j.value * {PER_MEMORY} + {PER_MEMORY - 1}
WHERE v.model = ?"""


@dataclass(frozen=True, slots=True)
class Query:
    """The query as a unit vector [dim] of one model, and the mean cosine of unrelated texts in it."""

    vector: NDArray[np.float32]
    model: int
    unrelated: float


def nearest(db: Connection, query: Query, coarse: Coarse, allowed: NDArray[np.bool_] | None) -> PassageScores:
    """Cosines of the passages nearest to the query, and of more. `allowed` is by memory number."""
    import numpy as np

    if allowed is not None and np.count_nonzero(allowed) <= FEW:
        return cosines(db, query, np.flatnonzero(allowed))
    found, proposed = _propose(db, query, coarse, allowed)
    if len(found.passages) < proposed * (1 - STALE):
        coarse.reset()
        found, _ = _propose(db, query, coarse, allowed)
    return found


def cosines(db: Connection, query: Query, memories: NDArray[np.int64]) -> PassageScores:
    """Cosines of all passages of these memories, as far as they have vectors."""
    return _scores(db, _BY_MEMORY, (query.vector.tobytes(), json_list(memories), query.model))


def _propose(
    db: Connection, query: Query, coarse: Coarse, allowed: NDArray[np.bool_] | None
) -> tuple[PassageScores, int]:
    rows = coarse.refresh(db)
    count = len(rows.vectors)
    counts = Counts(FIRST + count // FIRST_SHARE, SECOND + count // SECOND_SHARE)
    chosen = rows.nearest(query.vector, counts, allowed)
    return _scores(db, _BY_VECTOR, (query.vector.tobytes(), json_list(chosen))), len(chosen)


def _scores(db: Connection, sql: str, bindings: tuple[bytes | str | int, ...]) -> PassageScores:
    return PassageScores.of_rows(cast("list[tuple[int, float]]", db.execute(sql, bindings).fetchall()))
