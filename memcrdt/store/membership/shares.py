"""The devices that share a space: the queries of `shares`, `withdrawn` and `peers` that members need."""

from __future__ import annotations

from typing import Final

import apsw

from memcrdt.store.membership import receipts
from memcrdt.store.spaces import Genesis

_WRITTEN: Final = (
    "SELECT 1 FROM memories WHERE space = ?1 AND device = ?2"
    " UNION ALL SELECT 1 FROM graves WHERE space = ?1 AND device = ?2 LIMIT 1"
)


def revoked_here(db: apsw.Connection) -> list[str]:
    """Return the revoked devices."""
    return [str(device) for (device,) in db.execute("SELECT device FROM peers WHERE state = 'revoked' ORDER BY device")]


def withdrawn(db: apsw.Connection, space: int) -> set[str]:
    """Return the devices that the user has removed from the space and no statement revokes yet."""
    return {str(device) for (device,) in db.execute("SELECT device FROM withdrawn WHERE space = ?", (space,))}


def revoke_if_alone(db: apsw.Connection, device: str) -> None:
    """Revoke the device if no space is shared with it any more."""
    db.execute(
        "UPDATE peers SET state = 'revoked', connected = NULL WHERE device = ?1 AND state <> 'revoked'"
        " AND NOT EXISTS(SELECT 1 FROM shares WHERE device = ?1)",
        (device,),
    )


def is_shared(db: apsw.Connection, space: int) -> bool:
    """Return whether the space (its local number) is shared with any device."""
    return db.execute("SELECT 1 FROM shares WHERE space = ?", (space,)).get is not None


def has_written(db: apsw.Connection, space: int, device: str) -> bool:
    """Return whether the device has added or forgotten a memory in the space (its local number)."""
    return db.execute(_WRITTEN, (space, device)).get is not None


def replace_genesis(db: apsw.Connection, space: int, genesis: Genesis) -> None:
    """Give a space (its local number) another id. Statements and receipts under the old id become void."""
    for table in ("members", "withdrawn"):
        db.execute(f"DELETE FROM {table} WHERE space = ?", (space,))
    receipts.void_space(db, space)
    db.execute(
        "UPDATE spaces SET id = ?, creator = ?, nonce = ?, read_only = 0 WHERE space = ?",
        (genesis.space_id, *genesis, space),
    )
