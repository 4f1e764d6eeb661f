"""The store for the Yjs listener: tokens, the shards of a space, and the updates that a client lacks.

A client follows the log of its shard from the row where its last answer ended. So nothing is queued for a slow client,
nothing is sent before it is durable, and commits of other processes reach it in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from memcrdt.crdt.pieces import cut
from memcrdt.errors import NotFoundError, ReadOnlyError, StoreError, UntrustedPeerError
from memcrdt.model import limits
from memcrdt.model.clocks import StateVector
from memcrdt.node.store_replica import NOTHING, StoreReplica
from memcrdt.store import log, spaces
from memcrdt.store.connections import consistent_read
from memcrdt.store.log import ShardRow
from memcrdt.store.membership.tokens import StoredToken, TokenTable
from memcrdt.store.store import Store
from memcrdt.sync.replica import Applied
from memcrdt.yjs.room import ShardRef

if TYPE_CHECKING:
    import apsw

WHOLE_BYTES: Final = 1 * limits.MIB  # a larger answer is sent in pieces
PIECE_BYTES: Final = 256 * limits.KIB  # a line of 70 kbit/s transfers one within the 30 s that clients wait
ROWS: Final = 256  # of the log, read at a time


@dataclass(frozen=True, slots=True)
class Position:
    """How much of its shard a client was sent: everything up to row `seq` of our log, and at least up to `known`."""

    seq: int
    known: StateVector


@dataclass(frozen=True, slots=True)
class SpaceState:
    """A space as clients see it.

    Attributes:
        space: Its name, "open": the shard for new memories, and "read_only": why the client may not write, or None.
        shards: Its shards.
    """

    space: Mapping[str, Any]
    shards: Sequence[ShardRow]

    @property
    def heads(self) -> dict[int, int]:
        """The newest row of the log of each shard."""
        return {row.number: row.head for row in self.shards}

    @property
    def listing(self) -> dict[str, Any]:
        """The space with its shards and their sizes, as JSON."""
        shards = (
            {"shard": row.number, "births": row.births, "registers": row.registers, "bytes": row.size}
            for row in self.shards
        )
        return {**self.space, "shards": list(shards)}


class ShardSource:
    """The shards of one store. Every call is synchronous; run it off the event loop.

    Calls that take a token raise UntrustedPeerError once the token is revoked.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._replica = StoreReplica(store)
        self.tokens = TokenTable(store)

    def state(self, token: StoredToken, name: str) -> SpaceState:
        """Return the shards of a space, and where their logs end. Raises NotFoundError."""
        self.check(token)
        with self._store.reading() as db:
            space, space_id = _space(db, name)
            shards = log.shards_of(db, space)
            opened = next(log.open_shards(db, space), None)
            free = log.free_number(db, space)
        known = {
            "space": name,
            "open": free if opened is None else opened.number,
            "read_only": self.denial(token, space_id),
        }
        return SpaceState(known, shards)

    def place(self, name: str, shard: int) -> ShardRef:
        """Return an existing shard of the space called `name`, or the next new one. Raises NotFoundError."""
        with self._store.reading() as db:
            space, space_id = _space(db, name)
            exists = log.find_shard(db, space, shard) is not None
            if not exists and (shard != log.free_number(db, space) or shard >= limits.SHARDS):
                raise NotFoundError(f"the space {name!r} has no shard {shard}")
        return ShardRef(space_id, shard)

    def known(self, place: ShardRef) -> StateVector:
        """Return our state vector of a shard."""
        return self._replica.state_vector(*place)

    def answer(self, token: StoredToken, place: ShardRef, theirs: StateVector) -> tuple[list[bytes], Position]:
        """Return the updates that a copy at `theirs` lacks: one, or pieces that have to be applied in order."""
        self.check(token)
        diff = self._replica.lacking(*place, theirs)
        whole = len(diff.update) <= WHOLE_BYTES
        return [diff.update] if whole else list(cut(diff.update, PIECE_BYTES)), Position(diff.seq, diff.after)

    def news(self, token: StoredToken, place: ShardRef, position: Position) -> tuple[list[bytes], Position]:
        """Return the updates after `position`, oldest first, and the new position. One call returns up to 256 rows."""
        self.check(token)
        with self._store.reading() as db, consistent_read(db):  # the head and the log have to be from one moment
            row = _row(db, place)
            if row is None or row.head == position.seq:
                return [], position
            if not row.damaged and log.snapshot_seq(db, row.shard) <= position.seq:
                return _rows(db, row, position)
        return self.answer(token, place, position.known)

    def denial(self, token: StoredToken, space: str) -> str | None:
        """Return why clients with this token may not write a space, given by its id; None if they may."""
        if token.read_only:
            return f"the token {token.name!r} is read-only; make another with `memcrdt token create`"
        if self._replica.is_read_only(space):
            return "this device may only read the space; connect to a device that may write it, or use another space"
        return None

    def take(self, token: StoredToken, place: ShardRef, update: bytes) -> Applied:
        """Commit an update from a client like one from a peer. Raises ReadOnlyError if the client may not write."""
        self.check(token)
        if update != NOTHING and (denial := self.denial(token, place.space)):
            raise ReadOnlyError(denial)
        return self._replica.apply(*place, update, f"{log.STOCK}{token.name}")

    def check(self, token: StoredToken) -> None:
        """Raise UntrustedPeerError if the token was revoked."""
        if not self.tokens.stands(token):
            raise UntrustedPeerError(f"the token {token.name!r} was revoked; make another with `memcrdt token create`")


def _row(db: apsw.Connection, place: ShardRef) -> ShardRow | None:
    space = spaces.shareable_space(db, place.space)
    if space is None:
        raise StoreError("the space has a new id, because it was merged with another device's; connect again")
    return log.find_shard(db, space, place.shard)


def _space(db: apsw.Connection, name: str) -> tuple[int, str]:
    number = spaces.space_number(db, name)
    return number, spaces.id_of_space(db, number)


def _rows(db: apsw.Connection, row: ShardRow, position: Position) -> tuple[list[bytes], Position]:
    rows = list(islice(log.updates_after(db, row.shard, position.seq), ROWS))
    seq = rows[-1].seq
    known = log.state_vector_of(row) if seq == row.head else position.known
    return [found.update for found in rows], Position(seq, known)
