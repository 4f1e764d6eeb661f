"""Tests of invariants 1 and 11: acknowledged changes survive every fault, and processes do not disturb each other."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

import memcrdt
from memcrdt.errors import LockedError, StoreError
from memcrdt.store import connections
from memcrdt.store.membership import receipts
from memcrdt.store.membership.receipts import HeldRows
from memcrdt.testing.faults import Disk, Fault, FaultyVfs
from tests.bare_device import BareDevice
from tests.campaigns import kill, multiprocess, powerloss
from tests.campaigns.expected import LostError, open_memory, texts_of

SCHEDULES = 500  # campaigns run thousands
PARTS = 5


@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_acknowledged_is_lost_by_a_failing_disk(part: int) -> None:
    """Invariant 1: I/O errors, a full disk and power cuts at any operation. Visible changes are on the disk."""
    size = SCHEDULES // PARTS
    counted = powerloss.run(range(part * size, (part + 1) * size))
    assert counted.total() == size
    assert counted["none"] < size / 5


def test_a_store_that_does_not_sync_would_be_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The schedules detect losses: with synchronous=NORMAL every third schedule loses acknowledged changes."""
    monkeypatch.setattr(connections, "SYNCED", connections.UNSYNCED)
    with pytest.raises(LostError, match="after the power cut"):
        powerloss.run(range(60))


@pytest.mark.parametrize("seed", range(6))
def test_a_power_cut_does_not_undo_a_store_that_was_just_made(tmp_path: Path, seed: int) -> None:
    """A deleted file may reappear unless its folder was synced. The journal of a new store must not."""
    vfs = FaultyVfs(f"memcrdt-made-{seed}", Disk())
    left = tmp_path / "left"
    left.mkdir()
    with open_memory(tmp_path / "home", vfs.name) as memory:
        added = memory.add("kept")
    memory = open_memory(tmp_path / "home", vfs.name)
    vfs.disk.after_power_cut(left, Random(seed))
    memory.close()
    with open_memory(left) as memory:
        assert texts_of(memory) == {added: "kept"}


@pytest.mark.parametrize("seed", range(6))
def test_what_is_only_noted_waits_for_no_disk_and_what_follows_does(tmp_path: Path, seed: int) -> None:
    """A power cut may lose receipts, which are determined again, but never commits before or after them."""
    vfs = FaultyVfs(f"memcrdt-noted-{seed}", Disk())
    left = tmp_path / "left"
    left.mkdir()
    memory = open_memory(tmp_path / "home", vfs.name)
    added = [memory.add("before")]
    vfs.disk.fault = Fault("error", 1, frozenset({"sync"}))
    receipts.note(memory.store, "B" * 52, memory.store.space("personal"), HeldRows({0: 1}, {}))
    assert vfs.disk.done == 0
    vfs.disk.fault = None
    if seed % 2:
        added.append(memory.add("after"))
    vfs.disk.after_power_cut(left, Random(seed))
    memory.close()
    with open_memory(left) as memory:
        assert sorted(texts_of(memory)) == sorted(added)


def test_nothing_acknowledged_is_lost_by_kill(tmp_path: Path) -> None:
    """Invariant 1, with four writers on one store, killed 25 times. Campaigns kill hundreds."""
    assert kill.run(tmp_path, kills=25, seed=0) >= 25


def test_eight_processes_lose_nothing_and_see_each_other(tmp_path: Path) -> None:
    """Invariant 11, with 100 turns each: no lock error, and each process sees every commit at its next read."""
    expected = multiprocess.run(tmp_path, workers=8, turns=100)
    assert len(expected) == 8 * 30
    with open_memory(tmp_path) as memory:
        assert texts_of(memory) == expected
        with memory.store.reading() as db:
            vector = db.execute("SELECT max(length(state_vector)) FROM shards").get
    assert vector < 20  # one client id


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_gets_a_clear_error(tmp_path: Path) -> None:
    """Invariant 1: the error covers the inherited store and the same file opened again.

    The parent's changes are intact.
    """
    parent = BareDevice(tmp_path, "A")
    parent.add("before")
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.write(writer, "\n".join([_error(lambda: parent.add("in the child")), _error(parent.open)]).encode())
        parent.close()
        os._exit(0)
    os.waitpid(child, 0)
    inherited, anew = os.read(reader, 65_536).decode().split("\n")
    assert inherited == anew
    assert "was open when this process was forked" in anew
    parent.add("after")
    parent.reopen()
    assert sorted(parent.texts().values()) == ["after", "before"]
    parent.close()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_may_open_what_its_parent_had_closed(tmp_path: Path) -> None:
    """The child has inherited no open file."""
    parent = BareDevice(tmp_path, "A")
    parent.close()
    child = multiprocessing.get_context("fork").Process(target=_add_in_child, args=(parent,))
    child.start()
    child.join()
    assert child.exitcode == 0
    parent.open()
    assert list(parent.texts().values()) == ["in the child"]
    parent.close()


def _add_in_child(device: BareDevice) -> None:
    device.open()
    device.add("in the child")
    device.close()


def _error(work: object) -> str:
    try:
        work()  # type: ignore[operator]
    except StoreError as exc:
        return str(exc)
    return "no error"


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    """A read does not open it again."""
    device = BareDevice(tmp_path, "A")
    device.close()
    with pytest.raises(StoreError, match="closed"):
        device.texts()
    with pytest.raises(StoreError, match="closed; open it again"):
        device.add("no")
    device.close()


_STOPS_IN_A_WRITE = """
import os, signal, sys
import memcrdt
with memcrdt.open(sys.argv[1], embedder=None) as memory, memory.store.writing() as db:
    db.execute("UPDATE meta SET value = 'half' WHERE key = 'client_id'")
    print("writing", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot stop a process by a signal")
def test_a_process_that_is_stopped_in_a_write_keeps_writers_waiting_and_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reads go on. A writer gets a LockedError in the end. Once the process has ended, its half of a change is gone."""
    with memcrdt.open(tmp_path, embedder=None) as memory:
        memory.add("before")
        stopped = subprocess.Popen(
            [sys.executable, "-c", _STOPS_IN_A_WRITE, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        try:
            assert stopped.stdout is not None
            assert stopped.stdout.readline() == "writing\n"
            with monkeypatch.context() as patched:
                patched.setattr(connections, "BUSY_TIMEOUT_S", 0.3)
                assert [hit.memory.text for hit in memory.search("before")] == ["before"]
                with pytest.raises(LockedError, match="stopped"):
                    memory.add("meanwhile")
        finally:
            stopped.kill()
            stopped.communicate()
        memory.add("afterwards")
        assert {each.text for each in memory.list()} == {"before", "afterwards"}
        assert memory.doctor().problems == ()
