"""Receipts: the rows of our log that other devices have received and scrubbed, by device and shard."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from memcrdt.store.sql import SqlConnection

if TYPE_CHECKING:
    from memcrdt.store.base import BaseStore


class HeldRows(NamedTuple):
    """The confirmations of a device: rows of our log by the number of the shard.

    Attributes:
        held: The device durably has everything that the shard had here at this row.
        scrubbed: In addition, the device has no byte of a memory that was forgotten in the shard by this row.
    """

    held: Mapping[int, int]
    scrubbed: Mapping[int, int]


class Confirmations(NamedTuple):
    """The devices that must forget some memories.

    Attributes:
        confirmed: The devices without a byte of the memories in their files.
        awaited: The devices that have yet to confirm that.
    """

    confirmed: tuple[str, ...]
    awaited: tuple[str, ...]


# A device that has scrubbed every forgotten memory of a shard has nothing to scrub in later rows.
_HELD = """
INSERT INTO receipts(device, shard, seq, scrubbed, at)
SELECT :device, shard, CAST(:seq AS BIGINT), CASE WHEN forgotten > 0 THEN 0 ELSE CAST(:seq AS BIGINT) END, :at
FROM shards WHERE space = :space AND number = :number
ON CONFLICT(device, shard) DO UPDATE SET
  at = excluded.at,
  seq = CASE WHEN receipts.seq > excluded.seq THEN receipts.seq ELSE excluded.seq END,
  scrubbed = CASE WHEN receipts.scrubbed < (SELECT forgotten FROM shards s WHERE s.shard = receipts.shard)
    THEN receipts.scrubbed WHEN receipts.seq > excluded.seq THEN receipts.seq ELSE excluded.seq END"""

# If the receipt has become void in between, its seq is lower and nothing is updated.
_SCRUBBED = """
UPDATE receipts SET scrubbed = CASE WHEN scrubbed > :seq THEN scrubbed ELSE CAST(:seq AS BIGINT) END
WHERE device = :device AND seq >= :seq
  AND shard = (SELECT shard FROM shards WHERE space = :space AND number = :number)"""

_UNSCRUBBED = """
SELECT s.number, r.seq FROM receipts r JOIN shards s USING(shard)
WHERE r.device = ? AND s.space = ? AND r.scrubbed < r.seq AND r.scrubbed < s.forgotten"""


def note(store: BaseStore[SqlConnection], device: str, space: int, rows: HeldRows) -> None:
    """Record the confirmations of a device for a space (its local number).

    This does not wait for the disk. After a power cut, the device confirms again when the copies are compared.
    """
    base = {"device": device, "space": space, "at": store.now_ms()}
    with store.writing_unsynced() as db:
        for sql, by_shard in ((_HELD, rows.held), (_SCRUBBED, rows.scrubbed)):
            db.executemany(sql, [{**base, "number": number, "seq": seq} for number, seq in by_shard.items()])


def unscrubbed(store: BaseStore[SqlConnection], device: str, space: int) -> dict[int, int]:
    """Return the shards that the device has yet to confirm as scrubbed, each with the last row that it has received."""
    with store.reading() as db:
        return {int(number): int(seq) for number, seq in db.execute(_UNSCRUBBED, (device, space))}


def void(db: SqlConnection, device: str) -> None:
    """Delete all receipts of a device."""
    db.execute("DELETE FROM receipts WHERE device = ?", (device,))


def void_space(db: SqlConnection, space: int) -> None:
    """Delete all receipts for a space (its local number)."""
    db.execute("DELETE FROM receipts WHERE shard IN (SELECT shard FROM shards WHERE space = ?)", (space,))


# After a commit to several shards, every memory has the last row of the commit. So a receipt is also compared with the
# last row of its shard, or with the last row that forgot a memory of the shard.
_SHORT = """
WITH short(shard, seq) AS (
  SELECT s.shard, coalesce(r.{said}, 0)
  FROM shares JOIN shards s USING(space) LEFT JOIN receipts r ON r.shard = s.shard AND r.device = shares.device
  WHERE shares.device = ? AND coalesce(r.{said}, 0) < s.{last})
SELECT count(*) FROM ({changed}) c
WHERE seq > (SELECT min(seq) FROM short) AND EXISTS(
  SELECT 1 FROM homes JOIN short USING(shard) WHERE homes.space = c.space AND homes.id = c.id AND short.seq < c.seq)"""
_GRAVES = "SELECT space, id, seq FROM graves"
_BEHIND = _SHORT.format(said="seq", last="head", changed=f"SELECT space, id, seq FROM memories UNION ALL {_GRAVES}")
_TO_FORGET = _SHORT.format(said="seq", last="forgotten", changed=_GRAVES)
_TO_SCRUB = _SHORT.format(said="scrubbed", last="forgotten", changed=_GRAVES)

_OF_MEMORIES = """
SELECT shares.device, sum(CASE WHEN EXISTS(
  SELECT 1 FROM homes h JOIN shards s USING(shard)
  LEFT JOIN receipts r ON r.shard = h.shard AND r.device = shares.device
  WHERE h.space = g.space AND h.id = g.id AND coalesce(r.{said}, 0) < g.seq AND coalesce(r.{said}, 0) < s.forgotten
) THEN 1 ELSE 0 END)
FROM graves g JOIN shares USING(space) JOIN peers ON peers.device = shares.device
WHERE peers.state = 'accepted' AND g.id IN (SELECT value FROM json_each(?))
GROUP BY shares.device ORDER BY shares.device"""

_SHARING = """
SELECT DISTINCT device FROM shares JOIN peers USING(device) WHERE state = 'accepted' ORDER BY device"""

_PENDING = """
SELECT 1 FROM homes JOIN shards USING(shard)
WHERE to_scrub > 0 AND id IN (SELECT value FROM json_each(?))"""


def behind(db: SqlConnection, device: str) -> int:
    """Return the number of memories changed or forgotten here that the device has yet to confirm."""
    return int(db.execute(_BEHIND, (device,)).get)


def to_scrub(db: SqlConnection, device: str) -> int:
    """Return the number of forgotten memories that the device has yet to confirm as scrubbed."""
    return int(db.execute(_TO_SCRUB, (device,)).get)


def confirmations(db: SqlConnection, ids: Sequence[str]) -> Confirmations:
    """Return the devices that have scrubbed all of these memories, and the devices that have yet to confirm."""
    found = left_of(db, ids)
    return Confirmations(
        tuple(device for device, left in found.items() if not left),
        tuple(device for device, left in found.items() if left),
    )


def left_of(db: SqlConnection, ids: Sequence[str], said: Literal["seq", "scrubbed"] = "scrubbed") -> dict[str, int]:
    """Return how many of these forgotten memories each device that shares them has yet to confirm.

    Args:
        db: The database.
        ids: The memories.
        said: `scrubbed` for the confirmation that no byte is left, `seq` for the one that they are forgotten.
    """
    sql = _OF_MEMORIES.format(said=said)
    return {str(device): int(left) for device, left in db.execute(sql, (json.dumps(ids),))}


def left_of_all(db: SqlConnection) -> dict[str, int]:
    """Return how many forgotten memories each accepted device that shares a space has yet to confirm as scrubbed."""
    return {str(device): to_scrub(db, device) for (device,) in list(db.execute(_SHARING))}


def to_forget(db: SqlConnection, device: str) -> int:
    """Return the number of forgotten memories that the device has yet to confirm as forgotten, scrubbed or not."""
    return int(db.execute(_TO_FORGET, (device,)).get)


def is_any_pending(db: SqlConnection) -> bool:
    """Return whether bytes of any forgotten memory may be left in our own file."""
    return db.execute("SELECT 1 FROM shards WHERE to_scrub > 0 LIMIT 1").get is not None


def is_pending(db: SqlConnection, ids: Sequence[str]) -> bool:
    """Return whether bytes of these forgotten memories may be left in our own file."""
    return db.execute(_PENDING, (json.dumps(ids),)).get is not None
