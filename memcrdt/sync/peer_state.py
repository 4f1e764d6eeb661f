"""Our knowledge of a peer's copies: the clocks they have reached, the rows of our log they have, and scrubbed rows.

`PeerVectors` saves messages. It may lose entries; then an update is sent although the peer has it. `PeerReceipts` is
the basis for telling users that a device has everything, so it never claims more than was confirmed. `ScrubAcks`
establishes that no byte of a forgotten text is left in the peer's file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from memcrdt.errors import RemoteProtocolError
from memcrdt.model.clocks import StateVector, covers
from memcrdt.sync.messages import Scrub, Scrubbed
from memcrdt.sync.queries import ask
from memcrdt.sync.replica import Replica

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from memcrdt.sync.outbox import Outbox
    from memcrdt.sync.queries import Flow
    from memcrdt.sync.replica import ShardKey

# Enough for the most recently active shards. Updates of other shards may be announced or sent needlessly.
VECTORS: Final = 64
VECTOR_CLIENTS: Final = 1_024
TRAIL_ROWS: Final = 256  # rows of one shard in flight; with more, only the next comparison gives a receipt


class PeerVectors:
    """A lower bound of the state vectors of the peer's copies, for a bounded number of shards."""

    def __init__(self) -> None:
        self._known: dict[ShardKey, dict[int, int]] = {}

    def merge(self, key: ShardKey, vector: StateVector) -> None:
        """Note that the peer's copy has reached at least `vector`."""
        known = self._known.pop(key, {})
        for client, clock in vector.items():
            known[client] = max(clock, known.get(client, 0))
        if len(known) <= VECTOR_CLIENTS:
            self._known[key] = known
        if len(self._known) > VECTORS:
            del self._known[next(iter(self._known))]

    def covers(self, key: ShardKey, after: StateVector) -> bool:
        """Return whether the peer certainly has an update that leads to `after`.

        Returns False for an update that only deletes: state vectors do not show deletions, so its `after` is empty.
        """
        return bool(after) and covers(self._known.get(key, {}), after)


@dataclass(slots=True)
class _Trail:
    """The rows of one shard. The peer has everything up to row `base`, and the later rows that are True in `rows`.

    Without a base, nothing is known about the earlier rows. `valid_from` is the first query whose answer can give a
    base.
    """

    base: int | None = None
    rows: dict[int, bool] = field(default_factory=dict)  # ascending, as the log is
    valid_from: int = 0


class PeerReceipts:
    """For each shard, the row of our log up to which the peer has everything.

    A comparison that finds equal digests, or a diff from the peer's state vector, gives a base. Later rows count once
    they and all rows between are acknowledged.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._trails: dict[ShardKey, _Trail] = {}
        self._agreed: set[str] = set()
        self._held: dict[str, dict[int, int]] = {}
        self._fresh: dict[str, dict[int, int]] = {}  # receipts that the store has not noted yet
        self._scrubbed: dict[str, Mapping[int, int]] = {}
        self._recording = False

    def sent(self, key: ShardKey, seq: int) -> None:
        """Note that row `seq` was sent to the peer."""
        trail = self._trail(key)
        if len(trail.rows) >= TRAIL_ROWS:
            self.lost(key)
        elif trail.base is None or seq > trail.base:
            trail.rows[seq] = False

    def acked(self, key: ShardKey, seq: int) -> None:
        """Note that the peer has row `seq`."""
        trail = self._trail(key)
        if seq in trail.rows:
            trail.rows[seq] = True
            self._advance(key, trail)

    def had(self, key: ShardKey, seq: int) -> None:
        """Note that the peer had row `seq` before we sent it."""
        self.sent(key, seq)
        self.acked(key, seq)

    def lost(self, key: ShardKey) -> None:
        """Note that a row was not sent. Only the answer to a later query can give a base again."""
        self._trails[key] = _Trail(valid_from=self._outbox.next_query)

    def established(self, key: ShardKey, seq: int, asked: int) -> None:
        """Note that the peer has everything that the shard had at row `seq`.

        Args:
            key: The shard.
            seq: The row, from the answer to query `asked`. Row 0 means that our digest does not cover all of our rows
                (see `Digest`). Then an equal digest of the peer proves nothing about the other rows.
            asked: The number of that query.
        """
        if not seq:
            self.lost(key)
            return
        self._note(key, seq)
        trail = self._trail(key)
        if asked >= trail.valid_from:
            trail.base = max(seq, trail.base or 0)
            trail.rows = {row: held for row, held in trail.rows.items() if row > trail.base}
            self._advance(key, trail)

    def agreed(self, space: str, rows: Mapping[int, int], asked: int) -> None:
        """Note that the whole space was equal: the peer has these rows of its shards, and no other shards."""
        for shard, seq in rows.items():
            self.established((space, shard), seq, asked)
        for key, trail in self._trails.items():
            if key[0] == space and trail.base is None and asked >= trail.valid_from:
                trail.base = 0
                self._advance(key, trail)
        self._agreed.add(space)

    def scrubbed(self, space: str, rows: Mapping[int, int]) -> None:
        """Note that the peer's file has no byte of anything that was forgotten up to these rows of the shards."""
        self._scrubbed[space] = rows
        self.look(space)

    def look(self, space: str) -> None:
        """Have the next record() return the shards of the space that the peer still has to scrub."""
        self._fresh.setdefault(space, {})

    def record(self) -> Flow[tuple[str, Mapping[int, int]]]:
        """Let the store record the new receipts of one space. One query is open at a time, so that receipts collect.

        Returns:
            The space and, by shard, the rows up to which the peer still has to confirm that it scrubbed.
        """
        if self._recording or not self._fresh:
            return "", {}
        self._recording = True
        space, held = self._fresh.popitem()
        scrubbed = self._scrubbed.pop(space, {})
        unscrubbed = yield from ask(Replica.note_receipts, self._outbox.peer, space, held, scrubbed)
        self._recording = False
        return space, unscrubbed

    def _trail(self, key: ShardKey) -> _Trail:
        # Once a space was equal as a whole, a shard without a trail had no rows before the ones we saw since.
        return self._trails.setdefault(key, _Trail(base=0 if key[0] in self._agreed else None))

    def _advance(self, key: ShardKey, trail: _Trail) -> None:
        if trail.base is None:
            return
        while trail.rows and trail.rows[row := next(iter(trail.rows))]:
            del trail.rows[row]
            trail.base = row
        self._note(key, trail.base)

    def _note(self, key: ShardKey, seq: int) -> None:
        space, shard = key
        held = self._held.setdefault(space, {})
        if seq > held.get(shard, 0):
            held[shard] = seq
            self._fresh.setdefault(space, {})[shard] = seq


class ScrubAcks:
    """The questions of each side whether the other's file still has bytes of anything forgotten.

    An Ack says that a forgetting is durable at the peer. The bytes are erased later, when no reader needs them. We ask
    only about rows that the peer is known to have, and the peer checks its file after it was asked. So the answer is
    true for everything that the question is about, in whatever order messages and commits arrive.

    In each space, at most one question of ours is open, and only the last question of the peer. Nothing is kept for the
    next session: our store knows which rows are not confirmed, and the next session asks again.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._mark = 0
        self._asked: dict[str, tuple[int, Mapping[int, int]]] = {}  # the mark, and the rows that it stands for
        self._owed: dict[str, int] = {}  # the mark of the peer's question
        self._looking: dict[str, bool] = {}  # whether to check again after the check that is running

    def ask(self, space: str, rows: Mapping[int, int]) -> None:
        """Ask about these rows of our log, by shard, unless a question is open in the space."""
        if space not in self._asked:
            self._mark += 1
            self._asked[space] = self._mark, rows
            self._outbox.send(Scrub(space, self._mark))

    def answered(self, message: Scrubbed) -> Mapping[int, int]:
        """Return the rows that the peer's answer is about."""
        mark, rows = self._asked.pop(message.space, (None, {}))
        if message.mark != mark:
            raise RemoteProtocolError("an answer about scrubbing came without a question")
        return rows

    def owe(self, message: Scrub) -> Flow[None]:
        """Answer the peer's question as soon as our file is scrubbed. A new question replaces the last one."""
        self._owed[message.space] = message.mark
        yield from self._look(message.space)

    def looks(self) -> Iterator[Flow[None]]:
        """Yield, for each open question of the peer, a flow that checks whether our file is scrubbed now."""
        return (self._look(space) for space in tuple(self._owed))

    def _look(self, space: str) -> Flow[None]:
        if space in self._looking:
            self._looking[space] = True
            return
        again = True
        while again:
            self._looking[space], mark = False, self._owed[space]
            is_scrubbed = yield from ask(Replica.is_scrubbed, space)
            again = self._looking.pop(space)
            if is_scrubbed and self._owed[space] == mark:
                del self._owed[space]
                self._outbox.send(Scrubbed(space, mark))
                return
