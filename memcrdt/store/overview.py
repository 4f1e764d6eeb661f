"""The status of a store, and how far each device has followed: counted from the views and the receipts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import apsw

from memcrdt.errors import CorruptError
from memcrdt.store import digests, meta, quarantine, reads
from memcrdt.store.membership import receipts
from memcrdt.store.membership.peers import Peer, Peers
from memcrdt.store.meta import StoreAlarm
from memcrdt.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceStatus:
    """One space: its id and name, how much is in it, its digest (hexadecimal, equal where all is equal; empty where
    rows of the log are damaged, of which `doctor` tells), and the devices it is shared with."""

    name: str
    id: str
    memories: int
    forgotten: int
    shards: int
    digest: str
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerStatus:
    """Another device, the names of the spaces that are shared with it, how many changes of ours (memories changed or
    forgotten) it has not confirmed to hold, and of how many forgotten memories not that no byte is left in its file."""

    peer: Peer
    spaces: tuple[str, ...]
    behind: int
    unscrubbed: int
    confirmed_at: int | None  # ms: its last confirmation
    agreed_at: int | None  # ms: since when all that is shared with it has been found equal; None for never


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStatus:
    """What is in the store.

    `ignored` counts registers that make no sense or are of no memory, and memories without a birth that does: they are
    kept and not shown. `quarantined` counts updates that were refused, `to_scrub` the shards in which bytes of
    something forgotten still wait to be scrubbed. `alarms` are what the user should know, oldest first.
    """

    device: str
    size: int  # bytes
    spaces: tuple[SpaceStatus, ...]
    peers: tuple[PeerStatus, ...]
    ignored: int
    quarantined: int
    to_scrub: int
    alarms: tuple[StoreAlarm, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """How much is remembered: memories, how many of them are expired, superseded or in conflict, their texts, and how
    many there are of each space, category and kind (those without one are under None)."""

    memories: int
    expired: int
    superseded: int
    conflicted: int
    forgotten: int
    text_bytes: int
    oldest: datetime | None
    newest: datetime | None
    by_space: Mapping[str, int]
    by_category: Mapping[str, int]
    by_kind: Mapping[str | None, int]


_TOTALS = """
SELECT count(*), count(*) FILTER (WHERE expires_at <= ?), count(superseded_by), coalesce(sum(conflicted), 0),
  coalesce(sum(octet_length(text)), 0), min(created_at), max(created_at), (SELECT count(*) FROM graves)
FROM memories"""


def stats(db: apsw.Connection, now_ms: int) -> Stats:
    """Return what the store holds at this moment."""
    total, expired, superseded, conflicted, size, oldest, newest, forgotten = db.execute(_TOTALS, (now_ms,)).get
    count = "SELECT {}, count(*) FROM memories m JOIN spaces s USING(space) GROUP BY 1 ORDER BY 1"
    return Stats(
        memories=total,
        expired=expired,
        superseded=superseded,
        conflicted=conflicted,
        forgotten=forgotten,
        text_bytes=size,
        oldest=None if oldest is None else reads.time_of(oldest),
        newest=None if newest is None else reads.time_of(newest),
        by_space=dict(db.execute(count.format("s.name"))),
        by_category=dict(db.execute(count.format("m.category"))),
        by_kind=dict(db.execute(count.format("m.kind"))),
    )


def used_bytes(db: apsw.Connection) -> int:
    """Return the size of the file in bytes, without free pages."""
    return (int(db.pragma("page_count")) - int(db.pragma("freelist_count"))) * int(db.pragma("page_size"))


def waiting_for_vectors(db: apsw.Connection) -> int:
    """Return the number of memories that wait to be embedded."""
    return int(db.execute("SELECT count(*) FROM waiting").get)


def overview(store: Store, *, served: bool = True) -> StoreStatus:
    """Return the state of the store at this moment. `served`: whether a process runs its network."""
    with store.reading() as db:
        names = list(db.execute("SELECT space, id, name FROM spaces ORDER BY space"))
        size = int(db.pragma("page_count")) * int(db.pragma("page_size"))
        ignored = int(db.execute(_IGNORED).get)
        refused = quarantine.count(db)
        alarms = meta.alarms(db)
        to_scrub = int(db.execute("SELECT count(*) FROM shards WHERE to_scrub > 0").get)
    return StoreStatus(
        device=store.device,
        size=size,
        spaces=tuple(_space(store, *row) for row in names),
        peers=peer_states(store, served=served),
        ignored=ignored,
        quarantined=refused,
        to_scrub=to_scrub,
        alarms=tuple(alarms),
    )


def peer_states(store: Store, *, served: bool = True) -> tuple[PeerStatus, ...]:
    """Return the other devices.

    A killed process leaves its connections noted as open. So none counts unless a process runs the network.
    """
    peers = Peers(store).all()
    if not served:
        peers = [replace(peer, connected=None) for peer in peers]
    with store.reading() as db:
        return tuple(_peer(db, peer) for peer in peers)


def _space(store: Store, space: int, space_id: str, name: str) -> SpaceStatus:
    digest = _digest(store, space)
    with store.reading() as db:
        count = db.execute
        return SpaceStatus(
            name=name,
            id=space_id,
            memories=int(count("SELECT count(*) FROM memories WHERE space = ?", (space,)).get),
            forgotten=int(count("SELECT count(*) FROM graves WHERE space = ?", (space,)).get),
            shards=int(count("SELECT count(*) FROM shards WHERE space = ? AND head > 0", (space,)).get),
            digest=digest,
            members=tuple(
                str(device)
                for (device,) in count("SELECT device FROM shares WHERE space = ? ORDER BY device", (space,))
            ),
        )


def _digest(store: Store, space: int) -> str:
    try:
        return digests.whole(digests.of_space(store, space))
    except CorruptError:  # the rest of the status is still needed
        return ""


_IGNORED = """
SELECT (SELECT coalesce(sum(ignored), 0) FROM memories)
  + (SELECT coalesce(sum(foreign_keys), 0) FROM shards) + (SELECT count(*) FROM (
  SELECT space, id FROM homes
  EXCEPT SELECT space, id FROM memories
  EXCEPT SELECT space, id FROM graves))"""


def _peer(db: apsw.Connection, peer: Peer) -> PeerStatus:
    is_accepted = peer.state == "accepted"
    agreed, never = db.execute(_AGREED, (peer.device,)).get
    return PeerStatus(
        peer=peer,
        spaces=tuple(str(name) for (name,) in db.execute(_SHARED, (peer.device,))),
        behind=receipts.behind(db, peer.device) if is_accepted else 0,
        unscrubbed=receipts.to_scrub(db, peer.device) if is_accepted else 0,
        confirmed_at=db.execute("SELECT max(at) FROM receipts WHERE device = ?", (peer.device,)).get,
        agreed_at=None if never else agreed,
    )


_AGREED = "SELECT min(agreed_at), coalesce(sum(agreed_at IS NULL), 1) FROM shares WHERE device = ?"
_SHARED = "SELECT name FROM shares JOIN spaces USING(space) WHERE device = ? ORDER BY space"
