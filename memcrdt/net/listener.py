"""Answers the dials of other devices: TLS, one WebSocket path, authentication, and nothing else.

Until a device is authenticated it is a stranger: it has 3 s and frames of 1 KiB, there are 16 such sockets
at most and 4 from one address, counted from the TCP connection on. A web page cannot come this far: browsers
send an Origin header, and any request with one is refused.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket as sockets
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from aiohttp import web

from memcrdt.errors import InputError, LockedError, RemoteProtocolError, UntrustedPeerError
from memcrdt.net.addresses import Address
from memcrdt.net.auth import HANDSHAKE_FRAME_BYTES, NONCE_BYTES, Authenticated, ListenerHandshake, Side, Signer
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
    receive_frame,
)
from memcrdt.net.tls import new_credentials

if TYPE_CHECKING:
    from collections.abc import Coroutine

AUTHENTICATION_S: Final = 3.0
STRANGERS: Final = 16
STRANGERS_PER_ADDRESS: Final = 4
_KEEPALIVE_S: Final = 15.0
_ACCEPT_RETRY_S: Final = 1.0  # after the process ran out of file handles; asyncio's own servers wait as long
_BACKLOG: Final = 64


class Host(Protocol):
    """Whoever runs the listener: decides who may come in, and talks to them."""

    async def admits(self, peer: Authenticated, address: str) -> bool:
        """Whether we accept this device, which has proven its id. One that we don't know has knocked."""
        ...

    async def serve(self, connection: Connection) -> None:
        """Talks to an accepted device until the connection ends."""
        ...


class Listener:
    """Listens for one identity: `start`, then `close`. Made inside the running event loop."""

    def __init__(self, identity: Signer, host: Host) -> None:
        self._identity = identity
        self._host = host
        self._credentials = new_credentials()
        self._server = web.Server(self._answer, access_log=None, keepalive_timeout=_KEEPALIVE_S)
        self._socket: sockets.socket | None = None
        self._strangers: dict[object, _Stranger] = {}  # by aiohttp's protocol object of the connection
        self._strangers_at: Counter[str] = Counter()  # by host
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, address: Address) -> int:
        """Listens at the address, and returns the port; port 0 takes any free one, an empty host all interfaces.

        Raises LockedError when another program has the port, InputError when the host is none of ours.
        """
        self._socket = _listening(address)
        self._spawn(self._accept(self._socket))
        port: int = self._socket.getsockname()[1]
        return port

    async def close(self) -> None:
        """Stops listening. The host has closed its own connections before."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()
        await self._server.shutdown(CLOSE_S)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listening: sockets.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connected, (host, port, *_) = await loop.sock_accept(listening)
            except OSError:  # no file handle is left; those waiting stay in the backlog
                await asyncio.sleep(_ACCEPT_RETRY_S)
                continue
            host = host.removeprefix("::ffff:")  # IPv4 on a dual-stack socket
            if self._strangers_at.total() < STRANGERS and self._strangers_at[host] < STRANGERS_PER_ADDRESS:
                self._strangers_at[host] += 1
                self._spawn(self._attend(connected, Address(host, port)))
            else:
                connected.close()

    async def _attend(self, connected: sockets.socket, address: Address) -> None:
        """Gives a stranger its 3 s, whatever it does with them: TLS, HTTP, authentication or nothing."""
        loop = asyncio.get_running_loop()
        stranger, protocol = _Stranger(str(address)), self._server()
        self._strangers[protocol] = stranger
        transport: asyncio.Transport | None = None
        try:
            async with asyncio.timeout(AUTHENTICATION_S):
                transport, _ = await loop.connect_accepted_socket(
                    lambda: protocol,
                    connected,
                    ssl=self._credentials.context,
                    ssl_handshake_timeout=AUTHENTICATION_S,
                    ssl_shutdown_timeout=CLOSE_S,
                )
                await stranger.settled.wait()
        except OSError:  # no TLS, gone, or out of time: TimeoutError and SSLError are OSErrors
            pass
        finally:
            if transport is not None and not stranger.settled.is_set():
                transport.abort()
            del self._strangers[protocol]
            self._strangers_at -= Counter((address.host,))

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """The handler of every request: ends when its connection does."""
        stranger = self._strangers.get(request.protocol)
        socket = _socket()
        if stranger is None or (status := _refusal(request, socket)):
            return _refused(status if stranger else 408)
        try:
            connection = await self._authenticated(request, socket, stranger.address)
        finally:
            stranger.settled.set()
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

    async def _authenticate(self, socket: web.WebSocketResponse, address: str) -> Authenticated | None:
        side = Side(self._identity, self._credentials.certificate, os.urandom(NONCE_BYTES), address)
        handshake = ListenerHandshake(side)
        await socket.send_bytes(handshake.greeting())
        frame = await receive_frame(socket, HANDSHAKE_FRAME_BYTES, address)
        if frame is None:
            raise ConnectionResetError(address)
        peer = handshake.verify(frame)
        if not await self._host.admits(peer, address):
            return None
        await socket.send_bytes(handshake.welcome(peer))
        return peer


@dataclass(frozen=True, slots=True)
class _Stranger:
    """A connection from `address` that is not authenticated yet; `settled` when it is, or was refused."""

    address: str
    settled: asyncio.Event = field(default_factory=asyncio.Event)


def _socket() -> web.WebSocketResponse:
    return web.WebSocketResponse(
        timeout=CLOSE_S, heartbeat=HEARTBEAT_S, protocols=(SUBPROTOCOL,), compress=False, max_msg_size=MAX_MSG_SIZE
    )


def _refusal(request: web.BaseRequest, socket: web.WebSocketResponse) -> int:
    """The HTTP status of a request that gets no WebSocket, else 0."""
    offered = request.headers.get("Sec-WebSocket-Protocol", "")
    if "Origin" in request.headers:
        return 403  # a web page
    if request.path != PATH:
        return 404
    if SUBPROTOCOL not in [name.strip() for name in offered.split(",")] or not socket.can_prepare(request):
        return 400
    return 0


def _refused(status: int) -> web.Response:
    response = web.Response(status=status)
    response.force_close()
    return response


def _listening(address: Address) -> sockets.socket:
    where = (address.host, address.port)
    try:
        if not address.host and sockets.has_dualstack_ipv6():
            listening = sockets.create_server(where, family=sockets.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True)
        else:
            family = sockets.AF_INET6 if ":" in address.host else sockets.AF_INET
            listening = sockets.create_server(where, family=family, backlog=_BACKLOG)
    except OSError as exc:
        raise _cannot_listen(address, exc) from exc
    listening.setblocking(False)
    return listening


def _cannot_listen(address: Address, cause: OSError) -> InputError | LockedError:
    if cause.errno == errno.EADDRINUSE:
        return LockedError(
            f"port {address.port} is in use by another program, perhaps another memcrdt; end that, or choose "
            "another port with --port"
        )
    return InputError(
        f"cannot listen at {address.host or 'all interfaces'}, port {address.port}: {cause.strerror or cause}; "
        "choose another --host or --port"
    )
