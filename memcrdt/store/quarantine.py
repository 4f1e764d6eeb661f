"""The quarantine: a limited number of refused updates, kept for inspection and never applied."""

from __future__ import annotations

from typing import NamedTuple

from memcrdt.model.limits import MIB
from memcrdt.store.log import ShardRow
from memcrdt.store.sql import SqlConnection

ROWS = 64
BYTES = 1 * MIB  # the part of one update that is kept: it is evidence, not data


class RefusedUpdate(NamedTuple):
    """An update that was refused. `at` is in ms."""

    space: int
    shard: int
    origin: str
    reason: str
    update: bytes
    at: int


def put(db: SqlConnection, refused: RefusedUpdate) -> None:
    """Keep an update, and delete the oldest updates beyond the limit. An update that is kept already is not repeated.

    A client that connects again after a refusal sends the same bytes again, and would displace all other evidence.
    """
    kept = refused._replace(update=refused.update[:BYTES])
    if db.execute(_KEPT, (kept.space, kept.shard, kept.origin, kept.update)).get is not None:
        return
    db.execute("INSERT INTO quarantine(space, shard, origin, reason, bytes, at) VALUES(?, ?, ?, ?, ?, ?)", kept)
    db.execute("DELETE FROM quarantine WHERE id <= (SELECT max(id) FROM quarantine) - ?", (ROWS,))


_KEPT = "SELECT 1 FROM quarantine WHERE space = ? AND shard = ? AND origin = ? AND bytes = ?"


def drop_shard(db: SqlConnection, shard: ShardRow) -> None:
    """Delete the updates refused for a shard: they may contain text that was forgotten later."""
    db.execute("DELETE FROM quarantine WHERE space = ? AND shard = ?", (shard.space, shard.number))


def count(db: SqlConnection) -> int:
    """Return the number of updates kept."""
    return int(db.execute("SELECT count(*) FROM quarantine").get)
