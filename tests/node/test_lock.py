"""The lock of the process that runs the network of a home."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from memcrdt.errors import LockedError, StoreError
from memcrdt.node.lock import LOCK_FILE, Holder, ServeLock, holder

_HOLD = (
    "import sys, pathlib; from memcrdt.node.lock import ServeLock; lock = ServeLock(pathlib.Path(sys.argv[1]));"
    "lock.write(4321); print('held', flush=True); sys.stdin.read()"
)


def test_a_second_process_is_refused_and_the_first_named(tmp_path: Path) -> None:
    """Until the lock is released."""
    lock = ServeLock(tmp_path)
    with pytest.raises(LockedError, match=f"process {os.getpid()} "):
        ServeLock(tmp_path)
    lock.release()
    ServeLock(tmp_path).release()


def test_others_see_the_process_and_its_ports(tmp_path: Path) -> None:
    """The port is None until it listens, and no process is seen before and after. Asking creates no file."""
    assert holder(tmp_path) is None
    assert list(tmp_path.iterdir()) == []
    lock = ServeLock(tmp_path)
    assert holder(tmp_path) == Holder(os.getpid(), None)
    lock.write(4321)
    assert holder(tmp_path) == Holder(os.getpid(), 4321)
    lock.write(None, signal_port=5678, planned=4321)
    lock.write(None)
    assert holder(tmp_path) == Holder(os.getpid(), None, 5678, 4321)
    lock.release()
    assert holder(tmp_path) is None


def test_the_end_of_the_process_releases_the_lock(tmp_path: Path) -> None:
    """Even kill -9, which leaves the note behind."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"held\n"
        assert holder(tmp_path) == Holder(process.pid, 4321)
        with pytest.raises(LockedError, match=f"process {process.pid} "):
            ServeLock(tmp_path)
        process.kill()
    assert holder(tmp_path) is None
    ServeLock(tmp_path).release()


@pytest.mark.parametrize("note", [b"[" * 100_000, b"", b"{}", b"[]", b'{"pid": "x", "port": null}'])
def test_an_invalid_note_is_not_an_error(tmp_path: Path, note: bytes) -> None:
    """It may be incomplete, or edited."""
    lock = ServeLock(tmp_path)
    (tmp_path / "serve.json").write_bytes(note)
    assert holder(tmp_path) == Holder(0, None)
    lock.release()


def test_a_missing_home_is_named(tmp_path: Path) -> None:
    """An OSError is never raised as such."""
    with pytest.raises(StoreError, match="nowhere"):
        ServeLock(tmp_path / "nowhere")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no file modes")
def test_only_the_owner_can_open_the_lock(tmp_path: Path) -> None:
    """Another user who could open it, even for reading, could lock it first and keep the network from running."""
    (tmp_path / LOCK_FILE).touch(mode=0o644)
    (tmp_path / LOCK_FILE).chmod(0o644)
    ServeLock(tmp_path).release()
    assert (tmp_path / LOCK_FILE).stat().st_mode & 0o777 == 0o600
