"""Arrays: from and to SQL, and rows of length 1."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def integers(concatenated: str | None) -> NDArray[np.int64]:
    """What group_concat made of an integer column; None is the empty column. A third of the cost of fetching rows."""
    import numpy as np

    return np.fromstring(concatenated or "", np.int64, sep=",")


def json_list(numbers: NDArray[np.int64]) -> str:
    """For `IN (SELECT value FROM json_each(?))`."""
    return json.dumps(numbers.tolist(), separators=(",", ":"))


def are_allowed(memories: NDArray[np.int64], allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of `memories` are marked in `allowed`, which is by memory number and may be shorter."""
    import numpy as np

    return allowed[np.minimum(memories, len(allowed) - 1)] & (memories < len(allowed))


def normalised(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """The rows, in place, with length 1; those of zeros stay zeros."""
    import numpy as np

    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    np.divide(rows, lengths, out=rows, where=lengths > 0)
    return rows
