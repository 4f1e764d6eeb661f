"""How vectors are stored, and how they are compared.

The vectors of a model have 1, 2 or 4 bytes an element (the table `models`). With 1 and 2 they are int8 and int16, at a
scale of their own, which a cosine does not depend on. With 4 they are float32 of length 1. sqlite-vec compares float32
in SQL, as `vec_distance_cosine`. It knows no int16, and rounds a query for int8, so NumPy compares these.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import apsw

from memcrdt.errors import StoreError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FLOAT_BYTES: Final = 4
INT8_BYTES: Final = 1
INT16_BYTES: Final = 2
_FORMS: Final = {INT8_BYTES: "i1", INT16_BYTES: "<i2", FLOAT_BYTES: "<f4"}
_LARGEST: Final = {INT8_BYTES: 127, INT16_BYTES: 32_767}
_STEPS: Final = 1 << 24  # of a query's largest number: sums of 4,096 products with int16 fit into float64, exactly


def stored(vectors: NDArray[np.float32], element_bytes: int) -> NDArray[np.generic]:
    """Return vectors that are not zero, [n, dim], in the form with so many bytes an element."""
    import numpy as np

    if element_bytes == FLOAT_BYTES:
        return vectors
    scales = _LARGEST[element_bytes] / np.abs(vectors).max(axis=1, keepdims=True)
    whole: NDArray[np.generic] = np.rint(vectors * scales).astype(_FORMS[element_bytes])
    return whole


def table(blobs: bytes, dim: int, element_bytes: int) -> NDArray[np.float64]:
    """Return stored vectors, one after the other in `blobs`, as [n, dim]. Their lengths are not 1."""
    import numpy as np

    return np.frombuffer(blobs, _FORMS[element_bytes]).reshape(-1, dim).astype(np.float64)


def cosines(query: NDArray[np.float32], blobs: bytes, element_bytes: int) -> NDArray[np.float64]:
    """Return the cosines of a query [dim] with stored vectors, one after the other in `blobs`; 0 where one is zero.

    With int8 and int16, all sums are of whole numbers, so the cosines are the same on every machine.
    """
    import numpy as np

    vectors = table(blobs, len(query), element_bytes)
    largest = float(np.abs(query).max())
    steps = np.rint(query.astype(np.float64) * (_STEPS / (largest or 1.0)))
    squares = np.einsum("ij,ij->i", vectors, vectors) * float(steps.astype(np.int64) @ steps.astype(np.int64))
    products: NDArray[np.float64] = vectors @ steps
    found: NDArray[np.float64] = np.divide(products, np.sqrt(squares), out=np.zeros_like(products), where=squares > 0)
    return found


def load_vector_functions(db: apsw.Connection) -> bool:
    """Register `vec_distance_cosine(blob, blob)` for float32. Return whether sqlite-vec provides it.

    sqlite-vec has no wheel for musl or Windows on Arm, and a system may forbid extensions. Then numpy computes it.
    """
    try:
        library = _library()
        db.enable_load_extension(True)
        try:
            db.load_extension(library)
        finally:
            db.enable_load_extension(False)
    except (ImportError, OSError, AttributeError, apsw.Error):  # the extension is not available
        db.create_scalar_function("vec_distance_cosine", _cosine_distance, 2, deterministic=True)
        return False
    return True


def _library() -> str:
    """Return the file of the extension. Importing its package would import numpy, which takes 70 ms."""
    package = find_spec("sqlite_vec")
    if package is None or not package.submodule_search_locations:
        raise ImportError("sqlite_vec is not installed")
    return str(Path(package.submodule_search_locations[0]) / "vec0")


def _cosine_distance(*blobs: Any) -> float:
    import numpy as np

    a, b = (np.frombuffer(blob, "<f4") for blob in blobs)
    if a.shape != b.shape:
        raise StoreError(f"two vectors have {a.size} and {b.size} dimensions; rebuild the index")
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return 1.0 - float(a @ b) / lengths if lengths else 1.0
