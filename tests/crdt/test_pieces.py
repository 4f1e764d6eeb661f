"""Pieces of an update: each applies without a gap, and together they have the effect of the update."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycrdt import merge_updates

from memcrdt.crdt import shard as shards
from memcrdt.crdt.pieces import PIECE_BYTES, cut
from memcrdt.crdt.scan import scan
from memcrdt.crdt.shard import Shard
from memcrdt.errors import RemoteProtocolError
from memcrdt.model.clocks import covers, varuint
from memcrdt.model.registers import DELETED
from tests.campaigns.histories import History

ID = "01JD8Z6Q4M0000000000000001"

seeds = st.integers(0, 1 << 32)
sizes = st.sampled_from([1, 200, 2_000, 1 << 20])


@given(seed=seeds, piece_bytes=sizes)
def test_pieces_fit_one_after_the_other_and_make_the_same_document(seed: int, piece_bytes: int) -> None:
    """Random histories of four writers, with overwrites and deletes, go to an empty copy and to an older copy."""
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


@given(seed=seeds, piece_bytes=sizes)
def test_a_snapshot_in_pieces_loads_to_the_same_shard(seed: int, piece_bytes: int) -> None:
    """The copy has the digest, memories, births and registers of the encoded document."""
    history = History(Random(seed)).run(60)
    shard = history.shards[0]
    copy = Shard.load(9, cut(shard.snapshot(), piece_bytes))
    assert (copy.digest(), copy.ids()) == (shard.digest(), shard.ids())
    assert (copy.births, copy.register_count) == (shard.births, shard.register_count)


@given(seed=seeds)
def test_an_update_in_pieces_has_the_effect_of_the_whole(seed: int) -> None:
    """The same memories are touched, unborn and displaced, and the logged updates make the same document."""
    history = History(Random(seed)).run(60)
    ours, theirs = history.shards[:2]
    before, update = ours.snapshot(), theirs.diff(ours.state_vector())
    whole, parts = Shard.load(1, [before]), Shard.load(2, [before])
    wanted = whole.apply(update)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "PIECE_BYTES", 1)
        edit = parts.apply(update)
    assert edit == replace(wanted, updates=edit.updates)
    assert parts.digest() == whole.digest()
    assert Shard.load(3, [before, *edit.updates]).digest() == whole.digest()


def test_a_birth_that_several_pieces_replace_is_reported_with_its_first_value() -> None:
    """A value that was there only between two pieces is not reported."""
    births = [{ID: {"text": text}} for text in ("before", "between", "after")]
    ours = Shard(1)
    update = ours.write(births[0]).updates[0]
    whole, parts = Shard.load(1, [update]), Shard.load(1, [update])
    second = Shard.load(2, [update])
    between = second.write(births[1]).updates[0]
    after = Shard.load(3, [update, between]).write(births[2]).updates[0]
    merged = merge_updates(between, after)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "PIECE_BYTES", 1)
        assert parts.apply(merged).displaced == {ID: {"text": "before"}}
    assert whole.apply(merged).displaced == {ID: {"text": "before"}}
    assert parts.registers(ID) == whole.registers(ID) == births[2]


def test_pieces_have_about_the_requested_size() -> None:
    """Each piece but the last reaches the size and exceeds it by at most one block."""
    shard = Shard(1)
    for number in range(100):
        shard.write({f"01JD8Z6Q4M0000000000000{number:03}": {"text": "x" * 1000}})
    sizes = [len(piece) for piece in cut(shard.snapshot(), 10_000)]
    assert len(sizes) > 9
    assert all(10_000 <= size < 11_200 for size in sizes[:-1])


def test_an_update_of_nothing_is_one_piece() -> None:
    """So there is always an answer to send."""
    assert list(cut(b"\0\0", 1)) == [b"\0\0"]


def test_deletes_are_cut_like_blocks() -> None:
    """Many deletes count as much as long blocks, because each takes time to apply."""
    shard = Shard(1)
    ids = [f"01JD8Z6Q4M0000000000000{number:03}" for number in range(1000)]
    shard.write({memory_id: {"text": "x"} for memory_id in ids})
    copy = Shard.load(2, [shard.snapshot()])
    shard.write(dict.fromkeys(ids[::2], DELETED))
    pieces = list(cut(shard.diff(copy.state_vector()), 1_000))
    assert len(pieces) > 80
    for piece in pieces:
        copy.apply(piece)
    assert copy.digest() == shard.digest()


def test_an_update_within_the_size_of_a_piece_is_not_cut() -> None:
    """It is not even walked, because a full shard of everyday memories loads faster than it can be cut."""
    assert list(cut(b"no update", 9)) == [b"no update"]
    shard = Shard(1)
    shard.write({f"01JD8Z6Q4M000000000000{number:04}": {"text": "x" * 130} for number in range(1024)})
    assert len(shard.snapshot()) < PIECE_BYTES / 2


def test_blocks_that_wait_for_each_other_are_refused() -> None:
    """No document has such blocks, and no order of them can be applied."""
    behind_9 = bytes([0x88]) + varuint(9) + varuint(0) + varuint(1) + b"\x7e"
    behind_8 = bytes([0x88]) + varuint(8) + varuint(0) + varuint(1) + b"\x7e"
    update = b"\x02" + b"\x01\x08\x00" + behind_9 + b"\x01\x09\x00" + behind_8 + b"\x00"
    scan(update)
    with pytest.raises(RemoteProtocolError, match="wait for each other"):
        list(cut(update, 1))
