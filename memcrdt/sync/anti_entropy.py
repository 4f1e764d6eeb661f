"""Anti-entropy with one peer: finds the shards that differ, and has them wanted or offered."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from memcrdt.errors import RemoteProtocolError
from memcrdt.sync.messages import Have, Leaf, Range
from memcrdt.sync.queries import Digests
from memcrdt.sync.reconcile import Shards, is_root
from memcrdt.sync.wire import LEAVES, SPANS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memcrdt.sync.outbox import Outbox, ShardKey
    from memcrdt.sync.peer_state import PeerReceipts
    from memcrdt.sync.receiver import Receiver
    from memcrdt.sync.replica import Digest
    from memcrdt.sync.sender import Sender

_Digests: TypeAlias = "Mapping[int, Digest]"


class AntiEntropy:
    """The comparing part of a session. Of the comparisons that we begin, one is open in each space."""

    def __init__(self, port: Outbox, receipts: PeerReceipts, sender: Sender, receiver: Receiver) -> None:
        self._port = port
        self._receipts = receipts
        self._sender = sender
        self._receiver = receiver
        self._roots: dict[str, tuple[int, Mapping[int, int]]] = {}  # the ask for the digests, and the row of each shard
        self._dirty: dict[str, set[int]] = {}
        self.differed = False  # a comparison begun by us found a difference; for the session to reset

    @property
    def idle(self) -> bool:
        """Whether no comparison is open or waits."""
        return not (self._roots or self._dirty)

    def start(self, space: str) -> None:
        """Compares the space as a whole, unless that is going on."""
        if space not in self._roots:
            asked = self._port.ask(Digests(space), partial(self._send_root, space))
            self._roots[space] = (asked, {})

    def agreed(self, space: str, rows: Mapping[int, int], asked: int) -> None:
        """The peer holds all that the shards of the space held at these rows, as the answer to ask `asked` said."""
        self._receipts.agreed(space, rows, asked)
        self._port.report("agreed", space)

    def mark(self, key: ShardKey) -> None:
        """A row of this shard could not be sent: the shard has to be compared, when there is time."""
        self._receipts.lost(key)
        space, shard = key
        self._dirty.setdefault(space, set()).add(shard)

    def pump(self) -> None:
        """Sends the digests of the marked shards, once the pushes don't fill their window."""
        if self._dirty and self._sender.relaxed:
            space, shards = self._dirty.popitem()
            self._port.ask(Digests(space), partial(self._send_marked, space, shards))

    def range(self, message: Range) -> None:
        """Fingerprints of the peer's shards."""
        if message.root:
            self._root_answered(message.space, equal=not message.spans)
        if message.spans:
            then = partial(self._compare, message, self._port.next_ask)
            self._port.ask(Digests(message.space), then)

    def have(self, message: Have) -> None:
        """Digests of the peer's shards."""
        if message.root:
            self._root_answered(message.space, equal=False)
        then = partial(self._sort_out, message, self._port.next_ask)
        self._port.ask(Digests(message.space), then)

    def _send_root(self, space: str, digests: _Digests) -> None:
        asked, _ = self._roots[space]
        self._roots[space] = (asked, {shard: digest.seq for shard, digest in digests.items()})
        self._port.send(Range(space, (Shards(digests).root(),)))

    def _send_marked(self, space: str, shards: set[int], digests: _Digests) -> None:
        ours = Shards(digests)
        self._send_leaves(space, tuple(ours.leaf(shard, shard + 1) for shard in sorted(shards)))

    def _send_leaves(self, space: str, leaves: tuple[Leaf, ...], root: bool = False) -> None:
        for start in range(0, len(leaves), LEAVES):
            self._port.send(Have(space, leaves[start : start + LEAVES], root))

    def _root_answered(self, space: str, *, equal: bool) -> None:
        if space not in self._roots:
            raise RemoteProtocolError("an answer came to a comparison that is not open")
        asked, rows = self._roots.pop(space)
        if equal:
            self.agreed(space, rows, asked)
        else:
            self.differed = True

    def _compare(self, message: Range, asked: int, digests: _Digests) -> None:
        space, root = message.space, is_root(message.spans)
        found = Shards(digests).compare(message.spans)
        rows = {shard: digests[shard].seq for shard in found.equal}
        if root and not found.spans and not found.leaves:
            self._port.send(Range(space, (), root=True))
            self.agreed(space, rows, asked)
            return
        self._establish(space, rows, asked)
        for start in range(0, len(found.spans), SPANS):
            self._port.send(Range(space, found.spans[start : start + SPANS], root))
        self._send_leaves(space, found.leaves, root)

    def _sort_out(self, message: Have, asked: int, digests: _Digests) -> None:
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

    def _establish(self, space: str, rows: Mapping[int, int], asked: int) -> None:
        for shard, seq in rows.items():
            self._receipts.established((space, shard), seq, asked)
