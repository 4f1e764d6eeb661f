"""Folding a shard's log into a snapshot, and scrubbing: taking forgotten text out of every byte of the file."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import apsw

from memcrdt.errors import StoreError
from memcrdt.model import limits
from memcrdt.store import connections, log, quarantine
from memcrdt.store.documents import Documents
from memcrdt.store.log import ShardRow
from memcrdt.store.transaction import Transaction

if TYPE_CHECKING:
    from memcrdt.store.store import Store

# When a log is folded by the commit that makes it longer. Rows make a shard slow to load, bytes make the file long;
# folding writes the whole shard anew (benchmarks/compaction.py).
LOG_ROWS: Final = 256
LOG_BYTES: Final = 256 * limits.KIB
_FEW_ROWS: Final = 16  # so few are not worth it, however long: a batch of memories is one row

_PRUNED_TOGETHER: Final = 32  # memories: with 100 revisions each 0.2 s, in which writers wait

# Free pages are given back when there are many, and so many at a time that no writer waits long.
_FREE_SHARE: Final = 8
_FREE_PAGES: Final = 256
_VACUUM_PAGES: Final = 1_024


@dataclass(frozen=True, slots=True)
class Compacted:
    """What compact() did: the size of the file in bytes before and after, the shards folded, and the revisions of
    texts let go of, beyond those that are kept."""

    before: int
    after: int
    shards: int
    pruned: int


def is_due(row: ShardRow) -> bool:
    """Whether the log behind a shard's snapshot is so long that it should be folded."""
    if row.damaged or row.log_rows < _FEW_ROWS:
        return False
    folded = row.size - row.log_bytes
    return row.log_rows >= LOG_ROWS or row.log_bytes > max(LOG_BYTES, folded // 2)


def fold(db: apsw.Connection, documents: Documents, shard: int) -> None:
    """Puts one snapshot in the place of the shard's log, inside the caller's transaction.

    It is encoded from the live document: what was deleted is not in it. A damaged shard is left alone: its rows wait
    for others.
    """
    row = log.shard_row(db, shard)
    if row.log_rows and not row.damaged:
        log.fold(db, row, documents.current(db, row).live.snapshot())


def vacuum(db: apsw.Connection) -> None:
    """Gives some free pages back to the file system, if there are so many that they are not soon used again."""
    if int(db.pragma("freelist_count")) > max(_FREE_PAGES, int(db.pragma("page_count")) // _FREE_SHARE):
        _give_back(db)


def _give_back(db: apsw.Connection) -> bool:
    """Gives some of the free pages back. Returns whether there are more."""
    db.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()
    return int(db.pragma("freelist_count")) > 0


def compact(store: Store) -> Compacted:
    """Folds every shard whose log has grown, prunes what is too much, and gives free space back.

    One shard at a time, so that other writers get their turn; readers are never in the way.
    """
    before = _size(store)
    with store.reading() as db:
        shards = log.shard_numbers(db, "log_rows > 0 AND NOT damaged")
    pruned = 0
    for shard in shards:
        while count := _prune(store, shard):
            pruned += count
        with store.folding() as (db, documents):
            fold(db, documents, shard)
    more = True
    while more:
        with store.writing() as db:
            more = _give_back(db)
    _truncate_wal(store)
    return Compacted(before, _size(store), len(shards), pruned)


def _prune(store: Store, shard: int) -> int:
    """Lets go of the oldest revisions of some memories that have more than are kept. Returns how many went."""
    with store.folding() as (db, documents):
        if log.shard_row(db, shard).damaged:
            return 0
        transaction = Transaction(db, documents, store.stamp())
        pruned = transaction.prune(shard, _PRUNED_TOGETHER)
        transaction.finish()
    return pruned


def scrub(store: Store) -> bool:
    """Finishes what was forgotten: no byte of it is left in database or WAL when this returns True.

    False means that a reader held on to the WAL, that the disk failed, or that a damaged shard waits to be mended:
    the shards stay marked, and this or any other process tries again by itself. Raises nothing: what was forgotten
    is forgotten already.
    """
    try:
        return store.freeing(lambda: _scrub(store))
    except StoreError:
        store.scrub_later()
        return False


def _scrub(store: Store) -> bool:
    with store.reading() as db:
        marked = list(db.execute("SELECT shard, to_scrub FROM shards WHERE to_scrub > 0 AND damaged = 0"))
        is_damaged = db.execute("SELECT 1 FROM shards WHERE to_scrub > 0 AND damaged").fetchone() is not None
    for shard, _ in marked:
        with store.folding() as (db, documents):
            fold(db, documents, shard)
            quarantine.drop_shard(db, log.shard_row(db, shard))
            log.drop_set_aside(db, shard)
    if marked and not _truncate_wal(store):
        store.scrub_later()
        return False
    with store.writing() as db:
        # A shard that was marked anew in the meantime keeps its mark: that row is behind what was scrubbed.
        db.executemany("UPDATE shards SET to_scrub = 0 WHERE shard = ? AND to_scrub = ?", marked)
    return not is_damaged


def _size(store: Store) -> int:
    with store.reading() as db:
        return int(db.pragma("page_count")) * int(db.pragma("page_size"))


def _truncate_wal(store: Store) -> bool:
    """Moves the WAL into the database and empties it, or gives up at once.

    On a connection of its own that never waits: with a timeout it would hold the write lock while it waits
    for readers, and writers wait with it.
    """
    with (
        connections.translated(store.path, "scrubbing"),
        closing(connections.connect(store.path, read_only=False, vfs=store.location.vfs)) as db,
    ):
        db.set_busy_timeout(0)
        try:
            db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except (apsw.BusyError, apsw.LockedError):
            return False
    return True
