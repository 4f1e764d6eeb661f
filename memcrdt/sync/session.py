"""The sync with one authenticated peer, over one link, as a state machine.

The session goes through three phases, and so does each of its spaces once both sides have greeted:

    CONNECTED --(both greetings)--> GREETED --(bye, link lost, a broken rule)--> closed

        space: NAMED --(by both greetings)--> MET --(members settled)--> SHARED

CONNECTED: we query our store for the spaces that the peer may see and their digests, and send Hello.

GREETED: a space with the same digest in both greetings is shared at once, without further messages. For every other
space that both greetings name, the two sides exchange membership. The space is shared as soon as our store has taken
the peer's statements. The device with the smaller id then compares it, and compares all spaces every 30 s. Either side
pushes the new rows of its log, and answers the other.

Closed: every event is ignored. A space never goes back to an earlier phase: when it is no longer shared, the session
ends, and the next session greets without it.

`_rules` is the table of all messages: the phase from which each is accepted, and its handler. The treatment of a
message that comes too early depends only on the phase (`_receive`).

Each part has one job. `Greetings` finds the common spaces, `MembershipExchange` settles their members, and `SpaceMerge`
handles spaces that only one side has. `AntiEntropy` finds the shards that differ, and `Sender` and `Receiver` transfer
them. `PeerReceipts` and `ScrubAcks` record the peer's confirmations. A part that needs the store is a generator (see
`queries`). The session starts it and acts on its result. No part calls the session.

Only durable updates are sent: every update in a frame is an answer of the store, which returns only committed data.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, auto
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from memcrdt.errors import RemoteProtocolError
from memcrdt.sync.anti_entropy import AntiEntropy, ComparisonTimer
from memcrdt.sync.events import (
    Answered,
    Committed,
    Connected,
    Effect,
    FrameReceived,
    LinkEvent,
    Lost,
    SpacesChanged,
    SyncNow,
    Timer,
)
from memcrdt.sync.greeting import Greetings
from memcrdt.sync.membership import MembershipExchange, SpaceMerge
from memcrdt.sync.messages import (
    Ack,
    Bye,
    Declined,
    Diff,
    Fragment,
    Have,
    Hello,
    HubHint,
    MembershipDigest,
    MembershipUpdate,
    Message,
    More,
    Push,
    Range,
    Restate,
    Scrub,
    Scrubbed,
    SpaceMessage,
    Unknown,
    Want,
)
from memcrdt.sync.outbox import Outbox
from memcrdt.sync.peer_state import PeerReceipts, PeerVectors, ScrubAcks
from memcrdt.sync.queries import ask
from memcrdt.sync.receiver import Receiver
from memcrdt.sync.replica import Replica
from memcrdt.sync.sender import Sender
from memcrdt.sync.wire import decode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from random import Random

    from memcrdt.sync.queries import Flow
    from memcrdt.sync.replica import LogPage, SharedSpace

HELLO_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class LocalNode:
    """This node: our device id, the incarnation of our store, and the features in our greetings."""

    device: str
    incarnation: str
    features: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LogRead:
    """The event that our log has new rows."""

    page: LogPage


SessionEvent: TypeAlias = LinkEvent | Committed | LogRead


class Phase(IntEnum):
    """The phase of the session, or of the space that a message is about."""

    CONNECTED = auto()  # at least one greeting is missing
    GREETED = auto()  # both have greeted
    NAMED = auto()  # one side has named the space
    MET = auto()  # both greetings name the space
    SHARED = auto()  # its members are settled


class Rule(NamedTuple):
    """The rule for one message type: it is accepted from phase `since` on. A handler that uses the store is a flow."""

    since: Phase
    handler: Callable[[Any], Flow[None] | None]


MOVES_DIFFS: Final = (Want, Diff, Fragment, More)  # during such messages a comparison would find false differences


class Session:
    """The session with one peer. `handle` takes every event of its link, and the new rows of the log."""

    def __init__(self, me: LocalNode, link: int, peer: str, *, rng: Random) -> None:
        self.peer = peer
        self.link = link
        self.incarnation = ""  # of the peer's store, once it is known
        self.hub: HubHint | None = None  # what the peer says of itself, if it is a hub
        self._me = me
        self._now = 0.0
        self._met: frozenset[str] = frozenset()
        self._shared: frozenset[str] = frozenset()
        self._membership_changed = False
        self._outbox = Outbox(link, peer)
        self._greetings = Greetings(self._outbox)
        self._membership = MembershipExchange(self._outbox)
        self._space_merge = SpaceMerge(self._outbox)
        self._scrub_acks = ScrubAcks(self._outbox)
        self._receipts = PeerReceipts(self._outbox)
        vectors = PeerVectors()
        self._sender = Sender(self._outbox, vectors, self._receipts)
        self._receiver = Receiver(self._outbox, vectors, self._sender)
        self._anti_entropy = AntiEntropy(self._outbox, self._receipts, self._sender, self._receiver)
        self._timer = ComparisonTimer(self._outbox, rng, begins=me.device < peer)
        self._rules: Mapping[type, Rule] = {
            Hello: Rule(Phase.CONNECTED, self._take_hello),
            Bye: Rule(Phase.CONNECTED, self._take_bye),
            Unknown: Rule(Phase.CONNECTED, _skip),
            Ack: Rule(Phase.GREETED, self._take_ack),
            More: Rule(Phase.GREETED, self._sender.take_more),
            Declined: Rule(Phase.GREETED, self._sender.take_declined),
            Fragment: Rule(Phase.GREETED, self._receiver.take_fragment),
            MembershipUpdate: Rule(Phase.NAMED, self._take_membership),
            MembershipDigest: Rule(Phase.MET, self._take_membership_digest),
            Range: Rule(Phase.SHARED, self._take_range),
            Have: Rule(Phase.SHARED, self._anti_entropy.take_have),
            Want: Rule(Phase.SHARED, self._sender.take_want),
            Diff: Rule(Phase.SHARED, self._receiver.take_diff),
            Push: Rule(Phase.SHARED, self._receiver.take_push),
            Restate: Rule(Phase.SHARED, self._take_restate),
            Scrub: Rule(Phase.SHARED, self._scrub_acks.owe),
            Scrubbed: Rule(Phase.SHARED, self._take_scrubbed),
        }

    @property
    def ready(self) -> bool:
        """Whether both greetings were exchanged, and the session is open."""
        return self._greetings.ours is not None and self._greetings.theirs is not None and not self._outbox.closed

    @property
    def shared(self) -> frozenset[str]:
        """The ids of the spaces in phase SHARED."""
        return self._shared

    @property
    def closed(self) -> bool:
        """Whether the session has ended, and its link is being closed."""
        return self._outbox.closed

    @property
    def idle(self) -> bool:
        """Whether everything that we know of is compared, sent and acknowledged."""
        return self.ready and self._anti_entropy.idle and self._sender.idle and self._receiver.idle

    def handle(self, event: SessionEvent, now: float) -> list[Effect]:
        """Take one event at `now` (seconds), and return the effects to perform, in order.

        If the peer breaks the protocol, the session reports it and closes, and raises nothing.

        Raises:
            LocalProtocolError: The driver broke the contract of `events`.
        """
        if self.closed:
            return []
        self._now = now
        try:
            self._handle(event)
            if self.ready:
                self._pump()
        except RemoteProtocolError as exc:
            self._outbox.report("protocol", str(exc))
            self._outbox.close(str(exc))
        return self._outbox.take()

    def take_changed(self) -> bool:
        """Return whether our store took over membership, or another id for a space, since the last call.

        The other sessions have to know at once, because a device that was revoked must get nothing more.
        """
        changed, self._membership_changed = self._membership_changed, False
        return changed

    def end(self, reason: str) -> list[Effect]:
        """Close the session from our side."""
        self._outbox.close(reason)
        return self._outbox.take()

    def _handle(self, event: SessionEvent) -> None:
        match event:
            case Connected():
                self._outbox.schedule(HELLO_TIMEOUT_S, "hello")
                self._outbox.start(self._greet())
            case FrameReceived(data=data):
                self._receive(decode(data))
            case Answered(id=id, answer=answer):
                self._outbox.answered(id, answer)
            case LogRead(page):
                self._push(page)
            case Committed():
                self._outbox.start(*self._scrub_acks.looks())
            case Timer(name=name):
                self._fire(name)
            case SpacesChanged():
                self._greetings.stop()
                updates = (self._membership.send(space) for space in sorted(self._met))
                self._outbox.start(self._greet(), *updates, *self._space_merge.offers())
            case SyncNow():
                self._compare()
            case Lost():
                self._outbox.closed = True

    def _fire(self, timer: str) -> None:
        if timer == "compare":
            self._compare_if_due()
        elif timer == "greet" and (spaces := self._greetings.stop()) is not None:
            self._say_hello(spaces)
        elif timer == "hello" and self._greetings.theirs is None:
            raise RemoteProtocolError(f"no greeting came within {HELLO_TIMEOUT_S:.0f} s")

    def _receive(self, message: Message | Unknown) -> None:
        rule, phase = self._rules[type(message)], self._phase(message)
        if phase >= rule.since:
            if isinstance(message, MOVES_DIFFS):
                self._timer.moved(self._now)
            if flow := rule.handler(message):
                self._outbox.start(flow)
        elif phase == Phase.CONNECTED:
            raise RemoteProtocolError("a message came before the greeting")
        elif phase == Phase.GREETED:
            raise RemoteProtocolError("a message is about a space that is not shared")
        elif phase == Phase.MET and isinstance(message, SpaceMessage):
            self._membership.hold(message)
        # Otherwise the space is NAMED: greetings have crossed. A greeting in flight will end the session or share the
        # space, so the message is dropped.

    def _phase(self, message: Message | Unknown) -> Phase:
        if not self.ready:
            return Phase.CONNECTED
        if not isinstance(message, SpaceMessage):
            return Phase.GREETED
        if message.space in self._met:
            return Phase.SHARED if message.space in self._shared else Phase.MET
        return Phase.NAMED if self._greetings.is_named(message.space) else Phase.GREETED

    def _pump(self) -> None:
        """Send and query as much as the windows allow."""
        self._outbox.start(*self._receiver.wants())
        self._outbox.start(self._sender.pump(), self._anti_entropy.list_marked(), self._record_receipts())
        if self._anti_entropy.differed:
            self._timer.settle(self._now)

    def _take_ack(self, ack: Ack) -> None:
        """An Ack of a diff is movement, too: a peer that has nothing of a space is sent diffs, and wants none."""
        if self._sender.take_ack(ack):
            self._timer.moved(self._now)

    # --- greetings ---------------------------------------------------------------------------------------------------

    def _greet(self) -> Flow[None]:
        spaces = yield from ask(Replica.spaces, self.peer)
        if self._greetings.ours is None:
            if (yield from self._greetings.gather(spaces)):
                self._say_hello(spaces)
        elif self._greetings.ours != {space.id: space.name for space in spaces}:
            self._say_hello(spaces)

    def _say_hello(self, spaces: Sequence[SharedSpace]) -> None:
        self._greetings.send(spaces, self._me.incarnation, self._me.features)
        self._meet()

    def _take_hello(self, hello: Hello) -> None:
        self._greetings.take(hello)
        self.hub = HubHint.of(hello.features)
        if hello.incarnation != self.incarnation:
            self.incarnation = hello.incarnation
            self._outbox.start(ask(Replica.note_incarnation, self.peer, hello.incarnation))
        self._meet()

    def _take_bye(self, bye: Bye) -> None:
        self._outbox.close(f"the other side closed: {bye.reason}")

    def _meet(self) -> None:
        """Find the spaces that both greetings name. Both sides get the same result from the same two greetings."""
        ours, theirs = self._greetings.ours, self._greetings.theirs
        if ours is None or theirs is None:
            return
        both = ours.keys() & theirs.keys()
        if self._met - both:
            # Queues may have messages about a space that is no longer shared. A new session is simpler than a search.
            self._outbox.close("the shared spaces have changed")
            return
        fresh, self._met = both - self._met, frozenset(both)
        self._outbox.report("ready", ", ".join(sorted(both)))
        only_ours, only_theirs = ({key: each[key] for key in sorted(each.keys() - both)} for each in (ours, theirs))
        self._space_merge.meet(only_ours, only_theirs)
        self._outbox.start(*self._space_merge.offers(), self._space_merge.tell_revoked())
        for space in sorted(fresh):
            if greeted := self._greetings.agreed(space):
                self._outbox.start(self._membership.agree(space, greeted.membership))
                self._share(space)
            else:
                self._outbox.start(self._membership.compare(space))

    # --- membership --------------------------------------------------------------------------------------------------

    def _take_membership(self, message: MembershipUpdate) -> None:
        if message.space in self._met:
            self._outbox.start(self._settle_members(message), self._membership.answer(message.space))
        else:
            self._outbox.start(self._merge_space(message))

    def _take_membership_digest(self, message: MembershipDigest) -> Flow[None]:
        if (yield from self._membership.match(message)):
            self._share(message.space)

    def _settle_members(self, message: MembershipUpdate) -> Flow[None]:
        both_belong = yield from self._membership.merge(message)
        self._membership_changed = True
        if both_belong:
            self._share(message.space)
        else:
            self._outbox.close("the members of a shared space have changed")

    def _merge_space(self, message: MembershipUpdate) -> Flow[None]:
        if (yield from self._space_merge.merge(message)):
            self._membership_changed = True

    def _share(self, space: str) -> None:
        """Enter phase SHARED: the members of the space are settled, so documents may be exchanged."""
        if space in self._shared:
            return
        self._shared |= {space}
        self._receipts.look(space)
        greeted = self._greetings.agreed(space)
        if greeted and not self._greetings.is_outdated(space):
            self._anti_entropy.agreed(space, greeted.rows, greeted.asked)
        elif greeted or self._timer.begins:
            self._outbox.start(self._anti_entropy.begin(space))
        self._timer.restart(self._now)
        for message in self._membership.release(space):
            self._receive(message)

    # --- documents ---------------------------------------------------------------------------------------------------

    def _push(self, page: LogPage) -> None:
        # First the shards whose rows were folded away, so that a later row is not counted as a receipt for them.
        for space, shard in page.resync:
            if space in self._shared:
                self._anti_entropy.mark((space, shard))
            else:
                self._greetings.note_row(space)
        for entry in page.entries:
            if entry.space not in self._shared:
                self._greetings.note_row(entry.space)
            elif self.peer in page.audience[entry.space] and not self._sender.push(entry):
                self._anti_entropy.mark((entry.space, entry.shard))

    def _take_range(self, message: Range) -> None:
        self._outbox.start(self._anti_entropy.take_range(message), *self._scrub_acks.looks())

    def _take_scrubbed(self, message: Scrubbed) -> None:
        self._receipts.scrubbed(message.space, self._scrub_acks.answered(message))

    def _take_restate(self, message: Restate) -> Flow[None]:
        yield from ask(Replica.restate, message.space, message.shard, message.keys, self.peer)

    def _record_receipts(self) -> Flow[None]:
        space, unscrubbed = yield from self._receipts.record()
        if unscrubbed:
            self._scrub_acks.ask(space, unscrubbed)

    def _compare(self) -> None:
        self._outbox.start(*(self._anti_entropy.begin(space) for space in sorted(self._shared)))

    def _compare_if_due(self) -> None:
        idle = self._sender.idle and self._receiver.idle
        if self._timer.is_due(self._now, idle=idle, differed=self._anti_entropy.differed):
            self._anti_entropy.differed = False
            self._compare()
            self._timer.restart(self._now)


def _skip(_: Unknown) -> None:
    """Ignore a message of a newer version."""
