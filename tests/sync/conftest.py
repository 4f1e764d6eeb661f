"""A network in one process: nodes with a FakeReplica each, virtual time, and a seed for every delay."""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

import pytest

from memcrdt.sync.events import (
    Answered,
    Ask,
    Close,
    Committed,
    Connected,
    Dial,
    DialFailed,
    FrameReceived,
    Lost,
    Report,
    Schedule,
    SendFrame,
    Started,
    Timer,
)
from memcrdt.sync.gossip import Gossip
from memcrdt.sync.messages import PROTOCOL, Hello, Members
from memcrdt.sync.queries import perform
from memcrdt.sync.replica import Roll
from memcrdt.sync.session import Identity, Logged, Session
from memcrdt.sync.wire import decode, encode
from memcrdt.testing.replica import FakeReplica

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from memcrdt.sync.events import Effect, Event
    from memcrdt.sync.messages import Message, Unknown
    from memcrdt.sync.session import SessionEvent


@dataclass
class Node:
    """One device: its id, its store, its gossip, and what the gossip reported."""

    id: str
    replica: FakeReplica
    gossip: Gossip
    reports: list[Report] = field(default_factory=list)
    dials: list[str] = field(default_factory=list)
    busy_until: float = 0.0

    def texts(self, space: str = "S") -> set[str]:
        return self.replica.texts(space)

    def kinds(self) -> set[str]:
        return {report.kind for report in self.reports}


@dataclass
class Wire:
    """A link between two nodes; `arrives` keeps each direction in order."""

    ends: tuple[Node, Node]
    up: bool = True
    arrives: dict[str, float] = field(default_factory=dict)

    def other(self, node: Node) -> Node:
        return self.ends[1] if node is self.ends[0] else self.ends[0]


@dataclass(frozen=True)
class Sent:
    """A frame that went over the network."""

    at: float
    source: str
    target: str
    size: int
    message: Message | Unknown


class World:
    """The nodes, and what happens between them. Delays are random: a frame takes up to `latency` seconds, and a query
    up to `store` seconds until it is performed and as long again until it is answered."""

    def __init__(self, seed: int, latency: float = 0.0, store: float = 0.0) -> None:
        self.rng = Random(seed)
        self.latency = latency
        self.store = store
        self.now = 0.0
        self.nodes: dict[str, Node] = {}
        self.sent: list[Sent] = []
        self.wires: dict[int, Wire] = {}
        self.parted: set[frozenset[str]] = set()
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def node(self, id: str) -> Node:
        replica = FakeReplica(client=len(self.nodes) + 1)
        gossip = Gossip(id, f"incarnation of {id}", rng=Random(self.rng.random()))
        node = self.nodes[id] = Node(id, replica, gossip)
        self.give(node, Started())
        return node

    def nodes_sharing(self, ids: Iterable[str], space: str = "S") -> list[Node]:
        """One node for each id, all in one space."""
        made = [self.node(device) for device in ids]
        for node in made:
            node.replica.share(space, f"name of {space}", *(other.id for other in made if other is not node))
        return made

    def write(self, node: Node, shard: int, *texts: str, space: str = "S") -> None:
        node.replica.write(space, shard, *texts)
        self.give(node, Committed())

    def connect(self, a: Node, b: Node) -> int:
        """A link that `a` has dialed."""
        self._count += 1
        link = self._count
        self.wires[link] = Wire((a, b))
        self.give(a, Connected(link, b.id, dialed=True))
        self.give(b, Connected(link, a.id, dialed=False))
        return link

    def cut(self, link: int) -> None:
        """Ends a link; what is on its way is lost."""
        wire = self.wires[link]
        if wire.up:
            wire.up = False
            for node in wire.ends:
                self.give(node, Lost(link))

    def run(self, seconds: float) -> None:
        """Lets so much time pass."""
        end = self.now + seconds
        while self._agenda and self._agenda[0][0] <= end:
            self.now, _, action = heapq.heappop(self._agenda)
            action()
        self.now = end

    def bytes(self, since: float = 0.0) -> int:
        return sum(sent.size for sent in self.sent if sent.at >= since)

    def messages(self, kind: type, source: str | None = None, target: str | None = None) -> list[Sent]:
        return [
            sent
            for sent in self.sent
            if isinstance(sent.message, kind) and source in (None, sent.source) and target in (None, sent.target)
        ]

    def give(self, node: Node, event: Event) -> None:
        for effect in node.gossip.handle(event, self.now):
            self._carry_out(node, effect)

    def _at(self, time: float, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._agenda, (time, self._count, action))

    def _carry_out(self, node: Node, effect: Effect) -> None:
        match effect:
            case SendFrame(link, data):
                self._send(node, link, data)
            case Ask():
                self._ask(node, effect)
            case Schedule(link, delay_s, name):
                self._at(self.now + delay_s, lambda: self.give(node, Timer(link, name)))
            case Close(link):
                wire = self.wires[link]
                self._at(self._arrival(wire, wire.other(node)), lambda: self.cut(link))
            case Dial(peer):
                node.dials.append(peer)
                self._at(self.now + self._delay(), lambda: self._dial(node, peer))
            case Report():
                node.reports.append(effect)

    def _send(self, node: Node, link: int, data: bytes) -> None:
        wire = self.wires[link]
        other = wire.other(node)
        self.sent.append(Sent(self.now, node.id, other.id, len(data), decode(data)))
        self._at(self._arrival(wire, other), lambda: wire.up and self.give(other, FrameReceived(link, data)))

    def _ask(self, node: Node, ask: Ask) -> None:
        """The store does one thing after the other, and its answers come late."""
        node.busy_until = max(node.busy_until, self.now) + self.rng.uniform(0, self.store)

        def answer() -> None:
            result = perform(node.replica, ask.query)
            node.busy_until = max(node.busy_until, self.now) + self.rng.uniform(0, self.store)
            self._at(node.busy_until, lambda: self.give(node, Answered(ask.link, ask.id, result)))

        self._at(node.busy_until, answer)

    def _dial(self, node: Node, peer: str) -> None:
        if peer in self.nodes and frozenset((node.id, peer)) not in self.parted:
            self.connect(node, self.nodes[peer])
        else:
            self.give(node, DialFailed(peer))

    def _arrival(self, wire: Wire, target: Node) -> float:
        time = max(wire.arrives.get(target.id, 0.0), self.now + self._delay())
        wire.arrives[target.id] = time
        return time

    def _delay(self) -> float:
        return self.rng.uniform(0, self.latency)


class Hand:
    """A session of device "A", whose peer "B" is played by the test."""

    def __init__(self) -> None:
        self.replica = FakeReplica(client=1)
        self.replica.share("S", "shared", "B")
        self.replica.share("P", "private", "C")
        self.session = Session(Identity("A", "ours"), 1, "B", rng=Random(1))
        self.now = 0.0
        self.reports: list[Report] = []
        self.closed = ""
        self.timers: list[str] = []
        self.performing = True
        self.pending: list[Ask] = []

    def greet(self) -> Hand:
        """Both greetings, and the first comparison."""
        self.handle(Connected(1, "B", dialed=True))
        self.say(Hello(PROTOCOL, (), "theirs", (("S", "shared"),)))
        self.say(Members("S", Roll()))
        return self

    def say(self, message: Message | bytes) -> list[Message | Unknown]:
        """What the session sends when the peer sends this."""
        frame = message if isinstance(message, bytes) else encode(message)
        return self.handle(FrameReceived(1, frame))

    def write(self, shard: int, *texts: str) -> list[Message | Unknown]:
        """What the session sends when we commit this."""
        seq = self.replica.head()
        self.replica.write("S", shard, *texts)
        return self.handle(Logged(self.replica.log(seq, 64)))

    def handle(self, event: SessionEvent) -> list[Message | Unknown]:
        """The messages that the session sends, the store's answers included."""
        return self._carry_out(self.session.handle(event, self.now))

    def perform_pending(self) -> list[Message | Unknown]:
        """What the session sends when the store answers all that it was asked while `performing` was off."""
        self.performing = True
        return self._carry_out(self.pending)

    def _carry_out(self, effects: list[Effect]) -> list[Message | Unknown]:
        sent = []
        queue = deque(effects)
        while queue:
            match queue.popleft():
                case SendFrame(_, data):
                    sent.append(decode(data))
                case Ask(link, id, query) if self.performing:
                    answer = Answered(link, id, perform(self.replica, query))
                    queue.extend(self.session.handle(answer, self.now))
                case Ask() as ask:
                    self.pending.append(ask)
                case Schedule(_, _, name):
                    self.timers.append(name)
                case Close(_, reason):
                    self.closed = reason
                case Report() as report:
                    self.reports.append(report)
        return sent


@pytest.fixture
def hand() -> Hand:
    """A session that has just been made; the test plays its peer."""
    return Hand()


@pytest.fixture
def make_world() -> type[World]:
    """The network, to be made with a seed and delays."""
    return World


@pytest.fixture
def world() -> World:
    """A network where everything happens at once."""
    return World(seed=1)
