"""Vectors that callers computed themselves, for a text or a query: checked against the model of the store.

A vector is taken for one of the embedder that the memory was opened with. It has to be the model that the store works
with: vectors of two models can't be compared. One vector stands for every passage of a long text, so that the words
decide which passage of it is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from memcrdt.errors import InputError
from memcrdt.model.values import Vector
from memcrdt.search.embedders.embedder import Embedder
from memcrdt.search.index import passages, registry
from memcrdt.search.index.registry import IndexedModel
from memcrdt.store.indexer import Connection, IndexRow

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def check_embedder(embedder: Embedder | None) -> Embedder:
    """Return the embedder that given vectors are of. Raises InputError without one."""
    if embedder is None:
        raise InputError("the memory was opened without an embedder, so that no model knows the vector; name one")
    return embedder


def unit_vector(db: Connection, model: IndexedModel, embedder: Embedder, numbers: Vector) -> NDArray[np.float32]:
    """Return a given vector as a unit vector [dim] of a model.

    Raises:
        InputError: The model is not the one of the embedder, or has another number of dimensions.
    """
    import numpy as np

    if embedder.name != model.name:
        raise InputError(f"the vector is of the model {embedder.name}, and the store works with {model.name}")
    dim = registry.dimensions(db, model.model) or embedder.dim
    if len(numbers) != dim:
        raise InputError(f"the vector has {len(numbers):,} dimensions; those of the model {model.name} have {dim:,}")
    vector = np.array(numbers, np.float64)
    vector /= np.abs(vector).max()  # or the squares of very large numbers would overflow
    unit: NDArray[np.float32] = (vector / np.linalg.norm(vector)).astype(np.float32)
    return unit


def passage_vectors(
    db: Connection, model: IndexedModel, embedder: Embedder, rows: Sequence[IndexRow], given: Mapping[str, Vector]
) -> list[tuple[int, NDArray[np.float32]]]:
    """Return the vectors [passages, dim] of the memories whose texts have a given one. Raises InputError."""
    import numpy as np

    units = {row.text: unit_vector(db, model, embedder, given[row.text]) for row in rows if row.text in given}
    return [
        (row.memory, np.tile(units[row.text], (len(passages.split(row.text)), 1))) for row in rows if row.text in units
    ]
