"""Anti-entropy with one peer: find the shards that differ, and have them wanted or offered.

One side sends the fingerprint of a whole space (`Range` with a root span). The other answers that it is equal, or with
fingerprints of smaller ranges, or with lists of shards (`Have`); `reconcile` has the arithmetic. The side that gets a
list knows the difference: it wants the shards that the peer has otherwise, and offers the shards that the peer lacks.
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


INTERVAL_S: Final = 30.0  # as in the design; times 0.75 to 1.25, so that the peers of a node spread out
SETTLE_S: Final = 1.0  # doubles up to the interval


@dataclass(slots=True)
class _Comparison:
    """A comparison that we have begun: the query for the digests and, once it is answered, the row of each shard."""

    asked: int
    rows: Mapping[int, int] | None = None


class AntiEntropy:
    """The comparing part of a session. In each space one comparison that we have begun is open at a time."""

    def __init__(self, outbox: Outbox, receipts: PeerReceipts, sender: Sender, receiver: Receiver) -> None:
        self._outbox = outbox
        self._receipts = receipts
        self._sender = sender
        self._receiver = receiver
        self._open: dict[str, _Comparison] = {}
        self._dirty: dict[str, set[int]] = {}
        self.differed = False  # a comparison that we began found a difference; the session resets it

    @property
    def idle(self) -> bool:
        """Whether no comparison is open or waits."""
        return not (self._open or self._dirty)

    def begin(self, space: str) -> Flow[None]:
        """Compare the space as a whole, unless that is going on."""
        if space in self._open:
            return
        comparison = self._open[space] = _Comparison(self._outbox.next_query)
        digests = yield from ask(Replica.digests, space)
        comparison.rows = {shard: digest.seq for shard, digest in digests.items()}
        self._outbox.send(Range(space, (Shards(digests).root(),)))

    def agreed(self, space: str, rows: Mapping[int, int], asked: int) -> None:
        """Note that the peer holds all that the shards of the space held at these rows, by the answer to `asked`."""
        self._receipts.agreed(space, rows, asked)
        self._outbox.report("agreed", space)

    def mark(self, key: ShardKey) -> None:
        """Have the shard compared when there is time: a row of it could not be sent."""
        self._receipts.lost(key)
        space, shard = key
        self._dirty.setdefault(space, set()).add(shard)

    def list_marked(self) -> Flow[None]:
        """Send the digests of the marked shards of one space, once the pushes don't fill their window."""
        if self._dirty and self._sender.relaxed:
            space, shards = self._dirty.popitem()
            ours = Shards((yield from ask(Replica.digests, space)))
            self._send_leaves(space, tuple(ours.leaf(shard, shard + 1) for shard in sorted(shards)))

    def take_range(self, message: Range) -> Flow[None]:
        """Compare the fingerprints of the peer's shards with ours, and answer about the ranges that differ."""
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
        """Compare the digests of the peer's shards with ours: want what it has otherwise, offer what it lacks."""
        if message.root:
            self._close_comparison(message.space, equal=False)
        asked = self._outbox.next_query
        digests = yield from ask(Replica.digests, message.space)
        ours = Shards(digests)
        equal: list[int] = []
        for leaf in message.leaves:
            difference = ours.difference(leaf)
            equal += difference.equal
            for shard in difference.wanted:
                self._receiver.want((message.space, shard), {})
            for shard in difference.lacking:
                self._sender.offer((message.space, shard), {})
        self._establish(message.space, {shard: digests[shard].seq for shard in equal}, asked)

    def _send_leaves(self, space: str, leaves: tuple[Leaf, ...], root: bool = False) -> None:
        for start in range(0, len(leaves), LEAVES):
            self._outbox.send(Have(space, leaves[start : start + LEAVES], root))

    def _close_comparison(self, space: str, *, equal: bool) -> None:
        comparison = self._open.pop(space, None)
        if comparison is None or comparison.rows is None:
            raise RemoteProtocolError("an answer came to a comparison that is not open")
        if equal:
            self.agreed(space, comparison.rows, comparison.asked)
        else:
            self.differed = True

    def _establish(self, space: str, rows: Mapping[int, int], asked: int) -> None:
        for shard, seq in rows.items():
            self._receipts.established((space, shard), seq, asked)


class ComparisonTimer:
    """When the session compares all its spaces.

    One of the two sides begins comparisons, every 30 s, so that an idle pair compares once. A side that has found a
    difference compares again after a second, and then after two and four: so receipts are exact soon.
    """

    def __init__(self, outbox: Outbox, rng: Random, *, begins: bool) -> None:
        self.begins = begins  # whether this is the side that begins
        self._outbox = outbox
        self._rng = rng
        self._due = 0.0
        self._moved_at = 0.0
        self._settle_s = SETTLE_S

    def restart(self, now: float) -> None:
        """Let the next interval begin, if this is the side that begins."""
        if self.begins:
            self._set(INTERVAL_S * self._rng.uniform(0.75, 1.25), now)

    def settle(self, now: float) -> None:
        """Have the spaces compared again soon: they differed."""
        if not now < self._due <= now + self._settle_s:
            self._set(self._settle_s, now)

    def moved(self, now: float) -> None:
        """Note that a part of a diff came or was asked for."""
        self._moved_at = now

    def is_due(self, now: float, *, idle: bool, differed: bool) -> bool:
        """Return whether to compare now that a timer has fired.

        Args:
            now: The time, in seconds.
            idle: Whether nothing is in flight or waits in either direction.
            differed: Whether the comparison before found a difference.
        """
        if now < self._due - TIMER_SLACK_S:
            return False  # another timer was set since
        if now < self._moved_at + (SETTLE_S if idle else INTERVAL_S):
            self._set(SETTLE_S, now)  # updates on their way would look like a difference, and be sent twice
            return False
        self._settle_s = min(2 * self._settle_s, INTERVAL_S) if differed else SETTLE_S
        return True

    def _set(self, delay_s: float, now: float) -> None:
        self._due = now + delay_s
        self._outbox.schedule(delay_s, "compare")
