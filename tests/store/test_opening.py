"""Opening a store."""

from __future__ import annotations

import stat
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
