"""The lock of the one process that runs the network of a home, and a note about that process.

The operating system holds the lock, and frees it when the process ends, however it ends. The note is a file of its own,
since a locked file is unreadable on Windows.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, NamedTuple

from memcrdt.errors import LockedError, StoreError
from memcrdt.store import locks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK_FILE = "serve.lock"
NOTE_FILE = "serve.json"


class Holder(NamedTuple):
    """The process that runs the network. The field names stand in the note file.

    Attributes:
        pid: The process; 0 if it is not known.
        port: The port where it listens; None if it does not.
        bell: The UDP port of its change signal; None if it has none.
        planned: The port where it will listen once it has to; None for any free one, or none.
    """

    pid: int
    port: int | None
    bell: int | None = None
    planned: int | None = None


class ServeLock:
    """The right to run the network of one home."""

    def __init__(self, home: Path) -> None:
        """Take the lock. Raises LockedError while another process has it, StoreError if the home is not writable."""
        self._note = home / NOTE_FILE
        self._file = _open(home)
        if not locks.take(self._file):
            self._file.close()
            whom = f"process {pid}" if (pid := _noted(home).pid) else "another process"
            raise LockedError(f"{whom} runs the network of {home} already; end it, or leave it to that one")
        self._signal_port: int | None = None
        self._planned: int | None = None
        try:
            self.write(None)
        except StoreError:
            self._file.close()
            raise

    def write(self, port: int | None, *, signal_port: int | None = None, planned: int | None = None) -> None:
        """Tell the other processes at which port we listen; a `signal_port` or `planned` port of before stays."""
        self._signal_port = signal_port or self._signal_port
        self._planned = planned or self._planned
        note = json.dumps(Holder(os.getpid(), port, self._signal_port, self._planned)._asdict())
        with _translated(self._note):
            self._note.write_text(note, encoding="ascii")

    def release(self) -> None:
        """Give the lock back."""
        with suppress(OSError):  # it is being read: without the lock it means nothing anyway
            self._note.unlink()
        self._file.close()


def holder(home: Path) -> Holder | None:
    """Return the process that runs the network of the home, if one does."""
    try:
        file = (home / LOCK_FILE).open("rb")  # in a home that may only be read, too
    except OSError:
        return None
    with file:
        return None if locks.take(file) else _noted(home)


def noted_signal_port(home: Path) -> int | None:
    """Return the noted port of the change signal of another process with the network. That process may be gone."""
    noted = _noted(home)
    return None if noted.pid == os.getpid() else noted.bell


def _open(home: Path) -> IO[bytes]:
    path = home / LOCK_FILE
    with _translated(path):
        return path.open("ab")


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise StoreError(f"{path}: {exc.strerror or exc}; check the folder, its mode and its disk") from exc


def _noted(home: Path) -> Holder:
    try:
        note = json.loads((home / NOTE_FILE).read_bytes())
        ports = (None if note.get(name) is None else int(note[name]) for name in ("port", "bell", "planned"))
        return Holder(int(note["pid"]), *ports)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # it is about to be written
        return Holder(0, None)
