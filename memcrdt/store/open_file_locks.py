"""Locks on the files of an open store that stay when other code of the process closes the same files.

SQLite uses POSIX record locks, which belong to the process. When any code of the process closes the file, all of them
end: Python's sqlite3, a copy of the home, a checksum. Other processes then believe that nobody has the file open. The
next one that closes it deletes the WAL, and the next one that opens it empties the index of the WAL. Whatever this
process commits afterwards is lost, and it may write at the same time as another process.

A lock of an open file description ends only with that description, and conflicts with POSIX locks even of the same
process. So a process that has a store open keeps a descriptor of each file for that long, and has three locks on them:

- shared, on the bytes of the database that SQLite locks exclusively before it deletes the WAL,
- shared, on the byte of the index that SQLite locks exclusively before it empties the index,
- exclusive, while it writes, on a byte that SQLite never uses: SQLite's own write lock may end in the middle.

Linux and macOS have such locks. On Windows every lock belongs to an open file, so SQLite's own are enough. Where the
system or the file system has none, files.check_same notices that the WAL was replaced. Such files are not closed again
after the attempt, because that would end SQLite's locks, too.
"""

from __future__ import annotations

import os
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import apsw

from memcrdt.store import connections, files

# SQLite's file format, "Database File Locking": the shared bytes follow the pending byte and the reserved byte. In the
# index of the WAL, the last of its bytes for locks is held by everybody who has it open ("dead man's switch").
_PENDING_BYTE: Final = 0x4000_0000
_SHARED_BYTES: Final = (_PENDING_BYTE + 2, 510)
_INDEX_OPEN: Final = (128, 1)
_WRITE_BYTE: Final = (_PENDING_BYTE + 512, 1)

NUMBER: int | None = None  # of the system's call that sets such a lock, None where there is none

if sys.platform == "win32":

    def _set(descriptor: int, kind: int, span: tuple[int, int]) -> None:
        raise OSError("Windows needs no such locks")

    _SHARED, _EXCLUSIVE, _UNLOCKED = range(3)
else:
    import fcntl

    # The number and the order of the fields of `struct flock` are those of the system's fcntl.h.
    _IS_MACOS: Final = sys.platform == "darwin"
    NUMBER = getattr(fcntl, "F_OFD_SETLK", 90 if _IS_MACOS else None)

    def _set(descriptor: int, kind: int, span: tuple[int, int]) -> None:
        """Set or end a lock on some bytes of an open file, without waiting. Raises OSError."""
        if NUMBER is None:
            raise OSError("this system has no locks of open file descriptions")
        start, size = span
        lock = (
            struct.pack("qqihh", start, size, 0, kind, os.SEEK_SET)
            if _IS_MACOS
            else struct.pack("hhqqi4x", kind, os.SEEK_SET, start, size, 0)
        )
        fcntl.fcntl(descriptor, NUMBER, lock)

    _SHARED: Final = fcntl.F_RDLCK
    _EXCLUSIVE: Final = fcntl.F_WRLCK
    _UNLOCKED: Final = fcntl.F_UNLCK


class OpenFileLocks:
    """The locks of this process on one store. All stores of the process that have the file open share them.

    `leave` and `close` are each called once by every store that got the locks from `join`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writing = threading.Lock()  # an open file description has one owner: threads need a lock of their own
        self._descriptors: list[int] = []
        self._identity = files.identity(path)
        self._held = 0
        self._used = 0
        try:
            # The index is missing on a full disk and in read-only places.
            self._index = self._open(path.with_name(f"{path.name}-shm"))
            self._database = self._open(path)
        except BaseException:
            self.close_files()
            raise

    def share(self) -> None:
        """Take the shared locks.

        Raises:
            apsw.BusyError: Another process kept the file locked for over BUSY_TIMEOUT_S.
            OSError: The file system has no such locks.
        """
        self._wait_for(self._database, _SHARED, _SHARED_BYTES)
        self._wait_for(self._index, _SHARED, _INDEX_OPEN)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep other threads and processes from writing in the block. Raises apsw.BusyError after BUSY_TIMEOUT_S."""
        if not self._writing.acquire(timeout=connections.BUSY_TIMEOUT_S):
            raise apsw.BusyError("another store of this process is writing")
        try:
            self._wait_for(self._database, _EXCLUSIVE, _WRITE_BYTE)
            try:
                yield
            finally:
                _set(self._database, _UNLOCKED, _WRITE_BYTE)
        finally:
            self._writing.release()

    def leave(self) -> None:
        """End the shared locks, if no other store needs them. The last connection to be closed then deletes the WAL."""
        with _registry_lock:
            self._held -= 1
            if not self._held:
                del _joined[self._identity]
                with suppress(OSError):
                    _set(self._index, _UNLOCKED, _INDEX_OPEN)
                    _set(self._database, _UNLOCKED, _SHARED_BYTES)

    def close(self) -> None:
        """Close the files, if no other store needs them. This ends SQLite's locks: close its connections before."""
        with _registry_lock:
            self._used -= 1
            if not self._used:
                self.close_files()

    def close_files(self) -> None:
        """Close the files at once, for a forked child, whose copies would keep the locks of its parent."""
        while self._descriptors:
            os.close(self._descriptors.pop())

    def joined(self) -> OpenFileLocks:
        """Count one more store, and return self."""
        self._held += 1
        self._used += 1
        return self

    def _open(self, path: Path) -> int:
        try:
            descriptor = os.open(path, os.O_RDWR)
        except PermissionError:  # then no store of this process writes, and a shared lock needs no more
            descriptor = os.open(path, os.O_RDONLY)
        self._descriptors.append(descriptor)
        return descriptor

    def _wait_for(self, descriptor: int, kind: int, span: tuple[int, int]) -> None:
        """Set a lock, and wait while another process has it.

        Raises:
            apsw.BusyError: That took over BUSY_TIMEOUT_S.
            OSError: The system has no such lock.
        """
        wait, tries = connections.BusyHandler(self._path), 0
        while not _is_set(descriptor, kind, span):
            if not wait(tries):
                raise apsw.BusyError("another process has the file locked")
            tries += 1


_joined: dict[files.FileIdentity, OpenFileLocks] = {}
_without: dict[files.FileIdentity, OpenFileLocks] = {}  # files on a file system without such locks, which stay open
_registry_lock = threading.RLock()


def join(path: Path) -> OpenFileLocks | None:
    """Return the locks on the store at `path`, which SQLite has open, or None where the system has no such locks.

    Raises:
        apsw.BusyError: Another process kept the file locked for over BUSY_TIMEOUT_S.
    """
    if NUMBER is None:
        return None
    with _registry_lock, suppress(OSError):
        identity = files.identity(path)
        if identity in _joined:
            return _joined[identity].joined()
        if identity not in _without:
            _without[identity] = locks = OpenFileLocks(path)
            try:
                locks.share()
            except apsw.BusyError:
                _without.pop(identity).close_files()
                raise
            _joined[identity] = _without.pop(identity)
            return locks.joined()
    return None


def _is_set(descriptor: int, kind: int, span: tuple[int, int]) -> bool:
    try:
        _set(descriptor, kind, span)
    except (BlockingIOError, PermissionError):  # POSIX leaves it to the system which of the two it is
        return False
    return True


def _close_inherited() -> None:
    """Close the descriptors in a forked child, which would keep the locks after the end of its parent."""
    for locks in (*_joined.values(), *_without.values()):
        locks.close_files()
    _joined.clear()
    _without.clear()
    _registry_lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_registry_lock.acquire, after_in_parent=_registry_lock.release, after_in_child=_close_inherited
    )
