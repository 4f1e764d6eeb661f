"""Tests that other code of the process may open and close the files of an open store."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from memcrdt.errors import LockedError, StoreError
from memcrdt.store import connections, open_file_locks
from memcrdt.store.files import FILE
from memcrdt.store.meta import write as write_meta
from tests.bare_device import BareDevice
from tests.campaigns.kill import processes
from tests.campaigns.peeks import PEEKS, copy, query

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a process cannot drop locks of its other handles")

needs_locks = pytest.mark.skipif(open_file_locks.NUMBER is None, reason="the system has no such locks")


def add_elsewhere(home: Path, text: str) -> None:
    device = BareDevice(home, "A")
    device.add(text)
    device.close()


def find_locked(home: Path) -> None:
    connections.BUSY_TIMEOUT_S = 0.01
    with pytest.raises(LockedError):
        BareDevice(home, "A")


def in_another_process(work: Callable[..., None], *given: object) -> None:
    process = processes().Process(target=work, args=given)
    process.start()
    process.join()
    assert process.exitcode == 0


@needs_locks
@pytest.mark.parametrize("peek", PEEKS)
def test_a_peek_at_the_files_loses_nothing(tmp_path: Path, peek: Callable[[Path], None]) -> None:
    """Invariant 1: after it, no other process takes itself for the only one and deletes the WAL at its end."""
    device = BareDevice(tmp_path, "A")
    device.add("before")
    peek(tmp_path)
    in_another_process(add_elsewhere, tmp_path, "elsewhere")
    device.add("after")
    device.reopen()
    assert sorted(device.texts().values()) == ["after", "before", "elsewhere"]
    assert device.rows("PRAGMA integrity_check") == [("ok",)]
    device.close()


@needs_locks
def test_a_peek_in_the_middle_of_a_write_admits_no_other_writer(tmp_path: Path) -> None:
    """SQLite's own write lock is gone then."""
    device = BareDevice(tmp_path, "A")
    with device.store.writing() as db:
        write_meta(db, "test", "written")
        copy(tmp_path)
        in_another_process(find_locked, tmp_path)
    in_another_process(add_elsewhere, tmp_path, "elsewhere")
    assert list(device.texts().values()) == ["elsewhere"]
    assert device.rows("SELECT value FROM meta WHERE key = 'test'") == [("written",)]
    device.close()


def test_the_last_of_several_stores_in_a_process_deletes_the_wal(tmp_path: Path) -> None:
    """The stores share the locks, and the first to be closed does not end those of the second."""
    first, second = BareDevice(tmp_path, "A"), BareDevice(tmp_path, "A")
    first.close()
    query(tmp_path)
    second.add("kept")
    assert (tmp_path / f"{FILE}-wal").exists()
    second.close()
    assert not (tmp_path / f"{FILE}-wal").exists()
    first.open()
    assert list(first.texts().values()) == ["kept"]
    first.close()


@needs_locks
def test_a_store_that_is_only_read_keeps_the_wal_too(tmp_path: Path) -> None:
    """A peek in a process with a read-only store does not delete the WAL under it."""
    writer = BareDevice(tmp_path, "A")
    reader = BareDevice(tmp_path, "A", read_only=True)
    writer.add("kept")
    writer.close()
    query(tmp_path)
    assert (tmp_path / f"{FILE}-wal").exists()
    assert list(reader.texts().values()) == ["kept"]
    reader.close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_does_not_keep_the_locks(tmp_path: Path) -> None:
    """Its parent closes the store while the child lives, and SQLite deletes the WAL."""
    device = BareDevice(tmp_path, "A")
    context = multiprocessing.get_context("fork")
    go = context.Event()
    child = context.Process(target=go.wait)
    child.start()
    device.close()
    assert not (tmp_path / f"{FILE}-wal").exists()
    go.set()
    child.join()


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
@pytest.mark.parametrize("is_replaced", [False, True])
def test_nothing_is_acknowledged_after_a_file_beside_the_store_was_deleted(
    tmp_path: Path, suffix: str, is_replaced: bool
) -> None:
    """The error says what to do, and opening the store again brings back what was acknowledged before."""
    device = BareDevice(tmp_path, "A")
    device.add("before")
    beside = tmp_path / f"{FILE}{suffix}"
    content = beside.read_bytes()
    beside.unlink()
    if is_replaced:
        beside.write_bytes(content)
    for use in (device.texts, lambda: device.add("after")):
        with pytest.raises(StoreError, match=f"{suffix} was deleted, moved or replaced while .* open it again"):
            use()
    device.reopen()
    assert list(device.texts().values()) == ["before"]
    assert device.rows("PRAGMA integrity_check") == [("ok",)]
    device.close()


def test_without_such_locks_a_peek_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's sqlite3 moves the WAL into the file and deletes it. Nothing is acknowledged after that."""
    monkeypatch.setattr(open_file_locks, "NUMBER", None)
    device = BareDevice(tmp_path, "A")
    device.add("before")
    query(tmp_path)
    with pytest.raises(StoreError, match="open it again"):
        device.add("after")
    in_another_process(add_elsewhere, tmp_path, "elsewhere")
    device.reopen()
    assert sorted(device.texts().values()) == ["before", "elsewhere"]
    device.close()


@pytest.mark.parametrize("system_has_them", [False, True])
def test_without_such_locks_other_processes_leave_the_wal_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system_has_them: bool
) -> None:
    """SQLite's own locks stay, whether the system has no such locks, or only the file system."""

    def refuse(*_: object) -> None:
        raise OSError("no such locks")

    monkeypatch.setattr(open_file_locks, "_set", refuse)
    if not system_has_them:
        monkeypatch.setattr(open_file_locks, "NUMBER", None)
    device = BareDevice(tmp_path, "A")
    for number in range(2):
        device.add(f"here {number}")
        in_another_process(add_elsewhere, tmp_path, f"elsewhere {number}")
    device.add("here 2")
    assert len(device.texts()) == 5
    device.close()


def test_a_wal_that_is_deleted_during_a_commit_is_noticed_at_its_end(tmp_path: Path) -> None:
    """The commit is not acknowledged, although SQLite wrote it."""
    device = BareDevice(tmp_path, "A")

    def delete_wal(_: object) -> None:
        (tmp_path / f"{FILE}-wal").unlink()

    with pytest.raises(StoreError, match="the last changes may be lost"):
        device.store.commit(delete_wal)
    device.close()


def test_a_store_whose_wal_was_replaced_leaves_the_new_one_alone(tmp_path: Path) -> None:
    """Another process has written into it by then."""
    device = BareDevice(tmp_path, "A")
    device.add("in the deleted WAL")
    for suffix in ("-wal", "-shm"):
        (tmp_path / f"{FILE}{suffix}").unlink()
    in_another_process(add_elsewhere, tmp_path, "elsewhere")
    device.reopen()
    assert list(device.texts().values()) == ["elsewhere"]
    assert device.rows("PRAGMA integrity_check") == [("ok",)]
    device.close()
