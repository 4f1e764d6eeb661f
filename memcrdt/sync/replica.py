"""The interface that sync needs from a store, and its values. Sync knows neither SQLite nor Yjs.

Spaces are named by their id, shards by their number (0, 1, 2...). A shard that does not exist has an empty state
vector; `apply` creates it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, Protocol, TypeAlias

from memcrdt.errors import NotFoundError
from memcrdt.model.clocks import StateVector
from memcrdt.model.membership import Adoption

HIDDEN: Final = 1_024  # keys in one answer; the next comparison finds the others
HIDDEN_CHARS: Final = 128  # of a key; no version of the data model has made longer ones

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

    The row may belong to another shard. It is 0 if the disk lost rows and later rows of the shard wait for them: then
    the digest does not cover all rows.
    """

    digest: bytes
    seq: int


@dataclass(frozen=True, slots=True)
class ShardDiff:
    """The part of a shard that a peer lacks: a Yjs update, the state vector after it, and the last row it covers.

    `partial`: the whole diff would be too large, and this is its first part. A copy at `after` lacks the next part.
    """

    update: bytes
    after: StateVector
    seq: int
    partial: bool = False


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One durable update of our log.

    Attributes:
        seq: The row of the log.
        space: The id of the space.
        shard: The number of the shard.
        update: The Yjs update.
        needs: The state vector that a copy needs for the update; without it, the update would have a gap before it.
        after: The clocks after the update, of the clients that it changed.
        origin: The device that the update came from, or "local". Writes of stock Yjs clients here are "local" too.
        read_only: Whether we may only read the space, and send none of its updates.
    """

    seq: int
    space: str
    shard: int
    update: bytes
    needs: StateVector
    after: StateVector
    origin: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class LogPage:
    """The log after some row: its entries, and the row to continue from.

    Attributes:
        entries: The entries, oldest first.
        next_seq: The row to continue from.
        resync: Shards whose rows were folded into a snapshot. They have to be compared as a whole.
        audience: The devices that take part in each space of the entries.
    """

    entries: Sequence[LogEntry]
    next_seq: int
    resync: Sequence[ShardKey] = ()
    audience: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Applied:
    """The outcome of applying an update, and the shard's state vector afterwards.

    Statuses:
    - `applied`: the update is durable;
    - `gap`: an update before it is missing, and nothing changed;
    - `later`: it is not taken now, and the next comparison asks for it. Nothing changed. The shard is new here and its
      number is not one of the next, or too much that the sender took away had to be written again;
    - `full`: the shard may not have that much from outside. Nothing changed, and the sender need not be at fault;
    - `refused`: the update is malformed or its sender may not write. Nothing changed, and malformed updates are in
      quarantine.

    `hidden`: keys of registers of the sender that we lack, up to HIDDEN, if the update was a whole copy without news.
    """

    status: Literal["applied", "gap", "later", "full", "refused"]
    state_vector: StateVector
    reason: str = ""
    hidden: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MembershipRecord:
    """Evidence of who takes part in a space: signed statements, and the creator and nonce whose hash is the space's id.

    Creator and nonce are empty where they are not needed.
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
    """The interface that sync needs from a store. Inherit from it: the last two methods are built from the others.

    Every call is synchronous and thread-safe. Its changes are durable when it returns, except for receipts.
    """

    def spaces(self, peer: str) -> Sequence[SharedSpace]:
        """Return the spaces that `peer` (a device id) is a member of."""
        ...

    def audience(self, space: str) -> frozenset[str]:
        """Return the devices that may have the content of the space at this moment."""
        ...

    def membership(self, space: str) -> MembershipRecord | None:
        """Return everything that is known about the space's members; None if the space does not exist here."""
        ...

    def merge_membership(self, peer: str, space: str, record: MembershipRecord) -> bool:
        """Take over the statements that `peer` knows.

        Returns:
            Whether both the peer and this device take part in the space.

        Raises:
            RemoteProtocolError: A statement has an invalid signature. Nothing is taken over.
        """
        ...

    def digests(self, space: str) -> Mapping[int, Digest]:
        """Return the digest of every shard of the space that is not empty."""
        ...

    def state_vector(self, space: str, shard: int) -> StateVector:
        """Return the state vector of our copy of the shard: the clock up to which it is complete, for each client."""
        ...

    def diff(self, space: str, shard: int, theirs: StateVector) -> ShardDiff:
        """Return the part of our copy that a copy at `theirs` lacks."""
        ...

    def apply(self, space: str, shard: int, update: bytes, origin: str) -> Applied:
        """Apply an update from device `origin`, completely or not at all."""
        ...

    def restate(self, space: str, shard: int, keys: Sequence[str], peer: str) -> None:
        """Write registers again that `peer` lacks, although its state vector covers ours (`Applied.hidden`).

        Only so many are written again for one device. Keys of registers that do not exist are ignored.
        """
        ...

    def log(self, after_seq: int, limit: int) -> LogPage:
        """Return up to `limit` entries of the log of shared spaces after row `after_seq`, without the audience."""
        ...

    def head(self) -> int:
        """Return the number of the last row of our log."""
        ...

    def note_receipts(
        self, peer: str, space: str, held: Mapping[int, int], scrubbed: Mapping[int, int]
    ) -> Mapping[int, int]:
        """Record receipts of `peer`. A power cut may lose them, and the next comparison restores them.

        Args:
            peer: The device that confirmed.
            space: The space of the shards.
            held: By shard, a row of our log. The peer durably has everything that our copy had at that row.
            scrubbed: By shard, a row. The peer's file has no byte of anything that was forgotten up to that row.

        Returns:
            By shard, the row up to which the peer still has to confirm that it scrubbed.
        """
        ...

    def is_scrubbed(self, space: str) -> bool:
        """Return whether our file has no byte of anything that was forgotten in the space."""
        ...

    def note_incarnation(self, peer: str, incarnation: str) -> None:
        """Record the incarnation of the peer's store.

        If it has changed, all receipts of the peer become void, because a restored store may lack updates that it had.
        """
        ...

    def merge_space(self, peer: str, name: str, space: str, record: MembershipRecord) -> Adoption:
        """Continue our space called `name` under `space`, the id that `peer` has for it, if the rules say so.

        Source of the rules: docs/membership/statements.md. The peer has to be allowed to write ours, and the members of
        `record` must give us the same rights there.

        Returns:
            Whether the space has the new id, and otherwise the reason for the user, if there is one.

        Raises:
            RemoteProtocolError: A statement has an invalid signature or does not belong to the id.
        """
        ...

    def revocations(self, peer: str, spaces: Sequence[str]) -> Mapping[str, MembershipRecord]:
        """Return, for each of these spaces from which `peer` was revoked, the statements that revoke it."""
        ...

    def diff_for(self, peer: str, space: str, shard: int, theirs: StateVector) -> ShardDiff:
        """Return `diff` for a peer that takes part in the space.

        Membership is read after the diff, so that nothing committed after a revocation is sent.

        Raises:
            NotFoundError: The peer no longer takes part in the space.
        """
        diff = self.diff(space, shard, theirs)
        if peer not in self.audience(space):
            raise NotFoundError(f"{peer} no longer takes part in the space {space[:7]}…")
        return diff

    def log_for_all(self, after_seq: int, limit: int) -> LogPage:
        """Return `log` with the audience of each space, which is read after the rows (see `diff_for`)."""
        page = self.log(after_seq, limit)
        return replace(page, audience={space: self.audience(space) for space in {e.space for e in page.entries}})
