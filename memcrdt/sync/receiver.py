"""The receiving half of a session: apply the peer's updates, and want the shards of which something is missing.

A Want carries our state vector, and the peer answers with a Diff. A push whose base is not here changes nothing: its
shard is wanted. Every update is acknowledged, as durable once our store has committed it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from memcrdt.errors import RemoteProtocolError
from memcrdt.model.clocks import StateVector, covers
from memcrdt.model.limits import MIB
from memcrdt.sync.messages import Ack, Diff, Fragment, More, Push, Want
from memcrdt.sync.queries import ask
from memcrdt.sync.replica import Replica
from memcrdt.sync.sender import WANTS
from memcrdt.sync.wire import FRAGMENT_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memcrdt.sync.outbox import Outbox
    from memcrdt.sync.peer_state import PeerVectors
    from memcrdt.sync.queries import Flow
    from memcrdt.sync.replica import Applied, ShardKey
    from memcrdt.sync.sender import Sender

WANTS_WAITING: Final = 4_096  # the next comparison finds the others again
MISSING_CLIENTS: Final = 16  # of a state vector that is remembered while we wait; a push has one or two
HELD_BYTES: Final = 128 * MIB  # of memory for messages that wait for the store; more than the windows of a peer allow
CLIENT_BYTES: Final = 150  # of memory for one client of a state vector


@dataclass(slots=True)
class _Wanted:
    """A Want: the state vector in it, once it is sent, and the clocks that are known to be missing since then."""

    vector: StateVector | None
    missing: StateVector


class Receiver:
    """Wants at most `WANTS` shards at a time, and bounds the memory of messages that wait for the store."""

    def __init__(self, outbox: Outbox, vectors: PeerVectors, sender: Sender) -> None:
        self._outbox = outbox
        self._vectors = vectors
        self._sender = sender
        self._waiting: dict[ShardKey, StateVector] = {}
        self._wanted: dict[ShardKey, _Wanted] = {}
        self._parts: list[bytes] = []
        self._parts_batch = 0
        self._held_bytes = 0

    @property
    def idle(self) -> bool:
        """Whether nothing is wanted or waits to be applied."""
        return not (self._waiting or self._wanted or self._held_bytes)

    def want(self, key: ShardKey, missing: StateVector) -> None:
        """Have the shard wanted: the peer has something of it that we lack, at least `missing`."""
        small = missing if len(missing) <= MISSING_CLIENTS else {}
        if key in self._wanted:
            self._wanted[key].missing = small
        elif len(self._waiting) < WANTS_WAITING:
            self._waiting[key] = small

    def wants(self) -> Iterator[Flow[None]]:
        """Yield a flow for each Want that there is room for: it sends the Want."""
        while self._waiting and len(self._wanted) < WANTS:
            key = next(iter(self._waiting))
            self._wanted[key] = _Wanted(None, self._waiting.pop(key))
            yield self._send_want(key)

    def take_fragment(self, fragment: Fragment) -> None:
        """Keep a part of an update until its Diff comes. One update at a time, so that memory is bounded."""
        if fragment.index == 0 and not self._parts:
            self._parts_batch = fragment.batch
        in_order = fragment.batch == self._parts_batch and fragment.index == len(self._parts)
        if not in_order or not fragment.data or (self._parts and len(self._parts[-1]) < FRAGMENT_BYTES):
            raise RemoteProtocolError(f"fragment {fragment.index} of batch {fragment.batch} is out of order")
        self._parts.append(fragment.data)
        self._outbox.send(More(fragment.batch))

    def take_diff(self, diff: Diff) -> Flow[None]:
        """Apply the answer to a Want, or a diff that the peer knows us to lack."""
        key = (diff.space, diff.shard)
        wanted = self._close_want(key) if diff.asked else None
        update = self._assembled(diff)
        if not update:
            return
        applied = yield from self._apply(key, update, len(update) + CLIENT_BYTES * len(diff.after))
        if not self._acknowledge(diff, applied) or wanted is None:
            return
        ours = applied.state_vector
        if not covers(ours, wanted.missing):
            self.want(key, {})  # a push came in between; empty, so that a false claim is not pursued for ever
        # With equal vectors the copies differed in their deletions: the peer may lack some of these, too.
        if wanted.vector == diff.after or not covers(diff.after, ours):
            self._sender.offer(key, diff.after)

    def take_push(self, push: Push) -> Flow[None]:
        """Apply an update of the peer's log, or look whether we have an update that the peer only announces."""
        key = (push.space, push.shard)
        size = len(push.update) + CLIENT_BYTES * (1 + len(push.needs) + len(push.after))
        if not push.update:
            yield from self._look_up(push, size)
            return
        applied = yield from self._apply(key, push.update, size)
        if applied.status == "gap":
            self._outbox.send(Ack(push.batch, durable=False))
            self.want(key, push.after)
        elif self._acknowledge(push, applied):
            self._vectors.merge(key, push.needs)

    def _send_want(self, key: ShardKey) -> Flow[None]:
        ours = yield from ask(Replica.state_vector, *key)
        self._wanted[key].vector = ours
        self._outbox.send(Want(*key, ours))

    def _close_want(self, key: ShardKey) -> _Wanted:
        wanted = self._wanted.pop(key, None)
        if wanted is None or wanted.vector is None:
            raise RemoteProtocolError(f"shard {key[1]} comes as an answer, but was not asked for")
        return wanted

    def _assembled(self, diff: Diff) -> bytes:
        if not self._parts or self._parts_batch != diff.batch:
            return diff.update
        parts, self._parts = self._parts, []
        return b"".join(parts)

    def _apply(self, key: ShardKey, update: bytes, size: int) -> Flow[Applied]:
        self._hold(size)
        applied = yield from ask(Replica.apply, *key, update, self._outbox.peer)
        self._held_bytes -= size
        return applied

    def _look_up(self, push: Push, size: int) -> Flow[None]:
        key = (push.space, push.shard)
        self._hold(size)
        ours = yield from ask(Replica.state_vector, *key)
        self._held_bytes -= size
        known = covers(ours, push.after)
        self._outbox.send(Ack(push.batch, durable=known))
        self._vectors.merge(key, push.after)
        if not known:
            self.want(key, push.after)

    def _hold(self, size: int) -> None:
        """Count the memory, in bytes, of a message that waits for the store."""
        self._held_bytes += size
        if self._held_bytes > HELD_BYTES:
            raise RemoteProtocolError("more updates are sent than the window allows")

    def _acknowledge(self, message: Diff | Push, applied: Applied) -> bool:
        """Acknowledge an update, and return whether it is durable here.

        An update that cannot be applied, or that brought less than it said, is a strike.
        """
        key = (message.space, message.shard)
        durable = applied.status == "applied"
        self._outbox.send(Ack(message.batch, durable=durable))
        if applied.status == "refused":
            self._outbox.strike("refused", f"shard {key[1]} of space {key[0]}: {applied.reason}")
        elif not durable:
            text = f"shard {key[1]} of space {key[0]}: the answer does not follow on our state"
            self._outbox.strike("protocol", text)
            self.want(key, {})
        else:
            self._vectors.merge(key, message.after)
            if not covers(applied.state_vector, message.after):
                text = f"shard {key[1]} of space {key[0]}: an update brought less than it said"
                self._outbox.strike("protocol", text)
                self.want(key, {})
        return durable
