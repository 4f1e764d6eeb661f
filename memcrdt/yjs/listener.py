"""The listener for stock Yjs clients: HTTP and WebSockets at a separate address. Every request needs a token.

    GET /yjs/SPACE          the shards of a space, as JSON
    GET /yjs/SPACE/SHARD    a WebSocket that speaks y-protocols
    GET /yjs/SPACE          as a WebSocket: all shards of the space, see space_protocol.py

Without TLS it listens on the loopback interface only. A web page could still connect there. So the Host header is
checked, in case the page's own name resolves to this machine (DNS rebinding), and the token has to list the Origin.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, Self

from aiohttp import WSCloseCode, web

from memcrdt.certificates import server_context
from memcrdt.errors import InputError, MemcrdtError, NotFoundError
from memcrdt.model.ports import DEFAULT_YJS_PORT
from memcrdt.net.addresses import Address
from memcrdt.net.connection_gate import ConnectionGate, GateOptions, PendingConnection, refusing_response
from memcrdt.net.frame_stream import CLOSE_S
from memcrdt.net.tasks import BackgroundTasks
from memcrdt.net.websocket import WebSocketFrameStream
from memcrdt.node.change_signal import StoreChangeSignal
from memcrdt.store.membership.tokens import find_by_secret
from memcrdt.yjs import http
from memcrdt.yjs.client import RefusalDelays, ShardClient, SpaceClient, YjsClient
from memcrdt.yjs.exchange import ClientContext
from memcrdt.yjs.room import Rooms
from memcrdt.yjs.source import ShardSource
from memcrdt.yjs.space_protocol import FRAME_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from memcrdt.store.membership.tokens import StoredToken
    from memcrdt.store.store import Store

CLIENTS: Final = 128  # WebSockets of one token: a stock client opens one per shard
PENDING_MAX: Final = 64  # a client opens one socket per shard, all at the same time
THREADS: Final = 2
PING_S: Final = 240.0  # an answer may take half of it, because on a slow line it waits behind megabytes


@dataclass(frozen=True, slots=True, kw_only=True)
class YjsOptions:
    """Where to listen for stock Yjs clients. It is a ClientEndpoint for memcrdt.Node.

    Attributes:
        host: The host to listen at. Any host except the loopback interface needs a certificate.
        port: The port; 0 for any free one.
        certificate: PEM file with the TLS certificate and its chain. None: no TLS.
        key: PEM file with the certificate's key. None: the key is in the same file.

    Example:
        async with memcrdt.Node(memory, yjs=memcrdt.YjsOptions()) as node:
            print(node.yjs_url)
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_YJS_PORT
    certificate: Path | None = None
    key: Path | None = None

    def open(self, store: Store) -> YjsListener:
        """Return a listener for the store, as an async context manager to enter."""
        return YjsListener(store, self)


class YjsListener:
    """Serves the shards of one store to stock Yjs clients: `async with YjsListener(store) as listener`.

    Entering the context raises:
        InputError: The address or the certificate cannot be used.
        LockedError: Another program has the port.

    Attributes:
        url: Where clients find the spaces, while it listens: http://HOST:PORT/yjs or https://HOST:PORT/yjs.
    """

    def __init__(self, store: Store, options: YjsOptions | None = None) -> None:
        self._store = store
        self._options = options or YjsOptions()
        self._source = ShardSource(store)
        self._clients: dict[YjsClient, bytes] = {}  # each with the hash of its token
        self._rooms = Rooms()
        self._refusals = RefusalDelays(time.monotonic)
        self._held = AsyncExitStack()
        self.url = ""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start listening. Raises InputError or LockedError."""
        options = self._options
        context = None if options.certificate is None else server_context(options.certificate, options.key)
        self._is_clear = context is None
        if self._is_clear and not _is_loopback(options.host):
            raise InputError(
                f"{options.host or 'all interfaces'} can be reached from other machines, where Yjs clients need TLS;"
                " give a certificate, or listen at 127.0.0.1"
            )
        gate = ConnectionGate(
            self._answer,
            GateOptions(context=context, pending=PENDING_MAX, per_host=PENDING_MAX, displace_after_s=0, option="yjs-"),
        )
        async with AsyncExitStack() as held:
            change_signal = await held.enter_async_context(StoreChangeSignal(self._store))
            self._threads = ThreadPoolExecutor(THREADS, "memcrdt-yjs")
            held.push_async_callback(asyncio.to_thread, self._threads.shutdown)
            port = gate.open(Address(options.host, options.port))
            held.push_async_callback(gate.close)
            tasks = BackgroundTasks()
            held.push_async_callback(tasks.cancel)
            tasks.spawn(self._watch(change_signal))
            self._held = held.pop_all()
        self.url = f"{'http' if context is None else 'https'}://{Address(options.host or 'localhost', port)}/yjs"

    async def stop(self) -> None:
        """Close all connections and free the port."""
        await asyncio.gather(*(client.close() for client in self._clients))
        await self._held.aclose()

    async def _watch(self, change_signal: StoreChangeSignal) -> None:
        while True:
            await change_signal.changed()
            for client in self._clients:
                client.wake()

    async def _in_store(self, call: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)

    async def _answer(self, request: web.BaseRequest, pending: PendingConnection) -> web.StreamResponse:
        """Handle a request. Return when its connection ends."""
        if (host := http.host(request)) is None:
            return refusing_response(400)
        if self._is_clear and not _is_loopback(host):
            return refusing_response(403)
        try:
            tokens = await self._in_store(self._source.tokens.all)
            answer = await self._answered(request, pending, tokens)
        except MemcrdtError:  # the store cannot be read now
            return refusing_response(503)
        if not answer.prepared and (origin := request.headers.get("Origin")) in http.origins(tokens):
            answer.headers["Access-Control-Allow-Origin"] = origin  # so that the page can read the status, too
            answer.headers["Vary"] = "Origin"
        return answer

    async def _answered(
        self, request: web.BaseRequest, pending: PendingConnection, tokens: Sequence[StoredToken]
    ) -> web.StreamResponse:
        if http.is_preflight(request):  # a browser asks without the token, on behalf of a page
            is_listed = request.headers["Origin"] in http.origins(tokens)
            return http.preflight_response() if is_listed else refusing_response(403)
        token = find_by_secret(tokens, http.secret(request))
        if token is None:
            return refusing_response(401)
        pending.identified.set()
        origin = request.headers.get("Origin")
        if origin is not None and origin not in token.origins:
            return refusing_response(403)
        try:
            space, shard = http.asked(request)
            if space not in token.spaces:
                return refusing_response(404)
            return await self._admitted(request, token, space, shard)
        except NotFoundError:
            return refusing_response(404)

    async def _admitted(
        self, request: web.BaseRequest, token: StoredToken, space: str, shard: int | None
    ) -> web.StreamResponse:
        socket = _Socket(timeout=CLOSE_S, heartbeat=PING_S, compress=False, max_msg_size=FRAME_BYTES + 1)
        is_websocket = bool(socket.can_prepare(request))
        if shard is None and not is_websocket:
            return await self._list(token, space)
        place = None if shard is None else await self._in_store(self._source.place, space, shard)
        if not is_websocket:
            return refusing_response(426)
        if list(self._clients.values()).count(token.hash) >= CLIENTS:
            return refusing_response(503)
        await socket.prepare(request)
        # The token authenticates the client, so no channel binding is needed.
        stream = WebSocketFrameStream(socket, b"", f"the Yjs client of token {token.name!r}")
        given = stream, ClientContext(self._source, self._in_store, token)
        refusal_s = partial(self._refusals.next_s, (token.hash, space, shard))
        if place is None:
            await self._serve(SpaceClient(*given, refusal_s, space, self._rooms), token)
        else:
            await self._serve(ShardClient(*given, refusal_s, place, self._rooms), token)
        return socket

    async def _list(self, token: StoredToken, space: str) -> web.Response:
        state = await self._in_store(self._source.state, token, space)
        response = web.json_response(state.listing)
        response.headers["Cache-Control"] = "no-store"
        response.force_close()
        return response

    async def _serve(self, client: YjsClient, token: StoredToken) -> None:
        self._clients[client] = token.hash
        try:
            await client.run()
        finally:
            del self._clients[client]


class _Socket(web.WebSocketResponse):
    """A WebSocket that its owner closes, also after a message that is too long."""

    async def close(self, *, code: int = WSCloseCode.OK, message: bytes = b"", drain: bool = True) -> bool:
        """Ignore aiohttp's own close after a message that is too long: with its code, clients would connect again."""
        return code != WSCloseCode.MESSAGE_TOO_BIG and await super().close(code=code, message=message, drain=drain)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
