"""Devices with real sockets on the loopback interface."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

import memcrdt
from memcrdt.net.addresses import Address
from memcrdt.net.auth import AuthenticatedPeer
from memcrdt.net.connection import Connection
from memcrdt.net.dialer import Dialer, DialTarget
from memcrdt.net.discovery.finder import AddressCandidate
from memcrdt.net.handshake import TrustPolicy
from memcrdt.net.identity import Identity
from memcrdt.net.listener import Listener
from memcrdt.node.driver import Driver, DriverParts
from memcrdt.node.relayed import RelayPlan
from memcrdt.store.membership.introductions import Introductions
from memcrdt.store.membership.peers import Peers
from memcrdt.sync.gossip import Gossip
from memcrdt.testing.fake_replica import FakeReplica

DOCUMENT = b"the text of a memory"


class Device(TrustPolicy):
    """A device that sends a document to every accepted device, and records refused devices."""

    def __init__(self, home: Path) -> None:
        self.identity = Identity.load_or_create(home)
        self.id = self.identity.device_id
        self.trusted: set[str] = set()
        self.refused: list[str] = []
        self.revokers: dict[str, str] = {}  # by revoked device: the device that revoked it
        self.own_introduction: bytes | None = None  # for devices that do not know this one
        self.introductions: list[bytes] = []
        self.served: list[Connection] = []
        self.problems: list[Exception] = []
        self.documents_sent = 0
        self.listener = Listener(self.identity, self, self.serve)
        self.dialer = Dialer(self.identity, self)

    def listen(self) -> Address:
        return Address("127.0.0.1", self.listener.start(Address("127.0.0.1", 0)))

    async def dial(self, address: Address, device: str | None = None) -> Connection:
        return await self.dialer.dial(DialTarget(address, device))

    async def is_accepted(self, device: str) -> bool:
        return device in self.trusted

    async def introduction(self, device: str) -> bytes | None:
        return self.own_introduction

    async def revoker_of(self, peer: AuthenticatedPeer) -> str | None:
        return self.revokers.get(peer.device)

    async def introduced(self, peer: AuthenticatedPeer, introduction: bytes) -> bool:
        self.introductions.append(introduction)
        return introduction == b"believe me"

    async def admits(self, peer: AuthenticatedPeer, address: str) -> bool:
        if peer.device not in self.trusted:
            self.refused.append(peer.device)
        return peer.device in self.trusted

    async def serve(self, connection: Connection) -> None:
        self.served.append(connection)
        self.documents_sent += 1
        await connection.send(DOCUMENT)
        try:
            while await connection.receive() is not None:
                pass
        except Exception as exc:  # noqa: BLE001  tests check the kind of exception
            self.problems.append(exc)
        await connection.close()

    async def close(self) -> None:
        await asyncio.gather(*(connection.close() for connection in self.served))
        await self.dialer.close()
        await self.listener.close()


@pytest.fixture(name="make_device")
async def _make_device(tmp_path: Path) -> AsyncIterator[Callable[[str], Device]]:
    devices: list[Device] = []

    def make(name: str) -> Device:
        home = tmp_path / name
        home.mkdir()
        devices.append(Device(home))
        return devices[-1]

    yield make
    for device in devices:
        await device.close()


@pytest.fixture(name="pair")
async def _pair(make_device: Callable[[str], Device]) -> tuple[Device, Device]:
    """Return two devices that have accepted each other."""
    laptop, desktop = make_device("laptop"), make_device("desktop")
    laptop.trusted.add(desktop.id)
    desktop.trusted.add(laptop.id)
    return laptop, desktop


@pytest.fixture(name="eventually")
def _eventually() -> Callable[[Callable[[], object]], object]:
    """Wait until a condition is true, for up to half a minute: a busy machine is slow."""

    async def wait(condition: Callable[[], object]) -> None:
        async with asyncio.timeout(30):
            while not condition():  # noqa: ASYNC110  arbitrary conditions have no event
                await asyncio.sleep(0.005)

    return wait


class ManualChangeSignal:
    """A change signal for a replica in memory. A test can also set it directly."""

    def __init__(self, replica: FakeReplica) -> None:
        self.event = asyncio.Event()
        self._replica = replica
        self._seen = 0

    async def changed(self) -> None:
        while not self.event.is_set() and len(self._replica._log) == self._seen:  # noqa: ASYNC110  the replica has no event
            await asyncio.sleep(0.005)
        self.event.clear()
        self._seen = len(self._replica._log)


class Machine:
    """A driver with real sockets and a real table of peers, over a replica in memory."""

    def __init__(self, home: Path, client: int) -> None:
        self.identity = Identity.load_or_create(home)
        self.id = self.identity.device_id
        self.memory = memcrdt.open(home, embedder=None)
        self.peers = Peers(self.memory.store)
        self.replica = FakeReplica(client)
        self.change_signal = ManualChangeSignal(self.replica)
        self.ports: list[int | None] = []
        self.port_error: str | None = None
        self.incarnation = "incarnation"
        self.relays: list[Address] = []
        self.driver: Driver | None = None

    @property
    def address(self) -> Address:
        return Address("127.0.0.1", self.driver.port)

    async def start(self, port: int = 0, *, must_listen: bool = True) -> None:
        gossip = Gossip(self.id, self.incarnation, rng=Random(self.replica.client))
        parts = DriverParts(
            identity=self.identity,
            gossip=gossip,
            replica=self.replica,
            peers=self.peers,
            introductions=Introductions(self.memory.store),
            change_signal=self.change_signal,
            incarnation=lambda: self.incarnation,
            relays=lambda: RelayPlan(tuple(self.relays)),
        )
        self.driver = Driver(parts, [Address("127.0.0.1", port)], self.tell_port, must_listen=must_listen)
        await self.driver.start()

    def tell_port(self, port: int | None, error: str | None) -> None:
        self.ports.append(port)
        self.port_error = error

    async def stop(self) -> None:
        if self.driver is not None:
            driver, self.driver = self.driver, None
            await driver.stop()

    def accept(self, *others: Machine, address: Address | None = None) -> None:
        """Accept other machines, and share the only space with them."""
        for other in others:
            self.peers.accept(other.id, address=None if address is None else str(address))
            self.replica.share("SPACE", "personal", other.id)
        self.change_signal.event.set()

    def find(self, other: Machine, address: Address) -> None:
        """Report an address of the other machine, like a finder."""
        self.driver._candidates.found(AddressCandidate(address, "mdns", other.id))

    def write(self, *texts: str) -> None:
        self.replica.write("SPACE", 0, *texts)

    @property
    def texts(self) -> set[str]:
        return self.replica.texts("SPACE")


@pytest.fixture(name="make_machine")
async def _make_machine(tmp_path: Path) -> AsyncIterator[Callable[[str], Machine]]:
    machines: list[Machine] = []

    def make(name: str) -> Machine:
        machines.append(Machine(tmp_path / name, len(machines) + 1))
        return machines[-1]

    yield make
    for machine in machines:
        await machine.stop()
        machine.memory.close()


class CuttableRelay:
    """A TCP relay that can be cut: the network between two machines. It sees only TLS."""

    def __init__(self, target: Address) -> None:
        self.passed = bytearray()
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self.flows = asyncio.Event()  # while cleared, data stops here, and neither side notices an end
        self.flows.set()

    async def open(self, port: int = 0) -> Address:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", port)
        return Address("127.0.0.1", self._server.sockets[0].getsockname()[1])

    async def cut(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await self._server.wait_closed()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._target.host, self._target.port)
        self._writers |= {writer, back}
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(1 << 16):
                self.passed += data
                await self.flows.wait()
                sink.write(data)
                await sink.drain()
        sink.close()


@pytest.fixture(name="make_relay")
async def _make_relay() -> AsyncIterator[Callable[[Address], CuttableRelay]]:
    relays: list[CuttableRelay] = []

    def make(target: Address) -> CuttableRelay:
        relays.append(CuttableRelay(target))
        return relays[-1]

    yield make
    for relay in relays:
        await relay.cut()
