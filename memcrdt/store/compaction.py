"""Folding a shard's log into a snapshot, and scrubbing: taking forgotten text out of every byte of the file."""

from __future__ import annotations

import apsw

from memcrdt.store import connections, log
from memcrdt.store.store import Store


def compact(store: Store, shard: int) -> None:
    """Folds the shard's log into one snapshot, encoded from the live document: deleted text is not in it."""
    with store.folding() as (db, documents):
        row = log.shard_row(db, shard)
        document = documents.current(db, row)
        log.fold(db, row, document.live.snapshot())


def scrub(store: Store) -> bool:
    """Finishes what was forgotten: no byte of it is left in database or WAL when this returns True.

    False means that a reader held on to the WAL: the shards stay marked, and any process tries again.
    """
    with store.reading() as db:
        marked = [shard for (shard,) in db.execute("SELECT shard FROM shards WHERE to_scrub > 0")]
    if not marked:
        return True
    for shard in marked:
        compact(store, shard)
    if not _truncate_wal(store):
        return False
    with store.writing() as db:
        # What was marked anew in the meantime keeps its mark: only those folded to their head are clean.
        db.executemany(
            "UPDATE shards SET to_scrub = 0 WHERE shard = ?"
            " AND head = (SELECT seq FROM snapshots WHERE snapshots.shard = shards.shard)",
            [(shard,) for shard in marked],
        )
    return True


def _truncate_wal(store: Store) -> bool:
    """Moves the WAL into the database and empties it, or gives up at once.

    On a connection of its own that never waits: with a timeout it would hold the write lock while it waits
    for readers, and writers wait with it.
    """
    db = connections.connect(store.path, read_only=False, vfs=store.options.vfs)
    try:
        db.set_busy_timeout(0)
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except (apsw.BusyError, apsw.LockedError):
        return False
    finally:
        db.close()
    return True
