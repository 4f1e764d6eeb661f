"""A Replica for tests of sync: in memory, without Yjs, and as strict as a real one.

A shard is a sequence of texts for each client, and a set of deletions, which no state vector shows. Sync sees no more
of a Yjs document than that.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from memcrdt.errors import NotFoundError, StoreError
from memcrdt.model.membership import Adoption
from memcrdt.sync.replica import Applied, Digest, LogEntry, LogPage, MembershipRecord, Replica, ShardDiff, SharedSpace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from memcrdt.model.clocks import StateVector


@dataclass(slots=True)
class _Shard:
    written: dict[int, list[str]] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    seq: int = 0
    deleted_at: int = 0  # the last row with a deletion

    def vector(self) -> dict[int, int]:
        return {client: len(items) for client, items in self.written.items()}

    def since(self, theirs: StateVector) -> bytes:
        blocks = [
            [client, theirs.get(client, 0), items[theirs.get(client, 0) :]]
            for client, items in self.written.items()
            if len(items) > theirs.get(client, 0)
        ]
        return _update(blocks, self.deleted)

    def digest(self) -> bytes:
        state = json.dumps([sorted(self.written.items()), sorted(self.deleted)])
        return hashlib.blake2b(state.encode(), digest_size=16).digest()


class FakeReplica(Replica):
    """A Replica whose device writes as `client`.

    Attributes:
        members: For each space (by id) its name and the peers in it.
        receipts: Rows that peers hold, by peer, space and shard.
        scrubbed: Rows up to which peers have scrubbed, likewise.
        only_read: The spaces (by id) that we may only read.
        reading: Whether a reader keeps deleted texts in the file.
        piece: Maximum number of texts in a diff; 0 for any number.
        ahead: A new shard needs a number below the number of shards plus this; 0 for any number.
        full: The numbers of the shards that take nothing new.
        revoked: For each space (by id) the revoked peers.
        failing: The message of the StoreError that every call raises; empty for none.
        hidden: Keys that every update without new data is said to show as hidden.
        restated: The calls of `restate`.
        applied_new: Number of updates with new data.
        applied_old: Number of updates without new data.
    """

    def __init__(self, client: int) -> None:
        self.client = client
        self.members: dict[str, tuple[str, set[str]]] = {}
        self.receipts: dict[tuple[str, str, int], int] = {}
        self.scrubbed: dict[tuple[str, str, int], int] = {}
        self.only_read: set[str] = set()
        self.reading = False
        self.unscrubbed: set[tuple[str, int, str]] = set()  # space, shard and text of each deleted text in the file
        self.incarnations: dict[str, str] = {}
        self.piece = 0
        self.ahead = 0
        self.full: set[int] = set()
        self.revoked: dict[str, set[str]] = {}
        self.learnt: list[tuple[str, str, MembershipRecord]] = []
        self.failing = ""
        self.hidden: tuple[str, ...] = ()
        self.restated: list[tuple[str, int, tuple[str, ...], str]] = []
        self.applied_new = 0
        self.applied_old = 0
        self._shards: dict[tuple[str, int], _Shard] = {}
        self._log: list[LogEntry] = []
        self._folded = 0

    # --- actions of a test --------------------------------------------------------------------------------------------

    def share(self, space: str, name: str, *peers: str) -> None:
        """Make a space, or let more peers into it."""
        _, members = self.members.get(space, (name, set()))
        self.members[space] = (name, members | set(peers))

    def write(self, space: str, shard: int, *texts: str) -> None:
        """Commit texts as one row of the log."""
        written = self._shard(space, shard).written.get(self.client, [])
        self._commit((space, shard), _update([[self.client, len(written), list(texts)]], ()), "local")

    def delete(self, space: str, shard: int, text: str) -> None:
        """Commit a deletion, which advances no state vector."""
        self._commit((space, shard), _update([], (text,)), "local")

    def stop_reading(self) -> None:
        """End every reader, so that nothing deleted stays in the file."""
        self.reading = False
        self.unscrubbed.clear()

    def fold(self) -> None:
        """Fold the log: its rows until now are gone."""
        self._folded = self.head()

    def texts(self, space: str) -> set[str]:
        """Return the texts of the space that are not deleted."""
        return {
            text
            for (at, _), shard in self._shards.items()
            if at == space
            for items in shard.written.values()
            for text in items
            if text not in shard.deleted
        }

    # --- Replica ------------------------------------------------------------------------------------------------------

    def spaces(self, peer: str) -> list[SharedSpace]:
        self._check()
        shared = [(space, name) for space, (name, peers) in self.members.items() if peer in peers]
        return [
            SharedSpace(space, name, record.digest()) for space, name in shared if (record := self.membership(space))
        ]

    def audience(self, space: str) -> frozenset[str]:
        self._check()
        return frozenset(self.members[space][1]) if space in self.members else frozenset()

    def membership(self, space: str) -> MembershipRecord | None:
        self._check()
        return MembershipRecord() if space in self.members else None

    def merge_membership(self, peer: str, space: str, record: MembershipRecord) -> bool:
        self._check()
        self.learnt.append((peer, space, record))
        return space in self.members and peer in self.members[space][1]

    def digests(self, space: str) -> Mapping[int, Digest]:
        self._check(space)
        return {
            number: Digest(shard.digest(), shard.seq)
            for (at, number), shard in self._shards.items()
            if at == space and shard.seq
        }

    def state_vector(self, space: str, shard: int) -> StateVector:
        self._check(space)
        return self._shard(space, shard).vector()

    def diff(self, space: str, shard: int, theirs: StateVector) -> ShardDiff:
        self._check(space)
        if space in self.only_read:
            return ShardDiff(_update([], ()), {}, 0)
        ours = self._shard(space, shard)
        whole = ShardDiff(ours.since(theirs), ours.vector(), ours.seq)
        blocks, _ = json.loads(whole.update)
        if not self.piece or sum(len(texts) for _, _, texts in blocks) <= self.piece:
            return whole
        client, start, texts = blocks[0]
        first = texts[: self.piece]
        after = {**theirs, client: start + len(first)}
        return ShardDiff(_update([[client, start, first]], ()), after, ours.seq, partial=True)

    def apply(self, space: str, shard: int, update: bytes, origin: str) -> Applied:
        self._check(space)
        ours = self._shard(space, shard)
        try:
            blocks, deleted = json.loads(update)
        except ValueError:
            return Applied("refused", ours.vector(), "not an update")
        known = ours.vector()
        if any(start > known.get(client, 0) for client, start, _ in blocks):
            return Applied("gap", known)
        new = any(start + len(items) > known.get(client, 0) for client, start, items in blocks)
        if new and shard in self.full:
            return Applied("full", known, "it is full")
        if self.ahead and not known and shard >= len(self.digests(space)) + self.ahead:
            return Applied("later", known, "others come first")
        if new or not ours.deleted.issuperset(deleted):
            self._commit((space, shard), update, origin)
            self.applied_new += 1
            return Applied("applied", ours.vector())
        self.applied_old += 1
        return Applied("applied", ours.vector(), hidden=self.hidden)

    def restate(self, space: str, shard: int, keys: Sequence[str], peer: str) -> None:
        self._check(space)
        self.restated.append((space, shard, tuple(keys), peer))

    def log(self, after_seq: int, limit: int) -> LogPage:
        self._check()
        start = max(after_seq, self._folded)
        rows = self._log[start : start + limit]
        gone = {(entry.space, entry.shard) for entry in self._log[after_seq : self._folded]}
        return LogPage(rows, start + len(rows), sorted(gone))

    def head(self) -> int:
        self._check()
        return len(self._log)

    def note_receipts(
        self, peer: str, space: str, held: Mapping[int, int], scrubbed: Mapping[int, int]
    ) -> Mapping[int, int]:
        self._check(space)
        self.receipts |= {(peer, space, shard): seq for shard, seq in held.items()}
        self.scrubbed |= {(peer, space, shard): seq for shard, seq in scrubbed.items()}
        return {
            shard: seq
            for (device, at, shard), seq in self.receipts.items()
            if (device, at) == (peer, space)
            and self.scrubbed.get((peer, space, shard), 0) < min(seq, self._shard(space, shard).deleted_at)
        }

    def is_scrubbed(self, space: str) -> bool:
        self._check(space)
        return all(at != space for at, _, _ in self.unscrubbed)

    def note_incarnation(self, peer: str, incarnation: str) -> None:
        self._check()
        if self.incarnations.get(peer) != incarnation:
            self.incarnations[peer] = incarnation
            for known in (self.receipts, self.scrubbed):
                for key in [key for key in known if key[0] == peer]:
                    del known[key]

    def revocations(self, peer: str, spaces: Sequence[str]) -> Mapping[str, MembershipRecord]:
        self._check()
        return {
            space: MembershipRecord(statements=(f"{peer} is revoked".encode(),))
            for space in spaces
            if peer in self.revoked.get(space, ())
        }

    def merge_space(self, peer: str, name: str, space: str, record: MembershipRecord) -> Adoption:
        self._check()
        old = next(at for at, (known, _) in self.members.items() if known == name)
        if space >= old:
            return Adoption(False)
        self.share(space, name, peer, *self.members.pop(old)[1])
        for key in [key for key in self._shards if key[0] == old]:
            self._shards[space, key[1]] = self._shards.pop(key)
        self._log = [replace(row, space=space) if row.space == old else row for row in self._log]
        return Adoption(True)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _check(self, space: str | None = None) -> None:
        if self.failing:
            raise StoreError(self.failing)
        if space is not None and space not in self.members:
            raise NotFoundError(f"there is no space {space}")

    def _shard(self, space: str, shard: int) -> _Shard:
        return self._shards.setdefault((space, shard), _Shard())

    def _commit(self, key: tuple[str, int], update: bytes, origin: str) -> None:
        shard = self._shard(*key)
        blocks, deleted = json.loads(update)
        known = shard.vector()
        for client, start, items in blocks:
            ours = shard.written.setdefault(client, [])
            ours += items[len(ours) - start :]
        shard.seq = len(self._log) + 1
        if new := set(deleted) - shard.deleted:
            shard.deleted |= new
            shard.deleted_at = shard.seq
            self.unscrubbed |= {(*key, text) for text in new if self.reading}
        needs = {client: start for client, start, _ in blocks if start}
        after = {client: clock for client, clock in shard.vector().items() if clock != known.get(client)}
        self._log.append(LogEntry(shard.seq, *key, update, needs, after, origin, key[0] in self.only_read))


def _update(blocks: list[list[object]], deleted: set[str] | tuple[str, ...]) -> bytes:
    return json.dumps([blocks, sorted(deleted)]).encode()
