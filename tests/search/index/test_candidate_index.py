"""Binary codes, and their copy in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from memcrdt.errors import CorruptError
from memcrdt.search.index import binary_codes
from memcrdt.search.index.candidate_index import CandidateIndex, CandidateSnapshot, ProposalCounts
from memcrdt.search.index.passages import PER_MEMORY


def unit(rows: int, dim: int, seed: int) -> Any:
    vectors = np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def projections(dim: int) -> Any:
    """Return rows of Hadamard matrices with flipped columns, as columns, [dim, BITS]."""
    size = 1 << (dim - 1).bit_length()
    hadamard = np.ones((1, 1), np.int64)
    while len(hadamard) < size:
        hadamard = np.block([[hadamard, hadamard], [hadamard, -hadamard]])
    return np.vstack([(hadamard * signs)[:, :dim] for signs in binary_codes._signs(size)])[: binary_codes.BITS].T


def test_codes_have_768_bits_for_any_dimension() -> None:
    """The code of a vector of 3 or 1,024 dimensions has 96 bytes, and the opposite vector has the opposite bits."""
    for dim in (3, 64, 256, 384, 1_024):
        vectors = unit(4, dim, seed=1)
        coded = binary_codes.encode(vectors)
        assert coded.shape == (4, binary_codes.BYTES)
        assert (np.bitwise_count(coded ^ binary_codes.encode(-vectors)).sum(axis=1) == binary_codes.BITS).all()


def test_near_vectors_have_near_codes() -> None:
    """Of 2,000 random vectors, the 200 nearest codes include on average at least nine of the ten nearest vectors."""
    vectors, queries = unit(2_000, 256, seed=2), unit(20, 256, seed=3)
    table = np.ascontiguousarray(binary_codes.encode(vectors).view(np.uint64).T)
    found = 0
    for query in queries:
        near = np.argsort(binary_codes.distances(table, binary_codes.encode(query[None])[0]))[:200]
        found += len(set(near) & set(np.argsort(-(vectors @ query))[:10]))
    assert found >= 9 * len(queries)


def test_codes_are_pinned() -> None:
    """Codes are stored, so they must be the same with every version of numpy and on every machine."""
    vector = (np.arange(8, dtype=np.float32) - 3.4) / 7
    assert binary_codes.encode(vector[None])[0][:8].tobytes().hex() == "7bebde827b4128d7"


@pytest.mark.parametrize("dim", [3, 256, 384, 4_096])
def test_codes_are_computed_with_whole_numbers(dim: int) -> None:
    """So they do not depend on the processor, the place of a row, or a library's order of summation."""
    vectors = unit(200, dim, seed=4)
    whole = np.rint(vectors * (1 << 17)).astype(np.int64) @ projections(dim)
    coded = binary_codes.encode(vectors)
    assert np.array_equal(coded, np.packbits(whole > 0, axis=1))
    signs = np.unpackbits(coded, axis=1).astype(np.int64) * 2 - 1
    similar = binary_codes.similarities(
        np.ascontiguousarray(coded.view(np.uint64).T), binary_codes.projected(vectors[0])
    )
    assert np.array_equal(similar.astype(np.int64), signs @ np.rint(whole[0] / 32).astype(np.int64))


def test_the_copy_in_memory_follows_additions(shelf: Any) -> None:
    """The next refresh reads rows that were added later, and an older snapshot keeps its length."""
    candidates = CandidateIndex(model=1)
    shelf.add_many([{"text": f"the first thing number {n}"} for n in range(30)])
    before = candidates.refresh(shelf.db)
    shelf.add_many([{"text": f"another thing number {n}"} for n in range(1_100)])
    assert len(before.vectors) == 30
    assert len(candidates.refresh(shelf.db).vectors) == 1_130


def test_rows_of_the_other_model_are_looked_at_once(shelf: Any) -> None:
    """A refresh begins after all rows that the one before it saw, of whichever model they are."""
    shelf.add_many([{"text": f"thing number {n}"} for n in range(30)])
    newest = shelf.db.execute("SELECT max(vector) FROM codes").get
    shelf.db.execute("INSERT INTO codes SELECT vector + 1000, model + 1, passage, code FROM codes")
    asked: list[Any] = []
    candidates = CandidateIndex(model=1)
    assert len(candidates.refresh(shelf.db).vectors) == 30
    shelf.db.exec_trace = lambda _cursor, _sql, bindings: asked.append(bindings) is None
    assert len(candidates.refresh(shelf.db).vectors) == 30
    assert asked[-1][0] == newest + 1000


def test_all_rows_that_tie_with_the_last_are_included(shelf: Any) -> None:
    """Equal texts have equal codes, so all of them are among the nearest or none, in any order."""
    shelf.add_many([{"text": "the same words"} for _ in range(50)])
    rows = CandidateIndex(model=1)
    vector = shelf.index.embedders.own.embed_query("the same words")
    assert len(rows.refresh(shelf.db).nearest(vector, ProposalCounts(10, 5), None)) == 50
    only = np.zeros(60, np.bool_)
    only[7] = True
    assert rows.refresh(shelf.db).nearest(vector, ProposalCounts(10, 5), only).tolist() == [7]


def test_the_vectors_of_memories_are_found_in_any_order_of_their_passages() -> None:
    """A memory has several passages, and newer vectors after an edit. Unknown memories have none."""
    passages = np.array([256, 512, 513, 1_024, 512, 2_560])
    rows = CandidateSnapshot(np.zeros((binary_codes.WORDS, 6), np.uint64), np.arange(10, 16), passages)
    assert rows.of(np.array([2, 4])).tolist() == [11, 12, 13, 14]
    assert rows.of(np.array([0, 3, 10, 11])).tolist() == [15]
    assert rows.of(np.empty(0, np.int64)).tolist() == []


def test_codes_of_a_wrong_length_are_corruption(shelf: Any) -> None:
    """The code may have another layout or be truncated. The search says how to repair it, and the check reports it."""
    shelf.add_many([{"text": f"the harbour crane number {n}"} for n in range(3)])
    assert list(shelf.index.problems(shelf.db)) == []
    shelf.db.execute("UPDATE codes SET code = substr(code, 1, 64) WHERE vector = 2")
    with pytest.raises(CorruptError, match="doctor --repair"):
        CandidateIndex(model=1).refresh(shelf.db)
    (problem,) = shelf.index.problems(shelf.db)
    assert "1 vectors" in problem


def test_the_search_notices_that_the_table_was_emptied(shelf: Any) -> None:
    """After another process rebuilt the index, the stale copy is dropped, and everything is found."""
    texts = [f"the harbour crane number {n}" for n in range(30)]
    shelf.add_many([{"text": text} for text in texts])
    shelf.search("harbour")
    with shelf.db:
        shelf.index.clear(shelf.db)
        shelf.index.replace(shelf.db, [], list(shelf.rows.values()), None)
    assert len(shelf.search("port machinery", limit=30)) == 30


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 1.0])
def test_a_mask_is_followed_however_many_memories_it_allows(share: float) -> None:
    """The rows that it allows are found as if there were no others, with few of them and with many."""
    codes = np.ascontiguousarray(binary_codes.encode(unit(3_000, 64, seed=4)).view(np.uint64).T)
    memories = np.arange(1, 3_001)
    allowed = np.random.default_rng(5).random(3_001) < share
    among = memories[allowed[memories]]
    every = CandidateSnapshot(codes, memories, memories * PER_MEMORY)
    alone = CandidateSnapshot(codes[:, among - 1], among, among * PER_MEMORY)
    for query in unit(5, 64, seed=6):
        found = every.nearest(query, ProposalCounts(40, 10), allowed)
        assert found.tolist() == alone.nearest(query, ProposalCounts(40, 10), None).tolist()
