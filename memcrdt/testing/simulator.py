"""A simulated network: devices, links and stores in virtual time, with a seed for every delay and every failure.

The simulator drives `Gossip` like the real driver, by the contract of memcrdt.sync.events. A link carries whole frames
in order, like a TCP connection. So a lost packet delays later frames, and only a whole connection can be lost, with all
frames in flight. Two devices that dial each other at once get two connections, whose ends open in any order.

Example:
    simulator = Simulator(seed=1, conditions=NetworkConditions(latency_s=0.02, loss=0.01))
    a = simulator.start(SimulatedNode("A", replica_a, Gossip("A", "incarnation", rng=Random(1))))
    b = simulator.start(SimulatedNode("B", replica_b, Gossip("B", "incarnation", rng=Random(2))))
    simulator.connect(a, b)
    simulator.run(seconds=5)
"""

from __future__ import annotations

import hashlib
import heapq
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Final, Protocol

from memcrdt.sync.events import (
    NODE,
    Answered,
    Ask,
    Close,
    Connected,
    Dial,
    DialFailed,
    Effect,
    Event,
    FrameReceived,
    Lost,
    Schedule,
    SendFrame,
    Started,
    SyncReport,
    Timer,
)
from memcrdt.sync.queries import perform
from memcrdt.sync.replica import Replica

RETRANSMIT_S: Final = 0.2  # the minimum retransmission timeout of Linux
LOOK_S: Final = 0.5  # between two attempts to deliver a frame in a blocked direction
DEAD_S: Final = 20.0  # then the driver closes the connection to a silent peer (memcrdt/net/connection.py)


class Reactor(Protocol):
    """The state machine of a node: Gossip, or a replacement for it."""

    def handle(self, event: Event, now: float) -> list[Effect]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConditions:
    """The state of the network.

    Attributes:
        latency_s: Seconds that every frame takes.
        jitter_s: Maximum of the random extra seconds.
        loss: Share of frames that are sent a second time.
        cut: Share of frames after which the connection ends.
        half_open: Share of dials that open at the other end only.
        store_s: Maximum of the random seconds until a store performs a query, and again until the answer arrives.
    """

    latency_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    cut: float = 0.0
    half_open: float = 0.0
    store_s: float = 0.0


class AccessPolicy(Protocol):
    """The devices that a node accepts. The driver refuses all others."""

    def accepts(self, device: str) -> bool:
        """Return whether the device is accepted."""
        ...

    def admits(self, device: str, introduction: bytes | None) -> bool:
        """Return whether the device is accepted because of its introduction."""
        ...

    def introduction(self, device: str) -> bytes | None:
        """Return our introduction to a device that does not accept us, or None."""
        ...


class OpenAccess:
    """An AccessPolicy that accepts every device."""

    def accepts(self, device: str) -> bool:
        return True

    def admits(self, device: str, introduction: bytes | None) -> bool:
        return True

    def introduction(self, device: str) -> bytes | None:
        return None


@dataclass(eq=False)
class SimulatedNode:
    """One process on one device.

    Attributes:
        id: The id of the device.
        replica: Its store.
        gossip: Its state machine.
        access: The devices that it accepts.
        reports: The reports of the gossip.
        dials: The devices that the gossip has dialed.
        running: Whether it runs.
        busy_until: The virtual time until which its store is busy.
        read_at: The time of the last read of its store.
    """

    id: str
    replica: Replica
    gossip: Reactor
    access: AccessPolicy = field(default_factory=OpenAccess)
    reports: list[SyncReport] = field(default_factory=list)
    dials: list[str] = field(default_factory=list)
    running: bool = True
    busy_until: float = 0.0
    read_at: float = 0.0


@dataclass(slots=True)
class LinkEnd:
    """One end of a link, the events in flight to it, in order, and the arrival time of the last one."""

    node: SimulatedNode
    coming: deque[Connected | FrameReceived | Lost] = field(default_factory=deque)
    arrives: float = 0.0
    is_open: bool = False


@dataclass(slots=True)
class SimulatedLink:
    """A connection. When it is no longer `up`, its ends notice that one after the other."""

    number: int
    ends: tuple[LinkEnd, LinkEnd]
    up: bool = True

    def end(self, node: SimulatedNode) -> LinkEnd:
        return self.ends[0] if self.ends[0].node is node else self.ends[1]

    def other(self, node: SimulatedNode) -> LinkEnd:
        return self.ends[1] if self.ends[0].node is node else self.ends[0]


class Simulator:
    """A number of nodes and the network between them.

    Attributes:
        rng: The source of all random choices.
        conditions: The state of the network. May be replaced at any time.
        now: Virtual time in seconds.
        nodes: The running nodes, by device id.
        links: All links, by number.
        frames: Number of frames sent.
        watch: Called with source, target and bytes of each frame sent.
    """

    def __init__(self, seed: int, conditions: NetworkConditions | None = None) -> None:
        self.rng = Random(seed)
        self.conditions = conditions or NetworkConditions()
        self.now = 0.0
        self.nodes: dict[str, SimulatedNode] = {}
        self.links: dict[int, SimulatedLink] = {}
        self.frames = 0
        self.watch: Callable[[SimulatedNode, SimulatedNode, bytes], None] = lambda source, target, frame: None
        self._blocked: set[tuple[str, str]] = set()
        self._trace = hashlib.blake2b(digest_size=16)
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._links_made = 0

    # --- actions of a test --------------------------------------------------------------------------------------------

    @property
    def trace(self) -> str:
        """Return a digest of every event until now: its time, place, kind and size."""
        return self._trace.copy().hexdigest()

    def start(self, node: SimulatedNode) -> SimulatedNode:
        """Start a process."""
        self.nodes[node.id] = node
        self.give(node, Started())
        return node

    def kill(self, node: SimulatedNode) -> None:
        """End a process at once. Its links are cut."""
        node.running = False
        del self.nodes[node.id]
        for link in self._links_of(node):
            self.cut(link.number)

    def connect(self, a: SimulatedNode, b: SimulatedNode) -> int:
        """Open a link that `a` has dialed. Return its number."""
        self._links_made += 1
        link = self.links[self._links_made] = SimulatedLink(self._links_made, (LinkEnd(a), LinkEnd(b)))
        self._bring(link, link.ends[1], Connected(link.number, a.id, dialed=False))
        if self._chance(self.conditions.half_open):
            self.give(a, DialFailed(b.id))
            self.cut(link.number)
        else:
            link.ends[0].is_open = True
            self.give(a, Connected(link.number, b.id, dialed=True))
        return link.number

    def cut(self, number: int) -> None:
        """End a link. Frames in flight are lost."""
        link = self.links[number]
        if link.up:
            link.up = False
            for end in link.ends:
                end.coming.clear()
                self.after(self._delay(), lambda end=end: self._end(link, end))  # type: ignore[misc]

    def hang_up(self, node: SimulatedNode, peer: str) -> None:
        """Close the links of a node to a device. Earlier frames still arrive."""
        for link in self._links_of(node):
            if link.other(node).node.id == peer:
                self._close(node, link.number)

    def peers(self, node: SimulatedNode) -> list[str]:
        """Return the devices at the other ends of the open links of a node, sorted."""
        return sorted({link.other(node).node.id for link in self._links_of(node) if link.end(node).is_open})

    def tell(self, node: SimulatedNode, frame: bytes, peers: Collection[str]) -> None:
        """Send a frame on the open links of a node to some devices, whatever its state machine says.

        A compromised device does that.
        """
        for link in self._links_of(node):
            if link.end(node).is_open and link.other(node).node.id in peers:
                self._send(node, link.number, frame)

    def block(self, sources: Iterable[str], targets: Iterable[str]) -> None:
        """Block all frames from the sources to the targets. Links between them end after a while."""
        others = list(targets)
        self._blocked |= {(source, target) for source in sources for target in others if source != target}
        for link in self.links.values():
            if link.up and self._is_blocked(link):
                self.after(self.rng.uniform(0.5, 1.0) * DEAD_S, lambda link=link: self._give_up(link))  # type: ignore[misc]

    def mend(self) -> None:
        """Remove all blocks."""
        self._blocked.clear()

    def run(self, seconds: float) -> None:
        """Advance virtual time."""
        end = self.now + seconds
        while self._agenda and self._agenda[0][0] <= end:
            self.now, _, action = heapq.heappop(self._agenda)
            action()
        self.now = end

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Schedule an action."""
        self._count += 1
        heapq.heappush(self._agenda, (self.now + seconds, self._count, action))

    def give(self, node: SimulatedNode, event: Event) -> None:
        """Let a node handle an event, and perform its effects."""
        if not node.running:
            return
        self._note(node.id, event)
        for effect in node.gossip.handle(event, self.now):
            self._carry_out(node, effect)

    # --- effects ------------------------------------------------------------------------------------------------------

    def _carry_out(self, node: SimulatedNode, effect: Effect) -> None:
        match effect:
            case SendFrame(number, frame):
                self._send(node, number, frame)
            case Ask():
                self._ask(node, effect)
            case Schedule(number, delay_s, name):
                self.after(delay_s, lambda: self._fire(node, Timer(number, name)))
            case Close(number):
                self._close(node, number)
            case Dial(peer):
                node.dials.append(peer)
                self.after(self._delay(), lambda: self._dial(node, peer))
            case SyncReport():
                node.reports.append(effect)

    def _send(self, node: SimulatedNode, number: int, frame: bytes) -> None:
        link = self.links[number]
        other = link.other(node)
        self.frames += 1
        self.watch(node, other.node, frame)
        if self._chance(self.conditions.cut):
            self.cut(number)
        if link.up:
            self._bring(link, other, FrameReceived(number, frame))

    def _close(self, node: SimulatedNode, number: int) -> None:
        """Close a link after all frames sent before."""
        link = self.links[number]
        if link.up:
            self._bring(link, link.other(node), Lost(number))
            self.after(self._delay(), lambda: self._end(link, link.end(node)))

    def _bring(self, link: SimulatedLink, end: LinkEnd, event: Connected | FrameReceived | Lost) -> None:
        delay_s = self._delay() + (RETRANSMIT_S if self._chance(self.conditions.loss) else 0.0)
        end.arrives = max(end.arrives, self.now + delay_s)
        end.coming.append(event)
        self.after(end.arrives - self.now, lambda: self._arrive(link, end))

    def _arrive(self, link: SimulatedLink, end: LinkEnd) -> None:
        if not (link.up and end.coming):
            return
        if (link.other(end.node).node.id, end.node.id) in self._blocked:
            self.after(LOOK_S, lambda: self._arrive(link, end))
            return
        event = end.coming.popleft()
        if isinstance(event, Lost) or (isinstance(event, Connected) and not end.node.access.accepts(event.peer)):
            self.cut(link.number)
            return
        end.is_open = end.is_open or isinstance(event, Connected)
        if end.is_open:
            self.give(end.node, event)

    def _ask(self, node: SimulatedNode, ask: Ask) -> None:
        """Perform a query. A store performs one query at a time, and answers after a delay."""
        node.busy_until = max(node.busy_until, self.now) + self.rng.uniform(0, self.conditions.store_s)

        def answer() -> None:
            if node.running:
                event, read_at = Answered(ask.link, ask.id, perform(node.replica, ask.query)), self.now
                node.busy_until = max(node.busy_until, self.now) + self.rng.uniform(0, self.conditions.store_s)
                self.after(node.busy_until - self.now, lambda: self._answer(node, event, read_at))

        self.after(node.busy_until - self.now, answer)

    def _answer(self, node: SimulatedNode, event: Answered, read_at: float) -> None:
        node.read_at = read_at
        if event.link == NODE or self.links[event.link].end(node).is_open:
            self.give(node, event)

    def _fire(self, node: SimulatedNode, timer: Timer) -> None:
        if timer.link == NODE or self.links[timer.link].end(node).is_open:
            self.give(node, timer)

    def _dial(self, node: SimulatedNode, peer: str) -> None:
        target = self.nodes.get(peer)
        if not node.running:
            return
        if target is None or {(node.id, peer), (peer, node.id)} & self._blocked:
            self.give(node, DialFailed(peer))
        elif self._come_to_talk(node, target):
            self.connect(node, target)
        else:
            self.give(node, DialFailed(peer))

    def _come_to_talk(self, node: SimulatedNode, target: SimulatedNode) -> bool:
        """Return whether both nodes accept each other."""
        if not node.access.accepts(target.id):
            return False
        return target.access.accepts(node.id) or target.access.admits(node.id, node.access.introduction(target.id))

    # --- the ends of links --------------------------------------------------------------------------------------------

    def _end(self, link: SimulatedLink, end: LinkEnd) -> None:
        if end.is_open:
            end.is_open = False
            self.give(end.node, Lost(link.number))

    def _give_up(self, link: SimulatedLink) -> None:
        if link.up and self._is_blocked(link):
            self.cut(link.number)

    def _is_blocked(self, link: SimulatedLink) -> bool:
        a, b = (end.node.id for end in link.ends)
        return bool({(a, b), (b, a)} & self._blocked)

    def _links_of(self, node: SimulatedNode) -> list[SimulatedLink]:
        return [link for link in self.links.values() if link.up and any(end.node is node for end in link.ends)]

    # --- chance -------------------------------------------------------------------------------------------------------

    def _delay(self) -> float:
        return self.conditions.latency_s + self.rng.uniform(0, self.conditions.jitter_s)

    def _chance(self, share: float) -> bool:
        return share > 0 and self.rng.random() < share

    def _note(self, where: str, event: Event) -> None:
        # Only the size of a frame: Yjs writes the fields of a value in an order that differs between runs.
        size = len(event.data) if isinstance(event, FrameReceived) else 0
        self._trace.update(f"{self.now!r} {where} {type(event).__name__} {size}\n".encode())
