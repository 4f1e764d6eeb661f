"""Tests of digests of shards, which are kept until the shard changes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memcrdt.crdt.shard import Shard
from memcrdt.model import limits
from memcrdt.store.documents import CAPACITY
from tests.bare_device import BareDevice

Make = Callable[..., BareDevice]


@pytest.fixture(name="computed")
def _computed(monkeypatch: pytest.MonkeyPatch) -> list[Shard]:
    """Record the documents whose digests are computed."""
    found: list[Shard] = []
    digest = Shard.digest

    def counting(self: Shard) -> bytes:
        found.append(self)
        return digest(self)

    monkeypatch.setattr(Shard, "digest", counting)
    return found


def test_digests_are_computed_for_shards_that_changed_and_for_no_others(
    device: Make, computed: list[Shard], monkeypatch: pytest.MonkeyPatch
) -> None:
    """This also holds after a restart, because the store keeps digests."""
    monkeypatch.setattr(limits, "SHARD_BIRTHS", 2)
    a = device("A")
    ids = a.add_many(f"text {number}" for number in range(6))
    before = a.replica.digests(a.space())
    assert (len(before), len(computed)) == (3, 3)
    a.reopen()
    assert (a.replica.digests(a.space()), len(computed)) == (before, 3)
    a.update(ids[0], text="another")
    after = a.replica.digests(a.space())
    assert len(computed) == 4
    assert [shard for shard in before if before[shard].digest != after[shard].digest] == [0]


def test_documents_that_are_loaded_are_digested_first(device: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order of shard numbers, other documents would evict them, and each would be loaded again."""
    monkeypatch.setattr(limits, "SHARD_BIRTHS", 2)
    a = device("A")
    a.add_many(f"text {number}" for number in range(2 * (CAPACITY + 2)))
    loads: list[Shard] = []
    load = Shard.load
    monkeypatch.setattr(Shard, "load", lambda *given: loads.append(load(*given)) or loads[-1])
    assert len(a.replica.digests(a.space())) == CAPACITY + 2
    assert len(loads) == 2
