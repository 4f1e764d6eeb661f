"""Compaction: fold the log of a shard into one snapshot, prune old revisions, and give free space back.

A commit folds a shard automatically when the shard's log outgrows its snapshot. `compact` does all three for every
shard.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final

import apsw

from memcrdt.model import limits
from memcrdt.model.serialization import Record
from memcrdt.store import log
from memcrdt.store.database import Database
from memcrdt.store.documents import Documents
from memcrdt.store.log import ShardRow
from memcrdt.store.sql import SqlConnection
from memcrdt.store.transaction import Transaction

# When a commit folds the log of a shard that it changed. Rows make a shard slow to load, and bytes make the file long.
# Folding writes the whole shard again (benchmarks/compaction.py).
LOG_ROWS: Final = 256
LOG_BYTES: Final = 256 * limits.KIB
_FEW_ROWS: Final = 16  # folding fewer is not worth it, however long they are: a batch of memories is one row

_PRUNED_TOGETHER: Final = 32  # memories in one transaction: with 100 revisions each, writers wait 0.2 s

# Free pages are given back when there are many, in portions so small that no writer waits long.
_FREE_SHARE: Final = 8
_FREE_PAGES: Final = 256
_VACUUM_PAGES: Final = 1_024


@dataclass(frozen=True, slots=True)
class Compacted(Record):
    """What compact() did.

    Attributes:
        before: The size of the file in bytes before.
        after: The size of the file in bytes now.
        shards: The number of shards folded.
        pruned: The number of old revisions removed.
    """

    before: int
    after: int
    shards: int
    pruned: int


def is_due(row: ShardRow) -> bool:
    """Return whether the log after a shard's snapshot is long enough to fold."""
    if row.damaged or row.log_rows < _FEW_ROWS:
        return False
    folded = row.size - row.log_bytes
    return row.log_rows >= LOG_ROWS or row.log_bytes > max(LOG_BYTES, folded // 2)


def fold(db: SqlConnection, documents: Documents, shard: int) -> None:
    """Replace the log of a shard (its local number) by one snapshot, inside the caller's transaction.

    The snapshot is encoded from the live document, so deleted values are not in it. A damaged shard is left alone,
    because its rows wait for other devices.
    """
    row = log.lock_shard(db, shard)
    if row.log_rows and not row.damaged:
        log.fold(db, row, documents.current(db, row).live.snapshot())


def vacuum(db: apsw.Connection) -> None:
    """Give some free pages back to the file system, if there are more than the store will soon reuse."""
    if int(db.pragma("freelist_count")) > max(_FREE_PAGES, int(db.pragma("page_count")) // _FREE_SHARE):
        _release_pages(db)


def compact(database: Database) -> Compacted:
    """Fold every shard whose log has grown, prune old revisions, and give free space back.

    Each shard has its own transaction, so other writers can work in between. Readers do not block it.
    """
    before = _size(database)
    with database.reading() as db:
        shards = log.shard_numbers(db, "log_rows > 0 AND damaged = 0")
    pruned = 0
    for shard in database.in_turns(shards):
        while count := _prune(database, shard):
            pruned += count
        with database.writing_documents() as (db, documents):
            fold(db, documents, shard)
    for _ in database.in_turns(itertools.count()):
        with database.writing() as db:
            if not _release_pages(db):
                break
    database.truncate_wal()
    return Compacted(before, _size(database), len(shards), pruned)


def _prune(database: Database, shard: int) -> int:
    """Remove the oldest revisions of some memories that have more than are kept. Return the number removed."""
    with database.writing_documents() as (db, documents):
        if log.shard_row(db, shard).damaged:
            return 0
        transaction = Transaction(db, documents, database.stamp())
        pruned = transaction.prune(shard, _PRUNED_TOGETHER)
        transaction.finish()
    return pruned


def _release_pages(db: apsw.Connection) -> bool:
    """Give some of the free pages back. Return whether more are left."""
    db.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()
    return int(db.pragma("freelist_count")) > 0


def _size(database: Database) -> int:
    with database.reading() as db:
        return int(db.pragma("page_count")) * int(db.pragma("page_size"))
