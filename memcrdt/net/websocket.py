"""FrameStream over WebSocket and TLS. It uses no proxy, follows no redirect and keeps no cookie."""

from __future__ import annotations

import asyncio
import itertools
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeAlias
from weakref import WeakSet

import aiohttp
from aiohttp import web
from yarl import URL

from memcrdt.errors import RemoteProtocolError, UnreachableError
from memcrdt.net.addresses import describe_os_error, through
from memcrdt.net.frame_stream import CLOSE_S, FRAME_BYTES, GOODBYE, NOT_AUTHENTIC
from memcrdt.net.tls import certificate_hash, dialer_context

if TYPE_CHECKING:
    import socket as sockets
    from collections.abc import Awaitable, Callable

    from aiohttp.client_proto import ResponseHandler
    from aiohttp.client_reqrep import ConnectionKey
    from aiohttp.tracing import Trace

    from memcrdt.net.addresses import Address

PATH: Final = "/sync"
PAIRING_PATH: Final = "/pair"
SUBPROTOCOL: Final = "memcrdt.1"
MAX_MSG_SIZE: Final = FRAME_BYTES + 1  # the aiohttp option, which refuses a message of exactly its limit
HEARTBEAT_S: Final = 15.0  # a silent connection is closed after one and a half of these
REASON_BYTES: Final = 123  # RFC 6455: maximum size of the reason in a close frame

Socket: TypeAlias = "web.WebSocketResponse | aiohttp.ClientWebSocketResponse"


class WebSocketFrameStream:
    """Implements FrameStream over an open WebSocket, dialed or accepted."""

    def __init__(self, socket: Socket, channel_binding: bytes, remote: str) -> None:
        self.remote = remote
        self._socket = socket
        self._channel_binding = channel_binding

    @property
    def channel_binding(self) -> bytes:
        return self._channel_binding

    @property
    def close_code(self) -> int | None:
        return self._socket.close_code

    async def send(self, frame: bytes) -> None:
        try:
            await self._socket.send_bytes(frame)
        except (OSError, aiohttp.ClientError) as exc:
            raise UnreachableError(f"the connection to {self.remote} was lost; try again") from exc

    async def receive(self, limit: int) -> bytes | None:
        try:
            message = await self._socket.receive()
        except (OSError, aiohttp.ClientError):  # the answer to a ping could not be sent
            return None
        if message.type is aiohttp.WSMsgType.BINARY:
            frame: bytes = message.data
            if len(frame) > limit:
                raise RemoteProtocolError(
                    f"{self.remote} sent a frame of {len(frame)} bytes; the maximum is {limit} bytes"
                )
            return frame
        if message.type is aiohttp.WSMsgType.TEXT:
            raise RemoteProtocolError(f"{self.remote} sent a text frame; this protocol is binary")
        if isinstance(message.data, aiohttp.WebSocketError):
            if message.data.code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG:
                raise RemoteProtocolError(
                    f"{self.remote} sent a frame of more than {limit} bytes, which is the maximum"
                )
            raise RemoteProtocolError(f"{self.remote} broke the WebSocket protocol: {message.data}")
        return None

    async def close(self, code: int = GOODBYE, reason: str = "") -> None:
        message = reason.encode()[:REASON_BYTES].decode(errors="ignore").encode()
        with suppress(TimeoutError, OSError, aiohttp.ClientError):
            async with asyncio.timeout(CLOSE_S):
                await self._socket.close(code=code, message=message)


class WebSocketClient:
    """Opens streams to listeners at one path. Create it inside the running event loop, and close it after use."""

    def __init__(self, path: str, expected: str) -> None:
        """`expected` names the program that should answer; it appears in the error message when it does not."""
        self._path = path
        self._expected = expected
        self._connector = _Connector()
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(_refuse_redirects,),
            timeout=aiohttp.ClientTimeout(total=None),
            trust_env=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),  # bytes of each connection, without use
        )

    async def connect(self, address: Address, name: str) -> WebSocketFrameStream:
        """Open a stream to an address. It has no time limit of its own.

        Args:
            address: Where to connect.
            name: Name of the other side in error messages.

        Raises:
            UnreachableError: No memcrdt listener answers.
            TimeoutError: The operating system or the caller gave up.
        """
        return await self._connect(URL.build(scheme="https", host=address.host, port=address.port), str(address), name)

    async def connect_over(self, connected: sockets.socket, relay: Address, name: str) -> WebSocketFrameStream:
        """Open a stream over a socket that a relay has joined with the other side. Closes the socket in the end.

        Args and errors as of connect().
        """
        url = self._connector.lend(connected, relay.port)
        try:
            return await self._connect(url, through(relay), name)
        finally:
            self._connector.take_back(url)

    async def _connect(self, url: URL, remote: str, name: str) -> WebSocketFrameStream:
        try:
            socket = await self._session.ws_connect(
                url.with_path(self._path),
                protocols=(SUBPROTOCOL,),
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_S),
                heartbeat=HEARTBEAT_S,
                compress=0,
                max_msg_size=MAX_MSG_SIZE,
            )
        except TimeoutError:
            raise
        except (OSError, aiohttp.ClientError) as exc:
            raise self._unreachable(name, url.port, exc) from exc
        tls = socket.get_extra_info("ssl_object")
        if not isinstance(tls, ssl.SSLObject) or (certificate := tls.getpeercert(binary_form=True)) is None:
            await WebSocketFrameStream(socket, b"", remote).close(NOT_AUTHENTIC)
            raise UnreachableError(f"the connection to {remote} ended before its certificate was read; try again")
        return WebSocketFrameStream(socket, certificate_hash(certificate), remote)

    async def close(self) -> None:
        """Free the sockets of unfinished attempts and of closed streams. Open streams stay open."""
        await self._session.close()

    def _unreachable(self, name: str, port: int | None, cause: Exception) -> UnreachableError:
        expected = self._expected
        if isinstance(cause, aiohttp.WSServerHandshakeError):
            return UnreachableError(
                f"the server at {name} is not {expected} (HTTP {cause.status}); check host and port"
            )
        if isinstance(cause, aiohttp.ClientConnectorDNSError):
            return UnreachableError(f"cannot reach {name}: the name has no address; check it, or give an IP address")
        if isinstance(cause, aiohttp.ClientConnectorError):
            cause = cause.os_error
        why = describe_os_error(cause) if isinstance(cause, OSError) else str(cause)
        return UnreachableError(f"cannot reach {name}: {why}; is {expected} there, and TCP port {port} open?")


class _Connector(aiohttp.TCPConnector):
    """Connects to addresses, and uses sockets that are connected already: each has a host name that does not exist."""

    def __init__(self) -> None:
        self._context = dialer_context()
        self._lent: dict[str, sockets.socket] = {}
        self._ending: WeakSet[asyncio.Transport] = WeakSet()  # of streams that were closed, until the other side knows
        self._numbers = itertools.count(1)
        super().__init__(ssl=self._context, force_close=True, limit=0)

    def lend(self, connected: sockets.socket, port: int) -> URL:
        """Return the URL that stands for a connected socket."""
        host = f"{next(self._numbers)}.invalid"  # RFC 2606
        self._lent[host] = connected
        return URL.build(scheme="https", host=host, port=port)

    def take_back(self, url: URL) -> None:
        """Close the socket of a URL if nothing used it."""
        if connected := self._lent.pop(url.host or "", None):
            connected.close()

    async def close(self, *, abort_ssl: bool = False) -> None:
        """Close everything. Nobody would wait until the other sides have answered the ends of closed streams."""
        for transport in self._ending:
            transport.abort()
        await super().close(abort_ssl=abort_ssl)

    def _release(self, key: ConnectionKey, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        if isinstance(protocol.transport, asyncio.Transport):
            self._ending.add(protocol.transport)
        super()._release(key, protocol, should_close=should_close)

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's
    ) -> ResponseHandler:
        connected = self._lent.pop(req.url.host or "", None)
        if connected is None:
            return await super()._create_connection(req, traces, timeout)
        try:
            _, protocol = await self._loop.create_connection(
                self._factory, sock=connected, ssl=self._context, server_hostname="memcrdt"
            )
        except BaseException:
            connected.close()
            raise
        return protocol


async def answer_websocket(
    request: web.BaseRequest, path: str, channel_binding: bytes, remote: str
) -> tuple[web.WebSocketResponse, WebSocketFrameStream] | int:
    """Answer a request of a WebSocketClient.

    Args:
        request: The request.
        path: The only path that is answered.
        channel_binding: Hash of the certificate that the client was shown.
        remote: Name of the client in error messages.

    Returns:
        The response, which the request handler has to return, and its stream. If the request is refused: the HTTP
        status.
    """
    socket = web.WebSocketResponse(
        timeout=CLOSE_S, heartbeat=HEARTBEAT_S, protocols=(SUBPROTOCOL,), compress=False, max_msg_size=MAX_MSG_SIZE
    )
    offered = request.headers.get("Sec-WebSocket-Protocol", "")
    if "Origin" in request.headers:
        return 403  # the request is from a web page
    if request.path != path:
        return 404
    if SUBPROTOCOL not in [name.strip() for name in offered.split(",")] or not socket.can_prepare(request):
        return 400
    try:
        await socket.prepare(request)
    except OSError:  # the client hung up and never reads this status
        return 400
    return socket, WebSocketFrameStream(socket, channel_binding, remote)


async def _refuse_redirects(
    request: aiohttp.ClientRequest, handler: Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]]
) -> aiohttp.ClientResponse:
    response = await handler(request)
    if response.status != 101:
        response.close()
        raise aiohttp.WSServerHandshakeError(
            response.request_info, response.history, status=response.status, message="no WebSocket"
        )
    return response
