"""The messages of the sync protocol, as values. `wire` turns them into frames.

| number | message | says |
|---|---|---|
| 1 | Hello | who I am, and the spaces that I share with you, with a digest of each; sent again when they change |
| 2 | Range | fingerprints over ranges of shard numbers |
| 3 | Have | all shards that I have within some ranges |
| 4 | Want | send me what your copy has beyond this state vector |
| 5 | Diff | the answer to a Want, or the part of a shard that you lack |
| 6 | Push | one update of my log, or only an announcement if you may have it from another device |
| 7 | Ack | I have handled a Diff or Push; it is committed here only if `durable` is set |
| 8 | Bye | why I close the connection |
| 9 | Fragment | a part of an update; the Diff with the same batch follows |
| 10 | More | a Fragment has arrived, send another |
| 11 | MembershipUpdate | signed statements about the members of a space, if they differ or have changed |
| 12 | Scrub | tell me when your file has no byte of anything that was forgotten in this space |
| 13 | Scrubbed | it has none |
| 14 | MembershipDigest | a digest of these statements, if the greetings differ about the space |
| 15 | Declined | why I did not take a Diff or Push; the Ack follows |
| 16 | Restate | write these registers again: I lack them, although my state vector covers yours |

"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memcrdt.model.clocks import StateVector
    from memcrdt.sync.replica import MembershipRecord

PROTOCOL: Final = 1
HUB: Final = "hub"  # a feature in the greeting of a hub; `backups=DAYS` may stand beside it
_BACKUPS: Final = re.compile(r"backups=(\d{1,5})", re.ASCII)


@dataclass(frozen=True, slots=True)
class HubHint:
    """What a hub says of itself: it is always on, so dial it first and keep the connection.

    `backup_days`: for how many days its backups keep what was forgotten in its database; None if it does not say.
    """

    backup_days: int | None = None

    @property
    def features(self) -> tuple[str, ...]:
        """The features in its greeting."""
        return (HUB,) if self.backup_days is None else (HUB, f"backups={self.backup_days}")

    @classmethod
    def of(cls, features: Iterable[str]) -> HubHint | None:
        """Return the hint in the features of a greeting; None if the device is no hub."""
        if HUB not in (known := tuple(features)):
            return None
        days = next((int(found[1]) for each in known if (found := _BACKUPS.fullmatch(each))), None)
        return cls(days)


@dataclass(frozen=True, slots=True)
class Offer:
    """A space that the sender shares with the receiver.

    `digest`: 16 bytes over its members and its documents (see `greeting`), or empty if the sender did not compute it.
    """

    id: str
    name: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Hello:
    """The greeting of a connection. `incarnation` is the incarnation of the sender's store.

    `features`: hints, which a receiver that does not know them ignores.
    """

    version: int
    features: tuple[str, ...]
    incarnation: str
    spaces: tuple[Offer, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """The fingerprint (16 bytes) and the count of the sender's shards with numbers from `lo` to `hi` - 1."""

    lo: int
    hi: int
    fingerprint: bytes
    count: int


@dataclass(frozen=True, slots=True)
class Range:
    """Fingerprints over ranges of shard numbers.

    `root`: it answers a Range over the whole space. Without spans, it says that the whole space is equal.
    """

    space: str
    spans: tuple[Span, ...]
    root: bool = False


@dataclass(frozen=True, slots=True)
class Leaf:
    """All shards of the sender with numbers from `lo` to `hi` - 1, each as its number and digest (16 bytes)."""

    lo: int
    hi: int
    shards: tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class Have:
    """Lists of shards. `root` as in Range."""

    space: str
    leaves: tuple[Leaf, ...]
    root: bool = False


@dataclass(frozen=True, slots=True)
class Want:
    """A request for a Diff. `vector` is the whole state vector of the sender's copy."""

    space: str
    shard: int
    vector: StateVector


@dataclass(frozen=True, slots=True)
class Diff:
    """An update that brings a copy of a shard to `after`, the whole state vector of the sender's copy.

    `asked`: it answers a Want. An empty update means that it came in fragments, or that the sender cannot send it.
    """

    space: str
    shard: int
    update: bytes
    after: StateVector
    batch: int
    asked: bool


@dataclass(frozen=True, slots=True)
class Push:
    """One update of the sender's log. `needs` and `after` as in `LogEntry`. An empty update is an announcement."""

    space: str
    shard: int
    update: bytes
    needs: StateVector
    after: StateVector
    batch: int


@dataclass(frozen=True, slots=True)
class Ack:
    """The Diff or Push with this batch was handled. `durable`: it is committed at the sender, too."""

    batch: int
    durable: bool


@dataclass(frozen=True, slots=True)
class Bye:
    """The last message of a connection."""

    reason: str


@dataclass(frozen=True, slots=True)
class Fragment:
    """A part of an update. `index` counts from 0. All parts of a batch except the last have the full size."""

    batch: int
    index: int
    data: bytes


@dataclass(frozen=True, slots=True)
class More:
    """A Fragment of this batch has arrived."""

    batch: int


@dataclass(frozen=True, slots=True)
class MembershipUpdate:
    """The signed statements about the space's members that the sender knows."""

    space: str
    record: MembershipRecord


@dataclass(frozen=True, slots=True)
class Scrub:
    """A question about forgetting. `mark` stands for everything that the receiver has acknowledged by now."""

    space: str
    mark: int


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """The answer to a Scrub, with its `mark`."""

    space: str
    mark: int


@dataclass(frozen=True, slots=True)
class MembershipDigest:
    """The digest (16 bytes) of the sender's membership record."""

    space: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Declined:
    """The reason, for the user of the receiver, why the Diff or Push with this batch was not taken. Its Ack follows."""

    batch: int
    reason: str


@dataclass(frozen=True, slots=True)
class Restate:
    """A request to write registers of a shard again, under a client id that nobody knows yet.

    The sender lacks them although its copy covers the receiver's state vector: it has other blocks in their place.
    `keys`: names of the registers.
    """

    space: str
    shard: int
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message of a newer version; it is skipped."""

    number: int


SpaceMessage: TypeAlias = (
    MembershipUpdate | MembershipDigest | Range | Have | Want | Diff | Push | Scrub | Scrubbed | Restate
)
Message: TypeAlias = Hello | Ack | Bye | Fragment | More | Declined | SpaceMessage
