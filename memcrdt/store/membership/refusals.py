"""Refusals: accepted devices that told this device that it was revoked.

A device that is revoked altogether loses its connections before a signed statement can reach it. It learns of the
revocation when it dials again: the peer's signed refusal names the device that revoked it. This fact is kept until the
peer accepts this device again. Warnings, alarms and the lists of members derive from it.
"""

from __future__ import annotations

import json
from typing import Final, NamedTuple

import apsw

from memcrdt.model.device_ids import shown
from memcrdt.model.values import from_ms
from memcrdt.store import meta
from memcrdt.store.membership.shares import COME_BACK
from memcrdt.store.meta import StoreAlarm

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


def note_refusal(db: apsw.Connection, peer: str, by: str, now_ms: int) -> None:
    """Note that a peer refused this device because the device `by` revoked it."""
    known = _refusals(db)
    if peer not in known or known[peer].by != by:
        _write(db, {**known, peer: Refusal(by, str(meta.read(db, "device")), now_ms)})


def drop_refusal(db: apsw.Connection, peer: str) -> None:
    """Forget the refusal by a peer, if there is one."""
    known = _refusals(db)
    if known.pop(peer, None):
        _write(db, known)


def refused_by(db: apsw.Connection, space: int) -> str | None:
    """Return the id of the device that revoked this device from a space (its local number), by the refusals; or None.

    The revocation counts for every member if a member that may write made or confirmed it. Members that only read
    revoke for themselves. So their refusals count only if no other device shares the space.
    """
    known = _refusals(db)
    reads: dict[str, int] = dict(db.execute("SELECT device, read_only FROM shares WHERE space = ?", (space,)))
    for peer, refusal in sorted(known.items()):
        if peer in reads and (not reads[peer] or reads.get(refusal.by) == 0 or reads.keys() <= known.keys()):
            return refusal.by
    return None


def alarms(db: apsw.Connection) -> list[StoreAlarm]:
    """Return one alarm for each device that revoked this device, oldest first. It names the affected spaces."""
    since: dict[str, int] = {}
    for refusal in sorted(_refusals(db).values(), key=lambda each: each.at):
        since.setdefault(refusal.by, refusal.at)
    lost: dict[str, list[str]] = {}
    for space, name in list(db.execute("SELECT space, name FROM spaces ORDER BY space")) if since else ():
        if by := refused_by(db, space):
            lost.setdefault(by, []).append(name)
    return [StoreAlarm(at=from_ms(at), text=_words(db, by, lost.get(by, []))) for by, at in since.items()]


def name_of(db: apsw.Connection, device: str) -> str:
    """Return the name of a device on this machine, or its id if it has none."""
    return str(db.execute("SELECT name FROM peers WHERE device = ?", (device,)).get or shown(device))


def _words(db: apsw.Connection, by: str, spaces: list[str]) -> str:
    stays = f"; until then, changes in {', '.join(map(repr, spaces))} stay here" if spaces else ""
    return f"this device was revoked by {name_of(db, by)}; {COME_BACK}{stays}"


def _refusals(db: apsw.Connection) -> dict[str, Refusal]:
    own = meta.read(db, "device")
    stored = json.loads(str(meta.read(db, _KEY) or "{}"))
    return {peer: refusal for peer, row in stored.items() if (refusal := Refusal(*row)).own == own}


def _write(db: apsw.Connection, refusals: dict[str, Refusal]) -> None:
    meta.write(db, _KEY, json.dumps(refusals))
