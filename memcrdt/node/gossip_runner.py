"""Runs the gossip: feeds it events, and performs the effects that it returns.

The gossip runs in the event loop and never blocks. The store's queries run in one other thread, one after the other,
so the event loop never waits for a lock that a search or another process has.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from memcrdt.errors import RemoteProtocolError
from memcrdt.model.device_ids import shown
from memcrdt.net.handshake import UPDATE
from memcrdt.node.peer_link import PeerLink
from memcrdt.sync.events import (
    NODE,
    Answered,
    Ask,
    Close,
    Connected,
    Dial,
    Effect,
    Event,
    FrameReceived,
    Lost,
    Schedule,
    SendFrame,
    SyncReport,
    Timer,
)
from memcrdt.sync.queries import Failed, perform

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Executor

    from memcrdt.net.connection import Connection
    from memcrdt.net.tasks import BackgroundTasks
    from memcrdt.node.peer_records import PeerRecords
    from memcrdt.sync.gossip import Gossip
    from memcrdt.sync.queries import Query
    from memcrdt.sync.replica import Replica

log = logging.getLogger("memcrdt.net")


class GossipRunner:
    """The gossip of one store, with its links and timers. Create it inside the running event loop.

    Attributes:
        links: The open connections, by their link number in the gossip.
    """

    def __init__(
        self,
        gossip: Gossip,
        replica: Replica,
        *,
        records: PeerRecords,
        store: Executor,
        tasks: BackgroundTasks,
        dial: Callable[[str], Coroutine[Any, Any, None]],
    ) -> None:
        """Keep the parts; nothing runs yet.

        Args:
            gossip: The state machine that decides what to do.
            replica: Answers the gossip's queries, in the thread of `store`.
            records: Records connections and problems of the other devices.
            store: The thread of the store.
            tasks: Runs tasks that no caller awaits.
            dial: Dials a device that the gossip wants to talk to. It has to end in serve() or in a DialFailed.
        """
        self.links: dict[int, PeerLink] = {}
        self._gossip = gossip
        self._replica = replica
        self._records = records
        self._store = store
        self._tasks = tasks
        self._dial = dial
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time()
        self._last_number = 0
        self._timers: set[asyncio.TimerHandle] = set()
        self._is_stopping = False

    @property
    def connected(self) -> frozenset[str]:
        """The ids of the connected devices."""
        return frozenset(link.peer for link in self.links.values())

    def handle(self, event: Event) -> None:
        """Give the gossip an event, and perform the effects."""
        if self._is_stopping:
            return
        self._now = max(self._now, self._loop.time())
        for effect in self._gossip.handle(event, self._now):
            self._carry_out(effect)

    async def serve(self, connection: Connection) -> None:
        """Sync over a connection until the connection ends."""
        self._last_number += 1
        link = self.links[self._last_number] = PeerLink(self._last_number, connection)
        try:
            self.handle(Connected(link.number, link.peer, connection.via == "dialed", connection.is_relayed))
            self._records.connected(link)
            while (frame := await link.receive()) is not None:
                if not link.closing:
                    self.handle(FrameReceived(link.number, frame))
        except RemoteProtocolError as exc:
            self._records.failed(link.peer, f"{exc}; {UPDATE}")
        finally:
            del self.links[link.number]
            self.handle(Lost(link.number))
            self._note_lost(link.peer)
            await link.close(flush_s=0)

    def hang_up(self, device: str) -> None:
        """Close all links to a device."""
        for number in [number for number, link in self.links.items() if link.peer == device]:
            self._close(number)

    async def stop(self) -> None:
        """Stop the gossip, and close all links, within a few seconds."""
        self._is_stopping = True
        for timer in self._timers:
            timer.cancel()
        await asyncio.gather(*(link.close() for link in self.links.values()))

    def _note_lost(self, device: str) -> None:
        if self._is_stopping:
            return  # the driver records this for all devices together
        others = [link for link in self.links.values() if link.peer == device]
        if others:  # both devices dialed at once, and one of the two connections remains
            self._records.connected(others[-1])
        else:
            self._records.disconnected(device)

    # --- effects ------------------------------------------------------------------------------------------------------

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
        link = self.links.get(number)
        if link is not None and not link.closing and not link.send(frame):
            self._records.failed(link.peer, f"{link.connection} is too slow and was disconnected; memcrdt reconnects")
            self._close(number, flush_s=0)

    def _close(self, number: int, **options: float) -> None:
        if number in self.links:
            self._tasks.spawn(self.links[number].close(**options))

    def _ask(self, number: int, ask: int, query: Query) -> None:
        if link := self.links.get(number):
            link.asked()
        answer = self._loop.run_in_executor(self._store, perform, self._replica, query)
        answer.add_done_callback(partial(self._answered, number, ask))

    def _answered(self, number: int, ask: int, future: asyncio.Future[object]) -> None:
        link = self.links.get(number)
        if self._is_stopping or (link is None and number != NODE):
            return
        if link is not None:
            link.answered()
        if problem := future.exception():  # a bug, perhaps a panic in Yjs: this session ends, the others continue
            log.error("the store failed to answer sync", exc_info=problem)
        self.handle(Answered(number, ask, Failed(f"internal error: {problem!r}") if problem else future.result()))

    def _schedule(self, delay_s: float, timer: Timer) -> None:
        due = self._loop.time() + delay_s

        def fire() -> None:
            self._timers.discard(handle)
            if timer.link == NODE or timer.link in self.links:
                self._now = max(self._now, due)  # asyncio may fire early by the clock's resolution
                self.handle(timer)

        handle = self._loop.call_at(due, fire)
        self._timers.add(handle)

    def _report(self, report: SyncReport) -> None:
        if report.kind == "ready":
            self._records.shares(report.peer, [space for space in report.text.split(", ") if space])
        elif report.kind == "agreed":
            self._records.agreed(report.peer, report.text)
        elif report.kind == "role":
            self._records.role(report.peer, report.text)
        elif report.kind == "alarm":
            self._records.alarm(f"{shown(report.peer)}: {report.text}")
        else:
            text = f"{report.text}; {UPDATE}" if report.kind == "protocol" else report.text
            self._records.failed(report.peer, f"{self._name(report.peer)}: {text}")

    def _name(self, device: str) -> str:
        """Return the device id and, while the device is connected, its address."""
        return next((str(link.connection) for link in self.links.values() if link.peer == device), shown(device))
