"""The store of one home: a database with `commit`, the only way to change a memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from memcrdt.errors import CorruptError, StoreError
from memcrdt.model.records import ChangeKind
from memcrdt.store import compaction, log, reprojection, scrubbing, spaces
from memcrdt.store.change_cursor import PROCESS, OwnCommits
from memcrdt.store.database import Database
from memcrdt.store.incarnation import StoreOptions
from memcrdt.store.indexer import Indexer, Prepared
from memcrdt.store.location import Location
from memcrdt.store.transaction import Transaction

T = TypeVar("T")

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


class Store(Database):
    """A database with commits. It scrubs forgotten memories in the background."""

    def __init__(
        self, home: Path | Location, device: str, indexer: Indexer, options: StoreOptions | None = None
    ) -> None:
        self.indexer = indexer
        self._own_commits = OwnCommits()
        self._subscribers: list[Callable[[Notice], None]] = []
        self._scrubber = scrubbing.RetryThread(self.scrub)
        super().__init__(home, device, options)
        try:
            self._catch_up()
        except BaseException:  # do not leak connections when opening fails
            self.close()
            raise
        if self.was_to_scrub:
            self.scrub_later()

    def close(self) -> None:
        """Close every connection. A second call does nothing, and so does a call in a forked child, which owns none."""
        if not self.is_inherited:
            self._scrubber.stop()
            super().close()

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
                # A Yjs transaction does not roll back, so documents ahead of the log are dropped and loaded again.
                for shard in transaction.changed_shards:
                    self._documents.drop(shard)
                raise
            self._documents.trim()
        self._follow_up(transaction)
        self.indexer.committed()
        if done.changes:
            self._notify(Notice(done.changes, origin, transaction.stamp.at, done.seq))
        return result

    def scrub(self) -> bool:
        """Erase every byte of forgotten memories from the database and the WAL. Return whether that is done.

        It is not done while a reader keeps the WAL in use, while the disk fails, or while a damaged shard waits for
        repair. The shards then stay marked, and this or another process retries automatically. This method raises
        nothing, because the memories are already forgotten.
        """
        try:
            outcome = self.using_reserve(lambda: scrubbing.scrub(self, self.indexer.erase_removed))
        except StoreError:
            outcome = "blocked"
        if outcome == "blocked":
            self.scrub_later()
        return outcome == "done"

    def scrub_later(self) -> None:
        """Start scrubbing in the background."""
        self._scrubber.wake()

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

    def _catch_up(self) -> None:
        """Project memories again whose views an older version wrote in another way, a shard at a time.

        A full disk or a locked file must not keep the store from opening. After a failure, the next opening retries.
        """
        if self.options.read_only:
            return
        with self.reading() as db:
            if (is_outdated := reprojection.outdated(db)) is None:
                return
            plans = reprojection.plans(db, is_outdated)
        try:
            for plan in plans:
                with suppress(CorruptError):  # the views stay unchanged
                    self.commit(plan)
            with self.writing() as db:
                reprojection.note_all(db)
        except StoreError as exc:
            _log.warning(
                "some memories may lack attributes that a newer version wrote, until the store is opened again: %s", exc
            )

    def _follow_up(self, transaction: Transaction) -> None:
        """Finish the work after a commit. A failure here is retried later and never reaches the caller."""
        rows = transaction.rows
        if head := max((row.head for row in rows), default=0):
            with self._lock:
                self._incarnation.raise_mark(self.facts.incarnation, head)
        if transaction.leaves_bytes:
            self.scrub_later()
        for row in rows:
            if compaction.is_due(row):
                with suppress(StoreError), self.writing_documents() as (db, documents):
                    compaction.fold(db, documents, row.shard)
                    compaction.vacuum(db)

    def _notify(self, notice: Notice) -> None:
        for callback in tuple(self._subscribers):
            try:
                callback(notice)
            except Exception:  # noqa: BLE001 - any error: the change is durable, and must not look failed
                _log.exception("a subscriber failed")
