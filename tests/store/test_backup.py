"""Tests of backup and restore."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from memcrdt.errors import CorruptError, DiskFullError, InputError, SchemaError
from memcrdt.store import backup
from memcrdt.store.recovery import doctor
from tests.bare_device import BareDevice, agree

Make = Callable[..., BareDevice]


def _cut(path: Path) -> None:
    os.truncate(path, 20_000)


def _spoil(path: Path) -> None:
    with closing(apsw.Connection(str(path))) as db:
        db.execute("PRAGMA user_version = 0")


def test_a_backup_is_a_store_with_the_same_memories(device: Make, tmp_path: Path) -> None:
    """It is written while the store is in use, and only its owner can read it."""
    a = device("A")
    ids = a.add_many(["one", "two"])
    with a.store.reading() as db:
        db.execute("BEGIN")
        db.execute("SELECT count(*) FROM memories").fetchall()
        size = backup.back_up(a.store, tmp_path / "backup")
        db.execute("ROLLBACK")
    assert size == (tmp_path / "backup").stat().st_size
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "backup").rename(tmp_path / "elsewhere" / "memories.db")
    copy = BareDevice(tmp_path / "elsewhere", "A")
    assert list(copy.texts()) == ids
    assert doctor.examine(copy.store).problems == ()
    copy.close()


def test_a_backup_overwrites_nothing(device: Make, tmp_path: Path) -> None:
    """An existing file may be the only good backup."""
    (tmp_path / "backup").write_bytes(b"precious")
    with pytest.raises(InputError, match="already exists"):
        backup.back_up(device("A").store, tmp_path / "backup")
    assert (tmp_path / "backup").read_bytes() == b"precious"


@pytest.mark.skipif(os.name == "nt", reason="Windows wants a right for links")
def test_a_backup_takes_no_links_place(device: Make, tmp_path: Path) -> None:
    """This includes dangling links."""
    (tmp_path / "backup").symlink_to("nowhere")
    with pytest.raises(InputError, match="already exists"):
        backup.back_up(device("A").store, tmp_path / "backup")
    assert (tmp_path / "backup").is_symlink()


def test_restoring_goes_back_and_peers_bring_the_rest(device: Make, tmp_path: Path) -> None:
    """Invariant 4: the store is another incarnation, so its lost writes collide with nothing."""
    a, b = device("A"), device("B")
    kept = a.add("kept")
    backup.back_up(a.store, tmp_path / "backup")
    later = a.add("later")
    a.update(kept, text="edited")
    agree([a, b])
    facts, head = a.store.facts, a.replica.head()
    backup.restore(a.store, tmp_path / "backup")
    assert a.texts() == {kept: "kept"}
    assert a.store.facts.incarnation != facts.incarnation
    new = a.add("new")
    assert a.replica.head() == head + 1
    agree([a, b])
    assert a.texts() == {kept: "edited", later: "later", new: "new"}
    assert (a.views(), a.digest()) == (b.views(), b.digest())
    assert doctor.examine(a.store).problems == ()
    facts = a.store.facts
    a.reopen()
    assert a.store.facts == facts


def test_other_processes_go_on_after_a_restore(device: Make, tmp_path: Path) -> None:
    """Their documents reflect the store before the restore, so they are loaded again."""
    a = device("A")
    kept = a.add("kept")
    backup.back_up(a.store, tmp_path / "backup")
    other = BareDevice(a.home, "A")
    other.add("of the other")
    backup.restore(a.store, tmp_path / "backup")
    assert other.texts() == {kept: "kept"}
    new = other.add("after")
    assert a.ids_of_documents() == {kept, new} == set(a.texts())
    assert doctor.examine(a.store).problems == ()
    other.close()


def test_what_is_no_backup_is_refused(device: Make, tmp_path: Path) -> None:
    """Covers a file that is not SQLite, an empty file and another program's file. The store does not change."""
    a = device("A")
    a.add("kept")
    (tmp_path / "text").write_text("no database at all" * 100)
    (tmp_path / "empty").touch()
    with closing(apsw.Connection(str(tmp_path / "foreign"))) as db:
        db.execute("CREATE TABLE theirs (x)")
    for name in ("text", "empty", "foreign"):
        with pytest.raises(SchemaError, match=f"{name} is not a backup; name a file"):
            backup.restore(a.store, tmp_path / name)
    with pytest.raises(InputError, match="no file"):
        backup.restore(a.store, tmp_path / "nothing")
    assert list(a.texts().values()) == ["kept"]


def test_a_damaged_backup_is_refused(device: Make, tmp_path: Path) -> None:
    """Every row is checked and scanned before the store is replaced."""
    a = device("A")
    kept = a.add("kept")
    backup.back_up(a.store, tmp_path / "backup")
    with closing(apsw.Connection(str(tmp_path / "backup"))) as db:
        db.execute("UPDATE updates SET bytes = x'00'")
    with pytest.raises(CorruptError, match="name another one"):
        backup.restore(a.store, tmp_path / "backup")
    assert a.texts() == {kept: "kept"}


@pytest.mark.parametrize("damage", [_cut, _spoil], ids=["cut short", "its header"])
def test_damage_to_a_backups_file_is_told_of_the_backup(
    device: Make, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """The error does not recommend the doctor, which examines only the store of the home."""
    a = device("A")
    kept = a.add("kept")
    backup.back_up(a.store, tmp_path / "backup")
    damage(tmp_path / "backup")
    with pytest.raises(CorruptError, match=r"the backup .* is damaged \(.*; name another one"):
        backup.restore(a.store, tmp_path / "backup")
    assert a.texts() == {kept: "kept"}


def test_a_store_in_use_is_no_backup(device: Make, tmp_path: Path) -> None:
    """Its file lacks the rows of its WAL.

    Neither the store itself nor another store is accepted, and nothing changes.
    """
    a, b = device("A"), device("B")
    for each in (a, b):
        kept = each.add("kept")
        with pytest.raises(InputError, match="in use"):
            backup.restore(a.store, each.store.path)
        assert each.texts() == {kept: "kept"}


def test_half_a_backup_is_not_left_behind(device: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the disk fails at the end of the backup."""

    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(backup.os, "fsync", fail)
    with pytest.raises(DiskFullError, match="full"):
        backup.back_up(device("A").store, tmp_path / "backup")
    assert list(tmp_path.glob("backup*")) == []
