"""The store of one home: opening it, reading it, and `commit`, the only way to change a memory."""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import apsw

from memcrdt.errors import DiskFullError, ReadOnlyError, StoreError
from memcrdt.model.edits import Stamp
from memcrdt.model.records import ChangeKind
from memcrdt.store import compaction, connections, forks, log, machine, meta, migrations, reprojection, spaces
from memcrdt.store.background import Background
from memcrdt.store.change_cursor import PROCESS, OwnCommits
from memcrdt.store.connections import Readers, translated
from memcrdt.store.documents import Documents
from memcrdt.store.high_water_mark import HighWaterMark, hashed
from memcrdt.store.indexer import Indexer, Prepared
from memcrdt.store.location import FolderLocation, Location
from memcrdt.store.meta import Alarm, Facts
from memcrdt.store.transaction import Transaction

T = TypeVar("T")

_log = logging.getLogger(__name__)
_REINCARNATED = (
    "It goes on under a new identity, so that nothing it writes is taken for the other's; what it lacks comes back"
    " from paired devices. Two copies with one device key must not both be used: give one of them a home of its own"
)
_GONE = (
    "The store that was here is gone: its file was missing or empty, and this is a new one. Restore a backup, if there"
    " is one, or pair again with devices that have its memories"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOptions:
    """How a store is opened. `vfs` names an APSW VFS; `clock` gives ms, and `random` so many random bytes.

    `marks` is the folder for the second copies of high-water marks (None: $MEMCRDT_STATE, or the platform's);
    `machine` and `boot` say on which machine and in which boot of it this is (None: as the system says).
    """

    read_only: bool = False
    vfs: str | None = None
    marks: Path | None = None
    machine: str | None = None
    boot: str | None = None
    clock: Callable[[], int] = field(default=lambda: time.time_ns() // 1_000_000)
    random: meta.Random = secrets.token_bytes


@dataclass(frozen=True, slots=True)
class Notice:
    """What subscribers hear after a commit: its changes as (space, id, kind), where they came from, and the log row
    at which it ended."""

    changes: Sequence[tuple[int, str, ChangeKind]]
    origin: str
    at: int
    seq: int


class Store:
    """One SQLite file. Safe between threads; several processes may have it open at once."""

    def __init__(
        self, home: Path | Location, device: str, indexer: Indexer, options: StoreOptions | None = None
    ) -> None:
        self.options = options or StoreOptions()
        self.location = (
            FolderLocation(home, marks=self.options.marks, vfs=self.options.vfs) if isinstance(home, Path) else home
        )
        self.path = self.location.path
        self.indexer = indexer
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._documents = Documents()
        self._own_commits = OwnCommits()
        self._subscribers: list[Callable[[Notice], None]] = []
        self._scrubbing = Background(partial(compaction.scrub, self))
        self._readers = Readers(self.path, read_only=self.options.read_only, vfs=self.location.vfs)
        self._writer: apsw.Connection | None = None
        self._closed = False
        self.device = device
        self.location.prepare(read_only=self.options.read_only)
        try:
            self.facts = self._begin()
            self.location.opened()
            if not self.options.read_only:
                reprojection.catch_up(self)
        except BaseException:  # the connections must not outlive a failed opening
            self.close()
            raise

    def now_ms(self) -> int:
        return self.options.clock()

    def stamp(self, by: str | None = None) -> Stamp:
        """That of a change made here and now."""
        return Stamp(self.now_ms(), by, self.device)

    def close(self) -> None:
        """Closes every connection. A second call does nothing; nor does one in a forked child, whose they are not."""
        if os.getpid() != self._pid:
            return
        self._scrubbing.stop()
        with self._lock:
            self._closed = True
            self._readers.close()
            if self._writer is not None:
                connections.close(self._writer)
            self._documents.close()
            self.location.close()
            forks.closed(self)

    @contextmanager
    def reading(self) -> Iterator[apsw.Connection]:
        """A connection to read with, for one call: no read transaction may outlive it."""
        self._check_there()
        with translated(self.path, "reading"), self._readers.lent() as db:
            yield db

    @contextmanager
    def writing(self) -> Iterator[apsw.Connection]:
        """The write connection in a transaction of its own, for what is no memory: peers, receipts, digests."""
        with self._exclusive("writing") as db:
            yield db

    @contextmanager
    def noting(self) -> Iterator[apsw.Connection]:
        """As `writing`, for what is found out again if the power takes it: it waits for no disk."""
        with self._exclusive("writing", is_synced=False) as db:
            yield db

    def commit(
        self,
        plan: Callable[[Transaction], T],
        *,
        prepared: Prepared = None,
        origin: str = log.LOCAL,
        by: str | None = None,
    ) -> T:
        """Runs `plan` under the write lock and makes all that it did durable, or nothing.

        Documents are first brought up to what other processes committed. When this returns, the change is on
        disk, in the views and in the indexes; only then do subscribers, and through them other devices, hear
        of it. `prepared` is what indexer.prepare() made of the texts that the change brings. `origin` says where the
        change comes from, as model.records.Change has it.
        """
        with self._exclusive("committing") as db:
            self._use_facts(db)
            transaction = Transaction(db, self._documents, self.stamp(by), self.options.random)
            try:
                result = plan(transaction)
                done = transaction.finish()
                self.indexer.replace(db, done.removed, done.added, prepared)
                with self._own_commits.noting(done.seq, origin):
                    db.execute("COMMIT")
            except BaseException:
                # A Yjs transaction does not roll back: what is ahead of the log goes, and is loaded again.
                for shard in transaction.changed_shards:
                    self._documents.drop(shard)
                raise
            self._documents.trim()
        self._after(transaction)
        self.indexer.committed()
        if done.changes:
            self._tell(Notice(done.changes, origin, transaction.stamp.at, done.seq))
        return result

    def freeing(self, work: Callable[[], T]) -> T:
        """Does what makes room; on a full disk it may use the reserve for that. Raises what `work` raises."""
        try:
            return work()
        except DiskFullError:
            if not self.location.release_reserve():
                raise
            return work()
        finally:
            self.location.keep_reserve()

    @contextmanager
    def documents(self) -> Iterator[tuple[apsw.Connection, Documents]]:
        """The live documents and a connection that sees what is durable, with no write under way in this process."""
        with self._lock, self.reading() as db:
            db.execute("BEGIN")  # heads and logs of one moment
            try:
                self._use_facts(db)
                yield db, self._documents
            finally:
                db.execute("ROLLBACK")
                self._documents.trim()

    @contextmanager
    def folding(self) -> Iterator[tuple[apsw.Connection, Documents]]:
        """The write lock and the live documents, for what changes the log's form and not its meaning."""
        with self._lock:
            try:
                with self._exclusive("compacting") as db:
                    self._use_facts(db)
                    yield db, self._documents
            except BaseException:  # as in commit, whose last step may fail, too
                self._documents.clear()
                raise
            self._documents.trim()

    def scrub_later(self) -> None:
        """There are bytes of something forgotten in the file: they are scrubbed in the background."""
        self._scrubbing.wake()

    def renew_client(self, alarm: str) -> None:
        """Writes under another client id from now on, since somebody else has ours; the user is told."""
        with self.writing() as db:
            meta.renew_client_id(db, self.boot, self.options.random)
            meta.raise_alarm(db, Alarm(self.now_ms(), alarm))

    def replace_by(self, source: apsw.Connection) -> None:
        """Puts the content of another store in the place of this one's, at once."""
        self.check_writable("restoring")
        with self._lock:
            with translated(self.path, "restoring"), self._opened().backup("main", source, "main") as backup:
                while not backup.done:
                    backup.step(-1)
            self.replaced()

    def replaced(self) -> None:
        """Another content stands in the file: what is known of the one before is let go of."""
        with self._lock:
            self._documents.clear()
        with self.writing() as db:
            if meta.facts(db).device != self.device:
                meta.reincarnate(db, self.device, self.boot, self.options.random)
            self._use_facts(db)
            self._marked = self._mark(db)
            self.location.write_mark(self._marked)

    def subscribe(self, callback: Callable[[Notice], None]) -> Callable[[], None]:
        """Calls `callback` after each commit of this process, from the thread that made it. Returns its end."""
        self._subscribers.append(callback)

        def end() -> None:
            with suppress(ValueError):
                self._subscribers.remove(callback)

        return end

    def origin_of(self, seq: int, written: str | None) -> str:
        """Return the Change.origin of the commit that ended at log row `seq`; `written` is the origin that the row
        names, None when it has been folded away."""
        return self._own_commits.origin(seq) or (PROCESS if written in (None, log.LOCAL) else str(written))

    def space(self, name: str) -> int:
        """The local number of the space called `name`. Raises NotFoundError."""
        with self.reading() as db:
            return spaces.space_number(db, name)

    @property
    def boot(self) -> str:
        return self.options.boot or machine.boot_id()

    def _begin(self) -> Facts:
        """Opens the file. On a full disk it can still be read, if it was ever opened before; writing is tried anew
        each time."""
        if self.options.read_only:
            with self.reading() as db:
                if migrations.check(db, self.path) == 0:
                    raise StoreError(f"{self.path} is empty; open it once for writing, or restore a backup")
                return meta.facts(db)
        try:
            self._opened()
        except DiskFullError:
            with self.reading() as db:
                if not migrations.is_newest(db, self.path) or meta.read(db, "client_id") is None:
                    raise
                return meta.facts(db)
        return self.facts

    def _opened(self) -> apsw.Connection:
        """The write connection, made when it is first needed. Its caller holds the lock, or is alone."""
        self._check_there()
        if self._writer is None:
            with translated(self.path, "opening"):
                self._writer = self._open_writer()
            self.location.keep_reserve()
        return self._writer

    def _open_writer(self) -> apsw.Connection:
        with self._readers.none_alone():
            db = connections.connect(self.path, read_only=False, vfs=self.location.vfs)
        try:
            migrations.check(db, self.path)  # before the first byte of a foreign file is changed
            self.location.set_up(db)
            migrations.migrate(db, self.path)
            forks.opened(self, self.path)
            with _immediate(db):
                self.facts = self._establish(db)
        except BaseException:  # whatever it was, the file must not stay open
            connections.close(db)
            raise
        return db

    def _establish(self, db: apsw.Connection) -> Facts:
        """Makes or reads the store's facts, and makes another store of one that was copied or restored."""
        if meta.found(db, self.device, self.now_ms(), self.options.random):
            meta.renew_client_id(db, self.boot, self.options.random)
            reprojection.note_all(db)
            if self.location.had_store():
                meta.raise_alarm(db, Alarm(self.now_ms(), _GONE))
        elif suspicion := self._suspicion(db):
            meta.reincarnate(db, self.device, self.boot, self.options.random)
            meta.raise_alarm(
                db, Alarm(self.now_ms(), f"This store is not the one that was here: {suspicion}. {_REINCARNATED}")
            )
        elif not machine.is_same_boot(meta.read(db, "boot"), self.boot):
            meta.renew_client_id(db, self.boot, self.options.random)
        self._marked = self._mark(db)
        self.location.write_mark(self._marked)  # before COMMIT: a file without this incarnation is an older one
        if db.execute("SELECT 1 FROM shards WHERE to_scrub > 0").fetchone():
            self.scrub_later()
        return meta.facts(db)

    def _suspicion(self, db: apsw.Connection) -> str | None:
        if meta.facts(db).device != self.device:
            return "it belongs to another device key"
        return self.location.suspicion(self._mark(db))

    def _mark(self, db: apsw.Connection) -> HighWaterMark:
        return HighWaterMark(
            incarnation=meta.facts(db).incarnation,
            head=log.head(db),
            machine=hashed(self.options.machine or machine.machine_id()),
            file=self.location.file_number,
        )

    def _use_facts(self, db: apsw.Connection) -> None:
        """Another process may have found that the store was copied, or restored a backup."""
        known = meta.facts(db)
        self._documents.use_client(known.client_id)
        self.facts = known

    def _after(self, transaction: Transaction) -> None:
        """What a commit leaves to do. It is durable: what fails here is done later, and fails no caller."""
        rows = transaction.rows
        if head := max((row.head for row in rows), default=0):
            with self._lock:
                self.location.write_mark(replace(self._marked, incarnation=self.facts.incarnation, head=head))
        if transaction.leaves_bytes:
            self.scrub_later()
        for row in rows:
            if compaction.is_due(row):
                with suppress(StoreError), self.folding() as (db, documents):
                    compaction.fold(db, documents, row.shard)
                    compaction.vacuum(db)

    @contextmanager
    def _exclusive(self, doing: str, *, is_synced: bool = True) -> Iterator[apsw.Connection]:
        """The write connection within BEGIN IMMEDIATE; committed at the end unless the body did it itself."""
        self.check_writable(doing)
        with self._lock, translated(self.path, doing), _immediate(self._opened(), is_synced) as db:
            yield db

    def _tell(self, notice: Notice) -> None:
        for callback in tuple(self._subscribers):
            try:
                callback(notice)
            except Exception:  # noqa: BLE001 - of whatever kind: the change is durable, and must not look as if it had failed
                _log.exception("a subscriber failed")

    def check_writable(self, doing: str) -> None:
        """Raises ReadOnlyError if the store was opened for reading only, and StoreError if it is not there any more."""
        self._check_there()
        if self.options.read_only:
            raise ReadOnlyError(f"{doing}: {self.path} was opened for reading only; open it without read_only")

    def _check_there(self) -> None:
        """Raises StoreError in a forked child, after the end, and when the file is not the one that was opened."""
        if os.getpid() != self._pid:
            raise forks.inherited(self.path)
        if self._closed:
            raise StoreError("the store is closed; open it again")
        self.location.check_there()


@contextmanager
def _immediate(db: apsw.Connection, is_synced: bool = True) -> Iterator[apsw.Connection]:
    """The connection within BEGIN IMMEDIATE; committed at the end unless the body did it itself."""
    # Each time: what the connection did before must not decide what is durable.
    db.execute(connections.SYNCED if is_synced else connections.UNSYNCED)
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        if db.in_transaction:
            db.execute("COMMIT")
    except BaseException:  # whatever it was: nothing was changed
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
