"""`vec_distance_cosine` in SQL: from sqlite-vec, or in numpy if that extension is missing."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import apsw

from memcrdt.errors import StoreError


def load_vector_functions(db: apsw.Connection) -> bool:
    """Register `vec_distance_cosine(blob, blob)`. Return whether sqlite-vec provides it.

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
