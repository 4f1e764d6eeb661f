"""Tests of temporary copies of a store that a killed process leaves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from memcrdt.errors import LockedError, StoreError
from memcrdt.store import backup, scratch
from memcrdt.store.recovery import restore
from tests.bare_device import BareDevice

Make = Callable[..., BareDevice]

TEXT = "the text of a memory"
_RESTORE = """
import sys
from pathlib import Path
from memcrdt.store.recovery import restore
from tests.bare_device import BareDevice

def stop(*_):
    print("copied", flush=True)
    sys.stdin.read()

restore.rebuild.correct_views = stop
restore.restore(BareDevice(Path(sys.argv[1]), "A").store, Path(sys.argv[2]))
"""


@contextmanager
def _restoring(home: Path, path: Path) -> Iterator[None]:
    """Start another process that is in the middle of a restore. It is killed at the end."""
    command = [sys.executable, "-c", _RESTORE, str(home), str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == b"copied"
            yield
        finally:
            process.kill()


def _backed_up(device: BareDevice, path: Path) -> Path:
    device.add(TEXT)
    backup.back_up(device.store, path)
    return path


def _is_in_scratch(home: Path) -> bool:
    return any(TEXT.encode() in file.read_bytes() for file in home.glob(f"{scratch.FOLDER}/*"))


def test_a_killed_restore_leaves_nothing_after_the_next_opening(device: Make, tmp_path: Path) -> None:
    """The copy of the backup has memories in plain text. It stays while it is in use."""
    a = device("A")
    file = _backed_up(a, tmp_path / "backup")
    with _restoring(a.home, file):
        a.reopen()
        assert _is_in_scratch(a.home)
    assert _is_in_scratch(a.home)
    a.reopen()
    assert not (a.home / scratch.FOLDER).exists()


def test_a_killed_restore_hinders_no_other(device: Make, tmp_path: Path) -> None:
    """While the first restore runs, a second is refused.

    After the first was killed, the second succeeds and leaves no copy.
    """
    a = device("A")
    file = _backed_up(a, tmp_path / "backup")
    later = a.add("later")
    with _restoring(a.home, file), pytest.raises(LockedError, match="try again"):
        restore.restore(a.store, file)
    assert later in a.texts()
    restore.restore(a.store, file)
    assert list(a.texts().values()) == [TEXT]
    assert not (a.home / scratch.FOLDER).exists()


def test_opening_to_read_deletes_nothing(device: Make, tmp_path: Path) -> None:
    """It changes nothing at all."""
    a = device("A")
    with _restoring(a.home, _backed_up(a, tmp_path / "backup")):
        pass
    reader = BareDevice(a.home, "A", read_only=True)
    assert _is_in_scratch(a.home)
    reader.close()


def test_what_cannot_be_deleted_hinders_no_opening(device: Make) -> None:
    """A file is in the place of the folder. Only operations that need the folder fail."""
    a = device("A")
    (a.home / scratch.FOLDER).touch()
    a.reopen()
    with pytest.raises(StoreError, match="restoring: the folder"), scratch.folder(a.home, "restoring"):
        pass
