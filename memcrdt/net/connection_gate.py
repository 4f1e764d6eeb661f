"""The door of a listener: takes connections, and gives each little time and room until somebody vouches for it."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket as sockets
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from memcrdt.errors import InputError, LockedError
from memcrdt.net.addresses import Address, plainly, whose
from memcrdt.net.connection import CLOSE_S
from memcrdt.net.tasks import Tasks

if TYPE_CHECKING:
    import ssl

log = logging.getLogger("memcrdt.net")

STRANGER_S: Final = 3.0
TAKEN_S: Final = 0.02  # from one connection to the next: a flood of handshakes leaves searches most of the processor
REFUSED_S: Final = 0.002  # likewise, after one for which there is no room
COMPLAINT_S: Final = 60.0  # from one line about clients that speak no HTTP to the next
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
    """`context` is None for plain HTTP; `strangers` are taken at once, `per_address` of them from one address,
    or from one IPv6 network of 64 bits. `option` is what chooses the address on the command line: errors name it.
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
        self._server = web.Server(
            self._handle,
            access_log=None,
            logger=_HttpLog(log),
            keepalive_timeout=_KEEPALIVE_S,
            lingering_time=0,
            auto_decompress=False,
        )
        self._socket: sockets.socket | None = None
        self._strangers: dict[object, Stranger] = {}  # by aiohttp's protocol object of the connection
        self._strangers_at: Counter[str] = Counter()  # by host
        self._accepting = Tasks()
        self._tasks = Tasks()

    def open(self, address: Address) -> int:
        """Listens at the address, and returns the port; port 0 takes any free one, an empty host all interfaces.

        Raises LockedError when another program has the port, InputError when the host is none of ours.
        """
        try:
            self._socket = _listening(address)
        except OSError as exc:
            raise _cannot_listen(address, exc, self._options.option) from exc
        self._accepting.spawn(self._accept(self._socket))
        port: int = self._socket.getsockname()[1]
        return port

    async def close(self) -> None:
        """Stops listening. Whoever answers has ended its own connections before."""
        await self._accepting.cancel()
        await asyncio.sleep(0)  # a task that never began would not close what it was given
        await self._tasks.cancel()
        if self._socket is not None:
            self._socket.close()
        await self._server.shutdown(CLOSE_S)

    async def _accept(self, listening: sockets.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connected, (host, port, *ipv6) = await loop.sock_accept(listening)
            except ConnectionAbortedError:  # that one hung up before it was taken
                await asyncio.sleep(REFUSED_S)
                continue
            except OSError:  # no file handle is left; those waiting stay in the backlog
                await asyncio.sleep(_ACCEPT_RETRY_S)
                continue
            host = host.removeprefix("::ffff:")  # IPv4 on a dual-stack socket
            if ipv6 and (link := ipv6[1]):
                host = f"{host}%{link}"  # a link-local address says nothing without its link
            here, everywhere = self._strangers_at[whose(host)], self._strangers_at.total()
            if everywhere < self._options.strangers and here < self._options.per_address:
                self._strangers_at[whose(host)] += 1
                self._tasks.spawn(self._attend(connected, Address(host, port)))
                await asyncio.sleep(TAKEN_S)
            else:
                connected.close()
                await asyncio.sleep(REFUSED_S)

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
            self._strangers_at -= Counter((whose(address.host),))

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """The handler of every request: ends when its connection does."""
        stranger = self._strangers.get(request.protocol)
        return refusal(408) if stranger is None else await self._answer(request, stranger)


class _HttpLog(logging.LoggerAdapter[logging.Logger]):
    """What aiohttp logs. For what strangers get wrong it has a traceback each; a line now and then has to do."""

    _due = 0.0

    def log(self, level: int, msg: object, *args: object, **options: Any) -> None:
        """Part of LoggerAdapter: every other method ends here."""
        if not isinstance(options.get("exc_info"), HttpProcessingError):
            super().log(level, msg, *args, **options)
        elif time.monotonic() >= self._due:
            self._due = time.monotonic() + COMPLAINT_S
            where = str(args[0]).removeprefix("::ffff:")
            super().log(
                logging.WARNING, "somebody at %s speaks no HTTP and was hung up on; more of them go unsaid", where
            )


def refusal(status: int) -> web.Response:
    """An answer that says no more than its status, and ends the connection."""
    response = web.Response(status=status)
    response.force_close()
    return response


def check_host(address: Address) -> None:
    """Raises InputError, as Door.open() would, for a host that is none of ours. Nothing listens, and no port is taken
    for longer than this."""
    try:
        if address.host:
            sockets.getaddrinfo(address.host, 0)
            with sockets.socket(_family(address)) as probe:
                probe.bind((address.host, 0))
    except OSError as exc:
        raise _cannot_listen(address, exc) from exc


def _cannot_listen(address: Address, cause: OSError, option: str = "") -> InputError | LockedError:
    if cause.errno == errno.EADDRINUSE:
        return LockedError(
            f"port {address.port} is in use by another program, perhaps another memcrdt; end that, or choose "
            f"another port with --{option}port"
        )
    return InputError(
        f"cannot listen at {address.host or 'all interfaces'}, port {address.port}: {plainly(cause)}; "
        f"choose another --{option}host or --{option}port"
    )


def _listening(address: Address) -> sockets.socket:
    where = (address.host, address.port)
    if address.host:
        sockets.getaddrinfo(*where)  # create_server() would hide that the name is what is wrong
    if not address.host and sockets.has_dualstack_ipv6():
        listening = sockets.create_server(where, family=sockets.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True)
    else:
        listening = sockets.create_server(where, family=_family(address), backlog=_BACKLOG)
    listening.setblocking(False)
    return listening


def _family(address: Address) -> sockets.AddressFamily:
    return sockets.AF_INET6 if ":" in address.host else sockets.AF_INET
