"""Arrays: reading them from SQL, writing them to SQL, and unit vectors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from memcrdt.errors import EmbedderError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def parse_integers(concatenated: str | None) -> NDArray[np.int64]:
    """Parse the result of group_concat over an integer column; None is an empty column.

    This takes a third of the time of fetching rows.
    """
    import numpy as np

    return np.fromstring(concatenated or "", np.int64, sep=",")


def parse_numbers(concatenated: str | None) -> NDArray[np.float64]:
    """Parse the result of group_concat over a column of numbers; None is an empty column."""
    import numpy as np

    return np.fromstring(concatenated or "", np.float64, sep=",")


def json_list(numbers: NDArray[np.int64]) -> str:
    """Write numbers as a binding for `IN (SELECT value FROM json_each(?))`."""
    return json.dumps(numbers.tolist(), separators=(",", ":"))


def run_starts(column: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return where each run of equal numbers begins in a column of ascending numbers."""
    import numpy as np

    begins = np.ones(len(column), np.bool_)
    np.not_equal(column[1:], column[:-1], out=begins[1:])
    return begins.nonzero()[0]


def union(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers of two columns of ascending numbers, each once, ascending."""
    import numpy as np

    every = np.concatenate([one, other])
    every.sort(kind="stable")  # fast: each column is a sorted run
    return every[run_starts(every)]


def are_allowed(memories: NDArray[np.int64], allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which of `memories` are marked in `allowed`, [n].

    `allowed` is indexed by memory number. Memories beyond its end are not allowed.
    """
    import numpy as np

    return allowed[np.minimum(memories, len(allowed) - 1)] & (memories < len(allowed))


def normalised(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale each row, in place, to length 1; rows of zeros stay zeros."""
    import numpy as np

    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    np.divide(rows, lengths, out=rows, where=lengths > 0)
    return rows


def unit_rows(given: Any, count: int, name: str) -> NDArray[np.float32]:
    """Return `given` as `count` float32 rows of length 1. Raises EmbedderError when it is something else."""
    import numpy as np

    try:
        rows = np.array(given, np.float32)
    except (TypeError, ValueError) as exc:
        raise EmbedderError(f"the embedder {name} did not return rows of numbers: {exc}") from exc
    if rows.ndim != 2 or rows.shape[0] != count or not rows.shape[1]:
        raise EmbedderError(
            f"the embedder {name} must return one row per text ({count}), but returned an array of shape {rows.shape}"
        )
    if not np.isfinite(rows).all():
        raise EmbedderError(f"the embedder {name} returned a number that is not finite")
    return normalised(rows)
