"""Find damaged and missing rows of the log, and resume without them.

Rows that build on a lost row stay in the log and wait until another device sends it again. Meanwhile the content of the
lost row, and of those that wait, is restored from the views, which are as new as the log was. So every memory can be
changed at once. The restored content yields to what the lost rows said, when they come.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from memcrdt.store import alarms, log, meta, views
from memcrdt.store.documents import Documents, SpoiledError
from memcrdt.store.recovery.views_to_log import restore_from_views
from memcrdt.store.spaces import is_read_only
from memcrdt.store.transaction import Transaction

if TYPE_CHECKING:
    from memcrdt.store.base import BaseStore
    from memcrdt.store.sql import SqlConnection


T = TypeVar("T")


class DamagedRow(NamedTuple):
    """A row of the log, or a snapshot, that does not match its checksum or cannot be applied."""

    kind: log.RowKind
    shard: int
    seq: int
    reason: str


def damaged_rows(db: SqlConnection, shard: int) -> list[DamagedRow]:
    """Return the damaged rows of a shard (its local number)."""
    written: list[tuple[log.RowKind, int, bytes, bytes]] = [
        ("snapshot", *found)
        for found in db.execute("SELECT seq, bytes, checksum FROM snapshots WHERE shard = ?", (shard,))
    ]
    written += [
        ("update", *found)
        for found in db.execute("SELECT seq, bytes, checksum FROM updates WHERE shard = ? ORDER BY seq", (shard,))
    ]
    found = ((kind, seq, log.row_problem(kind, shard, update, kept)) for kind, seq, update, kept in written)
    return [DamagedRow(kind, shard, seq, reason) for kind, seq, reason in found if reason]


def mending(store: BaseStore[SqlConnection], work: Callable[[], T]) -> T:
    """Do the work. If damaged rows prevent it, set them aside and repeat. Raises CorruptError if that fails."""
    while True:
        try:
            return work()
        except SpoiledError as exc:
            if repair_shard(store, exc.shard) is None:
                raise


def repair_shard(store: BaseStore[SqlConnection], shard: int) -> str | None:
    """Set the damaged rows of a shard aside, resume without them, and raise an alarm, all in one transaction.

    With two transactions, an update from another device could make the shard whole in between, before memories that
    no other device has are restored from the views.

    Returns:
        A description of the damage for the user, or None if there is none.
    """
    with store.writing_documents() as (db, documents):
        if found := _set_aside(store, db, documents, shard):
            _resume(store, db, documents, shard, indexed=True)
            alarms.raise_alarm(db, store.now_ms(), _ALARM.format(found=found))
    if found:
        store.scrub_later()
    return found


def set_aside(store: BaseStore[SqlConnection], shard: int) -> str | None:
    """Set the damaged rows of a shard aside.

    The shard counts as damaged until `resume`, or until other devices have sent the missing rows. The store takes a new
    client id, because other devices may have the content that the lost rows had under the old one.

    Returns:
        A description of the damage for the user, or None if there is none.
    """
    with store.writing_documents() as (db, documents):
        return _set_aside(store, db, documents, shard)


def resume(store: BaseStore[SqlConnection], shard: int) -> str:
    """Resume work with the rest of a damaged shard.

    Lost content is restored from the views, unless this device may only read the space: other devices would refuse its
    writes. The indexes stay unchanged. They may be damaged too, and must be rebuilt afterwards.

    Returns:
        A description of the repair for the user.
    """
    with store.writing_documents() as (db, documents):
        done = _resume(store, db, documents, shard, indexed=False)
    store.scrub_later()  # a damaged shard could not be scrubbed
    return done


def _set_aside(store: BaseStore[SqlConnection], db: SqlConnection, documents: Documents, shard: int) -> str | None:
    log.lock_shard(db, shard)
    bad = damaged_rows(db, shard)
    for each in bad:
        log.set_aside(db, shard, each.seq, each.kind, store.now_ms())
    documents.drop(shard)  # a document in memory may differ from the file
    if not bad and not _lacks_rows(db, documents, shard):
        return None
    db.execute("UPDATE shards SET damaged = 1 WHERE shard = ?", (shard,))
    store.give_up_client(db)
    return f"{len(bad)} damaged rows of shard {shard}" if bad else f"missing rows of shard {shard}"


def _lacks_rows(db: SqlConnection, documents: Documents, shard: int) -> bool:
    try:
        documents.current(db, log.shard_row(db, shard))
    except SpoiledError:
        return True
    return False


def _resume(
    store: BaseStore[SqlConnection], db: SqlConnection, documents: Documents, shard: int, *, indexed: bool
) -> str:
    documents.use_client(meta.yielding_client_id(store.options.random))  # other devices may have more than the views
    row = log.lock_shard(db, shard)
    document = documents.current(db, row)
    may_write, waiting = not is_read_only(db, row.space), len(document.waiting)
    row = log.counted(row, document.live)._replace(damaged=bool(waiting) or not may_write)
    log.write_head(db, row)
    count = 0
    if may_write:
        transaction = Transaction(db, documents, store.stamp())
        count = restore_from_views(transaction, row)
        transaction.reproject(shard, views.at_home_in(db, shard))
        done = transaction.finish()
        if indexed:
            store.indexer.replace(db, done.removed, done.added, None)
    if row.damaged:
        return f"shard {shard} waits for other devices to send the lost rows; {waiting} rows of it build on them"
    row = log.shard_row(db, shard)
    log.fold(db, row, documents.current(db, row).live.snapshot())
    return f"restored {count:,} memories of shard {shard} from the views"


_ALARM = (
    "The log had {found}, perhaps because the disk is failing. The memories shown stay, and other devices are asked for"
    " the lost rows. Make a backup, and examine the rest of the file with `memcrdt doctor`"
)
