"""What we know of a peer's copies: the clocks they have reached, the rows of our log they hold, and what is scrubbed.

`PeerVectors` saves messages: it may forget, and then something is sent in vain. `PeerReceipts` is a promise to the
user, who is told that a device holds everything: it errs on the side of less. `ScrubAcks` is the promise that no byte
of a forgotten text is left in the peer's file.
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

# Enough for the shards that were busy last. Of others, updates are announced or sent in vain.
VECTORS: Final = 64
VECTOR_CLIENTS: Final = 1_024
TRAIL_ROWS: Final = 256  # rows of one shard on their way; after more of them the next comparison gives the receipt


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

        An update that only deletes has an empty `after`: state vectors cannot tell, so the answer is False.
        """
        return bool(after) and covers(self._known.get(key, {}), after)


@dataclass(slots=True)
class _Trail:
    """The rows of one shard. The peer holds everything up to row `base`, and of the rows behind it those that are True.

    Without a base nothing is known of the rows before. `valid_from` is the first query whose answer can be a base.
    """

    base: int | None = None
    rows: dict[int, bool] = field(default_factory=dict)  # ascending, as the log is
    valid_from: int = 0


class PeerReceipts:
    """The row of our log, for each shard, up to which the peer holds everything.

    A comparison that finds digests equal, or a diff from the peer's state vector, gives a base; rows behind it are
    added as they are acknowledged, without a hole.
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
        """Note that row `seq` is on its way to the peer."""
        trail = self._trail(key)
        if len(trail.rows) >= TRAIL_ROWS:
            self.lost(key)
        elif trail.base is None or seq > trail.base:
            trail.rows[seq] = False

    def acked(self, key: ShardKey, seq: int) -> None:
        """Note that the peer holds row `seq`."""
        trail = self._trail(key)
        if seq in trail.rows:
            trail.rows[seq] = True
            self._advance(key, trail)

    def had(self, key: ShardKey, seq: int) -> None:
        """Note that the peer held row `seq` before we could send it."""
        self.sent(key, seq)
        self.acked(key, seq)

    def lost(self, key: ShardKey) -> None:
        """Note that a row was not sent: only the answer to a later query can be a base again."""
        self._trails[key] = _Trail(valid_from=self._outbox.next_query)

    def established(self, key: ShardKey, seq: int, asked: int) -> None:
        """Note that the peer holds everything that the shard held at row `seq`.

        Args:
            key: The shard.
            seq: The row, by the answer to query `asked`. Row 0 means that rows of ours are not in the digest (see
                `Digest`): then the peer's equal digest says nothing of them.
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
        """Note that the space as a whole was equal: the peer holds these rows of its shards, and has no other shard."""
        for shard, seq in rows.items():
            self.established((space, shard), seq, asked)
        for key, trail in self._trails.items():
            if key[0] == space and trail.base is None and asked >= trail.valid_from:
                trail.base = 0
                self._advance(key, trail)
        self._agreed.add(space)

    def scrubbed(self, space: str, rows: Mapping[int, int]) -> None:
        """Note that the peer's file has no byte of anything forgotten by these rows in the shards of the space."""
        self._scrubbed[space] = rows
        self.look(space)

    def look(self, space: str) -> None:
        """Have the store say, with the next record, which shards of the space the peer has still to scrub."""
        self._fresh.setdefault(space, {})

    def record(self) -> Flow[tuple[str, Mapping[int, int]]]:
        """Let the store note the new receipts of one space. One query is open at a time, so that many go together.

        Returns:
            The space and, by shard, the rows whose scrubbing the peer has still to confirm.
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
        # In a space that was equal once, a shard that had no row until now has had none that we don't know of.
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
    """Each side asks the other to say when no byte of anything forgotten is left in its file.

    An Ack says that a forgetting is durable at the peer. The bytes go afterwards, when no reader is in the way. We ask
    only about rows that the peer is known to hold, and the peer looks into its file after it was asked: so the answer
    is true of everything that the question was about, in whatever order messages and commits come.

    In each space one question of ours is open, and the last one of the peer's. Nothing is kept for the next session:
    our store knows which questions were not answered, and asks again.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._mark = 0
        self._asked: dict[str, tuple[int, Mapping[int, int]]] = {}  # the mark, and the rows that it stands for
        self._owed: dict[str, int] = {}  # the mark of the peer's question
        self._looking: dict[str, bool] = {}  # whether to look once more after the look that is going on

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
            raise RemoteProtocolError("a file is said to be scrubbed, which was not asked")
        return rows

    def owe(self, message: Scrub) -> Flow[None]:
        """Answer the peer's question as soon as our file is scrubbed. A newer question replaces an older one."""
        self._owed[message.space] = message.mark
        yield from self._look(message.space)

    def looks(self) -> Iterator[Flow[None]]:
        """Yield a flow for each open question of the peer: our file may be scrubbed now."""
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
