"""What sync asks of a store: one value for each call of `Replica`, and the function that performs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from memcrdt.errors import MemcrdtError, StoreError
from memcrdt.model.clocks import StateVector
from memcrdt.model.statements import Adoption
from memcrdt.sync.replica import Applied, Digest, LogPage, MembershipRecord, Replica, ShardDiff, SharedSpace


@dataclass(frozen=True, slots=True)
class Spaces:
    """`Replica.spaces`."""

    peer: str

    def perform(self, replica: Replica) -> Sequence[SharedSpace]:
        return replica.spaces(self.peer)


@dataclass(frozen=True, slots=True)
class RollOf:
    """`Replica.record`."""

    space: str

    def perform(self, replica: Replica) -> MembershipRecord | None:
        return replica.membership(self.space)


@dataclass(frozen=True, slots=True)
class Learn:
    """`Replica.learn`."""

    peer: str
    space: str
    record: MembershipRecord

    def perform(self, replica: Replica) -> bool:
        return replica.merge_membership(self.peer, self.space, self.record)


@dataclass(frozen=True, slots=True)
class Digests:
    """`Replica.digests`."""

    space: str

    def perform(self, replica: Replica) -> Mapping[int, Digest]:
        return replica.digests(self.space)


@dataclass(frozen=True, slots=True)
class StateVectorOf:
    """`Replica.state_vector`."""

    space: str
    shard: int

    def perform(self, replica: Replica) -> StateVector:
        return replica.state_vector(self.space, self.shard)


@dataclass(frozen=True, slots=True)
class DiffFor:
    """`Replica.diff`, for a peer that takes part in the space still."""

    peer: str
    space: str
    shard: int
    theirs: StateVector

    def perform(self, replica: Replica) -> ShardDiff:
        diff = replica.diff(self.space, self.shard, self.theirs)
        if self.peer not in replica.audience(self.space):
            raise StoreError(f"{self.peer} takes no part in the space {self.space[:7]}… any more")
        return diff


@dataclass(frozen=True, slots=True)
class ApplyUpdate:
    """`Replica.apply`."""

    space: str
    shard: int
    update: bytes
    origin: str

    def perform(self, replica: Replica) -> Applied:
        return replica.apply(self.space, self.shard, self.update, self.origin)


@dataclass(frozen=True, slots=True)
class ReadLog:
    """`Replica.log`, with those who may have it: looked up afterwards, so that nobody gets what was committed after it
    was revoked."""

    after_seq: int
    limit: int

    def perform(self, replica: Replica) -> LogPage:
        page = replica.log(self.after_seq, self.limit)
        return replace(page, audience={space: replica.audience(space) for space in {e.space for e in page.entries}})


@dataclass(frozen=True, slots=True)
class Head:
    """`Replica.head`."""

    def perform(self, replica: Replica) -> int:
        return replica.head()


@dataclass(frozen=True, slots=True)
class Met:
    """`Replica.met`."""

    peer: str
    incarnation: str

    def perform(self, replica: Replica) -> None:
        replica.note_incarnation(self.peer, self.incarnation)


@dataclass(frozen=True, slots=True)
class Adopt:
    """`Replica.adopt`."""

    peer: str
    name: str
    space: str
    record: MembershipRecord

    def perform(self, replica: Replica) -> Adoption:
        return replica.merge_space(self.peer, self.name, self.space, self.record)


@dataclass(frozen=True, slots=True)
class Verdicts:
    """`Replica.verdicts`."""

    peer: str
    spaces: Sequence[str]

    def perform(self, replica: Replica) -> Mapping[str, MembershipRecord]:
        return replica.revocations(self.peer, self.spaces)


@dataclass(frozen=True, slots=True)
class RecordReceipts:
    """`Replica.note_receipts`."""

    peer: str
    space: str
    held: Mapping[int, int]
    scrubbed: Mapping[int, int]

    def perform(self, replica: Replica) -> Mapping[int, int]:
        return replica.note_receipts(self.peer, self.space, self.held, self.scrubbed)


@dataclass(frozen=True, slots=True)
class IsScrubbed:
    """`Replica.is_scrubbed`."""

    space: str

    def perform(self, replica: Replica) -> bool:
        return replica.is_scrubbed(self.space)


@dataclass(frozen=True, slots=True)
class Failed:
    """The answer when the store could not do it; nothing was changed."""

    reason: str


Query: TypeAlias = (
    Spaces
    | RollOf
    | Learn
    | Met
    | Digests
    | StateVectorOf
    | DiffFor
    | ApplyUpdate
    | ReadLog
    | Head
    | Adopt
    | Verdicts
    | RecordReceipts
    | IsScrubbed
)
Answer: TypeAlias = (
    Sequence[SharedSpace]
    | MembershipRecord
    | Mapping[str, MembershipRecord]
    | bool
    | Mapping[int, Digest]
    | Mapping[int, int]
    | StateVector
    | ShardDiff
    | Applied
    | LogPage
    | Adoption
    | int
    | Failed
    | None
)


def perform(replica: Replica, query: Query) -> Answer:
    """The answer to one query. A MemcrdtError (a full disk, a space that was left meanwhile) becomes `Failed`."""
    try:
        return query.perform(replica)
    except MemcrdtError as exc:
        return Failed(str(exc))
