"""Differences between two updates under one client id."""

from __future__ import annotations

from itertools import permutations
from random import Random
from typing import Any

import pytest

from memcrdt.crdt.block_diff import first_difference
from memcrdt.crdt.shard import Shard
from memcrdt.model.registers import DELETED
from tests.campaigns.histories import History

CLIENT = 7
KEY = "01JD8Z6Q4M0000000000000001/a/importance"
VALUES: list[Any] = [
    "text",
    None,
    True,
    0,
    -5,
    63,
    64,
    2**31,
    -(2**40),
    2**53 - 1,
    0.5,
    0.1,
    -1e300,
    [1, [2.5, {"a": None}]],
    {"text": "a", "at": 1_800_000_000_000, "by": None, "base": ["x", "y"]},
]


def _update(*writes: dict[str, Any]) -> bytes:
    shard = Shard(CLIENT)
    for each in writes:
        shard.write(each)
    return shard.snapshot()


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_of_all_kinds_are_equal_to_themselves(value: Any) -> None:
    """The width of numbers and the order of keys do not matter."""
    one, other = _update({KEY: value}), _update({KEY: value})
    assert first_difference(one, other, CLIENT) is None


@pytest.mark.parametrize("value", VALUES[1:], ids=repr)
def test_another_value_is_a_difference(value: Any) -> None:
    """first_difference() returns the clock of the value."""
    assert first_difference(_update({"k": 1}, {KEY: "text"}), _update({"k": 1}, {KEY: value}), CLIENT) == 1


def test_another_key_is_a_difference() -> None:
    """This holds even if the value is the same."""
    assert first_difference(_update({"a": 1}), _update({"b": 1}), CLIENT) == 0


def test_another_key_of_a_deleted_value_is_a_difference() -> None:
    """A place stays when its value is deleted."""
    one, other = _update({"a": 1}, {"a": DELETED}), _update({"b": 1}, {"b": DELETED})
    assert first_difference(one, other, CLIENT) == 0


def test_a_value_that_one_copy_has_deleted_is_not_a_difference() -> None:
    """The other copy has not received the deletion yet."""
    one, other = _update({"a": 1}), _update({"a": 1}, {"a": 2}, {"a": DELETED})
    assert first_difference(one, other, CLIENT) is None


def test_blocks_of_other_clients_are_ignored() -> None:
    """Only blocks of the given client id are compared."""
    assert first_difference(_update({"a": 1}), _update({"b": 1}), CLIENT + 1) is None


def test_encodings_of_yjs_and_yrs_do_not_differ(yjs_sequence: list[bytes]) -> None:
    """Widths of numbers, merged neighbours and orders of keys differ, but the content is the same."""
    shard = Shard.load(1, yjs_sequence)
    for client in shard.state_vector():
        for update in yjs_sequence:
            assert first_difference(update, shard.snapshot(), client) is None


@pytest.mark.parametrize("seed", range(30))
def test_copies_that_have_exchanged_their_updates_do_not_differ(seed: int) -> None:
    """This holds for every client in histories with overwrites, deletions and collected blocks."""
    history = History(Random(seed)).run(60)
    for one, other in permutations(history.shards, 2):
        for client in one.state_vector():
            assert first_difference(one.snapshot(), other.snapshot(), client) is None
    for update in [update for edit in history.edits for update in edit.updates]:
        for shard in history.shards:
            assert first_difference(update, shard.snapshot(), shard.client_id) is None


@pytest.mark.parametrize("seed", range(30))
def test_copies_that_wrote_under_one_client_id_differ(seed: int) -> None:
    """The difference is found at the clock where the copies diverged."""
    rng = Random(seed)
    history = History(rng).run(30)
    shard = rng.choice(history.shards)
    twin = Shard.load(shard.client_id, [shard.snapshot()])
    clock = shard.state_vector().get(shard.client_id, 0)
    for each, name in ((shard, "one"), (twin, "other")):
        each.write({"01JD8Z6Q4M0000000000000009/a/scope": {"value": name, "at": 1}})
    history.run(30)
    assert first_difference(shard.snapshot(), twin.snapshot(), shard.client_id) == clock
