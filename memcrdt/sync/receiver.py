"""What comes from the peer: updates are applied, or, where something before them is missing, asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from memcrdt.errors import RemoteProtocolError
from memcrdt.model.clocks import StateVector, covers
from memcrdt.model.limits import MIB
from memcrdt.sync.messages import Ack, Diff, Fragment, More, Push, Want
from memcrdt.sync.queries import ApplyUpdate, StateVectorOf
from memcrdt.sync.sender import WANTS
from memcrdt.sync.wire import FRAGMENT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from memcrdt.sync.outbox import Outbox, ShardKey
    from memcrdt.sync.peer_state import PeerVectors
    from memcrdt.sync.replica import Applied
    from memcrdt.sync.sender import Sender

WANTS_WAITING: Final = 4_096  # further ones are found again by the next comparison
MISSING_CLIENTS: Final = 16  # in a state vector that is remembered while we wait; a push has one or two
HELD_BYTES: Final = 128 * MIB  # of memory, for what waits for the store; more than the windows of a peer allow
CLIENT_BYTES: Final = 150  # of memory, for one client of a state vector


@dataclass(slots=True)
class _Wanted:
    """A Want: our state vector in it, once it is sent, and what is known to be missing since then."""

    vector: StateVector | None
    missing: StateVector


class Receiver:
    """The receiving half of a session."""

    def __init__(self, port: Outbox, vectors: PeerVectors, sender: Sender) -> None:
        self._port = port
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
        """The peer has something of the shard that we lack, at least `missing`."""
        small = missing if len(missing) <= MISSING_CLIENTS else {}
        if key in self._wanted:
            self._wanted[key].missing = small
        elif len(self._waiting) < WANTS_WAITING:
            self._waiting[key] = small

    def pump(self) -> None:
        """Asks for what there is room for."""
        while self._waiting and len(self._wanted) < WANTS:
            key = next(iter(self._waiting))
            self._wanted[key] = _Wanted(None, self._waiting.pop(key))
            self._port.ask(StateVectorOf(*key), partial(self._send_want, key))

    def _send_want(self, key: ShardKey, ours: StateVector) -> None:
        self._wanted[key].vector = ours
        self._port.send(Want(*key, ours))

    def fragment(self, fragment: Fragment) -> None:
        """A part of an update: kept until its Diff comes. One update at a time, so that memory is bounded."""
        if fragment.index == 0 and not self._parts:
            self._parts_batch = fragment.batch
        in_order = fragment.batch == self._parts_batch and fragment.index == len(self._parts)
        if not in_order or not fragment.data or (self._parts and len(self._parts[-1]) < FRAGMENT_BYTES):
            raise RemoteProtocolError(f"fragment {fragment.index} of batch {fragment.batch} is out of order")
        self._parts.append(fragment.data)
        self._port.send(More(fragment.batch))

    def diff(self, diff: Diff) -> None:
        """What we wanted, or something that the peer knows us to lack."""
        key = (diff.space, diff.shard)
        wanted = self._answered(key) if diff.asked else None
        update = diff.update
        if self._parts and self._parts_batch == diff.batch:
            update = b"".join(self._parts)
            self._parts = []
        if update:
            query = ApplyUpdate(*key, update, self._port.peer)
            self._ask(query, len(update) + CLIENT_BYTES * len(diff.after), partial(self._diff_applied, diff, wanted))

    def push(self, push: Push) -> None:
        """An update of the peer's log, or the announcement of one."""
        key = (push.space, push.shard)
        size = len(push.update) + CLIENT_BYTES * (1 + len(push.needs) + len(push.after))
        if push.update:
            self._ask(ApplyUpdate(*key, push.update, self._port.peer), size, partial(self._push_applied, push))
        else:
            self._ask(StateVectorOf(*key), size, partial(self._announced, push))

    def _answered(self, key: ShardKey) -> _Wanted:
        wanted = self._wanted.pop(key, None)
        if wanted is None or wanted.vector is None:
            raise RemoteProtocolError(f"shard {key[1]} comes as an answer, but was not asked for")
        return wanted

    def _ask(self, query: ApplyUpdate | StateVectorOf, size: int, then: Callable[[Any], None]) -> None:
        """Asks the store, while a message of this size in memory is held for `then`."""
        self._held_bytes += size
        if self._held_bytes > HELD_BYTES:
            raise RemoteProtocolError("more updates are sent than the window allows")
        self._port.ask(query, partial(self._release, size, then))

    def _release(self, size: int, then: Callable[[Any], None], answer: Applied | StateVector) -> None:
        self._held_bytes -= size
        then(answer)

    def _diff_applied(self, diff: Diff, wanted: _Wanted | None, applied: Applied) -> None:
        key = (diff.space, diff.shard)
        if not self._taken(diff, applied):
            return
        ours = applied.state_vector
        if wanted is None:
            return
        if not covers(ours, wanted.missing):
            self.want(key, {})  # a push came in between; empty, so that a false claim is not pursued for ever
        # With equal vectors the copies differed in what was deleted: the peer may lack some of that, too.
        if wanted.vector == diff.after or not covers(diff.after, ours):
            self._sender.offer(key, diff.after)

    def _push_applied(self, push: Push, applied: Applied) -> None:
        if applied.status == "gap":
            self._port.send(Ack(push.batch, durable=False))
            self.want((push.space, push.shard), push.after)
        elif self._taken(push, applied):
            self._vectors.merge((push.space, push.shard), push.needs)

    def _announced(self, push: Push, ours: StateVector) -> None:
        key = (push.space, push.shard)
        known = covers(ours, push.after)
        self._port.send(Ack(push.batch, durable=known))
        self._vectors.merge(key, push.after)
        if not known:
            self.want(key, push.after)

    def _taken(self, message: Diff | Push, applied: Applied) -> bool:
        """Acknowledges an update that is durable here. One that can't be, or brought less than it said, is a strike."""
        key = (message.space, message.shard)
        taken = applied.status == "applied"
        self._port.send(Ack(message.batch, durable=taken))
        if applied.status == "refused":
            self._port.strike("refused", f"shard {key[1]} of space {key[0]}: {applied.reason}")
        elif not taken:
            self._port.strike("protocol", f"shard {key[1]} of space {key[0]}: the answer does not follow on our state")
            self.want(key, {})
        else:
            self._vectors.merge(key, message.after)
            if not covers(applied.state_vector, message.after):
                self._port.strike("protocol", f"shard {key[1]} of space {key[0]}: an update brought less than it said")
                self.want(key, {})
        return taken
