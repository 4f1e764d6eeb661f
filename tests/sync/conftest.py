"""The simulated network with stores in memory, and a session whose peer is the test."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import pytest

from memcrdt.sync.events import (
    Answered,
    Ask,
    Close,
    Committed,
    Connected,
    FrameReceived,
    Schedule,
    SendFrame,
    Started,
    SyncReport,
)
from memcrdt.sync.gossip import Gossip
from memcrdt.sync.greeting import digest_of
from memcrdt.sync.messages import PROTOCOL, Hello, MembershipDigest, Offer
from memcrdt.sync.queries import perform
from memcrdt.sync.replica import MembershipRecord
from memcrdt.sync.session import LocalNode, LogRead, Session
from memcrdt.sync.wire import decode, encode
from memcrdt.testing import simulator
from memcrdt.testing.fake_replica import FakeReplica
from memcrdt.testing.simulator import NetworkConditions, Simulator

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memcrdt.sync.events import Effect
    from memcrdt.sync.messages import Message, Unknown
    from memcrdt.sync.session import SessionEvent


@dataclass(eq=False)
class Node(simulator.SimulatedNode):
    """A device with a FakeReplica."""

    replica: FakeReplica
    gossip: Gossip

    def texts(self, space: str = "S") -> set[str]:
        return self.replica.texts(space)

    def kinds(self) -> set[str]:
        return {report.kind for report in self.reports}


@dataclass(frozen=True)
class Sent:
    """A frame that was sent over the network."""

    at: float
    source: str
    target: str
    size: int
    message: Message | Unknown


class World(Simulator):
    """Nodes with FakeReplicas, and the frames that they send.

    Delays are random: a frame takes up to `latency` seconds. A query takes up to `store` seconds until it is performed,
    and as long again until it is answered.
    """

    nodes: dict[str, Node]  # type: ignore[assignment]

    def __init__(self, seed: int, latency: float = 0.0, store: float = 0.0) -> None:
        super().__init__(seed, NetworkConditions(jitter_s=latency, store_s=store))
        self.sent: list[Sent] = []
        self.watch = self._note_sent

    def node(self, id: str, incarnation: str = "") -> Node:
        gossip = Gossip(id, incarnation or f"incarnation of {id}", rng=Random(self.rng.random()))
        node = self.nodes[id] = Node(id, FakeReplica(client=len(self.nodes) + 1), gossip)
        self.give(node, Started())
        return node

    def nodes_sharing(self, ids: Iterable[str], space: str = "S") -> list[Node]:
        """Return one node for each id, all sharing one space."""
        made = [self.node(device) for device in ids]
        for node in made:
            node.replica.share(space, f"name of {space}", *(other.id for other in made if other is not node))
        return made

    def write(self, node: Node, shard: int, *texts: str, space: str = "S") -> None:
        node.replica.write(space, shard, *texts)
        self.give(node, Committed())

    def bytes(self, since: float = 0.0) -> int:
        return sum(sent.size for sent in self.sent if sent.at >= since)

    def messages(self, kind: type, source: str | None = None, target: str | None = None) -> list[Sent]:
        return [
            sent
            for sent in self.sent
            if isinstance(sent.message, kind) and source in (None, sent.source) and target in (None, sent.target)
        ]

    def _note_sent(self, source: simulator.SimulatedNode, target: simulator.SimulatedNode, frame: bytes) -> None:
        self.sent.append(Sent(self.now, source.id, target.id, len(frame), decode(frame)))


class SessionHarness:
    """A session of device "A". The test plays its peer "B"."""

    def __init__(self) -> None:
        self.replica = FakeReplica(client=1)
        self.replica.share("S", "shared", "B")
        self.replica.share("P", "private", "C")
        self.session = Session(LocalNode("A", "ours"), 1, "B", rng=Random(1))
        self.now = 0.0
        self.reports: list[SyncReport] = []
        self.closed = ""
        self.timers: list[str] = []
        self.performing = True
        self.pending: list[Ask] = []

    def greet(self) -> SessionHarness:
        """Exchange different greetings and equal membership digests, and begin the first comparison."""
        self.handle(Connected(1, "B", dialed=True))
        self.receive(self.hello())
        self.receive(self.membership_digest())
        return self

    def hello(self, digest: bytes = b"", version: int = PROTOCOL) -> Hello:
        """Return the peer's greeting."""
        return Hello(version, (), "theirs", (Offer("S", "shared", digest),))

    def membership_digest(self, record: MembershipRecord | None = None) -> MembershipDigest:
        """Return the peer's membership digest; by default the digest of our record."""
        return MembershipDigest("S", (record or self.replica.membership("S") or MembershipRecord()).digest())

    def digest(self) -> bytes:
        """Return the digest of the space in a greeting with our current content."""
        return digest_of((self.replica.membership("S") or MembershipRecord()).digest(), self.replica.digests("S"))

    def receive(self, message: Message | bytes) -> list[Message | Unknown]:
        """Return the messages that the session sends when it receives this one."""
        frame = message if isinstance(message, bytes) else encode(message)
        return self.handle(FrameReceived(1, frame))

    def write(self, shard: int, *texts: str) -> list[Message | Unknown]:
        """Return the messages that the session sends when we commit these texts."""
        seq = self.replica.head()
        self.replica.write("S", shard, *texts)
        return self.handle(LogRead(self.replica.log_for_all(seq, 64)))

    def handle(self, event: SessionEvent) -> list[Message | Unknown]:
        """Return the messages that the session sends for the event, with all queries answered."""
        return self._carry_out(self.session.handle(event, self.now))

    def perform_next(self) -> list[Message | Unknown]:
        """Return the messages that the session sends when its first pending query is answered."""
        ask = self.pending.pop(0)
        return self.handle(Answered(ask.link, ask.id, perform(self.replica, ask.query)))

    def perform_pending(self) -> list[Message | Unknown]:
        """Return the messages that the session sends when all pending queries are answered."""
        self.performing = True
        pending, self.pending = self.pending, []
        return self._carry_out(pending)

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
                case SyncReport() as report:
                    self.reports.append(report)
        return sent


@pytest.fixture
def harness() -> SessionHarness:
    """Return a new session whose peer is the test."""
    return SessionHarness()


@pytest.fixture
def make_world() -> type[World]:
    """Return the class of the simulated network, to be created with a seed and delays."""
    return World


@pytest.fixture
def world() -> World:
    """Return a simulated network without delays."""
    return World(seed=1)
