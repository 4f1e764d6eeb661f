"""Where the server listens, and how it runs beside a node, in one event loop."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import platform
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from memcrdt.certificates import server_context
from memcrdt.errors import InputError
from memcrdt.mcp.http import authority, listen
from memcrdt.model.ports import DEFAULT_HTTP_PORT
from memcrdt.server.app import App, AppOptions
from memcrdt.server.problems import problem
from memcrdt.server.sessions import noted_address

if TYPE_CHECKING:
    from memcrdt.memory.memory import Memory

GRACE_S: Final = 2  # open streams end after it
CONNECTIONS: Final = 1_024  # further ones are answered with 503
UNSAFE: Final = "clients from there need TLS; give a certificate (--http-cert), or listen on 127.0.0.1"
HEADER_BYTES: Final = 64 * 1024
UNREADABLE: Final = "this is not HTTP, or its first line and headers have more than 64 KiB"
START_S: Final = 30.0

log = logging.getLogger("memcrdt.server")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """Where to listen for clients over HTTP.

    Attributes:
        address: HOST:PORT, HOST, or nothing for 127.0.0.1:27390. Port 0 is a free one.
        certificate: PEM file with the TLS certificate and its chain. Any host except the loopback interface needs it.
        key: PEM file with the key of the certificate. None: it is in the same file.
        names: Names of this machine that clients use, besides its own name. Addresses need not be named.
    """

    address: str = ""
    certificate: Path | None = None
    key: Path | None = None
    names: tuple[str, ...] = ()


class HttpServer:
    """Serves a memory over HTTP while the context is entered: `async with HttpServer(memory) as server`.

    It shares the event loop with a Node, and blocks it nowhere: every call of the memory runs in a thread.

    Entering the context raises:
        InputError: The address or the certificate cannot be used.

    Attributes:
        url: The address of the server, such as http://127.0.0.1:27390, while it listens.

    Example:
        ```python
        async with memcrdt.Node(memory), HttpServer(memory) as server:
            print(server.url)
        ```
    """

    def __init__(self, memory: Memory, options: ServerOptions = ServerOptions()) -> None:
        self._memory = memory
        self._options = options
        self.url = ""

    async def __aenter__(self) -> HttpServer:
        self._held = self._running()
        await self._held.__aenter__()
        return self

    async def __aexit__(self, *given: Any) -> None:
        await self._held.__aexit__(*given)

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        options = self._options
        context = None if options.certificate is None else server_context(options.certificate, options.key)
        unsafe = UNSAFE if context is None else None
        with listen(options.address, DEFAULT_HTTP_PORT, unsafe=unsafe) as listener:
            self.url = f"{'http' if context is None else 'https'}://{authority(listener)}"
            app = App(
                self._memory,
                AppOptions(names=(platform.node(), *options.names), local=_is_local(listener)),
            )
            config = uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="on",
                timeout_graceful_shutdown=GRACE_S,
                h11_max_incomplete_event_size=HEADER_BYTES,
                http=_Protocol,
                ssl_context_factory=None if context is None else lambda *_: context,
            )
            server = _Server(config)
            task = asyncio.create_task(server.serve(sockets=[listener]), name="memcrdt http")
            try:
                await _started(server, task)
                with noted_address(self._memory.home, self.url):
                    yield
            finally:
                server.should_exit = True
                app.end_streams()
                await task


class _Server(uvicorn.Server):
    """A server that leaves the signals of the process to its owner."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing."""
        yield


class _Protocol(H11Protocol):
    """HTTP/1.1 that answers with a problem also before there is a request that the app can answer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuse what comes over one connection too many."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            self.app = problem("busy", f"{CONNECTIONS:,} connections are open")
            self.app.headers["connection"] = "close"

    def send_400_response(self, msg: str) -> None:
        """Answer, unless an answer has begun, and close the connection."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            answer = problem("malformed", UNREADABLE)
            headers = [*answer.raw_headers, (b"connection", b"close")]
            for event in (
                h11.Response(status_code=400, headers=headers),
                h11.Data(data=bytes(answer.body)),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event))
        self.transport.close()


async def _started(server: uvicorn.Server, task: asyncio.Task[None]) -> None:
    """Wait until the server accepts connections. Raises what ended it, if anything did."""
    async with asyncio.timeout(START_S):
        while not server.started:
            if task.done():
                await task
                raise InputError("the server could not start; its log has the reason")
            await asyncio.sleep(0.01)


def _is_local(listener: socket.socket) -> bool:
    return ipaddress.ip_address(listener.getsockname()[0]).is_loopback
