"""One authenticated connection to another device: frames out, frames in, whichever side dialed."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import aiohttp

from memcrdt.errors import RemoteProtocolError, UnreachableError
from memcrdt.model.device_ids import Signer, shown
from memcrdt.net.addresses import Address
from memcrdt.net.auth import Endpoint, clock_of, fresh_nonce, port_of

if TYPE_CHECKING:
    from aiohttp import web

    from memcrdt.net.auth import AuthenticatedPeer

PATH: Final = "/sync"
PAIRING_PATH: Final = "/pair"
SUBPROTOCOL: Final = "memcrdt.1"
FRAME_BYTES: Final = 1 << 20  # once authenticated; before it, auth.HANDSHAKE_FRAME_BYTES
MAX_MSG_SIZE: Final = FRAME_BYTES + 1  # aiohttp's option of that name: it refuses a message of exactly its limit
HEARTBEAT_S: Final = 15.0  # a silent connection is given up after one and a half of these
REASON_BYTES: Final = 123  # RFC 6455: what a close frame has room for
UPDATE: Final = "if that goes on, update memcrdt on the older of the two"  # the next step when the protocol is broken
CLOSE_S: Final = 2.0  # how long the other side may take to answer our goodbye

# Close codes of RFC 6455, and two of the range that it leaves to applications.
GOODBYE: Final = 1000
PROTOCOL_BROKEN: Final = 1002
NOT_AUTHENTIC: Final = 4001
NOT_ACCEPTED: Final = 4003

Socket: TypeAlias = "web.WebSocketResponse | aiohttp.ClientWebSocketResponse"
Via: TypeAlias = Literal["dialed", "accepted"]


class Connection:
    """A connection to `peer`, whose device id is proven. One task at a time may receive, any may send."""

    def __init__(self, socket: Socket, peer: AuthenticatedPeer, address: str, via: Via) -> None:
        self.peer = peer
        self.address = address
        self.via = via
        self.found: str | None = None  # how we came by the address
        self._socket = socket

    @property
    def peer_clock_ms(self) -> int:
        """What the other's clock showed during authentication."""
        return clock_of(self.peer.listener_nonce if self.via == "dialed" else self.peer.dialer_nonce)

    @property
    def listens_at(self) -> str | None:
        """Where the other side can be dialed, as HOST:PORT; None if it does not listen."""
        return self.address if self.via == "dialed" else dialer_address(self.peer, self.address)

    async def send(self, frame: bytes) -> None:
        """Sends one frame of at most 1 MiB; waits while the other side is slow. Raises UnreachableError."""
        try:
            await self._socket.send_bytes(frame)
        except (OSError, aiohttp.ClientError) as exc:
            raise UnreachableError(f"the connection to {self} broke off; it is dialed again by itself") from exc

    async def receive(self, limit: int = FRAME_BYTES) -> bytes | None:
        """The next frame, or None when the connection has ended. Raises RemoteProtocolError for what is no
        binary frame of at most `limit` bytes; close the connection then."""
        return await receive_frame(self._socket, limit, str(self))

    async def close(self, code: int = GOODBYE) -> None:
        """Says goodbye and closes, in at most 2 s."""
        await close_socket(self._socket, code)

    def __str__(self) -> str:
        return f"{shown(self.peer.device)} at {self.address}"


def new_side(identity: Signer, certificate: bytes, address: str, port: int | None) -> Endpoint:
    """Our side of a connection that is about to be authenticated; `port` is where we listen."""
    return Endpoint(identity, certificate, fresh_nonce(time.time_ns() // 1_000_000, port or 0), address)


def dialer_address(peer: AuthenticatedPeer, address: str) -> str | None:
    """Where a device that dialed us from `address` (HOST:PORT) listens; None if it does not."""
    port = port_of(peer.dialer_nonce)
    return str(Address(dialer_host(address), port)) if port else None


def dialer_host(address: str) -> str:
    """The host of an address as HOST:PORT."""
    return Address.parse(address).host


async def receive_frame(socket: Socket, limit: int, whom: str) -> bytes | None:
    """The next frame, or None at the end. Raises RemoteProtocolError for anything but a binary frame of at
    most `limit` bytes; `whom` names the other side in it."""
    message = await socket.receive()
    if message.type is aiohttp.WSMsgType.BINARY:
        frame: bytes = message.data
        if len(frame) > limit:
            raise RemoteProtocolError(f"{whom} sent a frame of {len(frame)} bytes; at most {limit} are taken")
        return frame
    if message.type is aiohttp.WSMsgType.TEXT:
        raise RemoteProtocolError(f"{whom} sent a text frame; this protocol is binary")
    if isinstance(message.data, aiohttp.WebSocketError):
        raise RemoteProtocolError(f"{whom} broke the WebSocket protocol: {message.data}")
    return None


async def close_socket(socket: Socket, code: int, reason: str = "") -> None:
    """Closes a WebSocket in at most 2 s, whatever the other side does. Of the reason 123 bytes are sent."""
    with suppress(TimeoutError, OSError, aiohttp.ClientError):
        async with asyncio.timeout(CLOSE_S):
            await socket.close(code=code, message=reason.encode()[:REASON_BYTES].decode(errors="ignore").encode())
