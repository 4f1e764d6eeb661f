"""The sending half of a session: push updates of the log as they are committed, and send diffs that the peer lacks.

Pushes and diffs are in flight until they are acknowledged, each within a window. A push that does not fit into its
window is dropped, and its shard is compared later. A diff is read from the store only when its window has room.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from memcrdt.errors import RemoteProtocolError
from memcrdt.model.limits import KIB, MIB, UPDATE_BYTES, UPDATE_CLIENTS
from memcrdt.sync.messages import Ack, Declined, Diff, Fragment, More, Push, Want
from memcrdt.sync.queries import ask
from memcrdt.sync.replica import Replica
from memcrdt.sync.wire import FRAGMENT_BYTES

if TYPE_CHECKING:
    from memcrdt.model.clocks import StateVector
    from memcrdt.sync.outbox import Outbox
    from memcrdt.sync.peer_state import PeerReceipts, PeerVectors
    from memcrdt.sync.queries import Flow
    from memcrdt.sync.replica import LogEntry, ShardDiff, ShardKey

PUSH_BYTES: Final = 64 * KIB  # a larger update is announced, and sent as a diff to a peer that wants it
PUSHES: Final = 64  # in flight
PUSHES_BYTES: Final = 1 * MIB
DIFFS: Final = 64  # in flight
DIFFS_BYTES: Final = 4 * MIB  # a single diff may be larger; then it is in flight alone
FRAGMENTS: Final = 2  # in flight, so that a push waits for half a megabyte at most
VECTOR_ENTRY_BYTES: Final = 13  # maximum size of an entry of an encoded state vector
WANTS: Final = 32  # open at a time on each side
OFFERS: Final = 4_096  # the next comparison finds the other shards again
CLIENTS: Final = 2 * UPDATE_CLIENTS  # in all state vectors of a queue; a client takes about 150 bytes of memory


@dataclass(frozen=True, slots=True)
class _Flight:
    """A Diff or Push in flight.

    Once it is acknowledged, the peer has row `seq`, and its copy has reached `after`. `asked` is the number of the
    query that read a Diff, None for a Push. `partial` is the same as in ShardDiff.
    """

    key: ShardKey
    seq: int
    after: StateVector
    size: int
    asked: int | None = None
    partial: bool = False


@dataclass(slots=True)
class _Window:
    """The messages in flight, and their maximum in number and bytes."""

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
    """Shards whose diff has to be sent, each with the peer's state vector. The total size of the vectors is bounded."""

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
    """An update that is sent in fragments, and the Diff that follows them."""

    diff: Diff
    update: bytes
    sent: int = 0


class Sender:
    """Sends rows of the log and diffs, and tells `PeerReceipts` what the peer has acknowledged."""

    def __init__(self, outbox: Outbox, vectors: PeerVectors, receipts: PeerReceipts) -> None:
        self._outbox = outbox
        self._vectors = vectors
        self._receipts = receipts
        self._owed = _Queue(WANTS)
        self._offers = _Queue(OFFERS)
        self._pushes = _Window(PUSHES, PUSHES_BYTES)
        self._diffs = _Window(DIFFS, DIFFS_BYTES)
        self._reading = False  # whether a diff is being read from the store
        self._batch = 0
        self._pieces: deque[_Pieces] = deque()
        self._fragments = 0
        self._declined: set[ShardKey] = set()  # not offered again in this session

    @property
    def idle(self) -> bool:
        """Whether nothing is in flight or waiting."""
        waiting = self._owed.vectors or self._offers.vectors or self._reading
        return not (waiting or self._pushes.flights or self._diffs.flights)

    @property
    def relaxed(self) -> bool:
        """Whether at least half of the window for pushes is free."""
        return len(self._pushes.flights) <= PUSHES // 2 and self._pushes.size <= PUSHES_BYTES // 2

    def push(self, entry: LogEntry) -> bool:
        """Send a row of the log, unless the peer has it or we may not send it.

        Returns:
            False if the row could not be sent. Then the shard has to be compared.
        """
        key = (entry.space, entry.shard)
        if entry.origin == self._outbox.peer:
            self._vectors.merge(key, entry.after)
        if entry.origin == self._outbox.peer or self._vectors.covers(key, entry.after):
            self._receipts.had(key, entry.seq)
            return True
        if entry.read_only:
            self._receipts.lost(key)  # the next comparison tells whether the peer has it
            return True
        # An update from another device is only announced, because a peer that is connected to that device has it
        # already. An update that only deletes cannot be announced, because it does not change the state vector.
        whole = not entry.after or (entry.origin == "local" and len(entry.update) <= PUSH_BYTES)
        if not self._pushes.has_room() or (whole and len(entry.update) > PUSH_BYTES):
            return False
        batch = self._next_batch()
        push = Push(*key, entry.update if whole else b"", entry.needs if whole else {}, entry.after, batch)
        self._pushes.add(batch, _Flight(key, entry.seq, entry.after, self._outbox.send(push)))
        self._receipts.sent(key, entry.seq)
        return True

    def take_want(self, want: Want) -> None:
        """Queue the diff that the peer wants."""
        key = (want.space, want.shard)
        if not self._owed.has_room({}) and key not in self._owed.vectors:
            raise RemoteProtocolError(f"more than {WANTS} shards are requested at a time")
        self._vectors.merge(key, want.vector)
        # A vector that is too large to store is treated as empty: the whole shard is sent.
        self._owed.add(key, want.vector if self._owed.has_room(want.vector) else {})
        self._offers.remove(key)

    def offer(self, key: ShardKey, theirs: StateVector) -> None:
        """Queue a diff that the peer did not request. Its copy is at `theirs` and lacks updates of ours."""
        if self._offers.has_room(theirs) and key not in self._declined:
            self._offers.add(key, theirs)

    def take_ack(self, ack: Ack) -> bool:
        """Note that the peer has handled a Diff or Push, and what it has now. Return whether it was a Diff."""
        pushed = self._pushes.remove(ack.batch)
        flight = pushed or self._diffs.remove(ack.batch)
        if flight is None:
            raise RemoteProtocolError(f"batch {ack.batch} was acknowledged, but is not in flight")
        if ack.durable:
            self._vectors.merge(flight.key, flight.after)
            if flight.partial:
                self.offer(flight.key, flight.after)
            elif flight.asked is None:
                self._receipts.acked(flight.key, flight.seq)
            else:
                self._receipts.established(flight.key, flight.seq, flight.asked)
        return pushed is None

    def take_declined(self, declined: Declined) -> None:
        """Report why the peer does not take a Diff or Push. Its Ack follows."""
        flight = self._pushes.flights.get(declined.batch) or self._diffs.flights.get(declined.batch)
        if flight is None:
            raise RemoteProtocolError(f"batch {declined.batch} was declined, but is not in flight")
        space, shard = flight.key
        self._declined.add(flight.key)
        self._outbox.report("declined", f"it does not take shard {shard} of space {space}: {declined.reason}")

    def take_more(self, more: More) -> None:
        """Note that a fragment has arrived at the peer."""
        if not self._fragments:
            raise RemoteProtocolError(f"a fragment of batch {more.batch} was acknowledged, but not sent")
        self._fragments -= 1

    def pump(self) -> Flow[None]:
        """Send fragments, and read and send one more diff, within the windows."""
        while self._pieces and self._fragments < FRAGMENTS:
            self._send_piece(self._pieces[0])
        queue = self._owed if self._owed.vectors else self._offers
        if queue.vectors and not self._reading and self._diffs.has_room():
            (key, theirs), asked = queue.pop(), self._outbox.next_query
            self._reading = True
            diff = yield from ask(Replica.diff_for, self._outbox.peer, *key, theirs)
            self._reading = False
            self._send_diff(key, diff, asked, wanted=queue is self._owed)

    def _send_diff(self, key: ShardKey, diff: ShardDiff, asked: int, *, wanted: bool) -> None:
        batch = self._next_batch()
        if len(diff.update) > UPDATE_BYTES:
            self._outbox.report("failed", f"shard {key[1]} of space {key[0]} is too large to send")
            self._outbox.send(Diff(*key, b"", {}, batch, wanted))
            return
        size = len(diff.update) + VECTOR_ENTRY_BYTES * len(diff.after)
        self._diffs.add(batch, _Flight(key, diff.seq, diff.after, size, asked, diff.partial))
        if size <= FRAGMENT_BYTES:
            self._outbox.send(Diff(*key, diff.update, diff.after, batch, wanted))
        else:
            self._pieces.append(_Pieces(Diff(*key, b"", diff.after, batch, wanted), diff.update))

    def _send_piece(self, pieces: _Pieces) -> None:
        start = pieces.sent * FRAGMENT_BYTES
        data = pieces.update[start : start + FRAGMENT_BYTES]
        self._outbox.send(Fragment(pieces.diff.batch, pieces.sent, data))
        self._fragments += 1
        pieces.sent += 1
        if start + FRAGMENT_BYTES >= len(pieces.update):
            self._outbox.send(pieces.diff)
            self._pieces.popleft()

    def _next_batch(self) -> int:
        self._batch += 1
        return self._batch
