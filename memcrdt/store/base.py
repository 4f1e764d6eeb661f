"""A store over any SQL database: its live documents, and `commit`, the only way to change a memory.

`Store` (store.py) puts it on a SQLite file, and `memcrdt.hub.store.PostgresStore` on a PostgreSQL database. They share
everything that a change means: the log, the views, the members, the receipts.
"""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

from memcrdt.model.clocks import StateVector
from memcrdt.model.edits import Stamp
from memcrdt.model.records import ChangeKind
from memcrdt.store import alarms, log, meta, spaces
from memcrdt.store.change_cursor import PROCESS, OwnCommits
from memcrdt.store.documents import Documents
from memcrdt.store.incarnation import StoreOptions
from memcrdt.store.indexer import Indexer, Prepared
from memcrdt.store.meta import Facts
from memcrdt.store.sql import SqlConnection
from memcrdt.store.transaction import Transaction

T = TypeVar("T")
C_co = TypeVar("C_co", bound=SqlConnection, covariant=True)

AnyStore: TypeAlias = "BaseStore[SqlConnection]"  # in a file, or in PostgreSQL

TURN_S = 0.005  # pause between two transactions of one call, in which every waiting writer tries at least once

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Notice:
    """A notification to subscribers after a commit.

    Attributes:
        changes: For each change, the local number of the space, the id of the memory and the kind of change.
        origin: The origin of the changes, as in model.records.Change.
        at: The time of the commit in ms.
        seq: The log row at which the commit ended.
    """

    changes: Sequence[tuple[int, str, ChangeKind]]
    origin: str
    at: int
    seq: int


class BaseStore(ABC, Generic[C_co]):
    """What is the same in every store. Safe between threads; several processes may have one store open.

    Args:
        device: The id of this device.
        indexer: The indexes of search.
        options: Clock, random source and the like.

    Attributes:
        facts: The identity of the store, as this process last read it.
    """

    facts: Facts

    def __init__(self, device: str, indexer: Indexer, options: StoreOptions) -> None:
        self.device = device
        self.indexer = indexer
        self.options = options
        self._lock = threading.RLock()
        self._documents = Documents()
        self._own_commits = OwnCommits()
        self._subscribers: list[Callable[[Notice], None]] = []
        self._on_write: list[Callable[[], None]] = []

    # --- identity and time --------------------------------------------------------------------------------------------

    def now_ms(self) -> int:
        """Return the time in ms since 1970."""
        return self.options.clock()

    def stamp(self, by: str | None = None) -> Stamp:
        """Return the stamp of a local change."""
        return Stamp(self.now_ms(), by, self.device)

    @property
    @abstractmethod
    def boot(self) -> str:
        """A name of what the client id belongs to: it changes when the id must not be used any more."""

    def renew_client(self, alarm: str) -> None:
        """Switch to a new client id, because another store uses ours, and raise an alarm with the reason."""
        with self.writing() as db:
            meta.renew_client_id(db, self.boot, self.options.random)
            alarms.raise_alarm(db, self.now_ms(), alarm)

    def give_up_client(self, db: SqlConnection) -> None:
        """Let no process write under its present client id after this transaction, because the log lost rows.

        Args:
            db: The connection of a transaction that writes.
        """
        meta.renew_client_id(db, self.boot, self.options.random)

    @property
    def advice(self) -> str | None:
        """Advice about a bad place of the store; None if the place is good."""
        return None

    @abstractmethod
    def size(self, *, used: bool = False) -> int:
        """Return the size in bytes; with `used`, without room that is free for new rows."""

    @abstractmethod
    def data_version(self, db: SqlConnection) -> object:
        """Return a value that differs after another process has written. `db` is a connection of reading()."""

    @property
    def reconnects(self) -> bool:
        """Whether reading may fail because a connection was lost, and work again later."""
        return False

    @property
    def folder(self) -> Path | None:
        """The folder of the home, where processes on this machine share locks; None if there is none."""
        return None

    # --- connections --------------------------------------------------------------------------------------------------

    @abstractmethod
    def close(self) -> None:
        """Close every connection. A second call does nothing."""

    @abstractmethod
    def reading(self) -> AbstractContextManager[C_co]:
        """Lend a connection for reading. No read transaction may outlive the block."""

    @abstractmethod
    def _exclusive(self, doing: str, *, is_synced: bool = True) -> AbstractContextManager[C_co]:
        """Lend the connection for writing in a transaction, which ends with the block unless the body ended it.

        Args:
            doing: The operation, for the messages of errors.
            is_synced: Whether the transaction has to be on the disk at its end.
        """

    def _committing(self) -> AbstractContextManager[C_co]:
        """Lend the connection as `_exclusive` does, for a transaction that writes to documents under our client id."""
        return self._exclusive("committing")

    @contextmanager
    def writing(self, *, is_synced: bool = True) -> Iterator[C_co]:
        """Lend the write connection in its own transaction, for all data but memories: peers, members, settings.

        Args:
            is_synced: Whether the transaction has to be on the disk at its end.
        """
        with self._exclusive("writing", is_synced=is_synced) as db:
            log.lock_head(db)
            yield db
        self._written()

    def on_write(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback`, which raises nothing, after each write of this process that changes no memory.

        It is called from the thread that wrote.

        Returns:
            A function that ends the subscription.
        """
        self._on_write.append(callback)

        def end() -> None:
            with suppress(ValueError):
                self._on_write.remove(callback)

        return end

    @contextmanager
    def writing_unsynced(self) -> Iterator[C_co]:
        """Lend the write connection, but do not wait for the disk.

        Only for facts that can be determined again after a power cut: receipts and digests. Each statement must be
        right on its own, because other processes may write at the same time.
        """
        with self._exclusive("writing", is_synced=False) as db:
            yield db

    @property
    def first_updates(self) -> Mapping[bytes, StateVector]:
        """The clocks of updates that were the first of their shards: see Documents."""
        return self._documents.first_updates

    @contextmanager
    def documents(self) -> Iterator[tuple[C_co, Documents]]:
        """Lend the live documents and a connection that sees the durable state. Block writes of this process."""
        with self._lock, self.reading() as db:
            db.execute("BEGIN")  # heads and logs must be of one moment
            try:
                self._use_facts(db)
                yield db, self._documents
            finally:
                db.execute("ROLLBACK")
                self._documents.trim()

    @contextmanager
    def writing_documents(self, *, is_synced: bool = True) -> Iterator[tuple[C_co, Documents]]:
        """Lend the write connection and the live documents, to change the form of the log but not its meaning.

        Args:
            is_synced: Whether the transaction has to be on the disk at its end.
        """
        with self._lock:
            try:
                with self._exclusive("compacting", is_synced=is_synced) as db:
                    self._use_facts(db)
                    yield db, self._documents
            except BaseException:  # documents do not roll back, and even COMMIT may fail
                self._documents.clear()
                raise
            self._documents.trim()

    @staticmethod
    def in_turns(parts: Iterable[T]) -> Iterator[T]:
        """Yield the parts of a large piece of work, each for a transaction of its own.

        Between two of them other threads and processes get the write lock. Without a pause, the next transaction would
        take it again before a waiting writer looks.
        """
        for number, part in enumerate(parts):
            if number:
                time.sleep(TURN_S)
            yield part

    # --- changing -----------------------------------------------------------------------------------------------------

    def commit(
        self,
        plan: Callable[[Transaction], T],
        *,
        prepared: Prepared = None,
        origin: str = "local",
        by: str | None = None,
    ) -> T:
        """Run `plan` under the write lock, and make all of its changes durable or none.

        Documents are first brought up to date with commits of other processes. When this returns, the change is on
        disk, in the views and in the indexes. Subscribers are called after that, and other devices receive the change
        through them.

        Args:
            plan: Makes the change. Its result is returned.
            prepared: The result of indexer.prepare() for the texts of the change.
            origin: The origin of the change, as in model.records.Change.
            by: The author of the change.

        Raises:
            Exception: Any error of `plan`. Nothing was changed.
            StoreError: The change could not be written. Nothing was changed.
        """
        with self._committing() as db:
            self._use_facts(db)
            transaction = Transaction(db, self._documents, self.stamp(by), self.options.random)
            try:
                result = plan(transaction)
                done = transaction.finish()
                self.indexer.replace(db, done.removed, done.added, prepared)
                with self._own_commits.noting(done.seq, origin):
                    db.execute("COMMIT")
            except BaseException:
                # A Yjs transaction does not roll back, so documents ahead of the log are dropped and loaded again.
                for shard in transaction.changed_shards:
                    self._documents.drop(shard)
                raise
            self._documents.trim()
        self._follow_up(transaction)
        self.indexer.committed()
        if done.changes:
            self._notify(Notice(done.changes, origin, transaction.stamp.at, done.seq))
        else:  # perhaps registers that nobody can see, which go to other devices too
            self._written()
        return result

    @abstractmethod
    def _follow_up(self, transaction: Transaction) -> None:
        """Finish the work after a commit. A failure here is retried later and never reaches the caller."""

    def using_reserve(self, work: Callable[[], T]) -> T:
        """Run `work`, which frees disk space, also on a full disk if the store has a reserve for that."""
        return work()

    @abstractmethod
    def scrub(self) -> bool:
        """Erase the bytes of forgotten memories as far as this store can. Return whether nothing is left of them."""

    @abstractmethod
    def scrub_later(self) -> None:
        """Start scrubbing in the background."""

    def subscribe(self, callback: Callable[[Notice], None]) -> Callable[[], None]:
        """Call `callback` after each commit of this process, from the thread that made it.

        Returns:
            A function that ends the subscription.
        """
        self._subscribers.append(callback)

        def end() -> None:
            with suppress(ValueError):
                self._subscribers.remove(callback)

        return end

    def origin_of(self, seq: int, written: str | None) -> str:
        """Return the Change.origin of the commit that ended at log row `seq`.

        Args:
            seq: The log row.
            written: The origin that the row names, or None if the row has been folded away.
        """
        return self._own_commits.origin(seq) or (PROCESS if written in (None, log.LOCAL) else str(written))

    def space(self, name: str) -> int:
        """Return the local number of the space called `name`. Raises NotFoundError."""
        with self.reading() as db:
            return spaces.space_number(db, name)

    def _use_facts(self, db: SqlConnection) -> None:
        """Read the facts again: another process may have found that the store was copied, or restored a backup."""
        known = meta.facts(db)
        self._documents.use_client(known.client_id)
        self.facts = known

    def _written(self) -> None:
        for callback in tuple(self._on_write):
            callback()

    def _notify(self, notice: Notice) -> None:
        for callback in tuple(self._subscribers):
            try:
                callback(notice)
            except Exception:  # noqa: BLE001 - any error: the change is durable, and must not look failed
                _log.exception("a subscriber failed")
