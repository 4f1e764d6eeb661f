"""Answers the dials of other devices: TLS, one WebSocket path, authentication, and nothing else.

Until a device is authenticated it is a stranger: it has 3 s and frames of 1 KiB, there are 16 such sockets
at most and 4 from one address, counted from the TCP connection on. A web page cannot come this far: browsers
send an Origin header, and any request with one is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from aiohttp import web

from memcrdt.errors import RemoteProtocolError, UntrustedPeerError
from memcrdt.model.device_ids import Signer
from memcrdt.net.auth import HANDSHAKE_FRAME_BYTES, AuthenticatedPeer, ListenerHandshake
from memcrdt.net.connection import (
    CLOSE_S,
    GOODBYE,
    HEARTBEAT_S,
    MAX_MSG_SIZE,
    NOT_ACCEPTED,
    NOT_AUTHENTIC,
    PATH,
    PROTOCOL_BROKEN,
    SUBPROTOCOL,
    Connection,
    close_socket,
    new_side,
    receive_frame,
)
from memcrdt.net.connection_gate import ConnectionGate, GateOptions, PendingConnection, refusing_response
from memcrdt.net.tls import new_credentials

if TYPE_CHECKING:
    from memcrdt.net.addresses import Address

PENDING_MAX: Final = 16
PENDING_PER_HOST_MAX: Final = 4


class ConnectionHandler(Protocol):
    """Whoever runs the listener: decides who may come in, and talks to them."""

    async def admits(self, peer: AuthenticatedPeer, address: str) -> bool:
        """Whether we accept this device, which has proven its id. One that we don't know has knocked."""
        ...

    async def revoker_of(self, peer: AuthenticatedPeer) -> str | None:
        """The id of the device that revoked this one, for it to know; None if that is not why we don't accept it."""
        ...

    async def introduced(self, peer: AuthenticatedPeer, introduction: bytes) -> bool:
        """Whether we accept this device because of what it says that members have signed about it."""
        ...

    async def serve(self, connection: Connection) -> None:
        """Talks to an accepted device until the connection ends."""
        ...


class Listener:
    """Listens for one identity: `start`, then `close`. Made inside the running event loop."""

    def __init__(self, identity: Signer, host: ConnectionHandler, path: str = PATH) -> None:
        self._identity = identity
        self._host = host
        self._path = path
        self._credentials = new_credentials()
        self._port = 0
        options = GateOptions(context=self._credentials.context, pending=PENDING_MAX, per_host=PENDING_PER_HOST_MAX)
        self._gate = ConnectionGate(self._answer, options)

    def start(self, address: Address) -> int:
        """Listens at the address, and returns the port; port 0 takes any free one, an empty host all interfaces.

        Raises LockedError when another program has the port, InputError when the host is none of ours.
        """
        self._port = self._gate.open(address)
        return self._port

    @property
    def certificate(self) -> bytes:
        """The hash of the certificate that it shows: nobody else has its key."""
        return self._credentials.certificate

    async def close(self) -> None:
        """Stops listening. The host has closed its own connections before."""
        await self._gate.close()

    async def _answer(self, request: web.BaseRequest, pending: PendingConnection) -> web.StreamResponse:
        socket = _socket()
        if status := _refusal(request, socket, self._path):
            return refusing_response(status)
        try:
            connection = await self._authenticated(request, socket, pending.address)
        finally:
            pending.identified.set()
        if connection is not None:
            await self._host.serve(connection)
        return socket

    async def _authenticated(
        self, request: web.BaseRequest, socket: web.WebSocketResponse, address: str
    ) -> Connection | None:
        """The connection to an accepted device. Any other is told only that, by a close code."""
        code = GOODBYE
        try:
            await socket.prepare(request)
            peer = await self._authenticate(socket, address)
            if peer is not None:
                return Connection(socket, peer, address, "accepted")
            code = NOT_ACCEPTED
        except RemoteProtocolError:
            code = PROTOCOL_BROKEN
        except UntrustedPeerError:
            code = NOT_AUTHENTIC
        except OSError:  # it hung up
            return None
        await close_socket(socket, code)
        return None

    async def _authenticate(self, socket: web.WebSocketResponse, address: str) -> AuthenticatedPeer | None:
        side = new_side(self._identity, self._credentials.certificate, address, self._port)
        handshake = ListenerHandshake(side)
        await socket.send_bytes(handshake.greeting())
        frame = await receive_frame(socket, HANDSHAKE_FRAME_BYTES, address)
        if frame is None:
            raise ConnectionResetError(address)
        peer = handshake.verify(frame)
        if not await self._host.admits(peer, address):
            revoked_by = await self._host.revoker_of(peer)
            await socket.send_bytes(handshake.refusal(peer, revoked_by))
            if revoked_by or not await self._introduced(socket, peer, address):
                return None
        await socket.send_bytes(handshake.welcome(peer))
        return peer

    async def _introduced(self, socket: web.WebSocketResponse, peer: AuthenticatedPeer, address: str) -> bool:
        frame = await receive_frame(socket, HANDSHAKE_FRAME_BYTES, address)
        return frame is not None and await self._host.introduced(peer, frame)


def _socket() -> web.WebSocketResponse:
    return web.WebSocketResponse(
        timeout=CLOSE_S, heartbeat=HEARTBEAT_S, protocols=(SUBPROTOCOL,), compress=False, max_msg_size=MAX_MSG_SIZE
    )


def _refusal(request: web.BaseRequest, socket: web.WebSocketResponse, path: str) -> int:
    """The HTTP status of a request that gets no WebSocket, else 0."""
    offered = request.headers.get("Sec-WebSocket-Protocol", "")
    if "Origin" in request.headers:
        return 403  # a web page
    if request.path != path:
        return 404
    if SUBPROTOCOL not in [name.strip() for name in offered.split(",")] or not socket.can_prepare(request):
        return 400
    return 0
