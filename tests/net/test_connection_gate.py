"""The connection gate: limits, and an orderly end whatever clients do."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

import memcrdt
from memcrdt.net import connection_gate
from memcrdt.net.addresses import Address
from memcrdt.net.connection_gate import Answer, ConnectionGate, GateOptions, PendingConnection, refusing_response
from memcrdt.net.listener import Places
from memcrdt.net.tls import dialer_context
from memcrdt.node.node import Node
from memcrdt.store.membership.peers import Peers

if TYPE_CHECKING:
    from tests.network import Device

ENDS_S = 15.0  # a deadline for a machine under load: the longest wait of a closing gate is 2 s
UPGRADE = (
    b"GET /sync HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: memcrdt.1\r\n\r\n"
)
Client = Callable[[asyncio.StreamWriter], Awaitable[None]]
Pair = tuple["Device", "Device"]
Eventually = Callable[[Callable[[], object]], Awaitable[None]]


async def half_a_tls_hello(writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x16\x03\x01\x02")


async def garbage(writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x00\xff garbage" * 1000)


async def a_header_of_200_kilobytes(writer: asyncio.StreamWriter) -> None:
    writer.write(b"GET /sync HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000 + b"\r\n\r\n")


async def a_header_byte_by_byte(writer: asyncio.StreamWriter) -> None:
    for byte in UPGRADE:
        writer.write(bytes([byte]))
        await asyncio.sleep(0.05)


async def an_endless_body(writer: asyncio.StreamWriter) -> None:
    writer.write(b"POST /sync HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"1000\r\n" + bytes(0x1000) + b"\r\n")
        await writer.drain()
        await asyncio.sleep(0)  # drain() does not yield on an aborted connection


async def requests_without_reading_answers(writer: asyncio.StreamWriter) -> None:
    writer.transport.pause_reading()
    while not writer.is_closing():
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
        await writer.drain()
        await asyncio.sleep(0)  # drain() does not yield on an aborted connection


async def a_silent_websocket(writer: asyncio.StreamWriter) -> None:
    writer.write(UPGRADE)


async def half_a_frame(writer: asyncio.StreamWriter) -> None:
    writer.write(UPGRADE + b"\x82\xfe\x04\x00half")


async def pings_without_reading_answers(writer: asyncio.StreamWriter) -> None:
    writer.write(UPGRADE)
    writer.transport.pause_reading()
    while not writer.is_closing():
        writer.write((b"\x89\xfd" + bytes(4) + bytes(125)) * 1000)
        await writer.drain()
        await asyncio.sleep(0)  # drain() does not yield on an aborted connection


PLAIN = [half_a_tls_hello, garbage]
WITHIN_TLS = [
    garbage,
    a_header_of_200_kilobytes,
    a_header_byte_by_byte,
    an_endless_body,
    requests_without_reading_answers,
    a_silent_websocket,
    half_a_frame,
    pings_without_reading_answers,
]


class Crowd:
    """More clients than the limit allows, all doing the same to one port."""

    def __init__(self, port: int, client: Client, *, tls: bool) -> None:
        self._port = port
        self._client = client
        self._tls = tls
        self._tasks: list[asyncio.Task[None]] = []
        self.done = 0

    async def __aenter__(self) -> Crowd:
        self._tasks = [asyncio.create_task(self._run()) for _ in range(Places().total + 4)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self) -> None:
        try:
            with suppress(OSError):
                context = dialer_context() if self._tls else None
                _, writer = await asyncio.open_connection("127.0.0.1", self._port, ssl=context)
                try:
                    self.done += 1
                    await self._client(writer)
                    await asyncio.Event().wait()
                finally:
                    writer.transport.abort()
        finally:
            self.done += 1


@pytest.mark.parametrize(
    ("client", "tls"), [*((client, False) for client in PLAIN), *((client, True) for client in WITHIN_TLS)]
)
async def test_a_node_stops_whatever_clients_do(
    client: Client,
    tls: bool,
    tmp_path: Path,
    eventually: Callable[[Callable[[], object]], Awaitable[None]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Twenty clients misbehave at once. They cause at most one warning in the log and no traceback."""
    caplog.set_level(logging.INFO)
    async with AsyncExitStack() as stack:
        memory = stack.enter_context(memcrdt.open(tmp_path, embedder=None))
        Peers(memory.store).accept("B" * 52)
        node = await Node(memory, host="127.0.0.1", port=0).__aenter__()
        assert node.port is not None
        crowd = await stack.enter_async_context(Crowd(node.port, client, tls=tls))
        await eventually(lambda: crowd.done >= Places().per_host)
        async with asyncio.timeout(ENDS_S):
            await node.__aexit__(None, None, None)
    assert [record for record in caplog.records if record.exc_info] == []
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) <= 1


async def test_a_background_network_stops_too(
    tmp_path: Path, eventually: Callable[[Callable[[], object]], Awaitable[None]]
) -> None:
    """stop_sync() waits for its thread."""
    async with AsyncExitStack() as stack:
        memory = stack.enter_context(memcrdt.open(tmp_path, embedder=None))
        Peers(memory.store).accept("B" * 52)
        memory.start_sync(host="127.0.0.1", port=0)
        serving = memory.status().serving
        assert serving is not None
        assert serving.port is not None
        crowd = await stack.enter_async_context(Crowd(serving.port, half_a_frame, tls=True))
        await eventually(lambda: crowd.done >= Places().per_host)
        async with asyncio.timeout(ENDS_S):
            await asyncio.to_thread(memory.stop_sync)


async def test_a_node_stops_although_a_member_does_not_answer(
    tmp_path: Path, make_device: Callable[[str], Device], eventually: Callable[[Callable[[], object]], Awaitable[None]]
) -> None:
    """The member was accepted, and then reads no more frames, not even the closing one."""
    laptop = make_device("laptop")
    with memcrdt.open(tmp_path / "desktop", embedder=None) as memory:
        Peers(memory.store).accept(laptop.id)
        laptop.trusted.add(memory.store.device)
        node = await Node(memory, host="127.0.0.1", port=0).__aenter__()
        assert node.port is not None
        connection = await laptop.dial(Address("127.0.0.1", node.port))
        await eventually(lambda: node.status().connected)
        async with asyncio.timeout(ENDS_S):
            await node.__aexit__(None, None, None)
        await connection.close()


async def test_invalid_http_is_logged_once_a_minute(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    """The line has the client's address and no traceback."""
    _, desktop = pair
    address = desktop.listen()
    for _ in range(3):
        reader, writer = await asyncio.open_connection(address.host, address.port, ssl=dialer_context())
        await a_header_of_200_kilobytes(writer)
        assert (await reader.read()).startswith(b"HTTP/1.0 400 Bad Request")
        writer.transport.abort()
    (record,) = caplog.records
    assert record.getMessage().startswith("a client at 127.0.0.1 did not speak HTTP")
    assert record.exc_info is None


async def test_addresses_of_one_network_share_one_limit(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A further connection is closed at once, and the earlier ones keep their time."""
    monkeypatch.setattr(connection_gate, "host_group", lambda host: "one network")
    _, desktop = pair
    address = desktop.listen()

    async def client(host: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(address.host, address.port, local_addr=(host, 0))

    try:
        clients = [await client(f"127.0.0.{number}") for number in range(2, 3 + Places().per_host)]
    except OSError:
        pytest.skip("this machine has one loopback address only")
    with suppress(ConnectionResetError):
        assert await clients[-1][0].read() == b""
    assert not any(reader.at_eof() for reader, _ in clients[:-1])
    for _, writer in clients:
        writer.close()


async def test_closing_while_clients_connect_leaves_no_socket_open(pair: Pair) -> None:
    """Not even a socket whose task has not started. An unclosed socket is a warning, which is an error in tests."""
    _, desktop = pair
    address = desktop.listen()
    writers = [(await asyncio.open_connection(address.host, address.port))[1] for _ in range(Places().per_host)]
    await desktop.listener.close()
    for writer in writers:
        writer.transport.abort()


async def test_a_flood_leaves_the_event_loop_running(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """When connections are waiting, asyncio accepts them without yielding. Here a thousand are waiting."""
    _, desktop = pair
    taken = 0

    async def accept(_: socket.socket) -> tuple[socket.socket, tuple[str, int]]:
        nonlocal taken
        taken += 1
        if taken > 1000:
            await asyncio.Event().wait()
        here, there = socket.socketpair()
        there.close()
        return here, ("127.0.0.1", 1)

    monkeypatch.setattr(connection_gate, "ACCEPT_PAUSE_S", 0)
    monkeypatch.setattr(connection_gate, "REJECT_PAUSE_S", 0)
    monkeypatch.setattr(asyncio.get_running_loop(), "sock_accept", accept)
    desktop.listen()
    for _ in range(3):
        await asyncio.sleep(0)
    assert taken <= 3


@asynccontextmanager
async def gate_of(
    answer: Answer,
    *,
    places: int,
    displace_after_s: float | None = None,
    knows: Callable[[str], bool] = lambda host: False,
) -> AsyncIterator[int]:
    """Open a gate for plain HTTP on the loopback interface. Yields its port."""
    gate = ConnectionGate(
        answer,
        GateOptions(context=None, pending=places, per_host=places, displace_after_s=displace_after_s, knows=knows),
    )
    port = gate.open(Address("127.0.0.1", 0))
    try:
        yield port
    finally:
        await gate.close()


async def refuse(_: web.BaseRequest, __: PendingConnection) -> web.StreamResponse:
    return refusing_response(401)


async def answer_to(port: int, request: bytes = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") -> bytes:
    """Return everything that the gate sends before it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        return await reader.read()
    finally:
        writer.close()


async def test_a_refused_connection_gives_its_place_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its answer, so that refused clients keep nobody out. Invalid HTTP is refused the same way."""
    monkeypatch.setattr(connection_gate, "IDENTIFY_S", 3600.0)
    async with gate_of(refuse, places=1) as port:
        for request, status in [
            (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"401"),
            (b"no HTTP at all\r\n\r\n", b"400"),
        ] * 3:
            assert status in (await answer_to(port, request)).split(b"\r\n", 1)[0]


async def test_a_connection_that_its_client_gives_up_gives_its_place_back(
    monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    """Even if the client has sent nothing."""
    monkeypatch.setattr(connection_gate, "IDENTIFY_S", 3600.0)
    gate = ConnectionGate(refuse, GateOptions(context=None, pending=1, per_host=1))
    port = gate.open(Address("127.0.0.1", 0))
    for _ in range(3):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        await eventually(lambda: len(gate._pending) == 1)
        writer.close()
        await eventually(lambda: not gate._pending)
    await gate.close()


async def test_silent_connections_are_displaced_by_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest first. So a client that sends its request at once is always answered."""
    monkeypatch.setattr(connection_gate, "IDENTIFY_S", 3600.0)
    async with gate_of(refuse, places=3, displace_after_s=0) as port:
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        assert b"401" in await answer_to(port)
        with suppress(ConnectionResetError):
            assert await silent[0][0].read() == b""
        assert not any(reader.at_eof() for reader, _ in silent[1:])
        for _, writer in silent:
            writer.close()


async def test_a_connection_is_displaced_only_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise many new connections would leave none of them the time for a handshake."""
    monkeypatch.setattr(connection_gate, "IDENTIFY_S", 3600.0)
    async with gate_of(refuse, places=1, displace_after_s=3600.0) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with suppress(ConnectionResetError):
            assert await answer_to(port) == b""
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"401" in await reader.read()
        writer.close()


@pytest.mark.skipif(sys.platform != "linux", reason="needs several addresses on the loopback interface")
async def test_strangers_do_not_take_the_places_of_known_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strangers at another address have all their places, and a known host is answered."""
    monkeypatch.setattr(connection_gate, "IDENTIFY_S", 3600.0)
    async with gate_of(refuse, places=2, knows="127.0.0.1".__eq__) as port:
        silent = [await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.9", 0)) for _ in range(3)]
        with suppress(ConnectionResetError):
            assert await silent[2][0].read() == b""
        assert b"401" in await answer_to(port)
        for _, writer in silent:
            writer.close()
