"""Dials other devices: opens a stream to an address, and authenticates the device there."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from memcrdt.errors import UnreachableError
from memcrdt.model.device_ids import Signer, shown
from memcrdt.net.addresses import through
from memcrdt.net.connection import Connection
from memcrdt.net.handshake import Clock, LocalDevice, TrustPolicy, authenticate_as_dialer, claimed_device, now_ms
from memcrdt.net.relay.client import call
from memcrdt.net.websocket import PATH, WebSocketClient

if TYPE_CHECKING:
    from memcrdt.net.addresses import Address
    from memcrdt.net.websocket import WebSocketFrameStream

DIAL_S: Final = 10.0  # from the name lookup to the end of authentication; slow links take several round trips


@dataclass(frozen=True, slots=True)
class DialTarget:
    """An address to dial.

    Attributes:
        address: The address of the device, or of a relay.
        device: The only device that will do; None: any accepted device.
        by_relay: Whether the address is that of a relay. It has to know the device, or the number of its pairing code.
        pairing: The number of the pairing code that the device shows at the relay.
    """

    address: Address
    device: str | None = None
    by_relay: bool = False
    pairing: int | None = None

    def __str__(self) -> str:
        where = through(self.address) if self.by_relay else str(self.address)
        return f"{shown(self.device)} at {where}" if self.device else where


class Dialer:
    """Dials for one identity. Create it inside the running event loop, and close it after use.

    Attributes:
        port: The port where this device listens, told to the other side. None: it does not listen.
        channel_binding: The channel binding of our own listener, to detect a dial that reaches ourselves.
        clock: Our clock, shown to the other side.
    """

    def __init__(
        self, identity: Signer, trust: TrustPolicy, path: str = PATH, expected: str = "memcrdt serving"
    ) -> None:
        """`expected` names the program that should answer; it appears in the error message when nothing answers."""
        self.port: int | None = None
        self.channel_binding: bytes | None = None
        self.clock: Clock = now_ms
        self._identity = identity
        self._trust = trust
        self._expected = expected
        self._client = WebSocketClient(path, expected)

    async def dial(self, target: DialTarget) -> Connection:
        """Return an authenticated connection to an accepted device, within 10 s.

        Raises:
            UnreachableError: No memcrdt answers.
            UntrustedPeerError: As authenticate_as_dialer() raises it.
            RemoteProtocolError: The device breaks the protocol.
        """
        local = LocalDevice(self._identity, self.port, self.channel_binding, self.clock)
        try:
            async with asyncio.timeout(DIAL_S):
                stream = await self._stream(target)
                peer = await authenticate_as_dialer(stream, local, self._trust, target.device)
        except TimeoutError as exc:
            raise self._no_answer(target) from exc
        return Connection(stream, peer, "dialed")

    async def identify(self, address: Address) -> str:
        """Return the id that the device at the address claims. The device learns nothing about us.

        Raises:
            UnreachableError: No memcrdt answers.
            RemoteProtocolError: The device breaks the protocol.
        """
        try:
            async with asyncio.timeout(DIAL_S):
                return await claimed_device(await self._client.connect(address, str(address)))
        except TimeoutError as exc:
            raise self._no_answer(DialTarget(address)) from exc

    async def _stream(self, target: DialTarget) -> WebSocketFrameStream:
        place = target.device if target.pairing is None else str(target.pairing)
        if not target.by_relay or place is None:
            return await self._client.connect(target.address, str(target))
        connected = await call(target.address, self._identity, place)
        return await self._client.connect_over(connected, target.address, str(target))

    async def close(self) -> None:
        """Free the sockets of unfinished dials. Established connections stay open."""
        await self._client.close()

    def _no_answer(self, target: DialTarget) -> UnreachableError:
        return UnreachableError(
            f"no answer {'from' if target.device else 'at'} {target} within {DIAL_S:g} s: is a firewall blocking TCP"
            f" {target.address.port}? Otherwise, is the device awake, and {self._expected} there?"
        )
