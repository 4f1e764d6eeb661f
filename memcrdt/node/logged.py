"""The log of a store as other devices may have it, page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from memcrdt.crdt.scan import scan
from memcrdt.errors import RemoteProtocolError
from memcrdt.store import log, meta
from memcrdt.sync.replica import LogEntry, LogPage

if TYPE_CHECKING:
    from memcrdt.store.store import Store

_SHARED: Final = """
SELECT u.seq, s.id, shard, h.number, u.bytes, u.checksum, u.origin
FROM updates u JOIN shards h USING(shard) JOIN spaces s USING(space)
WHERE u.seq > ? AND s.name <> ? AND NOT s.read_only AND EXISTS(SELECT 1 FROM shares WHERE shares.space = s.space)
ORDER BY u.seq LIMIT ?"""

_FOLDED: Final = """
SELECT s.id, h.number
FROM snapshots f JOIN shards h USING(shard) JOIN spaces s USING(space)
WHERE f.seq > ? AND f.seq <= ? AND s.name <> ? AND NOT s.read_only
  AND EXISTS(SELECT 1 FROM shares WHERE shares.space = s.space)"""


class Logged(NamedTuple):
    """A row of the log of a shared space. `shard` is local, `number` its name in the space."""

    seq: int
    space: str
    shard: int
    number: int
    update: bytes
    checksum: bytes
    origin: str


def page(store: Store, after_seq: int, limit: int) -> LogPage:
    """As Replica.log. A damaged row is not sent: its shard has to be compared."""
    with store.reading() as db:
        db.execute("BEGIN")  # one moment for the log, the heads and the snapshots
        try:
            rows = [Logged(*row) for row in db.execute(_SHARED, (after_seq, meta.LOCAL, limit))]
            next_seq = rows[-1].seq if len(rows) == limit else log.head(db)
            folded = list(db.execute(_FOLDED, (after_seq, next_seq, meta.LOCAL)))
        finally:
            db.execute("ROLLBACK")
    entries = [entry(row) for row in rows]
    resync = [(str(space), int(number)) for space, number in folded]
    resync += [(row.space, row.number) for row, found in zip(rows, entries, strict=True) if found is None]
    return LogPage([found for found in entries if found], max(next_seq, after_seq), resync)


def entry(row: Logged) -> LogEntry | None:
    """The row as sync sees it; None for one that is damaged."""
    if log.checksum(row.shard, row.update) != row.checksum:
        return None
    try:
        scanned = scan(row.update, own=True)
    except RemoteProtocolError:
        return None
    needs = {client: clock for client, clock in scanned.needs.items() if clock}
    came_from = log.LOCAL if row.origin.startswith(log.STOCK) else row.origin
    return LogEntry(row.seq, row.space, row.number, row.update, needs, scanned.after, came_from)
