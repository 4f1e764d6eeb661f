"""Connections to the SQLite file: their settings, a pool for readers, and the translation of SQLite's errors."""

from __future__ import annotations

import os
import queue
import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path

import apsw

from memcrdt.errors import CorruptError, DiskFullError, LockedError, ReadOnlyError, SchemaError, StoreError
from memcrdt.store import filtering
from memcrdt.store.vector_functions import load_vector_functions

BUSY_TIMEOUT_S = 30.0  # a batch of 100,000 memories keeps the write lock for about 20 s
_BUSY_PAUSES_S = (0.0005, 0.003)  # SQLite's own grow to 0.1 s: among eight busy writers one then starves
READERS = 4  # idle read connections kept; more are made when more threads read at once
BESIDE = ("-wal", "-shm")  # suffixes of the files that SQLite keeps beside an open one
# With a WAL the same as FULL. But the journal of a file that is being made has to be gone for good: one that comes back
# with the power undoes what was committed since (tests/store/test_durability.py).
SYNCED = "PRAGMA synchronous = EXTRA"
UNSYNCED = "PRAGMA synchronous = NORMAL"  # the power may take the last commits; the file stays whole
_ALONE_S = 5.0  # to wait for readers of a file on a full disk
# Free pages can be given back. A new file has to settle that before its first table.
AUTO_VACUUM = "PRAGMA auto_vacuum = INCREMENTAL"
_READ_ONLY = apsw.SQLITE_OPEN_READONLY
_READ_WRITE = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE


@contextmanager
def translated(path: Path, doing: str) -> Iterator[None]:
    """Turn the errors of SQLite into ours.

    Args:
        path: The file.
        doing: The operation, such as "reading".
    """
    try:
        yield
    except (apsw.BusyError, apsw.LockedError) as exc:
        raise LockedError(
            f"{doing}: another process kept {path} locked for over {BUSY_TIMEOUT_S:.0f} s; try again,"
            " or end the process that holds it"
        ) from exc
    except apsw.FullError as exc:
        raise _disk_full(path, doing) from exc
    except apsw.NotADBError as exc:
        raise SchemaError(
            f"{path} is no SQLite file; move it away, or name another home; if it was a store, see what"
            " `memcrdt doctor` says of it"
        ) from exc
    except (apsw.CorruptError, UnicodeDecodeError) as exc:  # all texts were UTF-8: this one was damaged
        raise CorruptError(f"{doing}: {path} is damaged ({exc}); run `memcrdt doctor`") from exc
    except (apsw.ReadOnlyError, apsw.PermissionsError) as exc:
        raise ReadOnlyError(f"{doing}: {path} may not be written ({exc}); check its owner and mode") from exc
    except apsw.CantOpenError as exc:
        raise StoreError(f"{doing}: {path} can't be opened ({exc}); check that the folder is there and yours") from exc
    except apsw.Error as exc:
        if _is_without_index(exc):
            raise _disk_full(path, doing) from exc
        raise StoreError(f"{doing}: SQLite says {exc} about {path}; nothing was changed") from exc


@contextmanager
def consistent_read(db: apsw.Connection) -> Iterator[None]:
    """Let all reads inside the block see the database at one moment."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        db.execute("ROLLBACK")


def data_version(db: apsw.Connection) -> int:
    """Return a number that changes when another connection, of any process, commits.

    Only values from the same connection can be compared.
    """
    return int(db.pragma("data_version"))


def _disk_full(path: Path, doing: str) -> DiskFullError:
    return DiskFullError(
        f"{doing}: the disk under {path} is full, and nothing was changed; make room on it, or forget some memories"
    )


def _is_without_index(exc: apsw.Error) -> bool:
    """Return whether there was no room for the index of the WAL, which every connection needs."""
    return getattr(exc, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE


def connect(path: Path, *, read_only: bool, vfs: str | None) -> apsw.Connection:
    """Open a connection with the settings of the store. Raises apsw.Error."""
    return _set_up(apsw.Connection(str(path), flags=_READ_ONLY if read_only else _READ_WRITE, vfs=vfs))


def connect_to_read(path: Path, *, read_only: bool, vfs: str | None) -> apsw.Connection:
    """Open a connection to read with.

    It also works where SQLite can't make its files beside the store: on a full disk, and where nothing may be written.

    Raises:
        apsw.Error: SQLite can't open the file.
    """
    if sys.platform != "win32" and vfs is None:
        return _connect_anyhow(path, read_only=read_only)
    return connect(path, read_only=read_only, vfs=vfs)


def _connect_anyhow(path: Path, *, read_only: bool) -> apsw.Connection:
    if read_only and is_unwritable(path):
        return SnapshotConnection(path)
    try:
        return connect(path, read_only=read_only, vfs=None)
    except apsw.IOError as exc:
        if not _is_without_index(exc):
            raise
    return _alone(path)


def is_unwritable(path: Path) -> bool:
    """Return whether the file, or the files that SQLite needs beside it, may not be written. Existing ones are fine."""
    if all(path.with_name(path.name + suffix).exists() for suffix in BESIDE):
        return False
    return not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))


class SingleUseConnection(apsw.Connection):
    """A connection for one call: it keeps other processes out, or doesn't see their writes."""

    def check(self) -> None:
        """Raise LockedError if the results may be wrong."""


class ExclusiveConnection(SingleUseConnection):
    """A connection with the index of the WAL in memory, so that this process has the file to itself."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), flags=_READ_WRITE, vfs="unix-excl")
        _set_up(self)


def _alone(path: Path) -> ExclusiveConnection:
    """Open an exclusive connection. Another thread that just found the disk full may be in the way for a moment."""
    deadline = time.monotonic() + _ALONE_S
    while True:
        try:
            return ExclusiveConnection(path)
        except apsw.IOError as exc:
            if not _is_without_index(exc) or time.monotonic() > deadline:
                raise
        time.sleep(0.001)


class SnapshotConnection(SingleUseConnection):
    """A connection to a file that this process may not write. It takes no locks, so it would miss a writer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._state()
        if self._seen[1][2:] > (0,):
            super().__init__(str(path), flags=_READ_ONLY, vfs="unix-none")
            self.execute("PRAGMA locking_mode = EXCLUSIVE")  # the index of the WAL is then in memory
        else:
            super().__init__(f"{path.as_uri()}?immutable=1", flags=_READ_ONLY | apsw.SQLITE_OPEN_URI)
        _set_up(self)

    def check(self) -> None:
        if self._state() != self._seen:
            raise LockedError(f"{self._path} was written while it was read; try again")

    def _state(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        wal = self._path.with_name(self._path.name + "-wal")
        return _identity(self._path), _identity(wal)


def _identity(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_size


def _set_up(db: apsw.Connection) -> apsw.Connection:
    try:
        db.set_busy_handler(_BusyHandler())
        db.execute("PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA secure_delete = ON")
        db.execute("PRAGMA cache_size = -16000; PRAGMA trusted_schema = OFF")
        db.execute(SYNCED)
        load_vector_functions(db)
        filtering.add_functions(db)
    except BaseException:  # whatever it was, the file must not stay open
        close(db)
        raise
    return db


def close(db: apsw.Connection) -> None:
    """Close a connection. The last one moves the WAL into the database; if that fails, the WAL stays."""
    with suppress(apsw.Error):
        db.close()


class _BusyHandler:
    """Waits for a lock in short, uneven steps, for BUSY_TIMEOUT_S at most."""

    def __init__(self) -> None:
        self._deadline = 0.0

    def __call__(self, tries: int) -> bool:
        now = time.monotonic()
        if not tries:
            self._deadline = now + BUSY_TIMEOUT_S
        if now >= self._deadline:
            return False
        time.sleep(random.uniform(*_BUSY_PAUSES_S))  # noqa: S311 - no secret: it only keeps processes out of step
        return True


def use_wal(db: apsw.Connection) -> None:
    """Put the file into WAL mode. SQLite doesn't call the busy handler for this, so this tries again by itself."""
    db.execute(AUTO_VACUUM)
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while db.pragma("journal_mode") != "wal":
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except apsw.BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def truncate_wal(path: Path, vfs: str | None) -> bool:
    """Move the WAL into the database and empty it, or give up at once. Return whether it is empty.

    Uses a connection of its own that never waits: with a timeout it would hold the write lock while it waits for
    readers, and writers would wait with it.
    """
    with translated(path, "scrubbing"), closing(connect(path, read_only=False, vfs=vfs)) as db:
        db.set_busy_timeout(0)
        try:
            db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except (apsw.BusyError, apsw.LockedError):
            return False
    return True


class Readers:
    """A pool of read connections, each lent to one thread at a time."""

    def __init__(self, path: Path, *, read_only: bool, vfs: str | None) -> None:
        self._path = path
        self._make = partial(connect_to_read, path, read_only=read_only, vfs=vfs)
        self._idle: queue.LifoQueue[apsw.Connection] = queue.LifoQueue(READERS)
        self._closed = False
        self._making = threading.Condition()
        self._alone = 0

    @contextmanager
    def connection(self) -> Iterator[apsw.Connection]:
        """Lend a connection. Raises StoreError when the pool is closed."""
        if self._closed:
            raise StoreError("the store is closed; open it again")
        try:
            db = self._idle.get_nowait()
        except queue.Empty:
            db = self._made()
        try:
            yield db
        finally:
            self._take_back(db)
            if isinstance(db, SingleUseConnection):
                db.check()

    @contextmanager
    def none_alone(self) -> Iterator[None]:
        """Wait until no connection is exclusive, and let none be made meanwhile. Raises LockedError."""
        with self._making:
            if not self._making.wait_for(lambda: not self._alone, _ALONE_S):
                raise LockedError("the disk was full, and something is still read in the way of that; try again")
            yield

    def close(self) -> None:
        """Close all idle connections; lent ones are closed when they come back."""
        self._closed = True
        while True:
            try:
                close(self._idle.get_nowait())
            except queue.Empty:
                return

    def _made(self) -> apsw.Connection:
        with self._making:
            db = (
                ExclusiveConnection(self._path) if self._alone else self._make()
            )  # beside an exclusive connection, any other has to be exclusive, too
            self._alone += isinstance(db, ExclusiveConnection)
            return db

    def _take_back(self, db: apsw.Connection) -> None:
        # A statement that has not ended keeps the connection at an old state of the file, for all later borrowers. That
        # happens if another thread holds on to its cursor, as gc.get_objects() does.
        is_done = not db.in_transaction and db.txn_state() == apsw.SQLITE_TXN_NONE
        if is_done and not self._closed and not isinstance(db, SingleUseConnection):
            try:
                self._idle.put_nowait(db)
            except queue.Full:
                close(db)
            return
        with self._making:
            close(db)  # left open, it would also keep the WAL from ever being truncated
            self._alone -= isinstance(db, ExclusiveConnection)
            self._making.notify_all()
