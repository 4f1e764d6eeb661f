"""Connections to the SQLite file: how each is set up, and what SQLite's errors are called here."""

from __future__ import annotations

import queue
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import apsw

from memcrdt.errors import CorruptError, DiskFullError, LockedError, ReadOnlyError, SchemaError, StoreError
from memcrdt.store.vector_functions import load_vector_functions

BUSY_TIMEOUT_S = 30.0  # a batch of 100,000 memories keeps the write lock for about 20 s
_BUSY_PAUSES_S = (0.0005, 0.003)  # SQLite's own grow to 0.1 s: among eight busy writers one then starves
READERS = 4  # idle read connections kept; more are made when more threads read at once
_READ_ONLY = apsw.SQLITE_OPEN_READONLY
_READ_WRITE = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE


@contextmanager
def translated(path: Path, doing: str) -> Iterator[None]:
    """Turns SQLite's errors into ours, with the file and what was being done."""
    try:
        yield
    except (apsw.BusyError, apsw.LockedError) as exc:
        raise LockedError(
            f"{doing}: another process kept {path} locked for over {BUSY_TIMEOUT_S:.0f} s; try again,"
            " or end the process that holds it"
        ) from exc
    except apsw.FullError as exc:
        raise DiskFullError(f"{doing}: the disk under {path} is full; make room and try again") from exc
    except apsw.NotADBError as exc:
        raise SchemaError(f"{path} is no SQLite file; move it away, or name another home") from exc
    except (apsw.CorruptError, UnicodeDecodeError) as exc:  # texts are UTF-8: others are bytes that were damaged
        raise CorruptError(f"{doing}: {path} is damaged ({exc}); run `memcrdt doctor`") from exc
    except (apsw.ReadOnlyError, apsw.PermissionsError) as exc:
        raise ReadOnlyError(f"{doing}: {path} may not be written ({exc}); check its owner and mode") from exc
    except apsw.CantOpenError as exc:
        raise StoreError(f"{doing}: {path} can't be opened ({exc}); check that the folder is there and yours") from exc
    except apsw.Error as exc:
        raise StoreError(f"{doing}: SQLite says {exc} about {path}; nothing was changed") from exc


def connect(path: Path, *, read_only: bool, vfs: str | None) -> apsw.Connection:
    """A connection with the settings that every one here has. Raises apsw.Error."""
    db = apsw.Connection(str(path), flags=_READ_ONLY if read_only else _READ_WRITE, vfs=vfs)
    try:
        db.set_busy_handler(_Patience())
        db.execute("PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA secure_delete = ON")
        db.execute("PRAGMA synchronous = FULL; PRAGMA cache_size = -16000; PRAGMA trusted_schema = OFF")
        load_vector_functions(db)
    except BaseException:  # whatever it was, the file must not stay open
        close(db)
        raise
    return db


def close(db: apsw.Connection) -> None:
    """Closes a connection. The last one moves the WAL into the database; where that fails it stays beside it."""
    with suppress(apsw.Error):
        db.close()


class _Patience:
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
    """Puts the file into WAL mode. SQLite doesn't call the busy handler for this, so it is tried again here.

    In a new file, pages that become free can be given back from now on: that is settled before the first table.
    """
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while db.pragma("journal_mode") != "wal":
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except apsw.BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


class Readers:
    """Read connections, lent to one thread at a time."""

    def __init__(self, make: Callable[[], apsw.Connection]) -> None:
        self._make = make
        self._idle: queue.LifoQueue[apsw.Connection] = queue.LifoQueue(READERS)
        self._closed = False

    @contextmanager
    def lent(self) -> Iterator[apsw.Connection]:
        if self._closed:
            raise StoreError("the store is closed; open it again")
        try:
            db = self._idle.get_nowait()
        except queue.Empty:
            db = self._make()
        try:
            yield db
        finally:
            self._take_back(db)

    def close(self) -> None:
        self._closed = True
        while True:
            try:
                close(self._idle.get_nowait())
            except queue.Empty:
                return

    def _take_back(self, db: apsw.Connection) -> None:
        if not db.in_transaction and not self._closed:
            try:
                self._idle.put_nowait(db)
            except queue.Full:
                close(db)
        else:  # a transaction left open would keep the WAL from ever being truncated
            close(db)
