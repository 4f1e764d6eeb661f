"""Accepts the connections of a listener, and limits their time and number until they are identified."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket as sockets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from memcrdt.errors import InputError, LockedError
from memcrdt.net.addresses import Address, describe_os_error, host_group
from memcrdt.net.frame_stream import CLOSE_S
from memcrdt.net.tasks import BackgroundTasks

if TYPE_CHECKING:
    import ssl

    from aiohttp.web_protocol import RequestHandler

log = logging.getLogger("memcrdt.net")

IDENTIFY_S: Final = 3.0
ACCEPT_PAUSE_S: Final = 0.02  # between two connections: a flood of handshakes leaves most of the processor to searches
REJECT_PAUSE_S: Final = 0.002  # for the same reason, after a connection that exceeds the limits
LOG_INTERVAL_S: Final = 60.0  # between two log lines about clients that do not speak HTTP
_KEEPALIVE_S: Final = 15.0
_ACCEPT_RETRY_S: Final = 1.0  # after the process ran out of file handles; asyncio's own servers wait as long too
_BACKLOG: Final = 64
_IN_SETTINGS: Final = ', or port = "auto" in config.toml'


@dataclass(frozen=True, slots=True)
class PendingConnection:
    """A connection that takes one of the places for unidentified connections.

    `address` is where it comes from: HOST:PORT, or a relay (net.addresses.through).

    `known` is whether a trusted device was at that host, and `since` the event loop's time when it was accepted.

    The code that identifies its client sets `identified`. The gate sets it when the connection ends, because nobody is
    left to identify. Either frees the place. At the deadline the connection is aborted.
    """

    address: str
    known: bool = False
    since: float = 0.0
    identified: asyncio.Event = field(default_factory=asyncio.Event)
    deadline: asyncio.Timeout = field(default_factory=lambda: asyncio.timeout(IDENTIFY_S))


Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Answer = Callable[[web.BaseRequest, PendingConnection], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateOptions:
    """How a gate listens.

    Attributes:
        context: The TLS context, or None for plain HTTP.
        pending: Maximum number of unidentified connections, and as many again from known hosts.
        per_host: Maximum number of unidentified connections from one IPv4 address or one /64 IPv6 network.
        displace_after_s: When all places are taken, abort the oldest unidentified connection instead of refusing the
            new one, if it has had this time, so that silent connections cannot keep others out. 0 is right where a
            client identifies itself in its first bytes: it needs far less time than `pending` times ACCEPT_PAUSE_S.
            None refuses the new one.
        knows: Whether a host is one where a trusted device was. Strangers never take the places of such hosts.
        option: Prefix of the command-line options that choose the address; error messages name those options.
    """

    context: ssl.SSLContext | None
    pending: int
    per_host: int
    displace_after_s: float | None = None
    knows: Callable[[str], bool] = lambda host: False
    option: str = ""


class ConnectionGate:
    """Answers requests at one address: `open`, then `close`. Create it inside the running event loop.

    A connection that is not identified after 3 s is aborted, in whatever state TLS and HTTP are.
    """

    def __init__(self, answer: Answer, options: GateOptions) -> None:
        self._answer = answer
        self._options = options
        self._server = _Server(
            self._handle,
            ended=self._ended,
            access_log=None,
            logger=_HttpLog(log),
            keepalive_timeout=_KEEPALIVE_S,
            lingering_time=0,
            auto_decompress=False,
        )
        self._socket: sockets.socket | None = None
        self._pending: dict[object, PendingConnection] = {}  # by aiohttp's protocol object of the connection
        self._pending_at: Counter[tuple[bool, str]] = Counter()  # by whether the host is known, and its group
        self._accepting = BackgroundTasks()
        self._tasks = BackgroundTasks()

    def open(self, address: Address) -> int:
        """Listen at the address, and return the port. Port 0 takes any free one, an empty host all interfaces.

        Raises:
            LockedError: Another program has the port.
            InputError: The host is not one of this machine.
        """
        self._socket = listening_socket(address, self._options.option)
        self._accepting.spawn(self._accept(self._socket))
        port: int = self._socket.getsockname()[1]
        return port

    def take(self, connected: sockets.socket, name: str) -> None:
        """Take a connection that a relay made. It has the limits of one that was accepted from a stranger.

        `name` stands for its address. If there is no place for it, it is closed.
        """
        if self._has_place(False, name):
            self._pending_at[False, name] += 1
            self._tasks.spawn(self._attend(connected, name, name, known=False))
        else:
            connected.close()

    async def close(self) -> None:
        """Stop listening. The owner has to close the identified connections first."""
        await self._accepting.cancel()
        await asyncio.sleep(0)  # a task that was cancelled before its first step would not close its socket
        await self._tasks.cancel()
        if self._socket is not None:
            self._socket.close()
        await self._server.shutdown(CLOSE_S)

    async def _accept(self, listening: sockets.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connected, (host, port, *ipv6) = await loop.sock_accept(listening)
            except ConnectionAbortedError:  # the client hung up before it was accepted
                await asyncio.sleep(REJECT_PAUSE_S)
                continue
            except OSError:  # no file handle is left; waiting clients stay in the backlog
                await asyncio.sleep(_ACCEPT_RETRY_S)
                continue
            host = host.removeprefix("::ffff:")  # IPv4 on a dual-stack socket
            if ipv6 and (link := ipv6[1]):
                host = f"{host}%{link}"  # a link-local address cannot be dialed without its link
            known = self._options.knows(host)
            group = host_group(host)
            if self._has_place(known, group):
                self._pending_at[known, group] += 1
                self._tasks.spawn(self._attend(connected, str(Address(host, port)), group, known=known))
                await asyncio.sleep(ACCEPT_PAUSE_S)
            else:
                connected.close()
                await asyncio.sleep(REJECT_PAUSE_S)

    def _has_place(self, known: bool, group: str) -> bool:
        everywhere = sum(count for (of_known, _), count in self._pending_at.items() if of_known == known)
        if everywhere < self._options.pending:
            return self._pending_at[known, group] < self._options.per_host
        # A host that has all of its places displaces nobody, unless it may have every place there is.
        is_at_limit = self._pending_at[known, group] >= self._options.per_host < self._options.pending
        return not is_at_limit and self._displace(known)

    def _displace(self, known: bool) -> bool:
        """Abort the oldest unidentified connection if the options allow it. Return whether its place is free."""
        now, least = asyncio.get_running_loop().time(), self._options.displace_after_s
        waiting = (
            each
            for each in self._pending.values()
            if each.known == known and not (each.identified.is_set() or each.deadline.expired())
        )
        oldest = next(waiting, None)
        if oldest is None or least is None or now - oldest.since < least:
            return False
        oldest.deadline.reschedule(now)
        return True

    def _ended(self, protocol: object) -> None:
        """Free the place of a connection that has ended: answered, or given up by its client."""
        if pending := self._pending.get(protocol):
            pending.identified.set()

    async def _attend(self, connected: sockets.socket, name: str, group: str, *, known: bool) -> None:
        loop = asyncio.get_running_loop()
        pending, protocol = PendingConnection(name, known, loop.time()), self._server()
        self._pending[protocol] = pending
        transport: asyncio.Transport | None = None
        context = self._options.context
        in_time = {} if context is None else {"ssl_handshake_timeout": IDENTIFY_S, "ssl_shutdown_timeout": CLOSE_S}
        try:
            async with pending.deadline:
                transport, _ = await loop.connect_accepted_socket(lambda: protocol, connected, ssl=context, **in_time)
                await pending.identified.wait()
        except OSError:  # the client did not speak TLS, left, or was too slow: SSLError and TimeoutError are OSErrors
            pass
        finally:
            if transport is not None and not pending.identified.is_set():
                transport.abort()
            del self._pending[protocol]
            self._pending_at -= Counter(((known, group),))

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Handle a request. Return when its connection ends."""
        pending = self._pending.get(request.protocol)
        return refusing_response(408) if pending is None else await self._answer(request, pending)


class _Server(web.Server):
    """aiohttp's server, which reports the end of every connection by its protocol object."""

    def __init__(self, handler: Handler, *, ended: Callable[[object], None], **options: Any) -> None:
        super().__init__(handler, **options)
        self._ended = ended

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self._ended(handler)


class _HttpLog(logging.LoggerAdapter[logging.Logger]):
    """The log of aiohttp, with at most one line a minute instead of a traceback for each malformed request."""

    _due = 0.0

    def log(self, level: int, msg: object, *args: object, **options: Any) -> None:
        """Implement LoggerAdapter: its other methods call this one."""
        if not isinstance(options.get("exc_info"), HttpProcessingError):
            super().log(level, msg, *args, **options)
        elif time.monotonic() >= self._due:
            self._due = time.monotonic() + LOG_INTERVAL_S
            where = str(args[0]).removeprefix("::ffff:")
            super().log(
                logging.WARNING, "a client at %s did not speak HTTP; this is logged at most once a minute", where
            )


def refusing_response(status: int) -> web.Response:
    """Return an empty response with this HTTP status, which ends the connection."""
    response = web.Response(status=status)
    response.force_close()
    return response


def free_address(addresses: Sequence[Address]) -> Address:
    """Return the first of the addresses, at least one, where ConnectionGate.open() would succeed. Accepts nothing.

    Raises:
        LockedError: Other programs have all of the ports.
        InputError: The host is not one of this machine.
    """
    for address in addresses:
        try:
            _listening(address).close()
        except OSError as exc:
            if exc.errno != errno.EADDRINUSE or address == addresses[-1]:
                raise _cannot_listen(address, exc) from exc
        else:
            break
    return address


def _cannot_listen(address: Address, cause: OSError, option: str = "") -> InputError | LockedError:
    if cause.errno == errno.EADDRINUSE:
        return LockedError(
            f"port {address.port} is in use by another program, perhaps another memcrdt; stop it, or choose "
            f"another port (port= in Python, --{option}port on the command line{'' if option else _IN_SETTINGS})"
        )
    return InputError(
        f"cannot listen at {address.host or 'all interfaces'}, port {address.port}: {describe_os_error(cause)}; "
        f"choose another host or port (host= and port= in Python, --{option}host and "
        f"--{option}port on the command line)"
    )


def listening_socket(address: Address, option: str = "") -> sockets.socket:
    """Return a socket that listens. Port 0 takes any free one, an empty host all interfaces.

    `option` is the prefix of the command-line options that choose the address. Raises LockedError or InputError.
    """
    try:
        return _listening(address)
    except OSError as exc:
        raise _cannot_listen(address, exc, option) from exc


def _listening(address: Address) -> sockets.socket:
    where = (address.host, address.port)
    if address.host:
        sockets.getaddrinfo(*where)  # create_server() would not report that the name is wrong
    if not address.host and sockets.has_dualstack_ipv6():
        listening = sockets.create_server(where, family=sockets.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True)
    else:
        listening = sockets.create_server(where, family=_family(address), backlog=_BACKLOG)
    listening.setblocking(False)
    return listening


def _family(address: Address) -> sockets.AddressFamily:
    return sockets.AF_INET6 if ":" in address.host else sockets.AF_INET
