"""Meaning: the query as a vector, and the passages nearest to it.

Binary codes propose the nearest passages, and their exact cosines decide. The vector of a query comes from the models
that the store is searched with, from the caller, or, for `similar`, from the vectors of a memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from memcrdt.errors import EmbedderError
from memcrdt.model.values import Vector
from memcrdt.search.arrays import json_list, normalised, parse_integers, parse_numbers, union
from memcrdt.search.index import registry
from memcrdt.search.index.candidate_index import CandidateIndex, CandidateSnapshot, ProposalCounts
from memcrdt.search.index.given import check_embedder, unit_vector
from memcrdt.search.index.index import SearchIndex
from memcrdt.search.index.passages import number_range
from memcrdt.search.index.registry import IndexedModel
from memcrdt.search.query.scores import PassageScores
from memcrdt.search.words import names_apart
from memcrdt.store import vector_forms
from memcrdt.store.sql import SqlConnection, is_sqlite, joined_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# How many rows the codes propose in two steps, by the number of vectors: see docs/internals/search-index.md.
FIRST, FIRST_SHARE = 400, 140
SECOND, SECOND_SHARE = 130, 870
FEW: Final = 200  # if a filter leaves at most this many memories, all of them are compared
STALE: Final = 0.1  # if more than this share of the proposed rows is gone from the table, the codes are read again

_VECTORS = "SELECT embedding FROM vectors WHERE passage BETWEEN ? AND ? AND model = ?"
_BY_VECTOR = """
SELECT group_concat(passage), group_concat(ifnull(1 - vec_distance_cosine(embedding, ?), 0)) FROM vectors
WHERE vector IN (SELECT CAST(value AS BIGINT) FROM json_each(?))"""
_STORED = """
SELECT group_concat(passage), {embeddings} FROM vectors
WHERE vector IN (SELECT CAST(value AS BIGINT) FROM json_each(?)) AND length(embedding) = ?"""


@dataclass(frozen=True, slots=True)
class QueryVector:
    """The query as a unit vector [dim] of one model, and the mean cosine of unrelated texts in that model."""

    vector: NDArray[np.float32]
    model: IndexedModel
    unrelated: float


AwaitedVector: TypeAlias = "Callable[[], QueryVector | None]"  # waits for the vector of a query, and returns it


def of_text(db: SqlConnection, index: SearchIndex, query: str) -> QueryVector | None:
    """Embed the query with the model that is searched.

    Returns:
        The vector; None if the store has no model yet, if the memory was opened without an embedder, if the embedder
        fails, or if the vector is zero. The search uses words alone then.
    """
    models = registry.in_use(db)
    index.keep_candidates(model.model for model in models if model)
    return _begun(db, index, models.current, query, in_thread=False)() if index.embedders.own else None


def of_text_second(db: SqlConnection, index: SearchIndex, query: str) -> AwaitedVector:
    """Begin to embed the query with the second model in a thread, while the caller reads the index.

    Returns:
        A function that waits for the vector and returns it. It returns None without a second model, or while the model
        is not loaded: no search waits for that.
    """
    second = index.embedders.second
    model = registry.in_use(db).second if second else None
    if second is None or model is None or model.name != second.name:
        return _nothing
    if not second.is_loaded:
        second.load_soon()
        return _nothing
    return _begun(db, index, model, query, in_thread=True)


def _nothing() -> None:
    """Return no vector."""


def _begun(
    db: SqlConnection, index: SearchIndex, model: IndexedModel | None, query: str, *, in_thread: bool
) -> AwaitedVector:
    """Begin to embed the query, in a thread or when the returned function is called, which returns the vector."""
    embedder = index.embedder(db, model) if model else None
    if model is None or embedder is None:
        return _nothing
    had_failed, text = embedder.query_failure is not None, names_apart(query)
    embed = embedder.begin_query(text) if in_thread else partial(embedder.embed_query, text)

    def found() -> QueryVector | None:
        try:
            vector = embed()
        except EmbedderError:  # full text answers; the status shows the error
            return None
        if had_failed:  # it works again, so the waiting memories need not wait for the worker's next attempt
            index.on_waiting()
        return QueryVector(vector, model, index.embedders.unrelated(db, model.name)) if vector.any() else None

    return found


def of_numbers(db: SqlConnection, index: SearchIndex, numbers: Vector) -> QueryVector | None:
    """Return a given vector as a query; None while the store has no model. Raises InputError for another model."""
    embedder = check_embedder(index.embedders.own)
    current = registry.in_use(db).current
    if current is None:
        return None
    vector = unit_vector(db, current, embedder, numbers)
    return QueryVector(vector, current, index.embedders.unrelated(db, current.name))


def of_memory(db: SqlConnection, index: SearchIndex, memory: int, model: IndexedModel | None) -> QueryVector | None:
    """Return the direction of a memory in a model as a query; None while the memory has no vector."""
    vector = mean_direction(db, memory, model) if model else None
    if model is None or vector is None:
        return None
    return QueryVector(vector, model, index.embedders.unrelated(db, model.name))


def mean_direction(db: SqlConnection, memory: int, model: IndexedModel) -> NDArray[np.float32] | None:
    """Return the mean direction of a memory's passages as a unit vector [dim]; None while it has no vector."""
    import numpy as np

    blobs = [row[0] for row in db.execute(_VECTORS, (*number_range(memory), model.model))]
    if not blobs:
        return None
    vectors = vector_forms.table(b"".join(blobs), len(blobs[0]) // model.element_bytes, model.element_bytes)
    units = normalised(vectors.astype(np.float32))
    mean: NDArray[np.float32] = normalised(units.sum(axis=0, keepdims=True))[0]
    return mean


class Nearest(NamedTuple):
    """The cosines of the passages nearest to a query and of some others, and the rows that they were chosen from."""

    cosines: PassageScores
    rows: CandidateSnapshot


def nearest(
    db: SqlConnection,
    query: QueryVector,
    candidates: CandidateIndex,
    allowed: NDArray[np.bool_] | None,
    others: NDArray[np.int64],
) -> Nearest:
    """Return the cosines of the passages nearest to the query, and of all passages of other memories.

    Args:
        db: A connection of the store.
        query: The query.
        candidates: The codes of the vectors of its model.
        allowed: The memories that may be found, by number; None for all.
        others: More memories whose cosines are needed.
    """
    found, missing = _propose(db, query, candidates.refresh(db), allowed, others)
    if missing > STALE * (missing + len(found.cosines.passages)):
        candidates.reset()
        found, _ = _propose(db, query, candidates.refresh(db), allowed, others)
    return found


def cosines(
    db: SqlConnection, query: QueryVector, rows: CandidateSnapshot, memories: NDArray[np.int64]
) -> PassageScores:
    """Return the cosines of all passages of these memories that have vectors."""
    return _cosines(db, query, rows.of(memories))


def _propose(
    db: SqlConnection,
    query: QueryVector,
    rows: CandidateSnapshot,
    allowed: NDArray[np.bool_] | None,
    others: NDArray[np.int64],
) -> tuple[Nearest, int]:
    """Return the cosines of the proposed passages and of `others`, and how many rows are gone from the table."""
    import numpy as np

    if allowed is not None and np.count_nonzero(allowed) <= FEW:
        chosen = rows.of(np.flatnonzero(allowed))
    else:
        count = len(rows.vectors)
        counts = ProposalCounts(FIRST + count // FIRST_SHARE, SECOND + count // SECOND_SHARE)
        chosen = rows.nearest(query.vector, counts, allowed)
    chosen = union(chosen, rows.of(others))
    found = _cosines(db, query, chosen)
    return Nearest(found, rows), len(chosen) - len(found.passages)


def _cosines(db: SqlConnection, query: QueryVector, chosen: NDArray[np.int64]) -> PassageScores:
    """Return the cosines of the passages of the vectors with these numbers."""
    element_bytes = query.model.element_bytes
    if element_bytes == vector_forms.FLOAT_BYTES and is_sqlite(db):
        passages, found = db.execute(_BY_VECTOR, (query.vector.tobytes(), json_list(chosen))).get
        return PassageScores.unsorted(parse_integers(passages), parse_numbers(found))
    passages, vectors = _stored(db, chosen, len(query.vector) * element_bytes)
    return PassageScores.unsorted(passages, vector_forms.cosines(query.vector, vectors, element_bytes))


def _stored(db: SqlConnection, chosen: NDArray[np.int64], size: int) -> tuple[NDArray[np.int64], bytes]:
    """Return the passages of the vectors with these numbers, and the vectors one after the other, each of `size`."""
    sql = _STORED.format(embeddings=joined_bytes(db, "embedding"))
    passages, vectors = db.execute(sql, (json_list(chosen), size)).get
    return parse_integers(passages), vectors or b""
