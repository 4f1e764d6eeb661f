"""Codes, and their copy in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from memcrdt.errors import CorruptError
from memcrdt.search.index import binary_codes
from memcrdt.search.index.candidate_index import CandidateIndex, ProposalCounts


def unit(rows: int, dim: int, seed: int) -> Any:
    vectors = np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def projections(dim: int) -> Any:
    """[dim, BITS]: rows of Hadamard matrices with flipped columns, as columns."""
    size = 1 << (dim - 1).bit_length()
    hadamard = np.ones((1, 1), np.int64)
    while len(hadamard) < size:
        hadamard = np.block([[hadamard, hadamard], [hadamard, -hadamard]])
    return np.vstack([(hadamard * signs)[:, :dim] for signs in binary_codes._signs(size)])[: binary_codes.BITS].T


def test_codes_have_768_bits_for_any_dimension() -> None:
    """A vector of 3 or of 1,024 dimensions has 96 bytes, and its opposite all other bits."""
    for dim in (3, 64, 256, 384, 1_024):
        vectors = unit(4, dim, seed=1)
        coded = binary_codes.encode(vectors)
        assert coded.shape == (4, binary_codes.BYTES)
        assert (np.bitwise_count(coded ^ binary_codes.encode(-vectors)).sum(axis=1) == binary_codes.BITS).all()


def test_near_codes_are_those_of_near_vectors() -> None:
    """Of 2,000 random vectors the 200 nearest codes hold at least nine of the ten nearest vectors, on average."""
    vectors, queries = unit(2_000, 256, seed=2), unit(20, 256, seed=3)
    table = np.ascontiguousarray(binary_codes.encode(vectors).view(np.uint64).T)
    found = 0
    for query in queries:
        near = np.argsort(binary_codes.distances(table, binary_codes.encode(query[None])[0]))[:200]
        found += len(set(near) & set(np.argsort(-(vectors @ query))[:10]))
    assert found >= 9 * len(queries)


def test_codes_stay_what_they_are() -> None:
    """A code is stored: it must be the same with every version of numpy and on every machine."""
    vector = (np.arange(8, dtype=np.float32) - 3.4) / 7
    assert binary_codes.encode(vector[None])[0][:8].tobytes().hex() == "7bebde827b4128d7"


@pytest.mark.parametrize("dim", [3, 256, 384, 4_096])
def test_codes_are_those_of_whole_numbers(dim: int) -> None:
    """Whatever the processor, a row's place among others, and the order in which a library sums."""
    vectors = unit(200, dim, seed=4)
    whole = np.rint(vectors * (1 << 17)).astype(np.int64) @ projections(dim)
    coded = binary_codes.encode(vectors)
    assert np.array_equal(coded, np.packbits(whole > 0, axis=1))
    signs = np.unpackbits(coded, axis=1).astype(np.int64) * 2 - 1
    similar = binary_codes.similarities(np.ascontiguousarray(coded.view(np.uint64).T), vectors[0])
    assert np.array_equal(similar.astype(np.int64), signs @ np.rint(whole[0] / 32).astype(np.int64))


def test_the_copy_follows_additions_and_survives_their_number(shelf: Any) -> None:
    """Rows added later are read by the next refresh, and an older view keeps its length."""
    candidates = CandidateIndex(model=1)
    shelf.add_many([{"text": f"the first thing number {n}"} for n in range(30)])
    before = candidates.refresh(shelf.db)
    shelf.add_many([{"text": f"another thing number {n}"} for n in range(1_100)])
    assert len(before.vectors) == 30
    assert len(candidates.refresh(shelf.db).vectors) == 1_130


def test_ties_at_the_end_are_all_taken(shelf: Any) -> None:
    """Equal texts have equal codes: either all of them are among the nearest or none, whatever their order."""
    shelf.add_many([{"text": "the same words"} for _ in range(50)])
    rows = CandidateIndex(model=1)
    vector = shelf.index.embedders.own.embed_query("the same words")
    assert len(rows.refresh(shelf.db).nearest(vector, ProposalCounts(10, 5), None)) == 50
    only = np.zeros(60, np.bool_)
    only[7] = True
    assert rows.refresh(shelf.db).nearest(vector, ProposalCounts(10, 5), only).tolist() == [7]


def test_codes_of_another_length_are_damage(shelf: Any) -> None:
    """A code of another layout, or cut: the search says what mends it, and the check names it."""
    shelf.add_many([{"text": f"the harbour crane number {n}"} for n in range(3)])
    assert list(shelf.index.problems(shelf.db)) == []
    shelf.db.execute("UPDATE codes SET code = substr(code, 1, 64) WHERE vector = 2")
    with pytest.raises(CorruptError, match="doctor --repair"):
        CandidateIndex(model=1).refresh(shelf.db)
    (problem,) = shelf.index.problems(shelf.db)
    assert "1 vectors" in problem


def test_the_search_notices_when_the_table_was_emptied_behind_its_back(shelf: Any) -> None:
    """After another process rebuilt the index, the stale copy is dropped and everything is found."""
    texts = [f"the harbour crane number {n}" for n in range(30)]
    shelf.add_many([{"text": text} for text in texts])
    shelf.search("harbour")
    with shelf.db:
        shelf.index.clear(shelf.db)
        shelf.index.replace(shelf.db, [], list(shelf.rows.values()), None)
    assert len(shelf.search("port machinery", limit=30)) == 30
