"""Pieces of an update: each fits without a gap, and together they are the whole."""

from __future__ import annotations

from random import Random

import pytest

from memcrdt.crdt.pieces import cut
from memcrdt.crdt.scan import scan
from memcrdt.crdt.shard import Shard
from memcrdt.model.clocks import covers
from memcrdt.testing.histories import History


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("piece_bytes", [1, 200, 1 << 20])
def test_pieces_fit_one_after_the_other_and_make_the_same_document(seed: int, piece_bytes: int) -> None:
    """From nothing, and from a copy that has a part: of random histories of four writers, overwrites and deletes."""
    history = History(Random(seed)).run(80)
    behind = history.shards[1]
    history.settle()
    whole = Shard(1)
    whole.apply(history.shards[0].snapshot())
    history.run(40)
    history.settle()
    for copy in (whole, Shard(2)):
        for piece in cut(behind.diff(copy.state_vector()), piece_bytes):
            found = scan(piece)
            assert covers(copy.state_vector(), found.needs)
            copy.apply(piece, found)
        assert copy.digest() == behind.digest()


def test_pieces_have_about_the_size_that_was_asked_for() -> None:
    """Each but the last reaches it, and goes over it by one block at most."""
    shard = Shard(1)
    for number in range(100):
        shard.write({f"01JD8Z6Q4M0000000000000{number:03}": {"text": "x" * 1000}})
    sizes = [len(piece) for piece in cut(shard.snapshot(), 10_000)]
    assert len(sizes) > 9
    assert all(10_000 <= size < 11_200 for size in sizes[:-1])


def test_an_update_of_nothing_is_one_piece() -> None:
    """So that there is always something to answer with."""
    assert list(cut(b"\0\0", 1)) == [b"\0\0"]
