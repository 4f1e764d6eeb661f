"""The running network of one store: connects sockets, finders and the table of peers to the gossip."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from random import SystemRandom
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from memcrdt.errors import LockedError, MemcrdtError, StoreError
from memcrdt.net.connection_gate import free_address
from memcrdt.net.dialer import Dialer, DialTarget
from memcrdt.net.discovery.candidates import Candidates
from memcrdt.net.handshake import now_ms
from memcrdt.net.listener import PLACES, Listener, Places
from memcrdt.net.tasks import BackgroundTasks
from memcrdt.node.dial_race import DialRace
from memcrdt.node.gossip_runner import GossipRunner
from memcrdt.node.peer_records import PeerRecords
from memcrdt.node.relayed import RelayPlan, Relays, watch_relayed
from memcrdt.node.trusted_peers import TrustedPeers
from memcrdt.store.clock import NOTE_INTERVAL_MS, ClockNote, shown
from memcrdt.sync.events import Committed, DialFailed, Revoked, Started, SyncNow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memcrdt.model.device_ids import Signer
    from memcrdt.net.addresses import Address
    from memcrdt.net.connection import Connection
    from memcrdt.net.discovery.finder import Finder
    from memcrdt.store.membership.introductions import Introductions
    from memcrdt.store.membership.peers import Peers
    from memcrdt.sync.gossip import Gossip
    from memcrdt.sync.replica import Replica

log = logging.getLogger("memcrdt.net")
T = TypeVar("T")

PEERS_INTERVAL_S: Final = 0.25  # between two reads of the peers table; a revocation is noticed within it
PEERS_RETRY_S: Final = 5.0  # after the table could not be read, or another program has taken the port


class ChangeSignal(Protocol):
    """Signals that this process or another may have changed the store."""

    async def changed(self) -> None:
        """Return when the store has changed since the last call."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverParts:
    """The parts that a driver connects.

    Attributes:
        identity: The key of this device.
        gossip: The state machine that decides what to do.
        replica: The store as sync sees it.
        peers: The table of peers.
        introductions: Signed statements about devices that are not known yet.
        change_signal: Signals changes of the store.
        finders: Sources of addresses.
        settle: Signs the user's decisions about the members of spaces. It runs in a thread.
        incarnation: Returns the incarnation of the store, or None if it never changes. It runs in a thread.
        note_clock: Notes the time in the store, and returns the note. It runs in a thread.
        relays: Returns the relays for devices that no direct path reaches. It runs in a thread.
        places: How many connections may be unauthenticated at once.
        may_dial: Returns whether this process is the one that dials a device now. It runs in a thread.
    """

    identity: Signer
    gossip: Gossip
    replica: Replica
    peers: Peers
    introductions: Introductions
    change_signal: ChangeSignal
    finders: Sequence[Finder] = ()
    settle: Callable[[], None] = lambda: None
    incarnation: Callable[[], str | None] = lambda: None
    note_clock: Callable[[], ClockNote] = lambda: ClockNote(now_ms())
    relays: Callable[[], RelayPlan] = RelayPlan
    places: Places = PLACES
    may_dial: Callable[[str], bool] = lambda device: True


class Driver:
    """The running network of one store: `start`, then `stop`, inside one event loop.

    It listens while a device is accepted, or was revoked and has to be told so when it dials.
    """

    def __init__(
        self,
        parts: DriverParts,
        listen: Sequence[Address],
        tell_port: Callable[[int | None, str | None], None],
        *,
        must_listen: bool = True,
    ) -> None:
        """Connect the parts; nothing runs yet.

        Args:
            parts: The parts.
            listen: The addresses to listen at: the first free one is taken. Empty to listen nowhere.
            tell_port: Called with the port when listening begins, and with None when it ends. The second argument is
                the reason why the driver cannot listen although it has to, or None.
            must_listen: Whether start() fails if no address is free.
        """
        self._parts = parts
        self._listen = listen
        self._tell_port = tell_port
        self._must_listen = must_listen
        self._store = ThreadPoolExecutor(1, "memcrdt-sync")
        self._tasks = BackgroundTasks()
        self._trusted = TrustedPeers(parts.peers)
        self._reading = asyncio.Lock()  # of the peers table
        self._peers_changed = asyncio.Event()
        self._records = PeerRecords(parts.peers, parts.introductions, self._store, self._trusted.name)
        self._dialer = Dialer(parts.identity, self._records)
        self._listener = Listener(
            parts.identity, self._records, self.serve, places=parts.places, knows=self._trusted.has_host
        )
        self._clock_note = ClockNote(now_ms())
        self._dialer.clock = self._listener.clock = self._clock
        self._candidates = Candidates(
            parts.finders, accepted=self._trusted.__contains__, fresh=self._found, identify=self._dialer.identify
        )
        self._race = DialRace(self._dialer, self._records, self._candidates, self._tasks, self._relays_of)
        self._runner = GossipRunner(
            parts.gossip,
            parts.replica,
            records=self._records,
            store=self._store,
            tasks=self._tasks,
            dial=self._dial,
        )
        self._relays = Relays(parts.identity, self._listener, SystemRandom())
        self._relay_plan = RelayPlan()
        self._is_stopping = False
        self._port_error: str | None = None  # why listening failed the last time

    async def start(self) -> None:
        """Dial the accepted devices, and listen if a device is accepted or was revoked.

        Call stop() afterwards, even after an error.

        Raises:
            LockedError: Another program has the port, and the driver must listen.
            InputError: The host is not one of this machine.
            StoreError: The table of peers cannot be read.
        """
        if self._listen and self._must_listen:
            # Nothing listens before a device is accepted, so a wrong host or a port in use would go unnoticed.
            free_address(self._listen)
        await self._in_store(self._parts.peers.all_disconnected)
        self._runner.handle(Started())
        await self._refresh_peers()
        try:
            await self._listen_while_needed()
        except LockedError as exc:
            if self._must_listen:
                raise
            log.warning("%s; until then this device only dials", exc)
            self._peers_changed.set()  # try again
        self._candidates.start()
        self._tasks.spawn(self._watch_store())
        self._tasks.spawn(self._watch_peers())
        self._tasks.spawn(self._watch_clock())
        self._tasks.spawn(watch_relayed(self._relayed, self._dial_directly))

    async def stop(self) -> None:
        """Close all connections and free the port, within a few seconds."""
        self._is_stopping = True
        self._records.stop()
        await asyncio.gather(self._runner.stop(), self._candidates.stop())
        await self._tasks.cancel()
        await self._stop_listening()
        await self._dialer.close()
        await asyncio.to_thread(self._store.shutdown, cancel_futures=True)
        try:
            await asyncio.to_thread(self._parts.peers.all_disconnected)
        except StoreError as exc:  # the next start notes it
            log.warning("the end of the connections was not noted: %s", exc)

    async def connect(self, address: Address, device: str | None = None) -> str:
        """Dial an accepted device now, remember the address, and return the device's id.

        Raises:
            UnreachableError: No memcrdt answers.
            UntrustedPeerError: The device is not the wanted one, is not accepted here, or does not accept us.
            RemoteProtocolError: The device breaks the protocol.
        """
        connection = await self._dialer.dial(DialTarget(address, device))
        self._tasks.spawn(self.serve(connection))
        return connection.peer.device

    def sync_now(self) -> None:
        """Compare with every connected peer now, and dial the other peers without waiting for their next turn."""
        self._runner.handle(SyncNow())

    @property
    def port(self) -> int | None:
        """The port where we listen; None until a device is accepted."""
        return self._listener.port

    @property
    def connected(self) -> frozenset[str]:
        """The ids of the connected devices."""
        return self._runner.connected

    async def serve(self, connection: Connection) -> None:
        """Sync with an accepted device over a connection until the connection ends."""
        device = connection.peer.device
        if device not in self._trusted:
            await self._refresh_peers()  # perhaps it was accepted just now
        if device in self._trusted and not self._is_stopping:
            await self._runner.serve(connection)
            return
        await connection.close()  # it was revoked just now, or the network stops
        if connection.via == "dialed":
            self._runner.handle(DialFailed(device))

    async def _dial(self, device: str) -> None:
        """Serve the first connection to the device, or record why no dial succeeded."""
        try:
            if not await self._in_store(partial(self._parts.may_dial, device)):
                self._runner.handle(DialFailed(device))
                return
            connection = await self._race.dial(device)
        except MemcrdtError as exc:
            if device not in self.connected:
                self._records.dial_failed(device, exc)
            self._runner.handle(DialFailed(device))
        else:
            await self.serve(connection)

    async def _dial_directly(self, device: str) -> None:
        """Replace a relayed connection to the device by a direct one, if a direct path works."""
        with suppress(MemcrdtError):
            connection = await self._race.dial(device, directly=True)
            self._tasks.spawn(self.serve(connection))

    def _relays_of(self, device: str) -> list[Address]:
        return self._relay_plan.to(device)

    def _relayed(self) -> list[str]:
        """Return the ids of the devices that only relayed connections reach."""
        links = self._runner.links.values()
        direct = {link.peer for link in links if not link.connection.is_relayed}
        return sorted({link.peer for link in links} - direct)

    def _found(self, device: str) -> None:
        """Dial an accepted device for which a finder has named an address, unless it is connected directly."""
        if device not in self.connected:
            self._runner.handle(self._trusted.known(device))
        elif device in self._relayed():
            self._tasks.spawn(self._dial_directly(device))

    async def _watch_store(self) -> None:
        while True:
            await self._parts.change_signal.changed()
            self._peers_changed.set()
            self._runner.handle(Committed())
            with suppress(StoreError):  # the next change is looked at again
                await self._follow_restore()

    async def _follow_restore(self) -> None:
        """Greet anew if another process has restored the store: other devices must not count on what it confirmed."""
        incarnation = await self._in_store(self._parts.incarnation)
        if incarnation is not None and incarnation != self._parts.gossip.incarnation:
            self._parts.gossip.restored(incarnation)
            for device in self.connected:
                self._runner.hang_up(device)
            self._runner.handle(Committed())  # before other connections: the log has another last row

    async def _watch_peers(self) -> None:
        logged = ""
        while True:
            await self._peers_changed.wait()
            self._peers_changed.clear()
            try:
                await self._refresh_peers()
                await self._listen_while_needed()
                logged = ""
            except MemcrdtError as exc:
                if str(exc) != logged:
                    logged = str(exc)
                    log.error("%s", exc)
                self._peers_changed.set()
                await asyncio.sleep(PEERS_RETRY_S)
            await asyncio.sleep(PEERS_INTERVAL_S)

    async def _watch_clock(self) -> None:
        """Note the time now and then, also while nothing is written, so that a jump is not taken for a pause."""
        while True:
            await asyncio.sleep(NOTE_INTERVAL_MS / 1_000)
            with suppress(StoreError):
                self._clock_note = await self._in_store(self._parts.note_clock)

    def _clock(self) -> int | None:
        return shown(self._clock_note, now_ms())

    async def _refresh_peers(self) -> None:
        """Read the peers table, which other processes change too; dial and hang up accordingly. Raises StoreError."""
        async with self._reading:
            before = self._trusted.devices
            await self._in_store(self._parts.settle)
            self._clock_note = await self._in_store(self._parts.note_clock)
            for event in await self._in_store(self._trusted.read):
                self._runner.handle(event)
                if isinstance(event, Revoked):
                    self._records.removed(event.peer)
                    self._runner.hang_up(event.peer)
            plan, self._relay_plan = self._relay_plan, await self._in_store(self._parts.relays)
            self._relays.wait_at(self._relay_plan.waited_at(), self._tasks)
            for device in self._trusted.devices - before:
                self._records.accepted(device)
                if self._candidates.of(device):
                    self._found(device)
            for device in self._trusted.devices - self.connected:
                if set(self._relay_plan.to(device)) - (set(plan.to(device)) if device in before else set()):
                    self._found(device)

    async def _listen_while_needed(self) -> None:
        """Start or stop listening, as the accepted and revoked devices require. Raises LockedError or InputError."""
        if not self._trusted.is_sought:
            await self._stop_listening()
        elif self._listen and self._listener.port is None:
            try:
                self._start_listening()
            except MemcrdtError as exc:
                if str(exc) != self._port_error:
                    self._port_changed(str(exc))
                raise
            self._port_changed()

    def _start_listening(self) -> None:
        """Listen at the first address that is free.

        It is not looked up before: two homes that start at once would choose the same port, and one of them would fail.
        """
        for address in self._listen:
            try:
                self._listener.start(address)
            except LockedError:
                if address == self._listen[-1]:
                    raise
            else:
                return

    async def _stop_listening(self) -> None:
        if self._listener.port is not None or self._port_error is not None:
            await self._listener.close()
            self._port_changed()

    def _port_changed(self, error: str | None = None) -> None:
        port, self._port_error = self._listener.port, error
        self._dialer.port, self._dialer.channel_binding = port, self._listener.channel_binding
        self._tell_port(port, error)
        self._candidates.announce(port)

    async def _in_store(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._store, call)
