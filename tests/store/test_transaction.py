"""Tests of the commit path: a commit makes all changes or none, on documents that are up to date with the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from memcrdt.errors import InputError, StoreError
from memcrdt.model import limits
from memcrdt.store import compaction, log
from memcrdt.store.recovery import doctor
from memcrdt.store.transaction import Transaction
from tests.bare_device import BareDevice

Make = Callable[..., BareDevice]


class _OnPurposeError(Exception):
    """An error with which the tests abort a commit."""


def _second(first: BareDevice) -> BareDevice:
    """Return the same store as in another process, with its own documents."""
    second = BareDevice.__new__(BareDevice)
    second.__dict__.update(first.__dict__)
    second.open()
    return second


def test_a_plan_that_fails_changes_nothing(device: Make) -> None:
    """The document is rolled back with the rows, and the next commit builds on the durable state."""
    a = device("A")
    kept = a.add("kept")
    before = a.views(), a.digest()

    def plan(transaction: Transaction) -> None:
        a_space = a.store.space("personal")
        transaction.forget(a_space, kept)
        transaction.finish()
        raise _OnPurposeError

    with pytest.raises(_OnPurposeError):
        a.store.commit(plan)
    assert (a.views(), a.digest()) == before
    a.update(kept, add_tags=["after"])
    a.reopen()
    assert a.texts() == {kept: "kept"}
    assert a.rows("SELECT tag FROM tags") == [("after",)]


def test_an_indexer_that_fails_takes_the_commit_with_it(device: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Views, log and document do not change."""
    a = device("A")
    before = a.views(), a.digest()

    def fail(*_: Any) -> None:
        raise _OnPurposeError

    with monkeypatch.context() as patch:
        patch.setattr(a.store.indexer, "replace", fail)
        with pytest.raises(_OnPurposeError):
            a.add("not kept")
    assert (a.views(), a.digest()) == before
    assert a.texts() == {}
    assert a.add("kept") in a.texts()


def test_half_a_batch_is_not_kept(device: Make) -> None:
    """The third item is refused, so no item is added."""
    a = device("A")
    taken = a.add("taken")
    with pytest.raises(InputError, match="taken"):
        a.add_each([{"text": "one"}, {"text": "two"}, {"text": "three", "id": taken}])
    assert list(a.texts().values()) == ["taken"]


def test_a_document_catches_up_with_what_another_process_wrote(device: Make) -> None:
    """Each commit builds on all earlier commits of any process. The digests equal those of a fresh load."""
    a = device("A")
    b = _second(a)
    memory = a.add("of a")
    for number in range(5):
        (a, b)[number % 2].update(memory, add_tags=[f"tag {number}"])
    assert a.rows("SELECT count(*) FROM tags") == [(5,)]
    assert a.digest() == b.digest()
    b.close()
    a.reopen()
    a.rows("SELECT 1")
    with a.store.writing() as db:
        kept = db.execute("SELECT digest FROM shards").get
        db.execute("UPDATE shards SET digest = NULL")
    a.digest()
    assert a.rows("SELECT digest FROM shards") == [(kept,)]


def test_a_document_that_another_process_compacted_past_is_reloaded(device: Make) -> None:
    """Invariant 1: otherwise the rows in between would be missing, and the next fold would lose them."""
    a = device("A")
    b = _second(a)
    first = a.add("first, of a")  # a has the document at row 1
    second = b.add("second, of b")  # acknowledged
    compaction.compact(b.store)  # row 2 is gone from the log: only the snapshot has it
    third = a.add("third, of a")
    compaction.compact(a.store)
    b.close()
    a.reopen()
    a.update(second, add_tags=["still there"])
    assert set(a.texts()) == {first, second, third}
    assert {*a.ids_of_documents()} == {first, second, third}


def test_a_row_of_the_log_is_never_numbered_twice(device: Make) -> None:
    """This holds even if folding has emptied the log, because readers continue after the last row that they saw."""
    a = device("A")
    a.add("one")
    compaction.compact(a.store)
    assert a.rows("SELECT count(*) FROM updates") == [(0,)]
    a.reopen()
    a.add("two")
    assert a.rows("SELECT seq FROM updates") == [(2,)]


def test_a_batch_of_long_texts_fills_several_shards(device: Make) -> None:
    """No shard exceeds 1 MiB plus one text, because peers would refuse its update as too long."""
    a = device("A")
    a.add_many(["x" * limits.TEXT_BYTES] * 30)
    sizes = [size for (size,) in a.rows("SELECT bytes FROM shards")]
    assert len(sizes) == 2
    assert max(sizes) < limits.SHARD_BYTES + 2 * limits.TEXT_BYTES


def test_new_memories_go_to_the_lowest_open_shard(device: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forgotten births count when a shard fills up."""
    monkeypatch.setattr(limits, "SHARD_BIRTHS", 3)
    a = device("A")
    ids = a.add_many("abcdefg")
    a.forget(ids[0])
    a.add("h")
    assert a.rows("SELECT number, births FROM shards") == [(0, 3), (1, 3), (2, 2)]


def test_a_fold_that_is_not_committed_leaves_no_document_ahead(device: Make) -> None:
    """The last row was not written, and its number goes to the next row of any process."""
    a = device("A")
    memory = a.add("first")
    b = _second(a)
    with pytest.raises(StoreError):
        _edit_in_vain(a, memory)
    with a.store.writing() as db:
        db.set_commit_hook(None)
    b.add("second")
    a.add("third")
    a.reopen()
    assert sorted(a.texts().values()) == ["first", "second", "third"]
    assert len(a.ids_of_documents()) == 3
    with a.store.documents() as (db, documents):
        assert documents.current(db, log.shard_row(db, 1)).live.register_count == 3
    assert doctor.examine(a.store).problems == ()
    b.close()


def _edit_in_vain(device: BareDevice, memory: str) -> None:
    flags = {f"{memory}/a/{name}": {"value": value, "at": 1} for name, value in (("pinned", True), ("trust", "x"))}
    with device.store.writing_documents() as (db, documents):
        db.set_commit_hook(lambda: True)  # as when the disk fails
        transaction = Transaction(db, documents, device.store.stamp())
        transaction.edit(device.store.space("personal"), memory, flags)
        transaction.finish()


def test_a_statement_that_is_left_open_keeps_nobody_in_the_past(device: Make) -> None:
    """A debugger may keep the cursor of a read. The next read still sees later commits."""
    a = device("A")
    a.add("first")
    with a.store.reading() as db:
        held = db.execute("SELECT id FROM memories UNION ALL SELECT 'more'")
        assert held.fetchone()
    a.add("second")
    assert sorted(a.texts().values()) == ["first", "second"]
    del held
    assert len(a.texts()) == 2
