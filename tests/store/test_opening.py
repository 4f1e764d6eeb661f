"""Opening a store."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import memcrdt
from memcrdt.errors import CorruptError
from memcrdt.store.store import FILE


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_only_its_owner_can_read_a_store_in_a_folder_that_others_see(tmp_path: Path) -> None:
    """The file, its WAL and its index are 0600, whatever the folder's mode and the umask."""
    tmp_path.chmod(0o755)
    with memcrdt.open(tmp_path, embedder=None) as memory:
        memory.add("The safe is behind the calendar")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob(f"{FILE}*")}
    assert modes == {FILE: 0o600, f"{FILE}-wal": 0o600, f"{FILE}-shm": 0o600}


def test_text_that_is_no_utf8_any_more_is_damage(tmp_path: Path) -> None:
    """A byte that went wrong within a text is a CorruptError, not a UnicodeDecodeError."""
    with memcrdt.open(tmp_path, embedder=None) as memory:
        memory_id = memory.add("Lanterns hang in the harbour")
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes().replace(b"Lanterns hang", b"Lant\xffrns hang"))
    with memcrdt.open(tmp_path, embedder=None) as memory, pytest.raises(CorruptError, match="doctor"):
        memory.get(memory_id)


@pytest.mark.skipif(
    shutil.which("setpriv") is None, reason="needs setpriv, so that root may not write everything either"
)
@pytest.mark.parametrize("suffix", ["", "-shm"])
def test_a_file_that_may_not_be_written_is_named_and_leaves_nothing_behind(tmp_path: Path, suffix: str) -> None:
    """Not even SQLite's index of the WAL, with the mode of the file: it would keep the home from being opened."""
    memcrdt.open(tmp_path, embedder=None).close()
    path = tmp_path / f"{FILE}{suffix}"
    path.touch()
    path.chmod(0o400)
    before = sorted(tmp_path.iterdir())
    found = _opened_without_privileges(tmp_path)
    assert f"ReadOnlyError: opening: {path} may not be written" in found
    assert sorted(tmp_path.iterdir()) == before
    path.chmod(0o600)
    assert _opened_without_privileges(tmp_path) == ""


def _opened_without_privileges(home: Path) -> str:
    """What another process says on stderr that opens the home and may do only what modes allow."""
    code = f"import memcrdt; memcrdt.open({str(home)!r}, embedder=None).close()"
    dropped = [] if os.geteuid() else ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"]
    ran = subprocess.run([*dropped, sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return ran.stderr
