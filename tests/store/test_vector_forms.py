"""Tests of how vectors are stored and compared: in SQL, with and without sqlite-vec, and in NumPy."""

from __future__ import annotations

import sys
from typing import Any

import apsw
import numpy as np
import pytest

from memcrdt.store.vector_forms import FLOAT_BYTES, INT8_BYTES, INT16_BYTES, cosines, load_vector_functions, stored


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


@pytest.mark.parametrize(("element_bytes", "error"), [(INT8_BYTES, 2e-3), (INT16_BYTES, 5e-6), (FLOAT_BYTES, 1e-6)])
def test_stored_vectors_keep_their_cosines(element_bytes: int, error: float) -> None:
    """int8 differs in the third digit, int16 in the sixth. int16 has half the bytes of float32."""
    rng = np.random.default_rng(2)
    vectors = unit(rng.standard_normal((50, 256)))
    query = unit(rng.standard_normal((1, 256)))[0]
    blobs = stored(vectors, element_bytes).tobytes()
    assert len(blobs) == vectors.size * element_bytes
    np.testing.assert_allclose(cosines(query, blobs, element_bytes), vectors @ query, atol=error)


@pytest.mark.parametrize("element_bytes", [INT8_BYTES, INT16_BYTES])
def test_cosines_of_whole_numbers_are_exact(element_bytes: int) -> None:
    """Sums of the widest vectors do not depend on the order of their elements, so all machines agree."""
    rng = np.random.default_rng(3)
    vectors, query = (rng.uniform(0.9, 1, (rows, 4_096)).astype(np.float32) for rows in (9, 1))
    forms, order = stored(vectors, element_bytes), rng.permutation(4_096)
    found = cosines(query[0], forms.tobytes(), element_bytes)
    assert found.tolist() == cosines(query[0][order], forms[:, order].tobytes(), element_bytes).tolist()


@pytest.mark.parametrize("element_bytes", [INT8_BYTES, INT16_BYTES, FLOAT_BYTES])
def test_what_has_no_direction_is_like_nothing(element_bytes: int) -> None:
    """The cosine of a zero vector or a zero query is 0, and no vectors have no cosines."""
    zero, one = np.zeros(8, np.float32), np.ones((1, 8), np.float32)
    assert cosines(zero, stored(one, element_bytes).tobytes(), element_bytes).tolist() == [0]
    assert cosines(one[0], bytes(8 * element_bytes), element_bytes).tolist() == [0]
    assert cosines(one[0], b"", element_bytes).tolist() == []


def unit(rows: Any) -> Any:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
