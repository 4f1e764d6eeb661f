"""The location of a store: a folder, or the memory of this process.

The methods of a location do everything that depends on it. The rest of the package sees a path and a SQLite VFS.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Final, TypeAlias

import apsw

from memcrdt.store import connections, file_setup, file_systems, files, open_file_locks, scratch, unallocated
from memcrdt.store.files import FILE
from memcrdt.store.high_water_mark import HighWaterMark, HighWaterMarks, runtime_folder, state_folder
from memcrdt.store.reserve import Reserve

_MEMORY_VFS: Final = "memdb"  # SQLite's own: connections of one process that name the same path share a database
_MEMORY_FOLDER: Final = (
    "/:memory:"  # memdb shares a database only if its name starts with a slash; no such folder exists
)


class FolderLocation:
    """A folder: the database file and, beside it, a high-water mark, a reserve of disk space, and a place for copies.

    Args:
        folder: The home of the store.
        marks: The folder for the second copy of the high-water mark (None: $MEMCRDT_STATE, or the platform's).
        runtime: The folder for the third copy (None: that of the platform for temporary files).
        vfs: An APSW VFS (None: SQLite's default).

    Attributes:
        readable_while_locked: Whether other connections can read while one replaces the database.
    """

    readable_while_locked = True

    def __init__(
        self, folder: Path, *, marks: Path | None = None, runtime: Path | None = None, vfs: str | None = None
    ) -> None:
        self.path = folder / FILE
        self.vfs = vfs
        self._marks = HighWaterMarks(folder, marks or state_folder(), runtime or runtime_folder())
        self._reserve = Reserve(folder)
        self._opened: tuple[files.OpenFile, ...] = ()
        self._locks: open_file_locks.OpenFileLocks | None = None

    def prepare(self, *, read_only: bool) -> None:
        """Create the folder and the file, unless `read_only` is set.

        Raises:
            NotFoundError: `read_only` is set, and there is no store.
            ReadOnlyError: The file or the folder is not writable.
            StoreError: The folder cannot be created.
        """
        file_setup.prepare(self.path, read_only=read_only)

    def set_up(self, db: apsw.Connection) -> None:
        """Set how SQLite stores a new database."""
        connections.use_wal(db)

    def opened(self) -> None:
        """Remember which file is open, and watch it from here on."""
        self._opened = self._opened or files.opened(self.path)

    def stays_open(self) -> None:
        """Watch and lock the files that SQLite has beside the open one, until `close`. A connection has to stay open.

        Raises:
            apsw.BusyError: Another process kept them locked.
        """
        if self._locks is None:
            self._locks = open_file_locks.join(self.path)
        self._opened = files.opened(self.path, *files.BESIDE)

    def check_there(self) -> None:
        """Raise StoreError if a path no longer leads to the file that is open."""
        files.check_same(self._opened)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep other processes from writing in the block.

        Raises:
            apsw.BusyError: Another process kept the store locked for over BUSY_TIMEOUT_S.
            StoreError: A file was deleted or replaced. If that is found after the block, what was written may be lost.
        """
        with self._locks.writing() if self._locks else nullcontext():
            self.check_there()
            yield
            self.check_there()

    def erase_unallocated(self, db: apsw.Connection) -> bool:
        """Overwrite what is left of rows in unallocated space. Return whether that could be done.

        Args:
            db: The write connection, in a transaction that has not written anything.

        Raises:
            apsw.Error: The file could not be written.
        """
        if not connections.is_wal_empty(self.path):  # its pages have such space, too
            return False
        if unallocated.erase(db, self.path, self.vfs):
            connections.write_again(db)
        return True

    def closing(self, writer: apsw.Connection | None) -> None:
        """Let `writer` move the WAL into the database and delete it if it is closed last, unless the WAL is another."""
        if self._locks is not None:
            self._locks.leave()
        if writer is not None and files.is_any_replaced(self._opened):
            connections.keep_wal(writer)

    def close(self) -> None:
        """Close the files beside the database, after its connections."""
        self._marks.close()
        if self._locks is not None:
            self._locks.close()
            self._locks = None

    @property
    def file_number(self) -> int:
        """The inode of the file. A copied or replaced file has another one."""
        return self.path.stat().st_ino

    @property
    def volume(self) -> str:
        """The name of the mounted file system of the file. It lasts for a mount at most, and a clone has another."""
        return str(self.path.stat().st_dev)

    @cached_property
    def advice(self) -> str | None:
        """Why this is a bad place for a store, in words for the user, or None."""
        return file_systems.advice(self.path)

    def is_at(self, path: Path) -> bool:
        """Return whether this store is in the file at `path`, which may be another name of it. Raises OSError."""
        return files.identity(path) == files.identity(self.path)

    def had_store(self) -> bool:
        """Return whether this folder had a store before the present one was made."""
        return self._marks.has_predecessor()

    def suspicion(self, now: HighWaterMark) -> str | None:
        """Return, in words for the user, why this is not the store that was in this folder, or None if it is."""
        return self._marks.suspicion(now)

    def write_mark(self, mark: HighWaterMark) -> None:
        """Write the high-water mark. Never fails: a mark that cannot be written lags."""
        self._marks.write(mark)

    def keep_reserve(self) -> None:
        """Reserve disk space, if there is enough."""
        self._reserve.keep()

    def release_reserve(self) -> bool:
        """Release the reserved disk space. Return whether there was any."""
        return self._reserve.release()

    def write_copy(self, db: apsw.Connection, path: Path) -> None:
        """Write the database to the empty file `path`."""
        db.execute("VACUUM INTO ?", (str(path),))

    @contextmanager
    def temporary(self, doing: str) -> Iterator[Location]:
        """Lend the location of a new store beside this one, which is deleted afterwards.

        Raises:
            LockedError: Another process is restoring or repairing the store.
            DiskFullError, StoreError: The folder cannot be made.
        """
        with scratch.folder(self.path.parent, doing) as folder:
            yield FolderLocation(folder, marks=folder, vfs=self.vfs)


class MemoryLocation:
    """The memory of this process: a database that leaves no file and ends with its last connection.

    There is no WAL: a writer waits for readers, and readers wait for a writer. There are no files beside the
    database, and there is no file to watch. SQLite limits the size to 1 GiB. See FolderLocation for the methods.
    """

    vfs = _MEMORY_VFS
    file_number = 0
    volume = ""
    advice = None
    readable_while_locked = False

    def __init__(self) -> None:
        self.path = Path(_MEMORY_FOLDER, secrets.token_hex(8))

    def prepare(self, *, read_only: bool) -> None: ...

    def set_up(self, db: apsw.Connection) -> None:
        db.execute(connections.AUTO_VACUUM)

    def opened(self) -> None: ...

    def stays_open(self) -> None: ...

    def check_there(self) -> None: ...

    @contextmanager
    def writing(self) -> Iterator[None]:
        yield

    def erase_unallocated(self, db: apsw.Connection) -> bool:
        return True

    def closing(self, writer: apsw.Connection | None) -> None: ...

    def close(self) -> None: ...

    def is_at(self, path: Path) -> bool:
        return False

    def had_store(self) -> bool:
        return False

    def suspicion(self, now: HighWaterMark) -> str | None:
        return None

    def write_mark(self, mark: HighWaterMark) -> None: ...

    def keep_reserve(self) -> None: ...

    def release_reserve(self) -> bool:
        return False

    def write_copy(self, db: apsw.Connection, path: Path) -> None:
        with connections.consistent_read(db):
            path.write_bytes(db.serialize("main"))

    @contextmanager
    def temporary(self, doing: str) -> Iterator[Location]:
        yield MemoryLocation()


Location: TypeAlias = FolderLocation | MemoryLocation
