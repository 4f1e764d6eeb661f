"""The door of a listener: takes connections, and gives each little time and room until somebody vouches for it."""

from __future__ import annotations

import asyncio
import errno
import socket as sockets
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from aiohttp import web

from memcrdt.errors import InputError, LockedError
from memcrdt.net.addresses import Address
from memcrdt.net.connection import CLOSE_S
from memcrdt.net.tasks import Tasks

if TYPE_CHECKING:
    import ssl

STRANGER_S: Final = 3.0
_KEEPALIVE_S: Final = 15.0
_ACCEPT_RETRY_S: Final = 1.0  # after the process ran out of file handles; asyncio's own servers wait as long
_BACKLOG: Final = 64


@dataclass(frozen=True, slots=True)
class Stranger:
    """A connection from `address`; whoever knows it by now sets `known`."""

    address: str
    known: asyncio.Event = field(default_factory=asyncio.Event)


Answer = Callable[[web.BaseRequest, Stranger], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorOptions:
    """`context` is None for plain HTTP; `strangers` are taken at once, `per_address` of them from one address.

    `option` is what chooses the address on the command line: errors name it.
    """

    context: ssl.SSLContext | None
    strangers: int
    per_address: int
    option: str = ""


class Door:
    """Answers requests at one address: `open`, then `close`. Made inside the running event loop.

    A connection that is not known 3 s after it was taken is cut off, whatever it did with them: TLS, HTTP or nothing.
    """

    def __init__(self, answer: Answer, options: DoorOptions) -> None:
        self._answer = answer
        self._options = options
        self._server = web.Server(self._handle, access_log=None, keepalive_timeout=_KEEPALIVE_S)
        self._socket: sockets.socket | None = None
        self._strangers: dict[object, Stranger] = {}  # by aiohttp's protocol object of the connection
        self._strangers_at: Counter[str] = Counter()  # by host
        self._tasks = Tasks()

    def open(self, address: Address) -> int:
        """Listens at the address, and returns the port; port 0 takes any free one, an empty host all interfaces.

        Raises LockedError when another program has the port, InputError when the host is none of ours.
        """
        try:
            self._socket = _listening(address)
        except OSError as exc:
            raise self._cannot_listen(address, exc) from exc
        self._tasks.spawn(self._accept(self._socket))
        port: int = self._socket.getsockname()[1]
        return port

    async def close(self) -> None:
        """Stops listening. Whoever answers has ended its own connections before."""
        await self._tasks.cancel()
        if self._socket is not None:
            self._socket.close()
        await self._server.shutdown(CLOSE_S)

    async def _accept(self, listening: sockets.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connected, (host, port, *_) = await loop.sock_accept(listening)
            except ConnectionAbortedError:  # that one hung up before it was taken
                continue
            except OSError:  # no file handle is left; those waiting stay in the backlog
                await asyncio.sleep(_ACCEPT_RETRY_S)
                continue
            host = host.removeprefix("::ffff:")  # IPv4 on a dual-stack socket
            here, everywhere = self._strangers_at[host], self._strangers_at.total()
            if everywhere < self._options.strangers and here < self._options.per_address:
                self._strangers_at[host] += 1
                self._tasks.spawn(self._attend(connected, Address(host, port)))
            else:
                connected.close()

    async def _attend(self, connected: sockets.socket, address: Address) -> None:
        loop = asyncio.get_running_loop()
        stranger, protocol = Stranger(str(address)), self._server()
        self._strangers[protocol] = stranger
        transport: asyncio.Transport | None = None
        context = self._options.context
        in_time = {} if context is None else {"ssl_handshake_timeout": STRANGER_S, "ssl_shutdown_timeout": CLOSE_S}
        try:
            async with asyncio.timeout(STRANGER_S):
                transport, _ = await loop.connect_accepted_socket(lambda: protocol, connected, ssl=context, **in_time)
                await stranger.known.wait()
        except OSError:  # no TLS, gone, or out of time: TimeoutError and SSLError are OSErrors
            pass
        finally:
            if transport is not None and not stranger.known.is_set():
                transport.abort()
            del self._strangers[protocol]
            self._strangers_at -= Counter((address.host,))

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """The handler of every request: ends when its connection does."""
        stranger = self._strangers.get(request.protocol)
        return refusal(408) if stranger is None else await self._answer(request, stranger)

    def _cannot_listen(self, address: Address, cause: OSError) -> InputError | LockedError:
        option = self._options.option
        if cause.errno == errno.EADDRINUSE:
            return LockedError(
                f"port {address.port} is in use by another program, perhaps another memcrdt; end that, or choose "
                f"another port with --{option}port"
            )
        return InputError(
            f"cannot listen at {address.host or 'all interfaces'}, port {address.port}: {cause.strerror or cause}; "
            f"choose another --{option}host or --{option}port"
        )


def refusal(status: int) -> web.Response:
    """An answer that says no more than its status, and ends the connection."""
    response = web.Response(status=status)
    response.force_close()
    return response


def _listening(address: Address) -> sockets.socket:
    where = (address.host, address.port)
    if not address.host and sockets.has_dualstack_ipv6():
        listening = sockets.create_server(where, family=sockets.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True)
    else:
        family = sockets.AF_INET6 if ":" in address.host else sockets.AF_INET
        listening = sockets.create_server(where, family=family, backlog=_BACKLOG)
    listening.setblocking(False)
    return listening
