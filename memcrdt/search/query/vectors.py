"""Queries as vectors: what a search compares with the vectors of memories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memcrdt.errors import EmbedderError
from memcrdt.search.arrays import normalised
from memcrdt.search.index import registry
from memcrdt.search.index.index import SearchIndex
from memcrdt.search.index.passages import span
from memcrdt.search.query.semantic import Query
from memcrdt.store.indexer import Connection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_VECTORS = "SELECT embedding FROM vectors WHERE passage BETWEEN ? AND ? AND model = ?"


def of_text(db: Connection, index: SearchIndex, query: str) -> Query | None:
    """The query in the model that is searched; None when there is no vector to compare it with, or none is wanted."""
    current = registry.in_use(db).get("current") if index.embedders.own else None
    embedder = index.embedders.get(current.name) if current else None
    if current is None or embedder is None:
        return None
    try:
        vector, unrelated = embedder.embed_query(query), index.embedders.unrelated(db, current.name)
    except EmbedderError as exc:  # full text answers; `memcrdt model status` tells
        index.error = exc
        return None
    index.error = None
    return Query(vector, current.model, unrelated) if vector.any() else None


def of_memory(db: Connection, index: SearchIndex, memory: int) -> Query | None:
    """A memory's direction as a query; None while it has no vector."""
    current = registry.in_use(db).get("current")
    vector = direction(db, memory, current.model) if current else None
    if current is None or vector is None:
        return None
    return Query(vector, current.model, index.embedders.unrelated(db, current.name))


def direction(db: Connection, memory: int, model: int) -> NDArray[np.float32] | None:
    """The mean direction of a memory's passages, of length 1; None while it has no vector."""
    import numpy as np

    found = [np.frombuffer(row[0], "<f4") for row in db.execute(_VECTORS, (*span(memory), model))]
    return normalised(np.sum(found, axis=0, dtype=np.float32, keepdims=True))[0] if found else None
