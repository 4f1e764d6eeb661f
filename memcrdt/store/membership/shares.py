"""The devices that share a space. `shares` decides who is sent the space and whose writes count.

`shares` has no facts of its own. It follows from the signed statements (`members`) and from the user's decisions on
this device (`invited`, `withdrawn`), which count before they are signed. So do the peers that we know only as members.
`derive` brings them up to date whenever one of the sources has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from memcrdt.store.membership import receipts, relays
from memcrdt.store.membership.statement_store import known_members, revoked_by
from memcrdt.store.spaces import Genesis
from memcrdt.store.sql import SqlConnection

if TYPE_CHECKING:
    from memcrdt.model.membership import Membership

NO_INVITATION: Final = (
    "this device may only read the space {name!r}, so it cannot invite; do that on a device that may write"
)
COME_BACK: Final = (
    "to come back it needs a new key: move its device.key (`memcrdt path` shows where) away, then run: memcrdt pair"
)

_WRITTEN: Final = (
    "SELECT 1 FROM memories WHERE space = ?1 AND device = ?2"
    " UNION ALL SELECT 1 FROM graves WHERE space = ?1 AND device = ?2 LIMIT 1"
)


def revoked_here(db: SqlConnection) -> list[str]:
    """Return the revoked devices."""
    return [str(device) for (device,) in db.execute("SELECT device FROM peers WHERE state = 'revoked' ORDER BY device")]


def withdrawn(db: SqlConnection, space: int) -> set[str]:
    """Return the devices that the user has removed from the space and no statement revokes yet."""
    return {str(device) for (device,) in db.execute("SELECT device FROM withdrawn WHERE space = ?", (space,))}


def revoke_if_alone(db: SqlConnection, device: str) -> None:
    """Revoke the device if no space is shared with it any more."""
    db.execute(
        "UPDATE peers SET state = 'revoked', connected = NULL WHERE device = ?1 AND state <> 'revoked'"
        " AND NOT EXISTS(SELECT 1 FROM shares WHERE device = ?1)",
        (device,),
    )


def shares_due(db: SqlConnection, space: int, own: str, known: Membership) -> dict[str, bool]:
    """Return the devices that are to share a space, and whether each may only read.

    A device that may only read lets nobody in. Its own decisions count only until it hears that it is a member.

    Args:
        db: A connection.
        space: The local number of the space.
        own: The id of this device.
        known: The members by the statements.
    """
    if own in known.revoked:
        return {}
    reads = own in known.members and not known.may_write(own)
    due = {} if reads else {str(device): bool(read_only) for device, read_only in db.execute(_INVITED, (space,))}
    due |= {device: member.read_only for device, member in known.members.items() if device != own}
    accepted = {device for (device,) in db.execute("SELECT device FROM peers WHERE state = 'accepted'")}
    return {device: due[device] for device in due.keys() & accepted - known.revoked - withdrawn(db, space)}


def shared_with(db: SqlConnection, space: int) -> dict[str, bool]:
    """Return the devices that share a space (its local number), and whether each may only read."""
    return {str(device): bool(read_only) for device, read_only in db.execute(_SHARED_WITH, (space,))}


def derive(db: SqlConnection, space: int, own: str, now_ms: int) -> None:
    """Update the shares of a space, and the peers, from the statements and from the user's decisions.

    Args:
        db: A connection with the write lock.
        space: The local number of the space.
        own: The id of this device.
        now_ms: The time in ms.
    """
    known = known_members(db, space)
    _forget_decisions(db, space, own, known)
    relays.forget_decisions(db, space)
    members = known.members.keys() - {own} - withdrawn(db, space)
    unknown = [device for device in members if not _is_known(db, device)]
    names = [(device, known.members[device].name or None, now_ms) for device in unknown]
    db.executemany(_ACCEPT, names)
    gone = _replace(db, space, shares_due(db, space, own, known))
    for device in known.revoked - {own}:
        revoke_if_alone(db, device)
    if own in known.revoked:
        return  # the other members stay known: they are asked again, and refuse this device
    db.executemany(_FORGET_IF_ALONE, [(device,) for device in gone - known.revoked])
    if own in known.members:
        read_only = known.members[own].read_only
        db.execute("UPDATE spaces SET read_only = ?1 WHERE space = ?2 AND read_only <> ?1", (read_only, space))


def _forget_decisions(db: SqlConnection, space: int, own: str, known: Membership) -> None:
    """Delete the user's decisions that statements have settled for good."""
    settled = known.revoked - known.contested | revoked_by(db, space, own)
    db.executemany("DELETE FROM withdrawn WHERE space = ? AND device = ?", [(space, each) for each in settled])
    db.executemany("DELETE FROM invited WHERE space = ? AND device = ?", [(space, each) for each in known.revoked])


def _replace(db: SqlConnection, space: int, due: Mapping[str, bool]) -> set[str]:
    """Replace the shares of a space. Return the devices that no longer share it."""
    shared = shared_with(db, space)
    gone = shared.keys() - due.keys()
    db.executemany("DELETE FROM shares WHERE space = ? AND device = ?", [(space, device) for device in gone])
    changed = [(space, device, read_only) for device, read_only in due.items() if shared.get(device) != read_only]
    db.executemany(_SHARE, changed)
    return gone


def _is_known(db: SqlConnection, device: str) -> bool:
    """Return whether the device is revoked, or accepted with a name."""
    sql = "SELECT 1 FROM peers WHERE device = ? AND (state = 'revoked' OR state = 'accepted' AND name IS NOT NULL)"
    return db.execute(sql, (device,)).get is not None


_INVITED: Final = "SELECT device, read_only FROM invited WHERE space = ?"
_SHARED_WITH: Final = "SELECT device, read_only FROM shares WHERE space = ?"
_ACCEPT: Final = (
    "INSERT INTO peers(device, name, state, added_at, derived) VALUES(?, ?, 'accepted', ?, 1)"
    " ON CONFLICT(device) DO UPDATE SET derived = CASE peers.state WHEN 'pending' THEN 1 ELSE peers.derived END,"
    " state = 'accepted', name = coalesce(peers.name, excluded.name) WHERE peers.state <> 'revoked'"
)
_SHARE: Final = (
    "INSERT INTO shares(space, device, read_only) VALUES(?, ?, ?)"
    " ON CONFLICT(space, device) DO UPDATE SET read_only = excluded.read_only"
)
_FORGET_IF_ALONE: Final = (
    "DELETE FROM peers WHERE device = ?1 AND derived = 1 AND state = 'accepted'"
    " AND NOT EXISTS(SELECT 1 FROM shares WHERE device = ?1)"
)


def is_shared(db: SqlConnection, space: int) -> bool:
    """Return whether the space (its local number) is shared with any device."""
    return db.execute("SELECT 1 FROM shares WHERE space = ?", (space,)).get is not None


def has_written(db: SqlConnection, space: int, device: str) -> bool:
    """Return whether the device has added or forgotten a memory in the space (its local number)."""
    return db.execute(_WRITTEN, (space, device)).get is not None


def replace_genesis(db: SqlConnection, space: int, genesis: Genesis, own: str) -> None:
    """Give a space (its local number) another id. Statements and receipts under the old id become void.

    The relays that this device has listed itself are listed again under the new id.
    """
    relays.decide_again(db, space, own)
    for table in ("members", "withdrawn"):
        db.execute(f"DELETE FROM {table} WHERE space = ?", (space,))
    receipts.void_space(db, space)
    db.execute(
        "UPDATE spaces SET id = ?, creator = ?, nonce = ?, read_only = 0 WHERE space = ?",
        (genesis.space_id, *genesis, space),
    )
