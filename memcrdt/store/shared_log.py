"""The part of the log that other devices may read: updates of shared spaces, page by page.

The result types belong to the store, which does not know the sync protocol. `node/store_replica.py` translates them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from memcrdt.crdt.scan import scan
from memcrdt.errors import RemoteProtocolError
from memcrdt.model.clocks import StateVector
from memcrdt.store import log, spaces
from memcrdt.store.connections import consistent_read

if TYPE_CHECKING:
    from memcrdt.store.sql import SqlConnection

_ROWS: Final = """
SELECT u.seq, s.id, shard, h.number, u.bytes, u.checksum, u.origin, s.read_only
FROM updates u JOIN shards h USING(shard) JOIN spaces s USING(space)
WHERE u.seq > ? AND s.name <> ? AND EXISTS(SELECT 1 FROM shares WHERE shares.space = s.space)
ORDER BY u.seq LIMIT ?"""

_FOLDED: Final = """
SELECT s.id, h.number
FROM snapshots f JOIN shards h USING(shard) JOIN spaces s USING(space)
WHERE f.seq > ? AND f.seq <= ? AND s.name <> ? AND EXISTS(SELECT 1 FROM shares WHERE shares.space = s.space)"""


class SharedRow(NamedTuple):
    """A log row of a shared space. `shard` is the local number of the shard, `number` its number in the space."""

    seq: int
    space: str
    shard: int
    number: int
    update: bytes
    checksum: bytes
    origin: str
    read_only: bool


class SharedUpdate(NamedTuple):
    """An intact update of a shared space, with the clocks it builds on (`needs`) and the clocks it reaches (`after`).

    `shard` is the number of the shard in the space. With `read_only`, this device may not send it to anyone.
    """

    seq: int
    space: str
    shard: int
    update: bytes
    needs: Mapping[int, int]
    after: StateVector
    origin: str
    read_only: bool


class SharedPage(NamedTuple):
    """A page of the shared log.

    The next page starts after row `next_seq`. `resync` lists the shards, by space id and number, that must be compared
    as a whole, because their rows are damaged or were folded into a snapshot.
    """

    updates: list[SharedUpdate]
    next_seq: int
    resync: list[tuple[str, int]]


def page(
    db: SqlConnection, after_seq: int, limit: int, first_updates: Mapping[bytes, StateVector] = MappingProxyType({})
) -> SharedPage:
    """Return up to `limit` updates of shared spaces after row `after_seq`. Damaged rows are left out.

    Args:
        db: A connection.
        after_seq: The row after which the page begins.
        limit: The maximum number of rows.
        first_updates: The clocks of the first updates of shards, by checksum. These rows need no scan.
    """
    with consistent_read(db):  # the log, its head and the snapshots must be of one moment
        rows = [SharedRow(*row) for row in db.execute(_ROWS, (after_seq, spaces.LOCAL, limit))]
        next_seq = rows[-1].seq if len(rows) == limit else log.head(db)
        folded = list(db.execute(_FOLDED, (after_seq, next_seq, spaces.LOCAL)))
    updates = [scanned(row, first_updates.get(row.checksum)) for row in rows]
    resync = [(str(space), int(number)) for space, number in folded]
    resync += [(row.space, row.number) for row, update in zip(rows, updates, strict=True) if update is None]
    return SharedPage([update for update in updates if update], max(next_seq, after_seq), resync)


def scanned(row: SharedRow, after: StateVector | None = None) -> SharedUpdate | None:
    """Return the update of a log row with its clocks, or None when the row is damaged.

    Args:
        row: The row.
        after: The clocks that it reaches, if it is known to be the first update of its shard.
    """
    if log.checksum(row.shard, row.update) != row.checksum:
        return None
    needs: Mapping[int, int] = {}
    if after is None:
        try:
            found = scan(row.update, own=True)
        except RemoteProtocolError:
            return None
        needs = {client: clock for client, clock in found.needs.items() if clock}
        after = found.after
    came_from = log.LOCAL if row.origin.startswith(log.STOCK) else row.origin
    return SharedUpdate(row.seq, row.space, row.number, row.update, needs, after, came_from, bool(row.read_only))
