"""What we know of a peer's copies: how far they certainly are, and which rows of our log they hold durably."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from memcrdt.model.clocks import StateVector, covers
from memcrdt.sync.queries import RecordReceipts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from memcrdt.sync.outbox import Outbox, ShardKey

# For the shards that were busy last; the others are asked for, or sent to in vain.
VECTORS: Final = 64
VECTOR_CLIENTS: Final = 1_024
TRAIL_ROWS: Final = 256  # rows of one shard on their way; more of them wait for a comparison


class PeerVectors:
    """The least that the peer's copy of a shard knows, for a bounded number of shards."""

    def __init__(self) -> None:
        self._known: dict[ShardKey, dict[int, int]] = {}

    def merge(self, key: ShardKey, vector: StateVector) -> None:
        """The peer's copy knows at least `vector`."""
        known = self._known.pop(key, {})
        for client, clock in vector.items():
            known[client] = max(clock, known.get(client, 0))
        if len(known) <= VECTOR_CLIENTS:
            self._known[key] = known
        if len(self._known) > VECTORS:
            del self._known[next(iter(self._known))]

    def covers(self, key: ShardKey, after: StateVector) -> bool:
        """Whether the peer certainly has an update that ends `after`. One that only deletes has an empty `after`,
        and state vectors can't tell."""
        return bool(after) and covers(self._known.get(key, {}), after)


@dataclass(slots=True)
class _Trail:
    """The rows of one shard. The peer holds everything up to row `base`, and of those behind it what is True."""

    base: int | None = None
    rows: dict[int, bool] = field(default_factory=dict)  # ascending, as the log is
    valid_from: int = 0  # the first ask whose answer can be a base


class PeerReceipts:
    """Which row of our log the peer holds of each shard: that row, and everything before it.

    A base comes from a comparison (equal digests) or a diff from the peer's state vector; the rows behind it are
    added one by one as they are acknowledged.
    """

    def __init__(self, port: Outbox, unscrubbed: Callable[[str, Mapping[int, int]], None]) -> None:
        """`unscrubbed` is told, for a space, what `Replica.note_receipts` returns."""
        self._port = port
        self._unscrubbed = unscrubbed
        self._trails: dict[ShardKey, _Trail] = {}
        self._agreed: set[str] = set()
        self._held: dict[str, dict[int, int]] = {}
        self._fresh: dict[str, dict[int, int]] = {}
        self._scrubbed: dict[str, Mapping[int, int]] = {}
        self._recording = False

    def sent(self, key: ShardKey, seq: int) -> None:
        """Row `seq` is on its way to the peer."""
        trail = self._trail(key)
        if len(trail.rows) >= TRAIL_ROWS:
            self.lost(key)
        elif trail.base is None or seq > trail.base:
            trail.rows[seq] = False

    def acked(self, key: ShardKey, seq: int) -> None:
        """The peer holds row `seq`."""
        trail = self._trail(key)
        if seq in trail.rows:
            trail.rows[seq] = True
            self._advance(key, trail)

    def had(self, key: ShardKey, seq: int) -> None:
        """The peer held row `seq` before we could send it."""
        self.sent(key, seq)
        self.acked(key, seq)

    def lost(self, key: ShardKey) -> None:
        """A row was not sent: only what is asked from now on can be a base again."""
        self._trails[key] = _Trail(valid_from=self._port.next_ask)

    def established(self, key: ShardKey, seq: int, asked: int) -> None:
        """The peer holds everything that the shard held at row `seq`, as the answer to ask number `asked` said. Row 0:
        it holds all that we could show, but rows of ours wait (see Digest), of which that says nothing."""
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
        """The space as a whole was equal: these rows of its shards are held, and there was no other shard."""
        for shard, seq in rows.items():
            self.established((space, shard), seq, asked)
        for key, trail in self._trails.items():
            if key[0] == space and trail.base is None and asked >= trail.valid_from:
                trail.base = 0
                self._advance(key, trail)
        self._agreed.add(space)

    def scrubbed(self, space: str, rows: Mapping[int, int]) -> None:
        """The peer holds no byte of what was forgotten in the shards of a space by these rows."""
        self._scrubbed[space] = rows
        self.look(space)

    def look(self, space: str) -> None:
        """Lets the store say what of the space is unscrubbed."""
        self._fresh.setdefault(space, {})

    def pump(self) -> None:
        """Lets the store record what is new; one query at a time, so that many come together."""
        if self._fresh and not self._recording:
            self._recording = True
            space, held = self._fresh.popitem()
            query = RecordReceipts(self._port.peer, space, held, self._scrubbed.pop(space, {}))
            self._port.ask(query, partial(self._recorded, space))

    def _trail(self, key: ShardKey) -> _Trail:
        # In a space that was equal once, a shard that had no row until now has had none that we don't know of.
        return self._trails.setdefault(key, _Trail(base=0 if key[0] in self._agreed else None))

    def _recorded(self, space: str, unscrubbed: Mapping[int, int]) -> None:
        self._recording = False
        if unscrubbed:
            self._unscrubbed(space, unscrubbed)

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
