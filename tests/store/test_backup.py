"""Tests of backups."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from memcrdt.errors import DiskFullError, InputError
from memcrdt.store import backup
from memcrdt.store.recovery import doctor
from tests.bare_device import BareDevice

Make = Callable[..., BareDevice]


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


def test_half_a_backup_is_not_left_behind(device: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the disk fails at the end of the backup."""

    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(backup.os, "fsync", fail)
    with pytest.raises(DiskFullError, match="full"):
        backup.back_up(device("A").store, tmp_path / "backup")
    assert list(tmp_path.glob("backup*")) == []
