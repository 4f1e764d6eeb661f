"""The messages of the sync protocol, as values; `wire` makes frames of them.

| number | message | says |
|---|---|---|
| 1 | Hello | who I am, and the spaces that I share with you, with a digest of each; said again when they change |
| 2 | Range | fingerprints over ranges of shard numbers |
| 3 | Have | every shard that I have within some ranges |
| 4 | Want | bring me from this state vector to yours |
| 5 | Diff | what a Want asked for, or what you lack of a shard |
| 6 | Push | one update of my log; without its bytes, where you may have it from someone else |
| 7 | Ack | a Diff or Push was handled; only `durable` says that it is kept |
| 8 | Bye | why I close |
| 9 | Fragment | a part of the update of the Diff with the same batch, which follows |
| 10 | More | a Fragment has arrived, send another |
| 11 | MembershipUpdate | who takes part in a space, signed, where that differs, and when it changes |
| 12 | Scrub | tell me when your file holds no byte of anything that was forgotten in this space |
| 13 | Scrubbed | it holds none |
| 14 | MembershipDigest | a digest of who takes part in a space, where the greetings differ about it |

"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from memcrdt.model.clocks import StateVector
    from memcrdt.sync.replica import MembershipRecord

PROTOCOL: Final = 1


@dataclass(frozen=True, slots=True)
class Offer:
    """A space that the sender shares with the receiver. `digest`: 16 bytes over its record and its documents (see
    `greeting`), or nothing, where the sender has not looked."""

    id: str
    name: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Hello:
    version: int
    features: tuple[str, ...]
    incarnation: str
    spaces: tuple[Offer, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """The sender's shards with numbers from `lo` up to but not `hi`: their fingerprint (16 bytes) and number."""

    lo: int
    hi: int
    fingerprint: bytes
    count: int


@dataclass(frozen=True, slots=True)
class Range:
    """`root`: whether it answers a Range over the whole space. Without spans: the whole space is equal."""

    space: str
    spans: tuple[Span, ...]
    root: bool = False


@dataclass(frozen=True, slots=True)
class Leaf:
    """All shards that the sender has from `lo` up to but not `hi`: number and digest (16 bytes) of each."""

    lo: int
    hi: int
    shards: tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class Have:
    """`root` as in Range."""

    space: str
    leaves: tuple[Leaf, ...]
    root: bool = False


@dataclass(frozen=True, slots=True)
class Want:
    """`vector` is the whole state vector of the sender's copy."""

    space: str
    shard: int
    vector: StateVector


@dataclass(frozen=True, slots=True)
class Diff:
    """`after` is the whole state vector of the sender's copy; `asked`: whether it answers a Want.

    Without an update: the sender has nothing that it could send.
    """

    space: str
    shard: int
    update: bytes
    after: StateVector
    batch: int
    asked: bool


@dataclass(frozen=True, slots=True)
class Push:
    """`needs` and `after` as in `LogEntry`."""

    space: str
    shard: int
    update: bytes
    needs: StateVector
    after: StateVector
    batch: int


@dataclass(frozen=True, slots=True)
class Ack:
    batch: int
    durable: bool


@dataclass(frozen=True, slots=True)
class Bye:
    reason: str


@dataclass(frozen=True, slots=True)
class Fragment:
    """`index` counts from 0. All but the last of a batch have the full size."""

    batch: int
    index: int
    data: bytes


@dataclass(frozen=True, slots=True)
class More:
    batch: int


@dataclass(frozen=True, slots=True)
class MembershipUpdate:
    """What the sender's `Replica.record` of the space is."""

    space: str
    record: MembershipRecord


@dataclass(frozen=True, slots=True)
class Scrub:
    """`mark` is the sender's name for what the receiver had acknowledged by then."""

    space: str
    mark: int


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """`mark` is that of the Scrub."""

    space: str
    mark: int


@dataclass(frozen=True, slots=True)
class MembershipDigest:
    """`digest` (16 bytes) is that of the sender's record."""

    space: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message of a newer version, to be skipped."""

    number: int


SpaceMessage: TypeAlias = MembershipUpdate | MembershipDigest | Range | Have | Want | Diff | Push | Scrub | Scrubbed
Message: TypeAlias = Hello | Ack | Bye | Fragment | More | SpaceMessage
