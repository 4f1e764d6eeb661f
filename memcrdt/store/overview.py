"""The status of a store and the progress of its peers, counted from the views and the receipts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Final, Literal

from memcrdt.errors import CorruptError
from memcrdt.model.serialization import Counts, Record, UtcTime
from memcrdt.store import alarms, digests, quarantine, reads, supersession
from memcrdt.store.alarms import StoreAlarm
from memcrdt.store.base import AnyStore
from memcrdt.store.filtering import Where, in_spaces
from memcrdt.store.membership import receipts, refusals
from memcrdt.store.membership.peers import Peer, all_peers, hubs
from memcrdt.store.reading import Readable
from memcrdt.store.sql import SqlConnection

_LABELLED: Final = """
SELECT DISTINCT {0} FROM {1} JOIN spaces s USING(space)
WHERE instr(lower({0}), ?1) > 0 AND (CAST(?2 AS TEXT) IS NULL OR s.name IN (SELECT value FROM json_each(?2)))
ORDER BY 1 LIMIT ?3"""
_LABELS: Final = {
    "scope": _LABELLED.format("m.scope", "memories m"),
    "tag": _LABELLED.format("t.tag", "tags t JOIN memories m USING(memory)"),
}
_CAPITALS: Final = re.compile("[A-Z]+")
HOUR_MS: Final = 3_600_000
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
        unscrubbed: The number of forgotten memories that it has yet to confirm as scrubbed from its file; for a hub,
            as forgotten in its live database.
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
  coalesce(sum(octet_length(text)), 0), min(created_at), max(created_at), (SELECT count(*) FROM graves WHERE {0})
FROM memories WHERE {0}"""
_COUNTED: Final = """
SELECT {1}, count(*) FROM (SELECT * FROM memories WHERE {0}) m JOIN spaces s USING(space) GROUP BY 1
ORDER BY 1 NULLS FIRST"""
_ACTIVITY: Final = """
SELECT CASE WHEN updated_at > ? THEN 0 ELSE (? - updated_at) / ? END, count(*) FROM memories
WHERE updated_at > ? AND {0} GROUP BY 1"""


def stats(db: SqlConnection, now_ms: int, spaces: Sequence[str] | None = None) -> Stats:
    """Return the counts of the memories at `now_ms`, in these spaces; None for all."""
    there = in_spaces("space", spaces) if spaces is not None else Where("TRUE", ())
    totals = db.execute(_TOTALS.format(there.sql), (now_ms, *there.bindings, *there.bindings))
    total, expired, superseded, conflicted, size, oldest, newest, forgotten = totals.get

    def counted(column: str) -> dict[Any, int]:
        return dict(db.execute(_COUNTED.format(there.sql, column), there.bindings))

    return Stats(
        memories=total,
        expired=expired,
        superseded=superseded,
        conflicted=int(conflicted),
        forgotten=forgotten,
        text_bytes=int(size),
        oldest=None if oldest is None else reads.time_of(oldest),
        newest=None if newest is None else reads.time_of(newest),
        by_space=counted("s.name"),
        by_category=counted("m.category"),
        by_kind=counted("m.kind"),
    )


def activity(db: SqlConnection, now_ms: int, hours: int, spaces: Sequence[str] | None = None) -> list[int]:
    """Return how many memories changed last in each of the past hours, the oldest hour first.

    A time after `now_ms`, of a device whose clock runs ahead, counts as now.

    Args:
        db: The database.
        now_ms: The end of the last hour.
        hours: The number of hours.
        spaces: The names of the spaces with the memories; None for all.
    """
    there = in_spaces("space", spaces) if spaces is not None else Where("TRUE", ())
    counts = [0] * hours
    bindings = (now_ms, now_ms, HOUR_MS, now_ms - hours * HOUR_MS, *there.bindings)
    for ago, count in db.execute(_ACTIVITY.format(there.sql), bindings):
        counts[-1 - ago] = count
    return counts


def labels(
    db: SqlConnection, name: Literal["scope", "tag"], part: str, spaces: Sequence[str] | None, limit: int
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
    return [label for (label,) in db.execute(_LABELS[name], (_lower(part), names, limit))]


def _lower(text: str) -> str:
    """Return a text with its letters of ASCII in lower case, as SQLite's lower() does."""
    return _CAPITALS.sub(lambda found: found[0].lower(), text)


def overview(store: AnyStore, *, served: bool = True) -> StoreStatus:
    """Return the present status of the store.

    Args:
        store: The store.
        served: Whether a process runs the network of the store.
    """
    with store.reading() as db:
        names = list(db.execute("SELECT space, id, name FROM spaces ORDER BY space"))
        ignored = int(db.execute(_IGNORED).get)
        refused = quarantine.count(db)
        to_scrub = int(db.execute("SELECT count(*) FROM shards WHERE to_scrub > 0").get)
    return StoreStatus(
        device=store.device,
        size=store.size(),
        spaces=tuple(_space(store, *row) for row in names),
        peers=peer_states(store, served=served),
        ignored=ignored,
        quarantined=refused,
        to_scrub=to_scrub,
    )


def alarms_of(store: AnyStore) -> tuple[StoreAlarm, ...]:
    """Return the alarms of the store, oldest first, whether or not they are acknowledged."""
    with store.reading() as db:
        found = [*alarms.raised(db), *refusals.revoked_alarms(db), *_circles(db)]
    if (advice := store.advice) is not None:
        found.append(alarms.alarm(store.now_ms(), advice, "location", advice))
    return tuple(sorted(found, key=lambda each: each.at))


def _circles(db: SqlConnection) -> Iterator[StoreAlarm]:
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


def peer_states(store: Readable, *, served: bool = True) -> tuple[PeerStatus, ...]:
    """Return the progress of every other device.

    A killed process leaves its connections noted as open. So connections count only if a process runs the network.
    """
    with store.reading() as db:
        peers = all_peers(db)
        if not served:
            peers = [replace(peer, connected=None) for peer in peers]
        return tuple(_peer(db, peer) for peer in peers)


def _space(store: AnyStore, space: int, space_id: str, name: str) -> SpaceStatus:
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


def _digest(store: AnyStore, space: int) -> str:
    try:
        return digests.whole(digests.of_space(store, space))
    except CorruptError:  # the rest of the status is still needed
        return ""


_IGNORED = """
SELECT (SELECT coalesce(sum(ignored), 0) FROM memories)
  + (SELECT coalesce(sum(foreign_keys), 0) FROM shards) + (SELECT count(*) FROM (
  SELECT space, id FROM homes
  EXCEPT SELECT space, id FROM memories
  EXCEPT SELECT space, id FROM graves) homeless)"""


def _peer(db: SqlConnection, peer: Peer) -> PeerStatus:
    is_accepted = peer.state == "accepted"
    unscrubbed = receipts.to_forget if peer.device in hubs(db) else receipts.to_scrub
    agreed, event, never = db.execute(_AGREED, (peer.device,)).get
    return PeerStatus(
        peer=peer,
        spaces=tuple(str(name) for (name,) in db.execute(_SHARED, (peer.device,))),
        behind=receipts.behind(db, peer.device) if is_accepted else 0,
        unscrubbed=unscrubbed(db, peer.device) if is_accepted else 0,
        confirmed_at=db.execute("SELECT max(at) FROM receipts WHERE device = ?", (peer.device,)).get,
        agreed_at=None if never else agreed,
        agreed_event=0 if never else event,
    )


_AGREED = """
SELECT min(agreed_at), min(agreed_event), CASE WHEN count(*) > count(agreed_at) OR count(*) = 0 THEN 1 ELSE 0 END
FROM shares WHERE device = ?"""
_SHARED = "SELECT name FROM shares JOIN spaces USING(space) WHERE device = ? ORDER BY space"
