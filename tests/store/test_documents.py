"""Tests of the cache of live documents: evicted documents are freed and loaded again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memcrdt.crdt import shard as shards
from memcrdt.store import compaction, log
from memcrdt.store.documents import Documents
from tests.bare_device import BareDevice

Make = Callable[..., BareDevice]


@pytest.fixture(autouse=True)
def _free_bit_by_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_FREED_AT_ONCE", 0)


def test_what_was_used_longest_ago_is_freed_and_loaded_again(device: Make) -> None:
    """With room for one document, each shard keeps its content, however often the other was used in between."""
    a = device("A")
    a.add("in the first shard")
    with a.store.writing() as db:
        log.add_shard(db, 1)
        db.execute("UPDATE shards SET is_full = 1 WHERE number = 0")
    a.add("in the second")
    documents = Documents(capacity=1)
    seen: list[list[bytes]] = []
    for _ in range(3):
        with a.store.reading() as db:
            rows = [row for row in log.shards_of(db, 1) if row.head]
            used = [documents.current(db, row).live for row in rows]
            seen.append([live.digest() for live in used])
            documents.trim()
        assert not hasattr(used[0], "_doc")
        assert used[1].register_count > 0
    assert len(rows) == 2
    assert seen[0] == seen[1] == seen[2]


def test_a_document_that_was_folded_past_is_freed_and_loaded_again(device: Make) -> None:
    """Another process has folded rows that it lacks. It is freed only after the transaction ends."""
    a = device("A")
    memory = a.add("first")
    documents = Documents()
    with a.store.reading() as db:
        old = documents.current(db, log.shard_row(db, 1)).live
    a.update(memory, text="second")
    compaction.compact(a.store)
    with a.store.reading() as db:
        live = documents.current(db, log.shard_row(db, 1)).live
    assert old.register_count < live.register_count
    documents.trim()
    assert not hasattr(old, "_doc")
    assert live.registers(memory)
