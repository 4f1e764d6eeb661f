"""The open SQLite file of a store: its connections, its write lock, and the live documents that follow its log.

Store (store.py) adds commits. Compaction and scrubbing change the form of the file and not its meaning, so they need
only this module.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import apsw

from memcrdt.errors import DiskFullError, ReadOnlyError, StoreError
from memcrdt.store import connections, files, log, meta, migrations
from memcrdt.store.base import BaseStore
from memcrdt.store.connections import Readers, translated
from memcrdt.store.incarnation import Incarnation, StoreOptions
from memcrdt.store.indexer import Indexer, sqlite_of
from memcrdt.store.location import FolderLocation, Location
from memcrdt.store.meta import Facts
from memcrdt.store.sql import SqlConnection

T = TypeVar("T")

_log = logging.getLogger(__name__)
_warned_of: set[Path] = set()  # the files in bad places that were opened by this process


class Database(BaseStore[apsw.Connection]):
    """One SQLite file. Safe between threads; several processes may have it open at once.

    Raises (in the constructor):
        NotFoundError, ReadOnlyError, SchemaError, CorruptError, StoreError: The file cannot be opened.
    """

    def __init__(
        self, home: Path | Location, device: str, indexer: Indexer, options: StoreOptions | None = None
    ) -> None:
        super().__init__(device, indexer, options or StoreOptions())
        self.location = (
            FolderLocation(home, marks=self.options.marks, runtime=self.options.runtime, vfs=self.options.vfs)
            if isinstance(home, Path)
            else home
        )
        self.path = self.location.path
        self.was_to_scrub = False  # whether the file had bytes of forgotten memories when it was opened
        self._pid = os.getpid()
        self._incarnation = Incarnation(self.location, device, self.options)
        self._readers = Readers(self.path, read_only=self.options.read_only, vfs=self.location.vfs)
        self._writer: apsw.Connection | None = None
        self._closed = False
        self.location.prepare(read_only=self.options.read_only)
        try:
            self.facts = self._begin()
            self.location.opened()
            self._warn_of_place()
        except BaseException:  # do not leak connections when opening fails
            self.close()
            raise

    @property
    def boot(self) -> str:
        """The name of this boot of the machine."""
        return self._incarnation.boot

    @property
    def advice(self) -> str | None:
        """Advice about a bad place of the file."""
        return self.location.advice

    def size(self, *, used: bool = False) -> int:
        """Return the size of the file in bytes; with `used`, without free pages."""
        with self.reading() as db:
            pages = int(db.pragma("page_count")) - (int(db.pragma("freelist_count")) if used else 0)
            return pages * int(db.pragma("page_size"))

    def data_version(self, db: SqlConnection) -> int:
        """Return a number that differs after another process has written."""
        return connections.data_version(sqlite_of(db))

    @property
    def folder(self) -> Path | None:
        """The folder of the home; None for a store in memory."""
        return self.path.parent if self.path.parent.is_dir() else None

    @property
    def is_inherited(self) -> bool:
        """Whether this process was forked from the one that opened the file."""
        return os.getpid() != self._pid

    # --- connections --------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close every connection. A second call does nothing, and so does a call in a forked child, which owns none."""
        if self.is_inherited:
            return
        with self._lock:
            self._closed = True
            self.location.closing(self._writer)
            self._readers.close()
            if self._writer is not None:
                connections.close(self._writer)
            self._documents.close()
            self.location.close()
            files.note_closed(self)

    @contextmanager
    def reading(self) -> Iterator[apsw.Connection]:
        """Lend a connection for reading. No read transaction may outlive the block."""
        self._check_open()
        self.location.check_there()
        with translated(self.path, "reading"), self._readers.connection() as db:
            yield db

    def using_reserve(self, work: Callable[[], T]) -> T:
        """Run `work`, which frees disk space. On a full disk, release the reserve and run it again.

        Raises:
            Exception: Any error of `work`.
        """
        try:
            return work()
        except DiskFullError as exc:
            if not self.location.release_reserve():
                raise DiskFullError(
                    "the disk is full, and no reserve is left for freeing room in the store; nothing was changed;"
                    " delete other files on that disk"
                ) from exc
            return work()
        finally:
            self.location.keep_reserve()

    def truncate_wal(self) -> bool:
        """Move the WAL into the database and empty it, unless a reader uses it. Return whether it is empty."""
        with translated(self.path, "scrubbing"), self.location.writing():
            return connections.truncate_wal(self.path, self.location.vfs)

    def erase_unallocated(self) -> bool:
        """Empty the WAL, and overwrite what SQLite left of removed rows in the file.

        Returns:
            Whether both is done. It is not while a reader uses the WAL.
        """
        self.check_writable("scrubbing")
        with self._lock, translated(self.path, "scrubbing"):
            db = self.writer()
            with self.location.writing():
                if not connections.truncate_wal(self.path, self.location.vfs):
                    return False
                with _immediate(db, is_synced=False):
                    return self.location.erase_unallocated(db)

    def check_writable(self, doing: str) -> None:
        """Check that the store can be written.

        Raises:
            ReadOnlyError: The store was opened for reading only.
            StoreError: The store is closed, or this is a forked child.
        """
        self._check_open()
        if self.options.read_only:
            raise ReadOnlyError(f"{doing}: {self.path} was opened for reading only; open it for writing")

    @contextmanager
    def _exclusive(self, doing: str, *, is_synced: bool = True) -> Iterator[apsw.Connection]:
        self.check_writable(doing)
        with self._lock, translated(self.path, doing):
            db = self.writer()
            with self.location.writing(), _immediate(db, is_synced):
                yield db

    def _check_open(self) -> None:
        """Raise StoreError in a forked child, and after close()."""
        if self.is_inherited:
            raise files.inherited_error(self.path)
        if self._closed:
            raise StoreError("the store is closed; open it again")

    # --- opening ------------------------------------------------------------------------------------------------------

    def writer(self) -> apsw.Connection:
        """Return the write connection. The first call opens it. The caller holds the lock, or is the only user."""
        self._check_open()
        if self._writer is None:
            with translated(self.path, "opening"):
                self._writer = self._open_writer()
            self.location.keep_reserve()
        return self._writer

    def _begin(self) -> Facts:
        """Open the file and return its facts.

        On a full disk, an existing store can still be read. Each write then tries again to open the write connection.
        """
        if self.options.read_only:
            with self.reading() as db:
                if migrations.check(db, self.path) == 0:
                    raise StoreError(f"{self.path} is empty; open it once for writing, or restore a backup")
                found = meta.facts(db)
            if self._readers.stay_open:
                with translated(self.path, "opening"):
                    self.location.stays_open()
            return found
        try:
            self.writer()
        except DiskFullError:
            with self.reading() as db:
                if not migrations.is_newest(db, self.path) or meta.read(db, "client_id") is None:
                    raise
                self.was_to_scrub = log.is_anything_to_scrub(db)
                return meta.facts(db)
        return self.facts

    def _open_writer(self) -> apsw.Connection:
        with self._readers.none_alone():
            db = connections.connect(self.path, read_only=False, vfs=self.location.vfs)
        try:
            migrations.check(db, self.path)  # before a byte of a foreign file changes
            self.location.set_up(db)
            self.location.stays_open()
            files.note_opened(self, self.path)
            with self.location.writing():
                migrations.migrate(db, self.path)
            with self.location.writing(), _immediate(db):
                connections.write_again(db)
                self.facts = self._incarnation.establish(db)
                self.was_to_scrub = log.is_anything_to_scrub(db)
        except BaseException:  # also on Ctrl-C: the file must not stay open
            connections.close(db)
            raise
        return db

    def _warn_of_place(self) -> None:
        """Log once for each file that it is in a bad place. `status` says so every time."""
        if self.location.advice is not None and self.path not in _warned_of:
            _warned_of.add(self.path)
            _log.warning("%s", self.location.advice)

    def replace_content(self, source: apsw.Connection, complete: Callable[[apsw.Connection], None]) -> None:
        """Replace the content of this store with that of another store, in one step.

        Args:
            source: The write connection of the other store.
            complete: Called with a connection to this store when no process can write to it any more. What it writes
                through `source` is part of the replacement.

        Raises:
            Exception: Any error of `complete`. Nothing was changed.
        """
        self.check_writable("restoring")
        with self._lock:
            if not self.location.readable_while_locked:  # the only process that can write is this one
                with self.reading() as now:
                    complete(now)
            with (
                translated(self.path, "restoring"),
                self.location.writing(),
                self.writer().backup("main", source, "main") as backup,
            ):
                backup.step(1)  # takes the write lock, until the end of the block
                if self.location.readable_while_locked:
                    with self.reading() as now:
                        complete(now)
                while not backup.done:
                    backup.step(-1)
            self.content_replaced()

    def content_replaced(self) -> None:
        """Drop all cached state of the file after its content was replaced."""
        with self._lock:
            self._documents.clear()
        with self.writing() as db:
            self._incarnation.adopt(db)
            self._use_facts(db)


@contextmanager
def _immediate(db: apsw.Connection, is_synced: bool = True) -> Iterator[apsw.Connection]:
    """Run the body within BEGIN IMMEDIATE, and commit at its end unless it did so itself."""
    # Set each time: durability must not depend on the connection's last transaction.
    db.execute(connections.SYNCED if is_synced else connections.UNSYNCED)
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        if db.in_transaction:
            db.execute("COMMIT")
    except BaseException:  # also on Ctrl-C: nothing may change
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
