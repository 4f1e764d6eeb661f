"""What sync needs to know of a store: a Protocol, so that nothing here knows about SQLite or Yjs.

Spaces are named by their id, shards by their number (0, 1, 2...). A shard that is not here has an empty
state vector; `apply` makes it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from memcrdt.model.clocks import StateVector
from memcrdt.model.statements import Adoption


@dataclass(frozen=True, slots=True)
class SharedSpace:
    """A space that leaves this machine: its id, its name here, and the digest of its `MembershipRecord`.

    The space `local` is never one.
    """

    id: str
    name: str
    membership_digest: bytes


@dataclass(frozen=True, slots=True)
class Digest:
    """The canonical digest (16 bytes) of a shard, as it stood at row `seq` of our log, which may be another shard's; 0
    if not all rows are in it, since something before them was lost by our disk."""

    digest: bytes
    seq: int


@dataclass(frozen=True, slots=True)
class ShardDiff:
    """What a peer lacks of a shard: a Yjs update, the state vector after it, and our log's row at that moment.

    `partial`: it would be too large, and this is the first part of it; the next is what a copy at `after` lacks.
    """

    update: bytes
    after: StateVector
    seq: int
    partial: bool = False


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One durable update of our log. `needs` is the state vector without which it has a gap before it,
    `after` what it brings its clients to (only the entries that changed), `origin` the device that it came from, or
    "local", also for what a stock Yjs client wrote here."""

    seq: int
    space: str
    shard: int
    update: bytes
    needs: StateVector
    after: StateVector
    origin: str


@dataclass(frozen=True, slots=True)
class LogPage:
    """The log after some row: entries, the row to continue from, and the shards for which the rows
    are gone (folded into a snapshot), which have to be compared as a whole. `audience`: for each space in the entries
    the devices that take part."""

    entries: Sequence[LogEntry]
    next_seq: int
    resync: Sequence[tuple[str, int]] = ()
    audience: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of an update: `applied` (durable, or known before), `gap` (something before it is missing;
    nothing changed) or `refused` (structurally wrong; quarantined, nothing changed), and where we stand now."""

    status: Literal["applied", "gap", "refused"]
    state_vector: StateVector
    reason: str = ""


@dataclass(frozen=True, slots=True)
class MembershipRecord:
    """Who takes part in a space: what its id is the hash of (left out where it is not asked for), signed statements."""

    creator: str = ""
    nonce: bytes = b""
    statements: tuple[bytes, ...] = ()

    def digest(self) -> bytes:
        """16 bytes that are equal where the same is known."""
        hasher = hashlib.blake2b(digest_size=16, person=b"memcrdt roll")
        for part in (self.creator.encode(), self.nonce, *sorted(self.statements)):
            hasher.update(len(part).to_bytes(4, "big") + part)
        return hasher.digest()


class Replica(Protocol):
    """A store as sync sees it. Every call is synchronous, safe between threads, and, but for receipts, durable when it
    returns."""

    def spaces(self, peer: str) -> Sequence[SharedSpace]:
        """The spaces that `peer` (a device id) is a member of."""
        ...

    def audience(self, space: str) -> frozenset[str]:
        """The devices that may have what is in the space, at this moment."""
        ...

    def membership(self, space: str) -> MembershipRecord | None:
        """Who takes part in the space, as far as we have heard; None when it is not here (any more)."""
        ...

    def merge_membership(self, peer: str, space: str, record: MembershipRecord) -> bool:
        """Takes what `peer` has heard of it. Returns whether the peer and we both take part.

        Raises RemoteProtocolError for what is not signed as it should be: then nothing is taken.
        """
        ...

    def digests(self, space: str) -> Mapping[int, Digest]:
        """The digest of every shard of the space that is not empty."""
        ...

    def state_vector(self, space: str, shard: int) -> StateVector:
        """How far our copy of the shard knows each client."""
        ...

    def diff(self, space: str, shard: int, theirs: StateVector) -> ShardDiff:
        """What a copy at `theirs` lacks of ours."""
        ...

    def apply(self, space: str, shard: int, update: bytes, origin: str) -> Applied:
        """Takes an update from device `origin`, whole or not at all."""
        ...

    def log(self, after_seq: int, limit: int) -> LogPage:
        """At most `limit` entries of the shared spaces' logs behind row `after_seq`."""
        ...

    def head(self) -> int:
        """The last row of our log."""
        ...

    def note_receipts(
        self, peer: str, space: str, held: Mapping[int, int], scrubbed: Mapping[int, int]
    ) -> Mapping[int, int]:
        """Notes what `peer` has said of shards, by rows of our log. The power may take it: a comparison brings it back.

        `held`: it holds, durably, all that our copy of the shard held at that row. `scrubbed`: and no byte of what was
        forgotten by then. Returns such a row for each shard of which the latter is still to be said.
        """
        ...

    def is_scrubbed(self, space: str) -> bool:
        """Whether our file holds no byte of anything that was forgotten in the space."""
        ...

    def note_incarnation(self, peer: str, incarnation: str) -> None:
        """Notes which incarnation of its store `peer` has.

        With another one than before no receipt of it holds any more: a restored store may lack what it had.
        """
        ...

    def merge_space(self, peer: str, name: str, space: str, record: MembershipRecord) -> Adoption:
        """Goes on under `space`, the id that `peer` has for our space called `name`, with the members of `record`, if
        that is the one of the two under which both go on: the smaller one, unless its creator was revoked from the
        other. The peer has to be one that may write ours, and the members must give us the same rights there. Raises
        RemoteProtocolError for what is not signed as it should be.
        """
        ...

    def revocations(self, peer: str, spaces: Sequence[str]) -> Mapping[str, MembershipRecord]:
        """For each of these spaces from which `peer` was revoked, as far as we know, the statements that say so."""
        ...
