"""The lock of the process that runs the network of a home, and a note about that process.

The lock is the operating system's: it is released when the process ends, even if the process is killed. The note is a
separate file, because a locked file cannot be read on Windows.
"""

from __future__ import annotations

import json
import os
import socket
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, NamedTuple

from memcrdt.errors import LockedError, StoreError
from memcrdt.model.values import parse_json
from memcrdt.paths import translated_os_errors
from memcrdt.store import locks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from memcrdt.store.base import Notice

LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}  # a machine may lack either
LOCK_FILE = "serve.lock"
NOTE_FILE = "serve.json"
_NOTE_BYTES = 16_384  # an error message is the longest part


class Holder(NamedTuple):
    """The process that runs the network. The field names are part of the note file's format.

    Attributes:
        pid: The process id; 0 if it is not known.
        port: The port where it listens; None if it does not listen.
        bell: The UDP port of its change signal; None if it has none.
        planned: The port where it will listen once a device is accepted; None for any free port, or if it never will.
        error: Why it cannot listen although a device is accepted; None if it can.
    """

    pid: int
    port: int | None
    bell: int | None = None
    planned: int | None = None
    error: str | None = None


class ServeLock:
    """The right to run the network of one home."""

    def __init__(self, home: Path) -> None:
        """Take the lock. Raises LockedError while another process has it, StoreError if the home is not writable."""
        self._note = home / NOTE_FILE
        self._file = _open(home)
        if not locks.take(self._file):
            self._file.close()
            whom = f"process {pid}" if (pid := _noted(home).pid) else "another process"
            raise LockedError(
                f"{whom} already runs the network of {home}; stop that process, or let it run the network"
            )
        self._signal_port: int | None = None
        self._planned: int | None = None
        try:
            self.write(None)
        except StoreError:
            self._file.close()
            raise

    def write(
        self,
        port: int | None,
        error: str | None = None,
        *,
        signal_port: int | None = None,
        planned: int | None = None,
    ) -> None:
        """Write the note for other processes. `signal_port` and `planned` keep their earlier values if not given.

        Raises:
            StoreError: The note cannot be written.
        """
        self._signal_port = signal_port or self._signal_port
        self._planned = planned or self._planned
        note = json.dumps(Holder(os.getpid(), port, self._signal_port, self._planned, error)._asdict())
        with _translated(self._note):
            self._note.write_text(note, encoding="ascii")

    def release(self) -> None:
        """Release the lock."""
        with suppress(OSError):  # another process is reading the note, which means nothing without the lock
            self._note.unlink()
        self._file.close()


def holder(home: Path) -> Holder | None:
    """Return the process that runs the network of the home; None if no process does."""
    try:
        file = (home / LOCK_FILE).open("rb")  # works in a read-only home too
    except OSError:
        return None
    with file:
        return None if locks.take(file) else _noted(home)


def signal_change(home: Path, _: Notice | None = None) -> None:
    """Signal a change to the process that runs the network of a home, if it is another process (change_signal.py)."""
    noted = _noted(home)  # that process may have ended
    if noted.bell and noted.pid != os.getpid():
        for family, host in LOOPBACK.items():
            with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)  # if the datagram is lost, that process detects the change by polling
                sender.sendto(b"", (host, noted.bell))
                return


def _open(home: Path) -> IO[bytes]:
    path = home / LOCK_FILE
    with _translated(path):
        return locks.open_to_lock(path)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    with translated_os_errors(f"{path} cannot be written", "check the disk, the folder and its permissions"):
        yield


def _noted(home: Path) -> Holder:
    try:
        with (home / NOTE_FILE).open("rb") as file:
            note = parse_json(file.read(_NOTE_BYTES))
        port, bell, planned = (
            None if note.get(name) is None else int(note[name]) for name in ("port", "bell", "planned")
        )
        return Holder(int(note["pid"]), port, bell, planned, note.get("error"))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # it is missing, or being written just now
        return Holder(0, None)
