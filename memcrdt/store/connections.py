"""Connections to the SQLite file: their settings, a pool for readers, and the translation of SQLite's errors."""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path

import apsw

from memcrdt.errors import CorruptError, DiskFullError, LockedError, ReadOnlyError, SchemaError, StoreError
from memcrdt.store import files, filtering, reserve
from memcrdt.store.sql import SqlConnection
from memcrdt.store.vector_forms import load_vector_functions

BUSY_TIMEOUT_S = 30.0  # far above what one transaction takes, also on a slow disk under load
TELL_AFTER_S = 1.0  # a wait as long as this is said: no work of memcrdt holds the lock that long on an idle machine
_BUSY_PAUSES_S = (0.0005, 0.003)  # SQLite's own pauses grow to 0.1 s, and then one of eight busy writers starves
READERS = 4  # idle read connections kept; more are made when more threads read at once
# With a WAL this is the same as FULL. But while a file is made, the deletion of its rollback journal must be durable. A
# journal that reappears after a power cut undoes later commits (tests/store/test_durability.py).
SYNCED = "PRAGMA synchronous = EXTRA"
UNSYNCED = "PRAGMA synchronous = NORMAL"  # a power cut may lose the last commits; the file stays intact
_ALONE_S = 5.0  # how long to wait for readers of a file on a full disk
# Lets the store give free pages back. A new file must set this before its first table.
AUTO_VACUUM = "PRAGMA auto_vacuum = INCREMENTAL"
_log = logging.getLogger(__name__)
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
            " or end the process that holds the lock, or continue it if it was stopped: `memcrdt status` names the one"
            " that serves, and `lsof` or the Resource Monitor of Windows any other"
        ) from exc
    except apsw.FullError as exc:
        raise _disk_full(path, doing) from exc
    except apsw.NotADBError as exc:
        raise SchemaError(
            f"{path} is not a SQLite file; move it away, or name another home; if it was a store, examine it with"
            " `memcrdt doctor`"
        ) from exc
    except (apsw.CorruptError, UnicodeDecodeError) as exc:  # all texts were written as UTF-8, so this text is damaged
        raise CorruptError(f"{doing}: {path} is damaged ({exc}); run `memcrdt doctor`") from exc
    except (apsw.ReadOnlyError, apsw.PermissionsError) as exc:
        raise ReadOnlyError(
            f"{doing}: {path} is not writable ({exc}); check its owner and permissions (ls -l, chmod u+w)"
        ) from exc
    except apsw.CantOpenError as exc:
        raise StoreError(
            f"{doing}: {path} cannot be opened ({exc}); check that the folder exists and is yours"
        ) from exc
    except apsw.Error as exc:
        if _is_without_index(exc):
            raise _disk_full(path, doing) from exc
        raise StoreError(f"{doing}: SQLite failed on {path} ({exc}); nothing was changed") from exc


@contextmanager
def consistent_read(db: SqlConnection) -> Iterator[None]:
    """Let all reads inside the block see the same state of the database."""
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
    advice = "make room on it"
    if reserve.is_kept(path.parent):
        advice += ", or forget some memories: `memcrdt forget` and `memcrdt compact` work on a full disk"
    return DiskFullError(f"{doing}: the disk under {path} is full, and nothing was changed; {advice}")


def _is_without_index(exc: apsw.Error) -> bool:
    """Return whether the disk had no room for the index of the WAL, which every connection needs."""
    return getattr(exc, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE


def connect(path: Path, *, read_only: bool, vfs: str | None) -> apsw.Connection:
    """Open a connection with the settings of the store. Raises apsw.Error."""
    return _set_up(apsw.Connection(str(path), flags=_READ_ONLY if read_only else _READ_WRITE, vfs=vfs))


def connect_to_read(path: Path, *, read_only: bool, vfs: str | None) -> apsw.Connection:
    """Open a connection for reading.

    This works even if SQLite cannot create its files beside the store, on a full disk or in a read-only folder.

    Raises:
        apsw.Error: SQLite cannot open the file.
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
    """Return whether a file beside the store is missing and the read-only store or folder prevents its creation."""
    if all(path.with_name(path.name + suffix).exists() for suffix in files.BESIDE):
        return False
    return not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))


class SingleUseConnection(apsw.Connection):
    """A connection for one call: it locks other processes out, or does not see their writes."""

    def check(self) -> None:
        """Raise LockedError if the results may be wrong."""


class ExclusiveConnection(SingleUseConnection):
    """A connection with the index of the WAL in memory, so that this process has the file to itself."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), flags=_READ_WRITE, vfs="unix-excl")
        _set_up(self)


def _alone(path: Path) -> ExclusiveConnection:
    """Open an exclusive connection. Retry for a moment: another thread may have one open on the same full disk."""
    deadline = time.monotonic() + _ALONE_S
    while True:
        try:
            return ExclusiveConnection(path)
        except apsw.IOError as exc:
            if not _is_without_index(exc) or time.monotonic() > deadline:
                raise
        time.sleep(0.001)


class SnapshotConnection(SingleUseConnection):
    """A connection to a file that this process may not write. It takes no locks, so a writer could go unnoticed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._state()
        if self._seen[1][2:] > (0,):
            super().__init__(str(path), flags=_READ_ONLY, vfs="unix-none")
            self.execute("PRAGMA locking_mode = EXCLUSIVE")  # this keeps the index of the WAL in memory
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
        db.set_busy_handler(BusyHandler(db.filename))
        db.execute("PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA secure_delete = ON")
        db.execute("PRAGMA cache_size = -16000; PRAGMA trusted_schema = OFF")
        # A store has no triggers and no views. In a file from elsewhere they must not act; doctor reports them.
        db.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
        db.config(apsw.SQLITE_DBCONFIG_ENABLE_VIEW, 0)
        db.execute(SYNCED)
        load_vector_functions(db)
        filtering.add_functions(db)
    except BaseException:  # also on Ctrl-C: the file must not stay open
        close(db)
        raise
    return db


def close(db: apsw.Connection) -> None:
    """Close a connection. The last one moves the WAL into the database; if that fails, the WAL stays."""
    with suppress(apsw.Error):
        db.close()


def write_again(db: apsw.Connection) -> None:
    """Write something that changes nothing, so that the commit syncs the WAL.

    A process that failed or was killed may have left a commit in it that is not on the disk, and that others now see.
    """
    db.execute(f"PRAGMA user_version = {int(db.pragma('user_version'))}")


def keep_wal(db: apsw.Connection) -> None:
    """Let the connection change no file when it is closed, unless it is closed already."""
    with suppress(apsw.ConnectionClosedError):
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)


class BusyHandler:
    """Waits for a lock in short, random steps, for up to BUSY_TIMEOUT_S. After TELL_AFTER_S it logs a warning.

    Args:
        path: The file that is locked, for the warning.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = path
        self._since = 0.0
        self._has_told = False

    def __call__(self, tries: int) -> bool:
        now = time.monotonic()
        if not tries:
            self._since, self._has_told = now, False
        if now >= self._since + BUSY_TIMEOUT_S:
            return False
        if now >= self._since + TELL_AFTER_S and not self._has_told:
            self._has_told = True
            _log.warning(_WAITING.format(path=self._path, timeout_s=BUSY_TIMEOUT_S))
        import random  # few connections ever wait

        time.sleep(random.uniform(*_BUSY_PAUSES_S))  # noqa: S311 - not a secret: it keeps processes from retrying in step
        return True


_WAITING = (
    "other processes have kept {path} locked for over a second; this one waits until it is free, for up to"
    " {timeout_s:.0f} s"
)


def use_wal(db: apsw.Connection) -> None:
    """Put the file into WAL mode. SQLite does not call the busy handler here, so this function retries."""
    if not db.pragma("auto_vacuum"):  # setting it again would be a write, and this process has no lock yet
        db.execute(AUTO_VACUUM)
    wait, tries = BusyHandler(db.filename), 0
    while db.pragma("journal_mode") != "wal":
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except apsw.BusyError:
            if not wait(tries):
                raise
            tries += 1
    data_version(db)  # a read, which creates the index of the WAL


def truncate_wal(path: Path, vfs: str | None) -> bool:
    """Move the WAL into the database and empty it, or give up at once. Return whether it is empty.

    This uses its own connection, which never waits. With a timeout it would hold the write lock while it waits for
    readers, and writers would have to wait too.
    """
    with translated(path, "scrubbing"), closing(connect(path, read_only=False, vfs=vfs)) as db:
        db.set_busy_timeout(0)
        try:
            db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except (apsw.BusyError, apsw.LockedError):
            return False
    return True


def is_wal_empty(path: Path) -> bool:
    """Return whether the WAL has nothing, so that the file has everything. Only a writer adds to it."""
    try:
        return not path.with_name(path.name + "-wal").stat().st_size
    except FileNotFoundError:
        return True


@contextmanager
def open_file(path: Path, vfs: str | None = None, *, read_only: bool) -> Iterator[apsw.VFSFile]:
    """Open the file through SQLite. Opening and closing it in any other way would drop the locks of this process.

    Raises:
        apsw.Error: The file cannot be opened.
    """
    mode = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE
    file = apsw.VFSFile(vfs or "", str(path), [apsw.SQLITE_OPEN_MAIN_DB | mode, 0])
    try:
        yield file
    finally:
        file.xClose()


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

    @property
    def stay_open(self) -> bool:
        """Whether connections are kept, so that SQLite has the file open from the first read on."""
        return not self._idle.empty()

    @contextmanager
    def none_alone(self) -> Iterator[None]:
        """Wait until no connection is exclusive, and keep new ones from opening in the block. Raises LockedError."""
        with self._making:
            if not self._making.wait_for(lambda: not self._alone, _ALONE_S):
                raise LockedError("a read that began on the full disk still has the file locked; try again")
            yield

    def close(self) -> None:
        """Close all idle connections; lent connections are closed when they are returned."""
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
            )  # beside an exclusive connection, every other must also be exclusive
            self._alone += isinstance(db, ExclusiveConnection)
            return db

    def _take_back(self, db: apsw.Connection) -> None:
        # An unfinished statement keeps the connection at an old state of the file, for all later borrowers. That
        # happens if another thread keeps a reference to its cursor, as gc.get_objects() does.
        is_done = not db.in_transaction and db.txn_state() == apsw.SQLITE_TXN_NONE
        if is_done and not self._closed and not isinstance(db, SingleUseConnection):
            try:
                self._idle.put_nowait(db)
            except queue.Full:
                close(db)
            return
        with self._making:
            close(db)  # an open one would also keep the WAL from ever being truncated
            self._alone -= isinstance(db, ExclusiveConnection)
            self._making.notify_all()
