"""Answers the dials of other devices: TLS, one WebSocket path, authentication, and nothing else.

Unauthenticated devices get few resources: 3 s, frames of 1 KiB, and a few places (`Places`). When all are taken, a new
one displaces the oldest that has had half a second. Addresses where accepted devices are or were have as many places of
their own. The limits apply from the TCP connection on. Web pages cannot connect: browsers send an Origin header, and
any request with an Origin is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from memcrdt.model.device_ids import Signer
from memcrdt.net.addresses import Address, host_group, is_relayed, through
from memcrdt.net.connection import Connection
from memcrdt.net.connection_gate import ConnectionGate, GateOptions, PendingConnection, refusing_response
from memcrdt.net.handshake import AdmissionPolicy, Clock, LocalDevice, authenticate_as_listener, now_ms
from memcrdt.net.tls import new_credentials
from memcrdt.net.websocket import PATH, answer_websocket

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from socket import socket

    from aiohttp import web

DISPLACE_AFTER_S: Final = (
    0.5  # a handshake has five round trips, of 10 ms in a local network and 100 ms across an ocean
)
HOSTS_MAX: Final = 256  # where devices were accepted since the start


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """How many connections may be unauthenticated at once.

    Attributes:
        total: The number of places, and of those of addresses where accepted devices are or were.
        per_host: How many of them one IPv4 address, or one /64 IPv6 network, may have.
    """

    total: int = 16
    per_host: int = 4


PLACES: Final = Places()
Serve: TypeAlias = "Callable[[Connection], Awaitable[None]]"  # serves an accepted device until the connection ends


class Listener:
    """Listens for one identity: `start`, then `close`. It can be started again.

    Attributes:
        port: The port where it listens; None while it does not listen.
        channel_binding: The hash of its TLS certificate, whose key no other process has; None while it does not listen.
        clock: Our clock, shown to the other side.
    """

    def __init__(
        self,
        identity: Signer,
        policy: AdmissionPolicy,
        serve: Serve,
        path: str = PATH,
        *,
        places: Places = PLACES,
        knows: Callable[[str], bool] = lambda host: False,
    ) -> None:
        """Take the parts.

        Args:
            identity: The key of this device.
            policy: Decides which devices are accepted.
            serve: Serves an accepted device.
            path: The path of the WebSocket.
            places: How many connections may be unauthenticated at once.
            knows: Whether the address of an accepted device is at a host.
        """
        self.port: int | None = None
        self.channel_binding: bytes | None = None
        self.clock: Clock = now_ms
        self._identity = identity
        self._policy = policy
        self._serve = serve
        self._path = path
        self._places = places
        self._gate: ConnectionGate | None = None
        self._knows = knows
        self._hosts: dict[str, None] = {}  # groups of hosts where devices were accepted, the latest last

    def start(self, address: Address) -> int:
        """Listen under a new certificate. Call it inside the running event loop.

        Args:
            address: Where to listen. Port 0 takes any free one, an empty host all interfaces.

        Returns:
            The port.

        Raises:
            LockedError: Another program has the port.
            InputError: The host is not one of this machine.
        """
        credentials = new_credentials()
        gate = ConnectionGate(
            self._answer,
            GateOptions(
                context=credentials.context,
                pending=self._places.total,
                per_host=self._places.per_host,
                displace_after_s=DISPLACE_AFTER_S,
                knows=lambda host: host_group(host) in self._hosts or self._knows(host),
            ),
        )
        self.port = gate.open(address)
        self.channel_binding, self._gate = credentials.certificate, gate
        return self.port

    async def close(self) -> None:
        """Stop listening. The owner has to close the connections first."""
        if self._gate is not None:
            await self._gate.close()
        self.port = self.channel_binding = self._gate = None

    def take(self, connected: socket, relay: Address) -> None:
        """Answer a device that has called through a relay. Closes the socket if this device does not listen."""
        if self._gate is None:
            connected.close()
        else:
            self._gate.take(connected, through(relay))

    def _note_host(self, group: str) -> None:
        self._hosts.pop(group, None)
        self._hosts[group] = None
        if len(self._hosts) > HOSTS_MAX:
            del self._hosts[next(iter(self._hosts))]

    async def _answer(self, request: web.BaseRequest, pending: PendingConnection) -> web.StreamResponse:
        """Handle a request. Return when its connection ends."""
        answer = await answer_websocket(request, self._path, self.channel_binding or b"", pending.address)
        if isinstance(answer, int):
            return refusing_response(answer)
        socket, stream = answer
        try:
            local = LocalDevice(self._identity, self.port, self.channel_binding, self.clock)
            peer = await authenticate_as_listener(stream, local, self._policy)
        finally:
            pending.identified.set()
        if peer is not None:
            if not is_relayed(pending.address):
                self._note_host(host_group(Address.parse(pending.address).host))
            await self._serve(Connection(stream, peer, "accepted"))
        return socket
