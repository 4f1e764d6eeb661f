"""The store of one home: a database with `commit`, the only way to change a memory."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from memcrdt.errors import CorruptError, InputError, StoreError
from memcrdt.store import compaction, reprojection, scrubbing
from memcrdt.store.base import AnyStore
from memcrdt.store.database import Database
from memcrdt.store.incarnation import StoreOptions
from memcrdt.store.indexer import Indexer
from memcrdt.store.location import Location
from memcrdt.store.transaction import Transaction

T = TypeVar("T")

_log = logging.getLogger(__name__)


def in_file(store: AnyStore) -> Store:
    """Return a store as one in a file. Raises InputError for a store in PostgreSQL, whose tools do this work."""
    if not isinstance(store, Store):
        raise InputError("the memories are in PostgreSQL and not in a file; use the tools of PostgreSQL")
    return store


class Store(Database):
    """A database with commits. It scrubs forgotten memories in the background."""

    def __init__(
        self, home: Path | Location, device: str, indexer: Indexer, options: StoreOptions | None = None
    ) -> None:
        self._scrubber = scrubbing.RetryThread(self.scrub)
        super().__init__(home, device, indexer, options)
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

    def scrub(self) -> bool:
        """Erase every byte of forgotten memories from the database and the WAL. Return whether that is done.

        It is not done while a reader keeps the WAL in use, while the disk fails, while a damaged shard waits for
        repair, or while another device has to delete something, because this one may only read the space. The shards
        then stay marked, and this or another process retries automatically. This method raises nothing, because the
        memories are already forgotten.
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
