"""What goes to the peer: updates of the log as they are committed, and diffs that it wants or lacks.

Both stay in flight until they are acknowledged, and only so much may be in flight. A push that finds no room is
not kept: its shard is compared later. A diff is computed only when there is room for it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from memcrdt.errors import RemoteProtocolError
from memcrdt.model.limits import KIB, MIB, UPDATE_BYTES, UPDATE_CLIENTS
from memcrdt.sync.messages import Ack, Diff, Fragment, More, Push, Want
from memcrdt.sync.queries import DiffFor
from memcrdt.sync.wire import FRAGMENT_BYTES

if TYPE_CHECKING:
    from memcrdt.model.clocks import StateVector
    from memcrdt.sync.outbox import Outbox, ShardKey
    from memcrdt.sync.peer_state import PeerReceipts, PeerVectors
    from memcrdt.sync.replica import LogEntry, ShardDiff

PUSH_BYTES: Final = 64 * KIB  # a larger update is announced, and fetched as a diff where it is lacking
PUSHES: Final = 64  # in flight
PUSHES_BYTES: Final = 1 * MIB
DIFFS: Final = 64  # in flight
DIFFS_BYTES: Final = 4 * MIB  # one diff may be larger; then it goes alone
FRAGMENTS: Final = 2  # in flight: a push waits behind half a megabyte at most
VECTOR_ENTRY_BYTES: Final = 13  # at most, encoded
WANTS: Final = 32  # that a side has open at most
OFFERS: Final = 4_096  # further ones are found again by the next comparison
CLIENTS: Final = 2 * UPDATE_CLIENTS  # in all state vectors of a queue; a client takes some 150 bytes


@dataclass(frozen=True, slots=True)
class _Flight:
    """A Diff or Push on its way: what the peer holds when it has acknowledged it. `asked`: the ask behind a Diff;
    `partial` as in ShardDiff."""

    key: ShardKey
    seq: int
    after: StateVector
    size: int
    asked: int | None = None
    partial: bool = False


@dataclass(slots=True)
class _Window:
    """How much is in flight, and how much may be."""

    most: int
    most_bytes: int
    flights: dict[int, _Flight] = field(default_factory=dict)
    size: int = 0

    def has_room(self) -> bool:
        return len(self.flights) < self.most and self.size < self.most_bytes

    def add(self, batch: int, flight: _Flight) -> None:
        self.flights[batch] = flight
        self.size += flight.size

    def remove(self, batch: int) -> _Flight | None:
        flight = self.flights.pop(batch, None)
        self.size -= flight.size if flight else 0
        return flight


@dataclass(slots=True)
class _Queue:
    """Shards that wait for their diff, each with the peer's state vector, of bounded size in all."""

    most: int
    vectors: dict[ShardKey, StateVector] = field(default_factory=dict)
    clients: int = 0

    def has_room(self, vector: StateVector) -> bool:
        return len(self.vectors) < self.most and self.clients + len(vector) <= CLIENTS

    def add(self, key: ShardKey, vector: StateVector) -> None:
        self.remove(key)
        self.vectors[key] = vector
        self.clients += len(vector)

    def remove(self, key: ShardKey) -> None:
        self.clients -= len(self.vectors.pop(key, {}))

    def pop(self) -> tuple[ShardKey, StateVector]:
        key, vector = next(iter(self.vectors.items()))
        self.remove(key)
        return key, vector


@dataclass(slots=True)
class _Pieces:
    """The Diff that follows its fragments, and the update that they carry."""

    diff: Diff
    update: bytes
    sent: int = 0


class Sender:
    """The sending half of a session."""

    def __init__(self, port: Outbox, vectors: PeerVectors, receipts: PeerReceipts) -> None:
        self._port = port
        self._vectors = vectors
        self._receipts = receipts
        self._owed = _Queue(WANTS)
        self._offers = _Queue(OFFERS)
        self._pushes = _Window(PUSHES, PUSHES_BYTES)
        self._diffs = _Window(DIFFS, DIFFS_BYTES)
        self._asking = 0  # the number of the ask for a diff that is open
        self._batch = 0
        self._pieces: deque[_Pieces] = deque()
        self._fragments = 0

    @property
    def idle(self) -> bool:
        """Whether nothing is in flight or waits."""
        waiting = self._owed.vectors or self._offers.vectors or self._asking
        return not (waiting or self._pushes.flights or self._diffs.flights)

    @property
    def relaxed(self) -> bool:
        """Whether at least half of the window for pushes is free."""
        return len(self._pushes.flights) <= PUSHES // 2 and self._pushes.size <= PUSHES_BYTES // 2

    def push(self, entry: LogEntry) -> bool:
        """Sends a row of the log, unless the peer has it. False: there was no room, the shard has to be compared."""
        key = (entry.space, entry.shard)
        if entry.origin == self._port.peer:
            self._vectors.merge(key, entry.after)
        if entry.origin == self._port.peer or self._vectors.covers(key, entry.after):
            self._receipts.had(key, entry.seq)
            return True
        # What came from another device is announced only: where all are connected, the peer has it from there. One that
        # only deletes can't be announced, as no state vector tells of it.
        whole = not entry.after or (entry.origin == "local" and len(entry.update) <= PUSH_BYTES)
        if not self._pushes.has_room() or (whole and len(entry.update) > PUSH_BYTES):
            return False
        batch = self._next_batch()
        push = Push(*key, entry.update if whole else b"", entry.needs if whole else {}, entry.after, batch)
        self._pushes.add(batch, _Flight(key, entry.seq, entry.after, self._port.send(push)))
        self._receipts.sent(key, entry.seq)
        return True

    def want(self, want: Want) -> None:
        """The peer asks for a diff."""
        key = (want.space, want.shard)
        if not self._owed.has_room({}) and key not in self._owed.vectors:
            raise RemoteProtocolError(f"more than {WANTS} shards are asked for at a time")
        self._vectors.merge(key, want.vector)
        # Too much to remember: then the whole shard is sent.
        self._owed.add(key, want.vector if self._owed.has_room(want.vector) else {})
        self._offers.remove(key)

    def offer(self, key: ShardKey, theirs: StateVector) -> None:
        """The peer's copy is at `theirs` and lacks something of ours."""
        if self._offers.has_room(theirs):
            self._offers.add(key, theirs)

    def acked(self, ack: Ack) -> None:
        """The peer has handled a Diff or Push."""
        flight = self._pushes.remove(ack.batch) or self._diffs.remove(ack.batch)
        if flight is None:
            raise RemoteProtocolError(f"batch {ack.batch} is acknowledged, which is not in flight")
        if ack.durable:
            self._vectors.merge(flight.key, flight.after)
            if flight.partial:
                self.offer(flight.key, flight.after)
            elif flight.asked is None:
                self._receipts.acked(flight.key, flight.seq)
            else:
                self._receipts.established(flight.key, flight.seq, flight.asked)

    def more(self, more: More) -> None:
        """The peer has taken a fragment."""
        if not self._fragments:
            raise RemoteProtocolError(f"a fragment of batch {more.batch} is acknowledged, which was not sent")
        self._fragments -= 1

    def pump(self) -> None:
        """Sends and asks for what there is room for."""
        while self._pieces and self._fragments < FRAGMENTS:
            self._send_piece(self._pieces[0])
        queue = self._owed if self._owed.vectors else self._offers
        if queue.vectors and not self._asking and self._diffs.has_room():
            key, theirs = queue.pop()
            self._asking = self._port.ask(
                DiffFor(self._port.peer, *key, theirs), partial(self._diffed, key, queue is self._owed)
            )

    def _diffed(self, key: ShardKey, wanted: bool, lack: ShardDiff) -> None:
        asked, self._asking = self._asking, 0
        batch = self._next_batch()
        if len(lack.update) > UPDATE_BYTES:
            self._port.report("failed", f"shard {key[1]} of space {key[0]} is too large to be sent")
            self._port.send(Diff(*key, b"", {}, batch, wanted))
            return
        size = len(lack.update) + VECTOR_ENTRY_BYTES * len(lack.after)
        self._diffs.add(batch, _Flight(key, lack.seq, lack.after, size, asked, lack.partial))
        if size <= FRAGMENT_BYTES:
            self._port.send(Diff(*key, lack.update, lack.after, batch, wanted))
        else:
            self._pieces.append(_Pieces(Diff(*key, b"", lack.after, batch, wanted), lack.update))

    def _send_piece(self, pieces: _Pieces) -> None:
        start = pieces.sent * FRAGMENT_BYTES
        data = pieces.update[start : start + FRAGMENT_BYTES]
        self._port.send(Fragment(pieces.diff.batch, pieces.sent, data))
        self._fragments += 1
        pieces.sent += 1
        if start + FRAGMENT_BYTES >= len(pieces.update):
            self._port.send(pieces.diff)
            self._pieces.popleft()

    def _next_batch(self) -> int:
        self._batch += 1
        return self._batch
