"""Devices with real sockets on the loopback interface."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from memcrdt.net.addresses import Address
from memcrdt.net.auth import Authenticated
from memcrdt.net.connection import Connection
from memcrdt.net.dialer import Dialer, Target
from memcrdt.net.identity import Identity
from memcrdt.net.listener import Listener

DOCUMENT = b"the text of a memory"


class Device:
    """A device that sends a document to whoever it has accepted, and notes who was refused."""

    def __init__(self, home: Path) -> None:
        self.identity = Identity.load_or_create(home)
        self.id = self.identity.device_id
        self.trusted: set[str] = set()
        self.knocks: list[str] = []
        self.served: list[Connection] = []
        self.problems: list[Exception] = []
        self.documents_sent = 0
        self.listener = Listener(self.identity, self)
        self.dialer = Dialer(self.identity, self.accepts)

    def listen(self) -> Address:
        return Address("127.0.0.1", self.listener.start(Address("127.0.0.1", 0)))

    async def dial(self, address: Address, device: str | None = None) -> Connection:
        return await self.dialer.dial(Target(address, device))

    async def accepts(self, device: str) -> bool:
        return device in self.trusted

    async def admits(self, peer: Authenticated, address: str) -> bool:
        if peer.device not in self.trusted:
            self.knocks.append(peer.device)
        return peer.device in self.trusted

    async def serve(self, connection: Connection) -> None:
        self.served.append(connection)
        self.documents_sent += 1
        await connection.send(DOCUMENT)
        try:
            while await connection.receive() is not None:
                pass
        except Exception as exc:  # noqa: BLE001  the tests look at whatever it was
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
    """Two devices that have accepted each other."""
    laptop, desktop = make_device("laptop"), make_device("desktop")
    laptop.trusted.add(desktop.id)
    desktop.trusted.add(laptop.id)
    return laptop, desktop


@pytest.fixture(name="eventually")
def _eventually() -> Callable[[Callable[[], object]], object]:
    """Waits until a condition is true, for at most ten seconds."""

    async def wait(condition: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110  a condition of any kind, without an event of its own
                await asyncio.sleep(0.005)

    return wait
