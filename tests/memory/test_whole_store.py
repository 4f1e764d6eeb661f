"""Backups, checks and compaction from the outside. tests/store tests them in depth."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pycrdt import Doc, Map

from memcrdt.errors import CorruptError, InputError, NotFoundError, StoreError
from memcrdt.memory.memory import Memory
from memcrdt.node.store_replica import StoreReplica


def test_a_backup_brings_back_what_was_forgotten_since(memory: Memory, tmp_path: Path) -> None:
    """Later additions are gone, and searches follow."""
    kept = memory.add("the first fact", tags=["t"])
    assert memory.backup(tmp_path / "backup.db") == (tmp_path / "backup.db").stat().st_size
    memory.forget(kept)
    later = memory.add("a later fact")
    memory.restore(tmp_path / "backup.db")
    assert [hit.memory.id for hit in memory.search("fact")] == [kept]
    assert memory.get(kept).tags == ("t",)
    with pytest.raises(NotFoundError):
        memory.get(later)
    assert any("restored" in alarm.text for alarm in memory.status().alarms)
    assert memory.get(memory.add("another fact")).text == "another fact"


def test_a_backup_takes_no_files_place(memory: Memory, tmp_path: Path) -> None:
    """A missing file cannot be restored."""
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(InputError, match="already"):
        memory.backup(tmp_path / "mine")
    assert (tmp_path / "mine").read_text() == "mine"
    with pytest.raises(InputError, match="no file"):
        memory.restore(tmp_path / "nowhere")


def test_a_path_that_is_none_or_leads_nowhere_is_an_error_of_ours(memory: Memory, tmp_path: Path) -> None:
    """The error has the given path, and no file is created."""
    (tmp_path / "file").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    wrong: Any
    for wrong in (5, None, b"x.jsonl", "", "a\0b.jsonl", "a\udcff.jsonl"):
        for call in (memory.backup, memory.restore, memory.export, memory.import_):
            with pytest.raises(InputError):
                call(wrong)
    for lost in (tmp_path / "nowhere" / "b.jsonl", tmp_path / "file" / "b.jsonl"):
        for writing in (memory.backup, memory.export):
            with pytest.raises(StoreError, match=re.escape(str(lost)) + r" can('t|not) be written"):
                writing(lost)
    with pytest.raises(InputError, match="not a regular file"):
        memory.export("/", format="jsonl")
    assert sorted(tmp_path.rglob("*")) == before


def test_the_doctor_finds_and_mends(memory: Memory) -> None:
    """Here a view that differs from the log."""
    added = memory.add("the true text")
    assert memory.doctor().problems == ()
    with memory.store.writing() as db:
        db.execute("UPDATE memories SET text = 'a false text'")
    assert memory.doctor().problems
    assert memory.get(added).text == "a false text"
    assert memory.doctor(repair=True).done
    assert (memory.get(added).text, memory.doctor().problems) == ("the true text", ())


def test_the_doctor_mends_the_log_also_where_the_index_is_damaged(memory: Memory) -> None:
    """Rows restored from the views change the index. It is rebuilt only after that."""
    ids = memory.add_many(["one lantern", "two lanterns", "three lanterns"])
    memory.update(ids[0], text="one lamp")
    with memory.store.writing() as db:
        db.execute("UPDATE updates SET checksum = zeroblob(8) WHERE seq = 1")
        db.execute("UPDATE memories SET scope = 'nowhere'")
        db.execute("INSERT INTO fulltext(fulltext) VALUES('delete-all')")
    assert memory.doctor(repair=True).done
    assert memory.doctor().problems == ()
    assert [hit.memory.id for hit in memory.search("lamp")] == [ids[0]]


def test_a_time_or_a_list_that_is_none_is_damage(memory: Memory) -> None:
    """In every call that meets it. It is never an error of Python itself."""
    added = memory.add("text")
    with memory.store.writing() as db:
        db.execute("UPDATE memories SET created_at = -1 << 60")
    for call in (memory.list, memory.stats, lambda: memory.get(added), lambda: memory.search("text")):
        with pytest.raises(CorruptError, match="doctor --repair"):
            call()
    memory.doctor(repair=True)
    assert memory.update(added, text="other text").id == added
    for harm in ("base = '['", "at = -1 << 60"):
        with memory.store.writing() as db:
            db.execute(f"UPDATE revisions SET {harm}")
        with pytest.raises(CorruptError, match="doctor --repair"):
            memory.history(added)
        memory.doctor(repair=True)
        assert [revision.text for revision in memory.history(added)] == ["text", "other text"]


def test_compacting_folds_and_changes_nothing(memory: Memory) -> None:
    """After many changes of a few memories."""
    ids = memory.add_many([f"fact {n}" for n in range(20)])
    for n in range(50):
        memory.update(ids[n % 20], importance=n / 1000)
    before = memory.list().items
    assert memory.compact().shards == 1
    assert memory.compact().shards == 0
    assert memory.list().items == before


def test_what_a_foreign_client_left_at_keys_of_no_memory_is_counted(memory: Memory) -> None:
    """As `ignored` in the status, until it is gone: some program does not work as its author expects."""
    stranger: Doc[Any] = Doc(client_id=1)
    foreign = stranger.get("memories", type=Map)
    replica, space = StoreReplica(memory.store), memory.space("personal").id()
    with stranger.transaction():
        foreign["hello"], foreign[""] = 1, 2
    assert replica.apply(space, 0, stranger.get_update(), "B" * 52).status == "applied"
    assert memory.status().ignored == 2
    del foreign["hello"]
    foreign["later"] = 3
    del foreign[""]
    assert replica.apply(space, 0, stranger.get_update(), "B" * 52).status == "applied"
    assert memory.status().ignored == 1
    assert not memory.list()
