"""Anti-entropy with one peer: find the shards that differ, and have them wanted or offered.

One side sends the fingerprint of a whole space (`Range` with a root span). The other side answers that it is equal, or
with fingerprints of smaller ranges, or with lists of shards (`Have`). `reconcile` has the arithmetic. The side that
gets a list knows the difference: it wants the shards that differ, and offers the shards that the peer lacks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from memcrdt.errors import RemoteProtocolError
from memcrdt.sync.events import TIMER_SLACK_S
from memcrdt.sync.messages import Have, Leaf, Range
from memcrdt.sync.queries import ask
from memcrdt.sync.reconcile import Shards, is_root
from memcrdt.sync.replica import Replica
from memcrdt.sync.wire import LEAVES, SPANS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from memcrdt.sync.outbox import Outbox
    from memcrdt.sync.peer_state import PeerReceipts
    from memcrdt.sync.queries import Flow
    from memcrdt.sync.receiver import Receiver
    from memcrdt.sync.replica import ShardKey
    from memcrdt.sync.sender import Sender


INTERVAL_S: Final = 30.0  # as in docs/design.md; times 0.75 to 1.25, so that the peers of a node spread out
SETTLE_S: Final = 1.0  # doubles up to the interval
ANSWERS: Final = 4  # to the same difference of a shard, one after the other
ANSWERS_EVERY: Final = 16  # comparisons, after that
LASTING: Final = 4_096  # differences that are remembered


@dataclass(slots=True)
class _Comparison:
    """A comparison that we began: the number of the query for digests and, once it is answered, each shard's row."""

    asked: int
    rows: Mapping[int, int] | None = None


class AntiEntropy:
    """The comparing part of a session. We begin at most one comparison per space at a time."""

    def __init__(self, outbox: Outbox, receipts: PeerReceipts, sender: Sender, receiver: Receiver) -> None:
        self._outbox = outbox
        self._receipts = receipts
        self._sender = sender
        self._receiver = receiver
        self._open: dict[str, _Comparison] = {}
        self._dirty: dict[str, set[int]] = {}
        self._lasting: dict[ShardKey, tuple[tuple[bytes, bytes], int]] = {}  # differences: the digests, and how often
        self.differed = False  # whether to compare again soon; the session resets it

    @property
    def idle(self) -> bool:
        """Whether no comparison is open or waiting."""
        return not (self._open or self._dirty)

    def begin(self, space: str) -> Flow[None]:
        """Begin to compare the whole space, unless such a comparison is open."""
        if space in self._open:
            return
        comparison = self._open[space] = _Comparison(self._outbox.next_query)
        digests = yield from ask(Replica.digests, space)
        comparison.rows = {shard: digest.seq for shard, digest in digests.items()}
        self._outbox.send(Range(space, (Shards(digests).root(),)))

    def agreed(self, space: str, rows: Mapping[int, int], asked: int) -> None:
        """Note that the peer has everything that the shards had at these rows, according to the answer to `asked`."""
        self._receipts.agreed(space, rows, asked)
        self._outbox.report("agreed", space)

    def mark(self, key: ShardKey) -> None:
        """Have the shard compared later, because one of its rows could not be sent."""
        self._receipts.lost(key)
        space, shard = key
        self._dirty.setdefault(space, set()).add(shard)

    def list_marked(self) -> Flow[None]:
        """Send the digests of the marked shards of one space, once half of the window for pushes is free."""
        if self._dirty and self._sender.relaxed:
            space, shards = self._dirty.popitem()
            ours = Shards((yield from ask(Replica.digests, space)))
            self._send_leaves(space, tuple(ours.leaf(shard, shard + 1) for shard in sorted(shards)))
            self.differed = True  # a peer with equal shards says nothing, so only a comparison gives receipts again

    def take_range(self, message: Range) -> Flow[None]:
        """Compare the peer's fingerprints with ours, and answer about the ranges that differ."""
        if message.root:
            self._close_comparison(message.space, equal=not message.spans)
        if not message.spans:
            return
        space, root, asked = message.space, is_root(message.spans), self._outbox.next_query
        digests = yield from ask(Replica.digests, space)
        found = Shards(digests).compare(message.spans)
        rows = {shard: digests[shard].seq for shard in found.equal}
        if root and not found.spans and not found.leaves:
            self._outbox.send(Range(space, (), root=True))
            self.agreed(space, rows, asked)
            return
        self._establish(space, rows, asked)
        for start in range(0, len(found.spans), SPANS):
            self._outbox.send(Range(space, found.spans[start : start + SPANS], root))
        self._send_leaves(space, found.leaves, root)

    def take_have(self, message: Have) -> Flow[None]:
        """Compare the peer's digests with ours: want the shards that differ, and offer the shards that it lacks."""
        if message.root:
            self._close_comparison(message.space, equal=False)
        asked = self._outbox.next_query
        digests = yield from ask(Replica.digests, message.space)
        ours = Shards(digests)
        equal: list[int] = []
        for leaf in message.leaves:
            difference, theirs = ours.difference(leaf), dict(leaf.shards)
            equal += difference.equal
            for shard in difference.wanted:
                known = digests.get(shard)
                if known is None or self._may_end((message.space, shard), (known.digest, theirs[shard])):
                    self._receiver.want((message.space, shard), {})
            for shard in difference.lacking:
                self._sender.offer((message.space, shard), {})
        self._establish(message.space, {shard: digests[shard].seq for shard in equal}, asked)

    def _may_end(self, key: ShardKey, digests: tuple[bytes, bytes]) -> bool:
        """Return whether asking for a shard that differs may make it equal.

        A device that may only read can have more than this one for good, and then every answer is the whole shard. So
        a difference that stays the same after a few answers is asked about again only from time to time.
        """
        if len(self._lasting) > LASTING:
            self._lasting.clear()
        before, times = self._lasting.get(key, (None, 0))
        times = times + 1 if before == digests else 0
        self._lasting[key] = digests, times
        return times < ANSWERS or times % ANSWERS_EVERY == 0

    def _send_leaves(self, space: str, leaves: tuple[Leaf, ...], root: bool = False) -> None:
        for start in range(0, len(leaves), LEAVES):
            self._outbox.send(Have(space, leaves[start : start + LEAVES], root))

    def _close_comparison(self, space: str, *, equal: bool) -> None:
        comparison = self._open.pop(space, None)
        if comparison is None or comparison.rows is None:
            raise RemoteProtocolError("an answer is about a comparison that is not open")
        if equal:
            self.agreed(space, comparison.rows, comparison.asked)
        else:
            self.differed = True

    def _establish(self, space: str, rows: Mapping[int, int], asked: int) -> None:
        for shard, seq in rows.items():
            self._receipts.established((space, shard), seq, asked)


class ComparisonTimer:
    """Decides when the session compares all its spaces.

    Only one of the two sides begins comparisons, every 30 s. A side that found a difference compares again after one
    second, then after two and four, so that receipts are soon exact.
    """

    def __init__(self, outbox: Outbox, rng: Random, *, begins: bool) -> None:
        self.begins = begins  # whether this is the side that begins
        self._outbox = outbox
        self._rng = rng
        self._due = 0.0
        self._moved_at = 0.0
        self._settle_s = SETTLE_S

    def restart(self, now: float) -> None:
        """Begin the next interval, if this side begins comparisons."""
        if self.begins:
            self._set(INTERVAL_S * self._rng.uniform(0.75, 1.25), now)

    def settle(self, now: float) -> None:
        """Have the spaces compared again soon, because they differed."""
        if not now < self._due <= now + self._settle_s:
            self._set(self._settle_s, now)

    def moved(self, now: float) -> None:
        """Note that a message moved part of a diff. A comparison at this moment would find false differences."""
        self._moved_at = now

    def is_due(self, now: float, *, idle: bool, differed: bool) -> bool:
        """Return whether to compare now that a timer has fired.

        Args:
            now: The time, in seconds.
            idle: Whether nothing is in flight or waiting in either direction.
            differed: Whether the last comparison found a difference.
        """
        if now < self._due - TIMER_SLACK_S:
            return False  # another timer was set since
        if now < self._moved_at + (SETTLE_S if idle else INTERVAL_S):
            self._set(SETTLE_S, now)  # updates in flight would look like differences, and would be sent twice
            return False
        self._settle_s = min(2 * self._settle_s, INTERVAL_S) if differed else SETTLE_S
        return True

    def _set(self, delay_s: float, now: float) -> None:
        self._due = now + delay_s
        self._outbox.schedule(delay_s, "compare")
