"""Revocations of this device, and the refusals from which it learns of them.

A device that is revoked from one space hears the signed statement. A device that is revoked altogether loses its
connections before that. It learns of the revocation when it dials again: the peer's signed refusal names the device
that revoked it. This fact is kept until the
peer accepts this device again. Warnings, alarms and the lists of members derive from both.
"""

from __future__ import annotations

import json
from typing import Final, NamedTuple

from memcrdt.model.device_ids import shown
from memcrdt.store import alarms, meta
from memcrdt.store.alarms import StoreAlarm
from memcrdt.store.membership.shares import COME_BACK
from memcrdt.store.membership.statement_store import known_members, revocations
from memcrdt.store.sql import SqlConnection

_KEY: Final = "refusals"


class Refusal(NamedTuple):
    """A refusal by one peer. It counts only while this device has the key that was revoked.

    Attributes:
        by: The id of the device that revoked this device.
        own: The id of this device at that time.
        at: The time of the first refusal in ms.
    """

    by: str
    own: str
    at: int


class Revocation(NamedTuple):
    """The revocation of this device from a space: the id of the device that made it, and since when we know, in ms."""

    by: str
    at: int


def note_refusal(db: SqlConnection, peer: str, by: str, now_ms: int) -> None:
    """Note that a peer refused this device because the device `by` revoked it."""
    known = _refusals(db)
    if peer not in known or known[peer].by != by:
        _write(db, {**known, peer: Refusal(by, _own(db), now_ms)})


def drop_refusal(db: SqlConnection, peer: str) -> None:
    """Forget the refusal by a peer, if there is one."""
    known = _refusals(db)
    if known.pop(peer, None):
        _write(db, known)


def revocation(db: SqlConnection, space: int) -> Revocation | None:
    """Return who revoked this device from a space (its local number): by the statements, or by the refusals. Or None.

    A refusal counts for every member if a member that may write made or confirmed the revocation. Members that only
    read revoke for themselves. So their refusals count only if no other device shares the space.
    """
    own = _own(db)
    if own in known_members(db, space).revoked:
        first = revocations(db, space, own)[0]
        return Revocation(first.by, first.claim.at)
    known = _refusals(db)
    reads: dict[str, int] = dict(db.execute("SELECT device, read_only FROM shares WHERE space = ?", (space,)))
    for peer, refusal in sorted(known.items()):
        if peer in reads and (not reads[peer] or reads.get(refusal.by) == 0 or reads.keys() <= known.keys()):
            return Revocation(refusal.by, refusal.at)
    return None


def revoked_alarms(db: SqlConnection) -> list[StoreAlarm]:
    """Return one alarm for each device that revoked this device. It names the affected spaces."""
    since: dict[str, int] = {}
    for refusal in sorted(_refusals(db).values(), key=lambda each: each.at):
        since.setdefault(refusal.by, refusal.at)
    lost: dict[str, list[str]] = {}
    for space, name in list(db.execute("SELECT space, name FROM spaces ORDER BY space")):
        if found := revocation(db, space):
            lost.setdefault(found.by, []).append(name)
            since.setdefault(found.by, found.at)
    return [_alarm(db, by, lost.get(by, []), at) for by, at in since.items()]


def name_of(db: SqlConnection, device: str) -> str:
    """Return the name of a device on this machine, or its id if it has none."""
    return str(db.execute("SELECT name FROM peers WHERE device = ?", (device,)).get or shown(device))


def _alarm(db: SqlConnection, by: str, spaces: list[str], at: int) -> StoreAlarm:
    names = f" from {', '.join(map(repr, spaces))}" if spaces else ""
    stays = "; until then, changes there stay here" if spaces else ""
    text = f"this device was revoked{names} by {name_of(db, by)}; {COME_BACK}{stays}"
    return alarms.alarm(at, text, "revoked", _own(db), by, at, spaces)


def _own(db: SqlConnection) -> str:
    return str(meta.read(db, "device"))


def _refusals(db: SqlConnection) -> dict[str, Refusal]:
    own = _own(db)
    stored = json.loads(str(meta.read(db, _KEY) or "{}"))
    return {peer: refusal for peer, row in stored.items() if (refusal := Refusal(*row)).own == own}


def _write(db: SqlConnection, refusals: dict[str, Refusal]) -> None:
    meta.write(db, _KEY, json.dumps(refusals))
