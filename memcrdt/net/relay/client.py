"""The device's side of a relay: waits there for calls, and calls other devices. Both give a connected TCP socket.

What follows on that socket is for the other device: the TLS stream that a direct connection has, too.
"""

from __future__ import annotations

import asyncio
import socket as sockets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from memcrdt.errors import RemoteProtocolError, UnreachableError
from memcrdt.model.device_ids import shown
from memcrdt.net.addresses import describe_os_error
from memcrdt.net.relay import protocol
from memcrdt.net.relay.protocol import Absent, Called, Challenge, Joined, Message, Ping, Pong, Ready, Refused, Waiting
from memcrdt.net.relay.rendezvous import CALL_S, PING_S, READY_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from memcrdt.model.device_ids import Signer
    from memcrdt.net.addresses import Address

CONNECT_S: Final = 3.0  # for one address of the relay
ANSWER_S: Final = 5.0  # for one answer of the relay
_ABSENT: Final = (
    "{} does not wait at the relay {}; is memcrdt serving there, and is the relay in its list (memcrdt relays list)?"
)
_NO_CODE: Final = "no device shows the code {}-… at the relay {}; compare the number, and the name of the relay"


async def call(relay: Address, identity: Signer, place: str) -> sockets.socket:
    """Ask a relay for the device that waits at a place, and return a socket that leads to it.

    Args:
        relay: The address of the relay.
        identity: The key of this device.
        place: The id of the device, or the number of the pairing code that it shows.

    Raises:
        UnreachableError: The relay does not answer or refuses, or no device waits there.
        RemoteProtocolError: The program at the address is no relay.
    """
    async with _link(relay) as link:
        await link.send(protocol.call(identity, await link.challenge(), relay.host, place))
        answer = await link.receive(CALL_S + READY_S + ANSWER_S)
        if isinstance(answer, Absent):
            raise UnreachableError((_NO_CODE if protocol.is_code(place) else _ABSENT).format(_named(place), relay))
        link.expect(answer, Joined)
        return link.detach()


async def wait_for_call(
    relay: Address, identity: Signer, registered: Callable[[], None], place: str | None = None
) -> sockets.socket:
    """Register at a relay, and return a socket that leads to the first device that calls.

    Args:
        relay: The address of the relay.
        identity: The key of this device.
        registered: Called when the relay has registered this device.
        place: The number of the pairing code that this device shows; None: its own id.

    Raises:
        UnreachableError: The relay does not answer, or no longer, or refuses.
        RemoteProtocolError: The program at the address is no relay.
    """
    async with _link(relay) as link:
        await link.send(protocol.wait(identity, await link.challenge(), relay.host, place))
        link.expect(await link.receive(ANSWER_S), Waiting)
        registered()
        pinging = asyncio.create_task(link.ping())
        try:
            while not isinstance(message := await link.receive(PING_S + ANSWER_S), Called):
                link.expect(message, Pong)
        finally:
            pinging.cancel()
            await asyncio.gather(pinging, return_exceptions=True)
        await link.send(Ready())
        return link.detach()


def _named(place: str) -> str:
    return place if protocol.is_code(place) else shown(place)


class _RelayLink:
    """A connection to a relay, before it leads to another device. It reads no byte beyond a frame."""

    def __init__(self, relay: Address, socket: sockets.socket) -> None:
        self._relay = relay
        self._socket: sockets.socket | None = socket
        self._loop = asyncio.get_running_loop()

    async def send(self, message: Message) -> None:
        assert self._socket is not None
        await self._loop.sock_sendall(self._socket, protocol.encode(message))

    async def receive(self, timeout_s: float) -> Message:
        async with asyncio.timeout(timeout_s):
            size = protocol.body_size(await self._exactly(2))
            return protocol.decode(await self._exactly(size))

    async def challenge(self) -> bytes:
        first = await self.receive(ANSWER_S)
        self.expect(first, Challenge)
        assert isinstance(first, Challenge)
        return first.nonce

    async def ping(self) -> None:
        while True:
            await asyncio.sleep(PING_S)
            await self.send(Ping())

    def expect(self, message: Message, kind: type[Message]) -> None:
        if isinstance(message, Refused):
            raise UnreachableError(f"the relay {self._relay} refuses this device: {message.reason}")
        if not isinstance(message, kind):
            raise RemoteProtocolError(f"the relay sent a {type(message).__name__} frame at the wrong time")

    def detach(self) -> sockets.socket:
        """Return the socket, which close() no longer closes."""
        socket, self._socket = self._socket, None
        assert socket is not None
        return socket

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    async def _exactly(self, size: int) -> bytes:
        assert self._socket is not None
        data = b""
        while len(data) < size:
            more = await self._loop.sock_recv(self._socket, size - len(data))
            if not more:
                raise ConnectionResetError
            data += more
        return data


@asynccontextmanager
async def _link(relay: Address) -> AsyncIterator[_RelayLink]:
    """Connect to a relay, and translate what may go wrong until the link is detached or closed."""
    link: _RelayLink | None = None
    try:
        link = _RelayLink(relay, await _connected(relay))
        yield link
    except TimeoutError as exc:
        raise UnreachableError(
            f"the relay {relay} does not answer; is it running, and TCP port {relay.port} open?"
        ) from exc
    except OSError as exc:
        raise UnreachableError(
            f"cannot reach the relay {relay}: {describe_os_error(exc) or 'it closed the connection'}; is it running,"
            f" and TCP port {relay.port} open?"
        ) from exc
    except RemoteProtocolError as exc:
        raise RemoteProtocolError(
            f"the program at {relay} is not a relay that this version knows ({exc}); see `memcrdt relays list`"
        ) from exc
    finally:
        if link is not None:
            link.close()


async def _connected(relay: Address) -> sockets.socket:
    """Return a socket that is connected to the first address of the relay that answers."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(CONNECT_S):
        found = await loop.getaddrinfo(relay.host, relay.port, type=sockets.SOCK_STREAM)
    problem: OSError = ConnectionRefusedError()
    for family, kind, proto, _, address in found:
        socket = sockets.socket(family, kind, proto)
        socket.setblocking(False)
        socket.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)  # the frames are small, and each is awaited
        try:
            async with asyncio.timeout(CONNECT_S):
                await loop.sock_connect(socket, address)
            return socket
        except OSError as exc:  # TimeoutError is one
            socket.close()
            problem = exc
        except BaseException:
            socket.close()
            raise
    raise problem
