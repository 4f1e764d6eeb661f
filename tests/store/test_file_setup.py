"""Tests of opening a store."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import memcrdt
from memcrdt.errors import CorruptError, LockedError, ReadOnlyError
from memcrdt.net.identity import KEY_FILE
from memcrdt.store import connections
from memcrdt.store.files import FILE


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_only_its_owner_can_read_a_store_in_a_folder_that_others_see(tmp_path: Path) -> None:
    """The file, its WAL and its index have mode 0600, whatever the folder's mode and the umask are."""
    tmp_path.chmod(0o755)
    with memcrdt.open(tmp_path, embedder=None) as memory:
        memory.add("The safe is behind the calendar")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob(f"{FILE}*")}
    assert modes == {FILE: 0o600, f"{FILE}-wal": 0o600, f"{FILE}-shm": 0o600}


def test_text_that_is_no_utf8_any_more_is_damage(tmp_path: Path) -> None:
    """A wrong byte in a text is a CorruptError, not a UnicodeDecodeError."""
    with memcrdt.open(tmp_path, embedder=None) as memory:
        memory_id = memory.add("Lanterns hang in the harbour")
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes().replace(b"Lanterns hang", b"Lant\xffrns hang"))
    with memcrdt.open(tmp_path, embedder=None) as memory, pytest.raises(CorruptError, match="doctor"):
        memory.get(memory_id)


Apart = Callable[[Callable[[Path], None], Path], None]


def open_unwritable_files(home: Path) -> None:
    for suffix in ("", "-shm"):
        memcrdt.open(home, embedder=None).close()
        path = home / f"{FILE}{suffix}"
        path.touch()
        path.chmod(0o400)
        before = sorted(home.iterdir())
        with pytest.raises(ReadOnlyError, match=f"{path} is not writable; check its owner and permissions "):
            memcrdt.open(home, embedder=None)
        assert sorted(home.iterdir()) == before
        path.chmod(0o600)
    memcrdt.open(home, embedder=None).close()


def test_a_file_that_may_not_be_written_is_named_and_leaves_nothing_behind(by_modes: Apart, tmp_path: Path) -> None:
    """SQLite's index of the WAL, with the file's mode, must not remain: it would prevent opening the home."""
    by_modes(open_unwritable_files, tmp_path)


def read_by_modes(folder: Path) -> None:
    home = _home(folder)
    for path, mode in ((home, 0o500), (home / FILE, 0o400)):
        before = path.stat().st_mode
        path.chmod(mode)
        _assert_read_only(home)
        path.chmod(before)
    memcrdt.open(home, embedder=None).close()


def test_what_may_not_be_written_can_be_read(by_modes: Apart, tmp_path: Path) -> None:
    """Either the folder or only the file is read-only, and no file is left in the folder."""
    by_modes(read_by_modes, tmp_path)


def read_mounted_to_read(folder: Path) -> None:
    home = _home(folder)
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    _assert_read_only(home)


def test_a_home_on_a_file_system_mounted_to_read_can_be_read(on_small_disk: Apart, tmp_path: Path) -> None:
    """This is like a read-only medium."""
    on_small_disk(read_mounted_to_read, tmp_path)


@pytest.mark.parametrize("missing", ["-shm", "-wal"])
def test_a_snapshot_of_a_store_in_use_can_be_read(on_small_disk: Apart, tmp_path: Path, missing: str) -> None:
    """The rows in its WAL count, with or without an index of the WAL."""
    on_small_disk({"-shm": read_snapshot_without_index, "-wal": read_snapshot}[missing], tmp_path)


def read_snapshot(folder: Path) -> None:
    _read_snapshot(folder, ("", "-wal", "-shm"))


def read_snapshot_without_index(folder: Path) -> None:
    _read_snapshot(folder, ("", "-wal"))


def _read_snapshot(folder: Path, suffixes: tuple[str, ...]) -> None:
    home, copy = _home(folder), folder / "copy"
    with memcrdt.open(home, embedder=None) as memory:
        memory.add("in the WAL")
        copy.mkdir()
        for name in (KEY_FILE.name, *(f"{FILE}{suffix}" for suffix in suffixes)):
            shutil.copy(home / name, copy / name)
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    with memcrdt.open(copy, embedder=None, read_only=True) as memory:
        assert {each.text for each in memory.list()} == {"lantern", "in the WAL"}
        assert memory.doctor().problems == ()


def _home(folder: Path) -> Path:
    with memcrdt.open(folder / "home", embedder=None) as memory:
        memory.add("lantern")
    return folder / "home"


def _assert_read_only(home: Path) -> None:
    before = sorted(home.iterdir())
    with memcrdt.open(home, embedder=None, read_only=True) as memory:
        (record,) = memory.list()
        assert [hit.memory.id for hit in memory.search("lantern")] == [record.id]
        assert [each.text for each in memory.history(record.id)] == ["lantern"]
        assert memory.doctor().problems == ()
        assert memory.status().spaces[0].memories == 1
        with pytest.raises(ReadOnlyError, match="reading only"):
            memory.add("no")
    with pytest.raises(ReadOnlyError, match="it can still be read"):
        memcrdt.open(home, embedder=None)
    assert sorted(home.iterdir()) == before


def test_what_somebody_else_writes_meanwhile_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without locks, a call fails if the file was written during it. The next call sees the change."""
    home = _home(tmp_path)
    monkeypatch.setattr(connections, "is_unwritable", lambda _: True)
    with memcrdt.open(home, embedder=None, read_only=True) as reader:
        with pytest.raises(LockedError, match="try again"), reader.store.reading():
            _add(home)
        assert len(list(reader.list())) == 2


def _add(home: Path) -> None:
    with memcrdt.open(home, embedder=None) as writer:
        writer.add("meanwhile")
