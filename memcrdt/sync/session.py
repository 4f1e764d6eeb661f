"""The sync with one authenticated peer, over one link, as a state machine.

    greeting --(both greetings)--> ready --(bye, lost, a broken rule)--> closed

Greeting: we ask the store which spaces the peer may see and what they hold, and say hello; only a hello is accepted.
Ready: a space that is the same in both greetings is shared at once, and nothing more is said of it. Of any other both
say who takes part, and it is shared as soon as our store has taken what the peer said. The device with the
smaller id compares such a space at once, and all every 30 s; either sends what its log brings, and answers what is
asked. Closed: every event is ignored.

Nothing is sent that is not durable: every update in a frame is an answer of the store, which gives only what it
has committed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from memcrdt.errors import RemoteProtocolError
from memcrdt.sync.anti_entropy import AntiEntropy
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
from memcrdt.sync.greeting import Greeting
from memcrdt.sync.membership import MembershipExchange
from memcrdt.sync.messages import (
    PROTOCOL,
    Ack,
    Bye,
    Diff,
    Fragment,
    Have,
    Hello,
    MembershipDigest,
    MembershipUpdate,
    Message,
    More,
    Push,
    Range,
    Scrub,
    Scrubbed,
    Unknown,
    Want,
)
from memcrdt.sync.outbox import Outbox
from memcrdt.sync.peer_state import PeerReceipts, PeerVectors
from memcrdt.sync.queries import Met, Spaces
from memcrdt.sync.receiver import Receiver
from memcrdt.sync.scrub_acks import ScrubAcks
from memcrdt.sync.sender import Sender
from memcrdt.sync.space_merge import SpaceMerge
from memcrdt.sync.wire import decode

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from memcrdt.sync.replica import LogPage, SharedSpace

HELLO_TIMEOUT_S: Final = 10.0
INTERVAL_S: Final = 30.0  # as in the design; times 0.75 to 1.25, so that the peers of a node spread out
TIMER_SLACK_S: Final = 0.01  # clocks of event loops are that coarse, at worst
SETTLE_S: Final = 1.0  # after a difference: compare again, so that receipts are exact soon; doubles up to the interval


@dataclass(frozen=True, slots=True)
class LocalNode:
    """Who we are: our device id, and the incarnation of our store."""

    device: str
    incarnation: str


@dataclass(frozen=True, slots=True)
class LogRead:
    """New rows of our log."""

    page: LogPage


SessionEvent: TypeAlias = LinkEvent | Committed | LogRead


class Session:
    """One peer. `handle` takes every event of its link, and the log's rows."""

    def __init__(self, me: LocalNode, link: int, peer: str, *, rng: Random) -> None:
        self.peer = peer
        self.link = link
        self.incarnation = ""  # of the peer's store, once it is known
        self._me = me
        self._rng = rng
        self._now = 0.0
        self._due = 0.0
        self._moved_at = 0.0  # when the last part of a diff came or was asked for
        self._settle_s = SETTLE_S
        self._ours: dict[str, str] | None = None  # id and name of what we said to share
        self._theirs: dict[str, str] | None = None
        self._their_digests: dict[str, bytes] = {}
        self._offered: set[str] = set()  # every space that we have ever said to share
        self._met: frozenset[str] = frozenset()  # what both say to take part in
        self._shared: frozenset[str] = frozenset()  # of these, where the members are settled
        self._port = Outbox(link, peer)
        self._greeting = Greeting(self._port, self._say_hello)
        self._heard_memberss = MembershipExchange(self._port, self._share)
        self._apart = SpaceMerge(self._port)
        self._vectors = PeerVectors()
        self._scrubs = ScrubAcks(self._port)
        self._receipts = PeerReceipts(self._port, self._scrubs.ask)
        self._sender = Sender(self._port, self._vectors, self._receipts)
        self._receiver = Receiver(self._port, self._vectors, self._sender)
        self._comparer = AntiEntropy(self._port, self._receipts, self._sender, self._receiver)

    @property
    def ready(self) -> bool:
        """Whether greetings were exchanged, and the session is open."""
        return self._ours is not None and self._theirs is not None and not self._port.closed

    @property
    def shared(self) -> frozenset[str]:
        """The ids of the spaces that both sides take part in, members settled."""
        return self._shared

    @property
    def closed(self) -> bool:
        """Whether the session has ended; the link is being closed."""
        return self._port.closed

    @property
    def idle(self) -> bool:
        """Whether all that we know of is compared, sent and acknowledged."""
        return self.ready and self._comparer.idle and self._sender.idle and self._receiver.idle

    def handle(self, event: SessionEvent, now: float) -> list[Effect]:
        """Takes one event at `now` (seconds), and returns what is to be done, in order.

        Never raises for what the peer sent: then it reports and closes. LocalProtocolError: the driver's fault.
        """
        if self.closed:
            return []
        self._now = now
        try:
            self._dispatch(event)
            if self.ready:
                self._pump()
        except RemoteProtocolError as exc:
            self._port.report("protocol", str(exc))
            self._port.close(str(exc))
        return self._port.take()

    def take_changed(self) -> bool:
        """Whether our store took another id for a space, or statements of members, since the last call. The other
        sessions have to hear of it at once: whom the statements revoke must not get what comes next."""
        return any([self._heard_memberss.take_news(), self._apart.take_news()])

    def end(self, reason: str) -> list[Effect]:
        """Closes the session from our side."""
        self._port.close(reason)
        return self._port.take()

    def _dispatch(self, event: SessionEvent) -> None:
        match event:
            case Connected():
                self._port.schedule(HELLO_TIMEOUT_S, "hello")
                self._port.ask(Spaces(self.peer), self._greet)
            case FrameReceived(data=data):
                self._received(decode(data))
            case Answered(id=id, answer=answer):
                self._port.answered(id, answer)
            case LogRead(page):
                self._logged(page)
            case Committed():
                self._scrubs.look()
            case Timer(name="hello"):
                if self._theirs is None:
                    raise RemoteProtocolError(f"no greeting came within {HELLO_TIMEOUT_S:.0f} s")
            case Timer(name="greet"):
                self._greeting.hurry()
            case Timer():
                self._compare_if_due()
            case SpacesChanged():
                self._greeting.stop()
                self._port.ask(Spaces(self.peer), self._greet)
                self._heard_memberss.say(sorted(self._met))
                self._apart.offer()
            case SyncNow():
                self._compare()
            case Lost():
                self._port.closed = True

    def _pump(self) -> None:
        self._receiver.pump()
        self._sender.pump()
        self._comparer.pump()
        self._receipts.pump()
        if self._comparer.differed and not self._now < self._due <= self._now + self._settle_s:
            self._compare_in(self._settle_s)

    # --- greeting ----------------------------------------------------------------------------------------------------

    def _greet(self, spaces: Sequence[SharedSpace]) -> None:
        if self._ours is None:
            self._greeting.make(spaces)
        elif self._ours != {space.id: space.name for space in spaces}:
            self._say_hello(spaces)

    def _say_hello(self, spaces: Sequence[SharedSpace]) -> None:
        self._ours = {space.id: space.name for space in spaces}
        self._offered |= self._ours.keys()
        self._port.send(Hello(PROTOCOL, (), self._me.incarnation, self._greeting.offers(spaces)))
        self._meet()

    def _greeted(self, hello: Hello) -> None:
        if hello.version < PROTOCOL:
            raise RemoteProtocolError(f"version {hello.version} of the protocol is not spoken here")
        if hello.incarnation != self.incarnation:
            self.incarnation = hello.incarnation
            self._port.ask(Met(self.peer, hello.incarnation), _nothing)
        self._theirs = {space.id: space.name for space in hello.spaces}
        self._their_digests = {space.id: space.digest for space in hello.spaces}
        self._meet()

    def _meet(self) -> None:
        """Finds the spaces that both share. Both sides come to the same result, from the same two greetings."""
        if self._ours is None or self._theirs is None:
            return
        ours, theirs = self._ours, self._theirs
        shared = ours.keys() & theirs.keys()
        if self._met - shared:
            # Rather than to look for all that stands in queues for a space that is no longer shared.
            self._port.close("the shared spaces have changed")
            return
        fresh, self._met = shared - self._met, frozenset(shared)
        self._port.report("ready", ", ".join(sorted(shared)))
        self._apart.meet(*({space: each[space] for space in sorted(each.keys() - shared)} for each in (ours, theirs)))
        for space in sorted(fresh):
            if standing := self._greeting.agreed(space, self._their_digests.get(space, b"")):
                self._heard_memberss.settle(space, standing.record)
            else:
                self._heard_memberss.compare(space)

    def _share(self, space: str) -> None:
        """The members of the space are settled: documents may pass."""
        self._shared |= {space}
        self._receipts.look(space)
        standing = self._greeting.agreed(space, self._their_digests.get(space, b""))
        if standing and not self._greeting.is_outdated(space):
            self._comparer.agreed(space, standing.rows, standing.asked)
        elif standing or self._begins:
            self._comparer.start(space)
        if self._begins:
            self._compare_in(self._interval_s())
        for message in self._heard_memberss.take_early(space):
            self._received(message)

    # --- ready -------------------------------------------------------------------------------------------------------

    def _received(self, message: Message | Unknown) -> None:
        match message:
            case Hello():
                self._greeted(message)
            case Bye(reason):
                self._port.close(f"the other side closed: {reason}")
            case Unknown():
                pass
            case _ if not self.ready:
                raise RemoteProtocolError("a message came before the greeting")
            case Ack():
                self._sender.acked(message)
            case More():
                self._moved_at = self._now
                self._sender.more(message)
            case Fragment():
                self._moved_at = self._now
                self._receiver.fragment(message)
            case _:
                self._received_for_space(message)

    def _received_for_space(
        self, message: MembershipUpdate | MembershipDigest | Range | Have | Want | Diff | Push | Scrub | Scrubbed
    ) -> None:
        if message.space not in self._met:
            self._check_crossed(message.space)
            if isinstance(message, MembershipUpdate):
                self._apart.heard(message)
        elif isinstance(message, MembershipUpdate):
            self._heard_memberss.heard(message)
        elif isinstance(message, MembershipDigest):
            self._heard_memberss.heard_digest(message)
        elif not self._heard_memberss.is_early(message.space, message):
            self._received_of_documents(message)

    def _check_crossed(self, space: str) -> None:
        """A message about documents of a space that our greeting or theirs named before the two crossed is dropped:
        the one that is on its way ends the session. Any other space was never shared."""
        if space not in self._offered and space not in (self._theirs or {}):
            raise RemoteProtocolError("a message is about a space that is not shared")

    def _received_of_documents(self, message: Range | Have | Want | Diff | Push | Scrub | Scrubbed) -> None:
        match message:
            case Range():
                self._comparer.range(message)
                self._scrubs.look()
            case Have():
                self._comparer.have(message)
            case Want():
                self._moved_at = self._now
                self._sender.want(message)
            case Diff():
                self._moved_at = self._now
                self._receiver.diff(message)
            case Push():
                self._receiver.push(message)
            case Scrub():
                self._scrubs.asked(message)
            case Scrubbed():
                self._receipts.scrubbed(message.space, self._scrubs.answered(message))

    def _logged(self, page: LogPage) -> None:
        # First what is no longer there: a row behind it must not count for it, too.
        for space, shard in page.resync:
            if space in self._shared:
                self._comparer.mark((space, shard))
            else:
                self._greeting.logged(space)
        for entry in page.entries:
            if entry.space not in self._shared:
                self._greeting.logged(entry.space)
            elif self.peer in page.audience[entry.space] and not self._sender.push(entry):
                self._comparer.mark((entry.space, entry.shard))

    # --- when to compare ---------------------------------------------------------------------------------------------

    @property
    def _begins(self) -> bool:
        """One of the two sides begins comparisons, so that an idle pair compares once."""
        return self._me.device < self.peer

    def _interval_s(self) -> float:
        return INTERVAL_S * self._rng.uniform(0.75, 1.25)

    def _compare_in(self, delay_s: float) -> None:
        self._due = self._now + delay_s
        self._port.schedule(delay_s, "compare")

    def _compare(self) -> None:
        for space in sorted(self._shared):
            self._comparer.start(space)

    def _compare_if_due(self) -> None:
        if self._now < self._due - TIMER_SLACK_S:
            return  # another timer was set since
        idle = self._sender.idle and self._receiver.idle
        if self._now < self._moved_at + (SETTLE_S if idle else INTERVAL_S):
            self._compare_in(SETTLE_S)  # what is on its way would look like a difference, and be asked for again
            return
        self._settle_s = min(2 * self._settle_s, INTERVAL_S) if self._comparer.differed else SETTLE_S
        self._comparer.differed = False
        self._compare()
        if self._begins:
            self._compare_in(self._interval_s())


def _nothing(_: None) -> None:
    """What is to be done about an answer that says nothing."""
