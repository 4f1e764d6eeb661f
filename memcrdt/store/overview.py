"""The status of a store and the progress of its peers, counted from the views and the receipts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final, Literal

import apsw

from memcrdt.errors import CorruptError
from memcrdt.model.serialization import Counts, Record, UtcTime
from memcrdt.store import alarms, digests, quarantine, reads, supersession
from memcrdt.store.alarms import StoreAlarm
from memcrdt.store.membership import receipts, refusals
from memcrdt.store.membership.peers import Peer, Peers
from memcrdt.store.store import Store

_LABELLED: Final = """
SELECT DISTINCT {0} FROM {1} JOIN spaces s USING(space)
WHERE instr(lower({0}), lower(?1)) > 0 AND (?2 IS NULL OR s.name IN (SELECT value FROM json_each(?2)))
ORDER BY 1 LIMIT ?3"""
_LABELS: Final = {
    "scope": _LABELLED.format("m.scope", "memories m"),
    "tag": _LABELLED.format("t.tag", "tags t JOIN memories m USING(memory)"),
}
CIRCLES: Final = 5  # circles of supersession, and members of each, that the alarms name


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceStatus(Record):
    """The status of one space.

    Attributes:
        name: The name of the space on this device.
        id: The id of the space, the same on all its devices.
        memories: The number of memories.
        forgotten: The number of forgotten memories.
        shards: The number of shards with content.
        digest: A digest in hexadecimal, equal on devices with equal content. Empty if rows of the log are damaged.
        members: The ids of the devices that share the space.
        revoked_by: The name (or the id) of the device that revoked this device from the space; None if none did.
    """

    name: str
    id: str
    memories: int
    forgotten: int
    shards: int
    digest: str
    members: tuple[str, ...]
    revoked_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerStatus:
    """The progress of another device.

    Attributes:
        peer: The device.
        spaces: The names of the spaces that are shared with it.
        behind: The number of memories changed or forgotten here that it has yet to confirm.
        unscrubbed: The number of forgotten memories that it has yet to confirm as scrubbed from its file.
        confirmed_at: The time of its last confirmation in ms, or None.
        agreed_at: The time in ms since when every shared space has been found equal, or None if one never was.
        agreed_event: The number of that event, in the order of Peers.event(), or 0.
    """

    peer: Peer
    spaces: tuple[str, ...]
    behind: int
    unscrubbed: int
    confirmed_at: int | None
    agreed_at: int | None
    agreed_event: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStatus:
    """The status of a store.

    Attributes:
        device: The id of this device.
        size: The size of the file in bytes.
        spaces: The spaces.
        peers: The other devices.
        ignored: The number of registers that are invalid or belong to no memory, plus the number of memories without a
            valid birth. They are kept, but not shown.
        quarantined: The number of refused updates that are kept.
        to_scrub: The number of shards that still have bytes of forgotten memories.
    """

    device: str
    size: int
    spaces: tuple[SpaceStatus, ...]
    peers: tuple[PeerStatus, ...]
    ignored: int
    quarantined: int
    to_scrub: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats(Record):
    """Counts of the memories in a store.

    Attributes:
        memories: The number of memories.
        expired: The number of memories past their expiry.
        superseded: The number of memories that another memory supersedes.
        conflicted: The number of memories with more than one head.
        forgotten: The number of forgotten memories.
        text_bytes: The total size of the texts in bytes.
        oldest: The earliest creation time, or None without memories.
        newest: The latest creation time, or None without memories.
        by_space: The number of memories by name of the space.
        by_category: The number of memories by category.
        by_kind: The number of memories by kind. Memories without a kind are under None, in JSON under an
            empty text.
    """

    memories: int
    expired: int
    superseded: int
    conflicted: int
    forgotten: int
    text_bytes: int
    oldest: UtcTime | None
    newest: UtcTime | None
    by_space: Mapping[str, int] = field(hash=False)
    by_category: Mapping[str, int] = field(hash=False)
    by_kind: Counts = field(hash=False)


_TOTALS = """
SELECT count(*), count(*) FILTER (WHERE expires_at <= ?),
  count(*) FILTER (WHERE superseded_by IS NOT NULL AND circular = 0), coalesce(sum(conflicted), 0),
  coalesce(sum(octet_length(text)), 0), min(created_at), max(created_at), (SELECT count(*) FROM graves)
FROM memories"""


def stats(db: apsw.Connection, now_ms: int) -> Stats:
    """Return the counts of the memories at `now_ms`."""
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


def labels(
    db: apsw.Connection, name: Literal["scope", "tag"], part: str, spaces: Sequence[str] | None, limit: int
) -> list[str]:
    """Return the scopes or the tags of memories that contain a text, in any case of ASCII letters, sorted.

    Args:
        db: The database.
        name: The label.
        part: The text.
        spaces: The names of the spaces with the memories; None for all.
        limit: Maximum number of labels.
    """
    names = None if spaces is None else json.dumps(list(spaces))
    return [label for (label,) in db.execute(_LABELS[name], (part, names, limit))]


def used_bytes(db: apsw.Connection) -> int:
    """Return the size of the file in bytes, without free pages."""
    return (int(db.pragma("page_count")) - int(db.pragma("freelist_count"))) * int(db.pragma("page_size"))


def waiting_for_vectors(db: apsw.Connection) -> int:
    """Return the number of memories that wait to be embedded."""
    return int(db.execute("SELECT count(*) FROM waiting").get)


def overview(store: Store, *, served: bool = True) -> StoreStatus:
    """Return the present status of the store.

    Args:
        store: The store.
        served: Whether a process runs the network of the store.
    """
    with store.reading() as db:
        names = list(db.execute("SELECT space, id, name FROM spaces ORDER BY space"))
        size = int(db.pragma("page_count")) * int(db.pragma("page_size"))
        ignored = int(db.execute(_IGNORED).get)
        refused = quarantine.count(db)
        to_scrub = int(db.execute("SELECT count(*) FROM shards WHERE to_scrub > 0").get)
    return StoreStatus(
        device=store.device,
        size=size,
        spaces=tuple(_space(store, *row) for row in names),
        peers=peer_states(store, served=served),
        ignored=ignored,
        quarantined=refused,
        to_scrub=to_scrub,
    )


def alarms_of(store: Store) -> tuple[StoreAlarm, ...]:
    """Return the alarms of the store, oldest first, whether or not they are acknowledged."""
    with store.reading() as db:
        found = [*alarms.raised(db), *refusals.revoked_alarms(db), *_circles(db)]
    if (advice := store.location.advice) is not None:
        found.append(alarms.alarm(store.now_ms(), advice, "location", advice))
    return tuple(sorted(found, key=lambda each: each.at))


def _circles(db: apsw.Connection) -> Iterator[StoreAlarm]:
    """Yield an alarm for each of the first circles of supersession."""
    for circle in islice(supersession.circles(db), CIRCLES):
        shown, *others = (memory_id for memory_id, _ in circle)
        rest = "" if len(others) <= CIRCLES else f" and {len(others) - CIRCLES:,} more"
        decided = max(at for _, at in circle)
        yield alarms.alarm(
            decided,
            f"the memories {shown}, {', '.join(others[:CIRCLES])}{rest} supersede each other, because devices"
            f" that were apart decided differently; the last decision counts, so {shown} is shown. To settle it, run"
            f" `memcrdt update {shown} --clear superseded_by`",
            *("circle", shown, decided),
        )


def peer_states(store: Store, *, served: bool = True) -> tuple[PeerStatus, ...]:
    """Return the progress of every other device.

    A killed process leaves its connections noted as open. So connections count only if a process runs the network.
    """
    peers = Peers(store).all()
    if not served:
        peers = [replace(peer, connected=None) for peer in peers]
    with store.reading() as db:
        return tuple(_peer(db, peer) for peer in peers)


def _space(store: Store, space: int, space_id: str, name: str) -> SpaceStatus:
    digest = _digest(store, space)
    with store.reading() as db:
        count, revoked = db.execute, refusals.revocation(db, space)
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
            revoked_by=None if revoked is None else refusals.name_of(db, revoked.by),
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
    agreed, event, never = db.execute(_AGREED, (peer.device,)).get
    return PeerStatus(
        peer=peer,
        spaces=tuple(str(name) for (name,) in db.execute(_SHARED, (peer.device,))),
        behind=receipts.behind(db, peer.device) if is_accepted else 0,
        unscrubbed=receipts.to_scrub(db, peer.device) if is_accepted else 0,
        confirmed_at=db.execute("SELECT max(at) FROM receipts WHERE device = ?", (peer.device,)).get,
        agreed_at=None if never else agreed,
        agreed_event=0 if never else event,
    )


_AGREED = "SELECT min(agreed_at), min(agreed_event), coalesce(sum(agreed_at IS NULL), 1) FROM shares WHERE device = ?"
_SHARED = "SELECT name FROM shares JOIN spaces USING(space) WHERE device = ? ORDER BY space"
