"""Vectors that callers computed themselves, for a text or a query, checked against the model of the store.

A vector is assumed to come from the embedder that the memory was opened with. This has to be the model of the store,
because vectors of two models cannot be compared. One vector counts for every passage of a long text, so the words
decide which passage is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from memcrdt.errors import InputError
from memcrdt.model.values import Vector
from memcrdt.search.embedders.embedder import Embedder
from memcrdt.search.index import passages, registry
from memcrdt.search.index.registry import IndexedModel
from memcrdt.store.indexer import IndexRow
from memcrdt.store.sql import SqlConnection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def check_embedder(embedder: Embedder | None) -> Embedder:
    """Return the embedder that given vectors come from. Raises InputError if there is none."""
    if embedder is None:
        raise InputError(
            "the memory was opened without an embedder, so it accepts no vectors; open it with an embedder"
        )
    return embedder


def unit_vector(db: SqlConnection, model: IndexedModel, embedder: Embedder, numbers: Vector) -> NDArray[np.float32]:
    """Return a given vector as a unit vector [dim] of a model.

    Raises:
        InputError: The embedder has another model, or the vector has another number of dimensions.
    """
    import numpy as np

    if embedder.name != model.name:
        raise InputError(f"the vector is of the model {embedder.name}, but the store works with {model.name}")
    dim = registry.dimensions(db, model) or embedder.dim
    if len(numbers) != dim:
        raise InputError(f"the vector has {len(numbers):,} dimensions; the model {model.name} has {dim:,}")
    vector = np.array(numbers, np.float64)
    vector /= np.abs(vector).max()  # otherwise the squares of very large numbers would overflow
    unit: NDArray[np.float32] = (vector / np.linalg.norm(vector)).astype(np.float32)
    return unit


def passage_vectors(
    db: SqlConnection, model: IndexedModel, embedder: Embedder, rows: Sequence[IndexRow], given: Mapping[str, Vector]
) -> list[tuple[int, NDArray[np.float32]]]:
    """Return the vectors [passages, dim] of the memories whose texts have a given vector. Raises InputError."""
    import numpy as np

    units = {row.text: unit_vector(db, model, embedder, given[row.text]) for row in rows if row.text in given}
    return [
        (row.memory, np.tile(units[row.text], (len(passages.split(row.text)), 1))) for row in rows if row.text in units
    ]
