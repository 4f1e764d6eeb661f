"""The store as sync sees it: a Protocol and its values, so that nothing here knows of SQLite or Yjs.

Spaces are named by their id, shards by their number (0, 1, 2...). A shard that the store does not have has an empty
state vector; `apply` creates it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, TypeAlias

from memcrdt.errors import StoreError
from memcrdt.model.clocks import StateVector
from memcrdt.model.statements import Adoption

ShardKey: TypeAlias = tuple[str, int]
"""A space's id and a shard's number."""


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
    """The canonical digest (16 bytes) of a shard as it stood at row `seq` of our log.

    The row may be another shard's. It is 0 if the disk lost something and later rows of the shard wait for it: then the
    digest does not cover all rows.
    """

    digest: bytes
    seq: int


@dataclass(frozen=True, slots=True)
class ShardDiff:
    """The part of a shard that a peer lacks: a Yjs update, the state vector after it, and our log's row at that moment.

    `partial`: the whole diff would be too large, and this is its first part. A copy at `after` lacks the next part.
    """

    update: bytes
    after: StateVector
    seq: int
    partial: bool = False


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One durable update of our log.

    `needs` is the state vector without which the update has a gap before it, `after` the clocks to which it brings its
    clients (only those that changed). `origin` is the device it came from, or "local", also for a stock Yjs client's
    write on this machine.
    """

    seq: int
    space: str
    shard: int
    update: bytes
    needs: StateVector
    after: StateVector
    origin: str


@dataclass(frozen=True, slots=True)
class LogPage:
    """The log after some row: its entries, and the row to continue from.

    `resync` names shards whose rows are gone, folded into a snapshot: they have to be compared as a whole. `audience`
    has the devices that take part in each space of the entries.
    """

    entries: Sequence[LogEntry]
    next_seq: int
    resync: Sequence[ShardKey] = ()
    audience: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Applied:
    """The outcome of applying an update, and the shard's state vector afterwards.

    `applied`: durable now, or known before. `gap`: an update before it is missing; nothing changed. `refused`: it is
    structurally wrong or its sender may not write; it is in quarantine, and nothing changed.
    """

    status: Literal["applied", "gap", "refused"]
    state_vector: StateVector
    reason: str = ""


@dataclass(frozen=True, slots=True)
class MembershipRecord:
    """Evidence of who takes part in a space: signed statements, and the creator and nonce whose hash is the space's id.

    Creator and nonce are empty where nobody asks for them.
    """

    creator: str = ""
    nonce: bytes = b""
    statements: tuple[bytes, ...] = ()

    def digest(self) -> bytes:
        """Return 16 bytes that are equal for equal knowledge, in whatever order the statements stand."""
        hasher = hashlib.blake2b(digest_size=16, person=b"memcrdt roll")
        for part in (self.creator.encode(), self.nonce, *sorted(self.statements)):
            hasher.update(len(part).to_bytes(4, "big") + part)
        return hasher.digest()


class Replica(Protocol):
    """A store as sync sees it. Inherit from it: the last two methods are built from the others.

    Every call is synchronous and safe between threads. Except for receipts, what it changes is durable when it returns.
    """

    def spaces(self, peer: str) -> Sequence[SharedSpace]:
        """Return the spaces that `peer` (a device id) is a member of."""
        ...

    def audience(self, space: str) -> frozenset[str]:
        """Return the devices that may have the content of the space at this moment."""
        ...

    def membership(self, space: str) -> MembershipRecord | None:
        """Return all that is known of the space's members, or None if the space is not here (any more)."""
        ...

    def merge_membership(self, peer: str, space: str, record: MembershipRecord) -> bool:
        """Take over the statements that `peer` knows.

        Returns:
            Whether both the peer and this device take part in the space.

        Raises:
            RemoteProtocolError: A statement is not signed as it should be. Nothing is taken over.
        """
        ...

    def digests(self, space: str) -> Mapping[int, Digest]:
        """Return the digest of every shard of the space that is not empty."""
        ...

    def state_vector(self, space: str, shard: int) -> StateVector:
        """Return the clock of each client up to which our copy of the shard is complete."""
        ...

    def diff(self, space: str, shard: int, theirs: StateVector) -> ShardDiff:
        """Return the part of our copy that a copy at `theirs` lacks."""
        ...

    def apply(self, space: str, shard: int, update: bytes, origin: str) -> Applied:
        """Apply an update from device `origin`, whole or not at all."""
        ...

    def log(self, after_seq: int, limit: int) -> LogPage:
        """Return at most `limit` entries of the shared spaces' logs behind row `after_seq`, without the audience."""
        ...

    def head(self) -> int:
        """Return the last row of our log."""
        ...

    def note_receipts(
        self, peer: str, space: str, held: Mapping[int, int], scrubbed: Mapping[int, int]
    ) -> Mapping[int, int]:
        """Note what `peer` has confirmed. A power cut may take the note: the next comparison brings it back.

        Args:
            peer: The device that confirmed.
            space: The space of the shards.
            held: For each shard a row of our log: the peer durably holds all that our copy held at that row.
            scrubbed: For each shard a row: the peer's file has no byte of anything forgotten by that row.

        Returns:
            For each shard whose scrubbing the peer has still to confirm, the row up to which.
        """
        ...

    def is_scrubbed(self, space: str) -> bool:
        """Return whether our file holds no byte of anything that was forgotten in the space."""
        ...

    def note_incarnation(self, peer: str, incarnation: str) -> None:
        """Note which incarnation of its store `peer` has.

        If it differs from the one before, all receipts of the peer are void: a restored store may lack what it had.
        """
        ...

    def merge_space(self, peer: str, name: str, space: str, record: MembershipRecord) -> Adoption:
        """Continue our space called `name` under `space`, the id that `peer` has for it, if the rules say so.

        Both devices continue under the smaller id, unless its creator was revoked from the other space. The peer has to
        be allowed to write ours, and the members of `record` must give us the same rights there.

        Returns:
            Whether the space moved, and what hinders it if something does.

        Raises:
            RemoteProtocolError: A statement is not signed as it should be, or does not fit the id.
        """
        ...

    def revocations(self, peer: str, spaces: Sequence[str]) -> Mapping[str, MembershipRecord]:
        """Return, for each of the spaces from which `peer` was revoked, the statements that say so."""
        ...

    def diff_for(self, peer: str, space: str, shard: int, theirs: StateVector) -> ShardDiff:
        """Return `diff` for a peer that still takes part in the space.

        Membership is looked up after the diff is read, so that nothing committed after a revocation gets out.

        Raises:
            StoreError: The peer takes no part in the space any more.
        """
        diff = self.diff(space, shard, theirs)
        if peer not in self.audience(space):
            raise StoreError(f"{peer} takes no part in the space {space[:7]}… any more")
        return diff

    def log_for_all(self, after_seq: int, limit: int) -> LogPage:
        """Return `log` with the audience of each space, looked up after the rows are read (see `diff_for`)."""
        page = self.log(after_seq, limit)
        return replace(page, audience={space: self.audience(space) for space in {e.space for e in page.entries}})
