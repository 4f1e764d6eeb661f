"""Tests of the distance of vectors in SQL, with and without sqlite-vec."""

from __future__ import annotations

import sys
from typing import Any

import apsw
import numpy as np
import pytest

from memcrdt.store.vector_functions import load_vector_functions


def distance(db: apsw.Connection, one: Any, other: Any) -> float:
    blobs = tuple(np.array(vector, np.float32).tobytes() for vector in (one, other))
    return float(db.execute("SELECT vec_distance_cosine(?, ?)", blobs).get)


def test_sqlite_vec_answers_where_it_is_installed() -> None:
    """The extension loads, and returns 0 for equal directions, 1 for a right angle and 2 for opposite directions."""
    pytest.importorskip("sqlite_vec")
    db = apsw.Connection(":memory:")
    assert load_vector_functions(db)
    assert [distance(db, [1, 0], other) for other in ([2, 0], [0, 1], [-1, 0])] == [0, 1, 2]


def test_numpy_answers_the_same_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extension, a function of the same name returns the same distances to six digits."""
    with_extension, without = apsw.Connection(":memory:"), apsw.Connection(":memory:")
    if not load_vector_functions(with_extension):
        pytest.skip("sqlite-vec is not installed")
    monkeypatch.setitem(sys.modules, "sqlite_vec", None)
    assert not load_vector_functions(without)
    rng = np.random.default_rng(1)
    for one, other in rng.standard_normal((20, 2, 256)):
        assert distance(without, one, other) == pytest.approx(distance(with_extension, one, other), abs=1e-6)
