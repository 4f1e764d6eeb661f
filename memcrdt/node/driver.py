"""The loop that joins sockets, clocks and the store to the gossip: events in, effects out.

The gossip runs in the event loop and never waits. The store runs in one thread beside it, one query after
the other, so that searches and the network never wait for each other's locks in the loop.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from memcrdt.errors import MemcrdtError, RemoteProtocolError
from memcrdt.model.device_ids import shown
from memcrdt.net.connection import UPDATE
from memcrdt.net.dialer import Dialer, DialTarget
from memcrdt.net.discovery.candidates import Candidates
from memcrdt.net.tasks import BackgroundTasks
from memcrdt.node.dial_race import DialRace
from memcrdt.node.peer_records import PeerRecords
from memcrdt.node.peer_watcher import Table, Watch
from memcrdt.node.reception import Reception
from memcrdt.node.send_queue import PeerLink
from memcrdt.node.trusted_peers import TrustedPeers
from memcrdt.sync.events import (
    NODE,
    Answered,
    Ask,
    Close,
    Committed,
    Connected,
    Dial,
    DialFailed,
    Effect,
    Event,
    FrameReceived,
    Lost,
    Revoked,
    Schedule,
    SendFrame,
    Started,
    SyncNow,
    SyncReport,
    Timer,
)
from memcrdt.sync.queries import Failed, perform

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memcrdt.model.device_ids import Signer
    from memcrdt.net.addresses import Address
    from memcrdt.net.auth import AuthenticatedPeer
    from memcrdt.net.connection import Connection
    from memcrdt.net.discovery.finder import Finder
    from memcrdt.store.membership.introductions import Introductions
    from memcrdt.store.membership.peers import Peers
    from memcrdt.sync.gossip import Gossip
    from memcrdt.sync.queries import Query
    from memcrdt.sync.replica import Replica

log = logging.getLogger("memcrdt.net")


class ChangeSignal(Protocol):
    """Tells that the store may have changed, through this process or another."""

    async def changed(self) -> None:
        """Returns when it has changed since the last call."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverParts:
    """What a driver joins. `settle` signs what the user has decided of the members of spaces; it runs in a thread."""

    identity: Signer
    gossip: Gossip
    replica: Replica
    peers: Peers
    introductions: Introductions
    change_signal: ChangeSignal
    finders: Sequence[Finder] = ()
    settle: Callable[[], None] = lambda: None


class Driver:
    """The running network of one store: `start`, then `stop`, inside one event loop.

    It listens as soon as a device is accepted, and as long as one is or was revoked, which has to be told so, unless it
    listens nowhere (None). Implements ConnectionHandler for the listener.
    """

    def __init__(self, parts: DriverParts, listen: Address | None, listening: Callable[[int | None], None]) -> None:
        """`listening` is told the port when listening begins, and None when it ends."""
        self._parts = parts
        self._tell_port = listening
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time()
        self._store = ThreadPoolExecutor(1, "memcrdt-sync")
        self._records = PeerRecords(parts.peers, parts.introductions, self._store)
        self._dialer = Dialer(parts.identity, self._records)
        self._reception = Reception(parts.identity, self, listen, self._listening)
        self._roster = TrustedPeers(parts.peers)
        self._tasks = BackgroundTasks()
        self._candidates = Candidates(
            parts.finders, accepted=self._roster.__contains__, fresh=self._found, identify=self._dialer.identify
        )
        self._reach = DialRace(self._dialer, self._records, self._candidates, self._tasks)
        self._watch = Watch(Table(self._roster, parts.settle, self._store), self)
        self._links: dict[int, PeerLink] = {}
        self._links_made = 0
        self._timers: set[asyncio.TimerHandle] = set()
        self._stopping = False

    async def start(self) -> None:
        """Dials the accepted devices and, if there are any or were, listens.

        Raises LockedError or InputError when the address cannot be listened at, StoreError. Call stop() also then.
        """
        self._reception.check()
        await self._loop.run_in_executor(self._store, self._parts.peers.all_disconnected)
        self._handle(Started())
        await self._watch.refresh()
        await self.follow()
        self._candidates.start()
        self._tasks.spawn(self._watch_store())
        self._tasks.spawn(self._watch.run())

    async def stop(self) -> None:
        """Says goodbye to everyone and frees the port, in a few seconds at most."""
        self._stopping = True
        for timer in self._timers:
            timer.cancel()
        await asyncio.gather(*(link.close() for link in self._links.values()), self._candidates.stop())
        await self._tasks.cancel()
        await self._reception.close()
        await self._dialer.close()
        await asyncio.to_thread(self._store.shutdown, cancel_futures=True)
        await asyncio.to_thread(self._parts.peers.all_disconnected)

    async def connect(self, address: Address, device: str | None = None) -> str:
        """Dials an accepted device now, remembers the address, and returns the device's id.

        Raises UnreachableError, UntrustedPeerError, RemoteProtocolError.
        """
        connection = await self._dialer.dial(DialTarget(address, device))
        self._tasks.spawn(self.serve(connection))
        return connection.peer.device

    def sync_now(self) -> None:
        """Compares with every peer at once, and dials those that wait for their turn."""
        self._handle(SyncNow())

    @property
    def port(self) -> int | None:
        """Where we listen; None until a device is accepted."""
        return self._reception.port

    @property
    def connected(self) -> frozenset[str]:
        """The devices to which a connection stands."""
        return frozenset(link.peer for link in self._links.values())

    async def admits(self, peer: AuthenticatedPeer, address: str) -> bool:
        """Whether the device is accepted; if not, it has knocked. Part of ConnectionHandler."""
        return await self._records.admits(peer, address)

    async def revoker_of(self, peer: AuthenticatedPeer) -> str | None:
        """Who revoked the device, if somebody did. Part of ConnectionHandler."""
        return await self._records.revoker_of(peer)

    async def introduced(self, peer: AuthenticatedPeer, introduction: bytes) -> bool:
        """Whether the device is accepted because of what members have signed about it. Part of ConnectionHandler."""
        return await self._records.introduced(peer, introduction)

    async def serve(self, connection: Connection) -> None:
        """Talks to an accepted device until the connection ends. Part of ConnectionHandler."""
        device, dialed = connection.peer.device, connection.via == "dialed"
        if device not in self._roster:
            await self._watch.refresh()  # accepted just now
        if device not in self._roster or self._stopping:
            await connection.close()  # or revoked just now
            if dialed:
                self._handle(DialFailed(device))
            return
        self._links_made += 1
        link = self._links[self._links_made] = PeerLink(self._links_made, connection)
        try:
            self._handle(Connected(link.number, device, dialed))
            self._records.connected(link)
            await self._receive(link)
        finally:
            del self._links[link.number]
            self._handle(Lost(link.number))
            self._note_lost(device)
            await link.close(flush_s=0)

    async def _receive(self, link: PeerLink) -> None:
        try:
            while (frame := await link.receive()) is not None:
                if not link.closing:
                    self._handle(FrameReceived(link.number, frame))
        except RemoteProtocolError as exc:
            self._records.failed(link.peer, f"{exc}; {UPDATE}")

    def _note_lost(self, device: str) -> None:
        if self._stopping:
            return  # stop() notes it for all
        others = [link for link in self._links.values() if link.peer == device]
        if others:  # of two that were made at once, one remains
            self._records.connected(others[-1])
        else:
            self._records.disconnected(device)

    # --- effects ------------------------------------------------------------------------------------------------------

    def _handle(self, event: Event) -> None:
        if self._stopping:
            return
        self._now = max(self._now, self._loop.time())
        for effect in self._parts.gossip.handle(event, self._now):
            self._carry_out(effect)

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case SendFrame(number, frame):
                self._send(number, frame)
            case Ask(number, ask, query):
                self._ask(number, ask, query)
            case Schedule(number, delay_s, name):
                self._schedule(delay_s, Timer(number, name))
            case Close(number):
                self._close(number)
            case Dial(peer):
                self._tasks.spawn(self._dial(peer))
            case SyncReport():
                self._report(effect)

    def _send(self, number: int, frame: bytes) -> None:
        link = self._links.get(number)
        if link is not None and not link.closing and not link.send(frame):
            self._records.failed(link.peer, f"{link.connection} is too slow and was hung up on; it is dialed again")
            self._close(number, flush_s=0)

    def _close(self, number: int, **options: float) -> None:
        if number in self._links:
            self._tasks.spawn(self._links[number].close(**options))

    def _ask(self, number: int, ask: int, query: Query) -> None:
        if link := self._links.get(number):
            link.asked()
        answer = self._loop.run_in_executor(self._store, perform, self._parts.replica, query)
        answer.add_done_callback(partial(self._answered, number, ask))

    def _answered(self, number: int, ask: int, future: asyncio.Future[object]) -> None:
        link = self._links.get(number)
        if self._stopping or (link is None and number != NODE):
            return
        if link is not None:
            link.answered()
        if problem := future.exception():  # a bug, perhaps a panic of Yjs: this session ends, the others go on
            log.error("the store failed to answer sync", exc_info=problem)
        self._handle(Answered(number, ask, Failed(f"internal error: {problem!r}") if problem else future.result()))

    def _schedule(self, delay_s: float, timer: Timer) -> None:
        due = self._loop.time() + delay_s

        def fire() -> None:
            self._timers.discard(handle)
            if timer.link == NODE or timer.link in self._links:
                self._now = max(self._now, due)  # asyncio may fire early, by the clock's resolution
                self._handle(timer)

        handle = self._loop.call_at(due, fire)
        self._timers.add(handle)

    async def _dial(self, device: str) -> None:
        """Serves the first connection that stands, or notes why there is none."""
        try:
            connection = await self._reach.reach(device)
        except MemcrdtError as exc:
            if device not in self.connected:
                self._records.failed(device, str(exc))
            self._handle(DialFailed(device))
        else:
            await self.serve(connection)

    def _report(self, report: SyncReport) -> None:
        if report.kind == "ready":
            log.debug("%s shares %s", shown(report.peer), report.text or "nothing")
        elif report.kind == "agreed":
            self._records.agreed(report.peer, report.text)
        elif report.kind == "alarm":
            self._records.alarm(f"{shown(report.peer)}: {report.text}")
        else:
            text = f"{report.text}; {UPDATE}" if report.kind == "protocol" else report.text
            self._records.failed(report.peer, f"{self._whom(report.peer)}: {text}")

    def _whom(self, device: str) -> str:
        """The device and, while it is connected, its address."""
        return next((str(link.connection) for link in self._links.values() if link.peer == device), shown(device))

    # --- the store ----------------------------------------------------------------------------------------------------

    async def _watch_store(self) -> None:
        while True:
            await self._parts.change_signal.changed()
            self._watch.look()
            self._handle(Committed())

    def heard(self, events: Sequence[Event], newcomers: frozenset[str]) -> None:
        """Dials, and hangs up. Part of Follower."""
        for event in events:
            self._handle(event)
            if isinstance(event, Revoked):
                for number in [number for number, link in self._links.items() if link.peer == event.peer]:
                    self._close(number)
        for device in newcomers:
            if self._candidates.of(device):
                self._found(device)

    async def follow(self) -> None:
        """Listens while somebody has to be answered, and only then. Part of Follower."""
        if self._roster.is_sought:
            self._reception.open()
        else:
            await self._reception.close()

    def _found(self, device: str) -> None:
        """A finder has named an address of an accepted device."""
        if device not in self.connected:
            self._handle(self._roster.known(device))

    def _listening(self, port: int | None) -> None:
        self._dialer.port, self._dialer.certificate = port, self._reception.certificate
        self._tell_port(port)
        self._candidates.announce(port)
