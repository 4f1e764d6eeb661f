"""The receiving half of a session: apply the peer's updates, and request the shards that are incomplete.

A Want contains our state vector, and the peer answers with a Diff. A push whose base is missing here changes nothing,
and its shard is wanted. Every update is acknowledged, as durable once our store has committed it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from memcrdt.errors import RemoteProtocolError
from memcrdt.model.clocks import StateVector, covers
from memcrdt.model.limits import MIB
from memcrdt.sync.messages import Ack, Declined, Diff, Fragment, More, Push, Restate, Want
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
MISSING_CLIENTS: Final = 16  # in a state vector that is remembered while we wait; a push has one or two
HELD_BYTES: Final = 128 * MIB  # of memory for messages that wait for the store; more than a peer's windows allow
CLIENT_BYTES: Final = 150  # of memory for one client of a state vector


@dataclass(slots=True)
class _Wanted:
    """A Want: its state vector, once it is sent, and the clocks that we have learned to be missing."""

    vector: StateVector | None
    missing: StateVector


class Receiver:
    """Requests up to `WANTS` shards at a time, and bounds the memory of messages that wait for the store."""

    def __init__(self, outbox: Outbox, vectors: PeerVectors, sender: Sender) -> None:
        self._outbox = outbox
        self._vectors = vectors
        self._sender = sender
        self._waiting: dict[ShardKey, StateVector] = {}
        self._wanted: dict[ShardKey, _Wanted] = {}
        self._parts: list[bytes] = []
        self._parts_batch = 0
        self._held_bytes = 0
        self._full: set[ShardKey] = set()  # not wanted again in this session

    @property
    def idle(self) -> bool:
        """Whether nothing is wanted or waiting to be applied."""
        return not (self._waiting or self._wanted or self._held_bytes)

    def want(self, key: ShardKey, missing: StateVector) -> None:
        """Request the shard from the peer, which has a part of it that we lack, at least `missing`."""
        if key in self._full:
            return
        small = missing if len(missing) <= MISSING_CLIENTS else {}
        if key in self._wanted:
            self._wanted[key].missing = small
        elif len(self._waiting) < WANTS_WAITING:
            self._waiting[key] = small

    def wants(self) -> Iterator[Flow[None]]:
        """Yield a flow that sends a Want, as long as more may be open."""
        while self._waiting and len(self._wanted) < WANTS:
            key = next(iter(self._waiting))
            self._wanted[key] = _Wanted(None, self._waiting.pop(key))
            yield self._send_want(key)

    def take_fragment(self, fragment: Fragment) -> None:
        """Keep a part of an update until its Diff arrives. One update at a time, so that memory is bounded."""
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
        is_durable = self._acknowledge(diff, applied)
        if applied.hidden:
            self._outbox.send(Restate(*key, applied.hidden))
        if not is_durable or wanted is None:
            return
        ours = applied.state_vector
        if not covers(ours, wanted.missing):
            self.want(key, {})  # a push came in between; empty, so that a false claim is not pursued forever
        # With equal vectors, the copies differed in deletions only: the peer may lack some of ours too.
        if wanted.vector == diff.after or not covers(diff.after, ours):
            self._sender.offer(key, diff.after)

    def take_push(self, push: Push) -> Flow[None]:
        """Apply an update of the peer's log, or check whether we have an update that the peer only announces."""
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
            raise RemoteProtocolError(f"an answer with shard {key[1]} came without a request")
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
            raise RemoteProtocolError("more updates were sent than the window allows")

    def _acknowledge(self, message: Diff | Push, applied: Applied) -> bool:
        """Acknowledge an update, and return whether it is durable here.

        An update that cannot be applied, or that contained less than its message said, is a strike. An update for which
        there is no room is none: the peer may have it from an older version, which set no limit.
        """
        key = (message.space, message.shard)
        durable = applied.status == "applied"
        if applied.status in ("full", "later") and isinstance(message, Diff):
            self._outbox.send(Declined(message.batch, applied.reason))
        self._outbox.send(Ack(message.batch, durable=durable))
        if applied.status == "refused":
            self._outbox.strike("refused", f"shard {key[1]} of space {key[0]}: {applied.reason}")
        elif applied.status == "full":
            if len(self._full) < WANTS_WAITING:
                self._full.add(key)
            self._outbox.report("refused", f"shard {key[1]} of space {key[0]}: {applied.reason}")
        elif applied.status == "later":
            pass  # the next comparison asks for it
        elif not durable:
            text = f"shard {key[1]} of space {key[0]}: the answer does not continue from our state"
            self._outbox.strike("protocol", text)
            self.want(key, {})
        else:
            self._vectors.merge(key, message.after)
            if not covers(applied.state_vector, message.after):
                text = f"shard {key[1]} of space {key[0]}: an update contained less than its message said"
                self._outbox.strike("protocol", text)
                self.want(key, {})
        return durable
