"""Typed and remembered addresses: the table of peers as a source, under the acceptance suite of all finders.

The network reads them together with the accepted and revoked devices.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

import memcrdt
from memcrdt.net.addresses import Address
from memcrdt.net.discovery.finder import AddressCandidate, Found
from memcrdt.node.trusted_peers import TrustedPeers
from memcrdt.store.membership.peers import PeerConnection, Peers
from memcrdt.sync.events import Known
from memcrdt.testing.finders import FinderAcceptance

DEVICE = "B" * 52


class TableFinder:
    """Reads the table like a driver does, and finds every address of a device that has a new one."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    def announce(self, port: int | None) -> None: ...

    async def run(self, found: Found) -> None:
        trusted = TrustedPeers(self._peers)
        while True:
            for event in await asyncio.to_thread(trusted.read):
                if isinstance(event, Known):
                    for address in self._peers.get(event.peer).addresses:
                        found(AddressCandidate(Address.parse(address), "address", event.peer))
            await asyncio.sleep(0.01)


class TypedScene:
    """A user who enters an address, and later removes the device."""

    def __init__(self, peers: Peers) -> None:
        self.peers = peers
        self._last = 0

    def finder(self) -> TableFinder:
        return TableFinder(self.peers)

    async def appear(self) -> AddressCandidate:
        self._last += 1
        address = Address(f"192.168.1.{self._last}", 27380)
        self.make_known(str(address))
        return AddressCandidate(address, "address", DEVICE)

    def make_known(self, address: str) -> None:
        self.peers.accept(DEVICE, address=address)

    async def vanish(self) -> None:
        if self.peers.all():
            self.peers.forget(DEVICE)


class RememberedScene(TypedScene):
    """An accepted device that says at each connection where it listens."""

    def make_known(self, address: str) -> None:
        self.peers.accept(DEVICE)
        self.peers.connected(DEVICE, b"k" * 32, PeerConnection("accepted", "192.168.1.1:50000", 1), address)


@pytest.fixture(name="peers")
def _peers(tmp_path: Path) -> Iterator[Peers]:
    with memcrdt.open(tmp_path, embedder=None) as memory:
        yield Peers(memory.store)


class TestTyped(FinderAcceptance):
    """Addresses from `--at HOST:PORT`."""

    @pytest.fixture
    def scene(self, peers: Peers) -> TypedScene:
        return TypedScene(peers)


class TestRemembered(FinderAcceptance):
    """Addresses of earlier connections."""

    @pytest.fixture
    def scene(self, peers: Peers) -> RememberedScene:
        return RememberedScene(peers)
