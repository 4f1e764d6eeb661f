"""Shard: registers in, updates out, and the same document everywhere."""

from __future__ import annotations

from memcrdt.crdt.shard import Shard

ID = "01JD8Z6Q4M0000000000000001"


def test_what_is_written_is_read_back_from_a_loaded_copy() -> None:
    """A register written here reads the same after load, integers included."""
    shard = Shard(1)
    edit = shard.write({ID: {"text": "a", "at": 5}})
    copy = Shard.load(2, [edit.update])
    assert copy.registers(ID) == {ID: {"text": "a", "at": 5}}
    assert type(copy.registers(ID)[ID]["at"]) is int
    assert copy.digest() == shard.digest()
