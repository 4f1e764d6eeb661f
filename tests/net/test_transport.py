"""Listener and dialer over real sockets on the loopback interface."""

from __future__ import annotations

import asyncio
import errno
import re
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import msgpack
import pytest
from aiohttp import web

from memcrdt.errors import InputError, LockedError, RemoteProtocolError, UnreachableError, UntrustedPeerError
from memcrdt.model.device_ids import shown
from memcrdt.net import connection_gate
from memcrdt.net.addresses import Address
from memcrdt.net.dialer import Dialer, DialTarget
from memcrdt.net.frame_stream import PROTOCOL_BROKEN
from memcrdt.net.handshake import TrustPolicy
from memcrdt.net.tls import dialer_context, new_credentials
from memcrdt.net.websocket import PAIRING_PATH, PATH, SUBPROTOCOL

if TYPE_CHECKING:
    from tests.network import CuttableRelay, Device

DOCUMENT = b"the text of a memory"
Eventually = Callable[[Callable[[], object]], Awaitable[None]]
Pair = tuple["Device", "Device"]


async def test_an_accepted_device_is_connected(pair: Pair) -> None:
    """Both sides know the other's id, and the document arrives."""
    laptop, desktop = pair
    connection = await laptop.dial(desktop.listen(), desktop.id)
    assert await connection.receive() == DOCUMENT
    assert connection.peer.device == desktop.id
    assert desktop.served[0].peer.device == laptop.id
    assert desktop.served[0].peer.dialer_nonce == connection.peer.dialer_nonce
    await connection.close()


async def test_a_closed_dialer_leaves_no_socket_of_a_closed_connection(
    pair: Pair, make_relay: Callable[[Address], CuttableRelay], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other side may not have answered the end. Nobody would close the socket when the loop ends."""
    monkeypatch.setattr("memcrdt.net.websocket.CLOSE_S", 0.05)
    laptop, desktop = pair
    relay = make_relay(desktop.listen())
    connection = await laptop.dial(await relay.open())
    assert await connection.receive() == DOCUMENT
    relay.flows.clear()
    ours = connection._stream._socket.get_extra_info("socket")
    await connection.close()
    assert ours.fileno() != -1
    await laptop.dialer.close()
    await asyncio.sleep(0)
    assert ours.fileno() == -1


async def test_an_unknown_device_is_refused_and_recorded(pair: Pair) -> None:
    """It is told which command to run on the other device, where its id is recorded."""
    laptop, desktop = pair
    desktop.trusted.clear()
    with pytest.raises(UntrustedPeerError, match=f"run there: memcrdt accept {shown(laptop.id)}"):
        await laptop.dial(desktop.listen(), desktop.id)
    assert desktop.refused == [laptop.id]
    assert desktop.documents_sent == 0


async def test_a_revoked_device_is_told_who_revoked_it(pair: Pair) -> None:
    """It is told nothing else."""
    laptop, desktop = pair
    desktop.trusted.clear()
    desktop.revokers[laptop.id] = "R" * 52
    with pytest.raises(UntrustedPeerError, match=f"this device was revoked by {shown('R' * 52)}"):
        await laptop.dial(desktop.listen(), desktop.id)
    assert (desktop.introductions, desktop.documents_sent) == ([], 0)


async def test_a_valid_introduction_is_accepted(pair: Pair) -> None:
    """It is asked for only after the listener has proven its identity."""
    laptop, desktop = pair
    desktop.trusted.clear()
    laptop.own_introduction = b"believe me"
    connection = await laptop.dial(desktop.listen(), desktop.id)
    assert await connection.receive() == DOCUMENT
    assert desktop.introductions == [b"believe me"]
    await connection.close()


@pytest.mark.parametrize("says", [b"", b"believe somebody else", bytes(1025)])
async def test_an_invalid_introduction_is_refused(pair: Pair, says: bytes) -> None:
    """Like an unknown device. A frame over 1 KiB is not even read."""
    laptop, desktop = pair
    desktop.trusted.clear()
    laptop.own_introduction = says
    with pytest.raises((UntrustedPeerError, UnreachableError)):
        await laptop.dial(desktop.listen(), desktop.id)
    assert desktop.introductions == [says][: len(says) <= 1024]
    assert desktop.documents_sent == 0


async def test_a_relay_does_not_see_an_introduction(pair: Pair) -> None:
    """The statements name the space, so only the right device may see them."""
    laptop, desktop = pair
    desktop.trusted.clear()
    laptop.own_introduction = b"believe me"
    async with _Relay(desktop.listen()) as relay:
        with pytest.raises(UntrustedPeerError):
            await laptop.dial(relay.address, desktop.id)
    assert not any(b"believe me" in frame for frame in relay.seen)


async def test_a_device_that_is_not_accepted_does_not_see_our_key(pair: Pair) -> None:
    """The dialer closes after the greeting, and names the command that accepts the device."""
    laptop, desktop = pair
    laptop.trusted.clear()
    with pytest.raises(UntrustedPeerError, match=f"memcrdt accept {shown(desktop.id)}"):
        await laptop.dial(desktop.listen())
    assert (desktop.refused, desktop.documents_sent) == ([], 0)


async def test_an_impostor_gets_no_document(pair: Pair, make_device: Callable[[str], Device]) -> None:
    """It shows the key of an accepted device, and signs with its own."""
    laptop, desktop = pair
    impostor = _Impostor(laptop.identity.public_key, laptop.id, make_device("impostor").identity.sign)
    dialer = Dialer(impostor, TrustPolicy())
    with pytest.raises(UntrustedPeerError, match="rejected our signature"):
        await dialer.dial(DialTarget(desktop.listen(), desktop.id))
    await dialer.close()
    assert (desktop.refused, desktop.documents_sent) == ([], 0)


async def test_a_relay_in_the_middle_gets_no_document(pair: Pair) -> None:
    """A relay that terminates TLS with its own certificate sees the handshake, and nothing after it."""
    laptop, desktop = pair
    async with _Relay(desktop.listen()) as relay:
        with pytest.raises(UntrustedPeerError, match="a proxy between the two devices decrypts TLS"):
            await laptop.dial(relay.address, desktop.id)
    assert desktop.documents_sent == 0
    assert not any(DOCUMENT in frame for frame in relay.seen)


async def test_another_device_than_the_expected_is_refused(pair: Pair, make_device: Callable[[str], Device]) -> None:
    """The message names both devices and the address."""
    laptop, desktop = pair
    other = make_device("other")
    address = desktop.listen()
    with pytest.raises(UntrustedPeerError, match=f"{address} is {shown(desktop.id)}, not {shown(other.id)}"):
        await laptop.dial(address, other.id)
    assert desktop.documents_sent == 0


async def test_a_web_page_is_refused(pair: Pair) -> None:
    """Browsers send an Origin header with every WebSocket."""
    _, desktop = pair
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await _open(session, desktop.listen(), headers={"Origin": "https://evil.example"})
    assert caught.value.status == 403
    assert desktop.documents_sent == 0


async def test_trust_is_checked_at_every_connection(pair: Pair) -> None:
    """A revoked device is refused, and connects once it is accepted again."""
    laptop, desktop = pair
    address = desktop.listen()
    desktop.trusted.remove(laptop.id)
    with pytest.raises(UntrustedPeerError):
        await laptop.dial(address, desktop.id)
    assert desktop.documents_sent == 0
    desktop.trusted.add(laptop.id)
    connection = await laptop.dial(address, desktop.id)
    assert await connection.receive() == DOCUMENT
    await connection.close()


@pytest.mark.parametrize(("path", "protocols", "status"), [("/", (SUBPROTOCOL,), 404), (PATH, ("other",), 400)])
async def test_only_the_sync_path_and_protocol_are_answered(
    pair: Pair, path: str, protocols: tuple[str, ...], status: int
) -> None:
    """The connection is closed, so that nothing else can be tried on it."""
    _, desktop = pair
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await _open(session, desktop.listen(), path=path, protocols=protocols)
    assert caught.value.status == status
    assert caught.value.headers["Connection"] == "close"


@pytest.mark.parametrize("frame", [b"x" * 1025, b"", b"\xc1garbage", msgpack.packb(["proof", 1, 2, 3])])
async def test_garbage_in_the_handshake_ends_it(pair: Pair, frame: bytes) -> None:
    """A frame over 1 KiB, or a frame that is not a proof, closes the connection as a protocol error."""
    _, desktop = pair
    async with aiohttp.ClientSession() as session:
        client = await _open(session, desktop.listen())
        await client.receive_bytes()
        await client.send_bytes(frame)
        await _ends_with(client, PROTOCOL_BROKEN)
    assert (desktop.refused, desktop.documents_sent) == ([], 0)


async def test_a_text_frame_in_the_handshake_ends_it(pair: Pair) -> None:
    """The protocol is binary."""
    _, desktop = pair
    async with aiohttp.ClientSession() as session:
        client = await _open(session, desktop.listen())
        await client.receive_bytes()
        await client.send_str("hello")
        await _ends_with(client, PROTOCOL_BROKEN)


@pytest.mark.parametrize("stage", ["tcp", "tls", "websocket"])
async def test_a_silent_client_is_disconnected(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, stage: str, eventually: Eventually
) -> None:
    """Whether it stops before TLS, HTTP or authentication. Afterwards its place is free."""
    monkeypatch.setattr(connection_gate, "IDENTIFY_S", 0.1)
    _, desktop = pair
    address = desktop.listen()
    context = dialer_context() if stage == "tls" else None
    if stage == "websocket":
        async with aiohttp.ClientSession() as session:
            client = await _open(session, address)
            await client.receive_bytes()
            assert (await client.receive()).type is aiohttp.WSMsgType.CLOSED
    else:
        reader, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
    await eventually(lambda: not desktop.listener._gate._pending)


async def test_one_address_gets_four_unauthenticated_sockets(pair: Pair, eventually: Eventually) -> None:
    """The fifth is closed at once. Authenticated connections do not count."""
    laptop, desktop = pair
    address = desktop.listen()
    accepted = await laptop.dial(address, desktop.id)
    assert await accepted.receive() == DOCUMENT
    await eventually(lambda: not desktop.listener._gate._pending)
    clients = [await asyncio.open_connection(address.host, address.port) for _ in range(4)]
    await eventually(lambda: len(desktop.listener._gate._pending) == 4)
    fifth, writer = await asyncio.open_connection(address.host, address.port)
    assert await fifth.read() == b""
    for _, client in [*clients, (fifth, writer)]:
        client.close()
    await accepted.close()
    await eventually(lambda: not desktop.listener._gate._pending)
    again = await laptop.dial(address, desktop.id)
    await again.close()


async def test_sixteen_unauthenticated_sockets_are_the_maximum(pair: Pair) -> None:
    """From any number of addresses, here in 127.0.0.0/8."""
    _, desktop = pair
    address = desktop.listen()
    clients = []
    for number in range(16):
        local = (f"127.0.0.{2 + number}", 0)
        try:
            clients.append(await asyncio.open_connection(address.host, address.port, local_addr=local))
        except OSError:
            pytest.skip("only one loopback address here")
    last, writer = await asyncio.open_connection(address.host, address.port, local_addr=("127.0.0.99", 0))
    assert await last.read() == b""
    for _, client in [*clients, (last, writer)]:
        client.close()


async def test_a_frame_over_one_mebibyte_ends_the_connection(pair: Pair, eventually: Eventually) -> None:
    """It is refused by its announced length."""
    laptop, desktop = pair
    connection = await laptop.dial(desktop.listen(), desktop.id)
    await connection.receive()
    await connection.send(b"x" * ((1 << 20) + 1))
    assert await connection.receive() is None
    await eventually(lambda: desktop.problems)
    assert isinstance(desktop.problems[0], RemoteProtocolError)


async def test_a_text_frame_after_the_handshake_is_refused(pair: Pair, eventually: Eventually) -> None:
    """From an accepted device too."""
    laptop, desktop = pair
    connection = await laptop.dial(desktop.listen(), desktop.id)
    await connection._stream._socket.send_str("hello")  # Connection sends binary frames only
    await eventually(lambda: desktop.problems)
    assert isinstance(desktop.problems[0], RemoteProtocolError)
    await connection.close()


async def test_frames_of_a_mebibyte_pass_both_ways(pair: Pair) -> None:
    """A frame of the maximum size is allowed."""
    laptop, desktop = pair
    connection = await laptop.dial(desktop.listen(), desktop.id)
    await connection.receive()
    frame = bytes(1 << 20)
    await connection.send(frame)
    await desktop.served[0].send(frame)
    assert await connection.receive() == frame
    assert desktop.problems == []
    await connection.close()


async def test_sending_on_a_closed_connection_is_an_error_that_names_the_device(pair: Pair) -> None:
    """Never an OSError of aiohttp."""
    laptop, desktop = pair
    connection = await laptop.dial(desktop.listen(), desktop.id)
    await connection.close()
    with pytest.raises(UnreachableError, match=shown(desktop.id)):
        await connection.send(b"late")


async def test_a_port_in_use_is_named(pair: Pair) -> None:
    """The message says what to do."""
    laptop, desktop = pair
    address = desktop.listen()
    with pytest.raises(LockedError, match=f"port {address.port} is in use.*--port"):
        laptop.listener.start(address)


@pytest.mark.parametrize(
    ("host", "why"),
    [("192.0.2.1", "it is not an address of this machine"), ("no-such-host.invalid", "the name has no address")],
)
async def test_a_host_that_is_not_ours_is_named(pair: Pair, host: str, why: str) -> None:
    """192.0.2.0/24 is reserved for documentation."""
    laptop, _ = pair
    advice = "choose another host or port (host= and port= in Python, --host and --port on the command line)"
    with pytest.raises(InputError, match=f"^cannot listen at {host}, port 0: {why}; {re.escape(advice)}$"):
        laptop.listener.start(Address(host, 0))


async def test_an_unreachable_address_is_an_error(pair: Pair) -> None:
    """The message names the device, the address and the next step."""
    laptop, desktop = pair
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = Address("127.0.0.1", free.getsockname()[1])
    with pytest.raises(UnreachableError, match=f"{shown(desktop.id)} at {address}.*is memcrdt serving there"):
        await laptop.dial(address, desktop.id)


async def test_a_device_that_breaks_the_handshake_protocol_is_named(pair: Pair) -> None:
    """Another version of memcrdt may do this."""
    laptop, desktop = pair

    async def nonsense(request: web.BaseRequest) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=(SUBPROTOCOL,))
        await socket.prepare(request)
        await socket.send_bytes(b"no handshake")
        await socket.close()
        return socket

    async with _Server(nonsense) as address:
        with pytest.raises(RemoteProtocolError) as told:
            await laptop.dial(address, desktop.id)
    assert str(told.value) == (
        f"{shown(desktop.id)} at {address} breaks the protocol: a handshake frame is not valid msgpack, or exceeds the "
        "limits; if this keeps happening, update memcrdt on the older of the two devices"
    )


async def test_an_unknown_host_name_has_an_error_of_its_own(pair: Pair) -> None:
    """The user has to check the name, not the device."""
    laptop, desktop = pair
    with pytest.raises(UnreachableError) as told:
        await laptop.dial(Address("no-such-host.invalid", 27380), desktop.id)
    assert str(told.value) == (
        f"cannot reach {shown(desktop.id)} at no-such-host.invalid:27380: the name has no address; check it, or "
        "give an IP address"
    )


async def test_an_unexpected_server_is_named(pair: Pair) -> None:
    """For example, if the address of `memcrdt serve` is used to pair."""
    laptop, desktop = pair
    address = desktop.listen()
    dialer = Dialer(laptop.identity, laptop, PAIRING_PATH, "memcrdt pair waiting")
    with pytest.raises(UnreachableError) as told:
        await dialer.dial(DialTarget(address))
    await dialer.close()
    assert str(told.value) == f"the server at {address} is not memcrdt pair waiting (HTTP 404); check host and port"


async def test_a_redirect_is_not_followed(pair: Pair) -> None:
    """A server cannot send us to another address."""
    laptop, desktop = pair
    elsewhere = desktop.listen()

    async def redirect(_: web.BaseRequest) -> web.Response:
        return web.Response(status=302, headers={"Location": f"https://{elsewhere}{PATH}"})

    async with _Server(redirect) as address:
        with pytest.raises(UnreachableError, match="is not memcrdt serving"):
            await laptop.dial(address)
    assert desktop.documents_sent == 0


async def test_a_proxy_in_the_environment_is_not_used(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Devices connect directly or not at all."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    laptop, desktop = pair
    connection = await laptop.dial(desktop.listen(), desktop.id)
    assert await connection.receive() == DOCUMENT
    await connection.close()


async def test_all_interfaces_accept_ipv4_and_ipv6(pair: Pair) -> None:
    """An empty host listens on both, and IPv4 addresses are shown in IPv4 form."""
    laptop, desktop = pair
    port = desktop.listener.start(Address("", 0))
    connection = await laptop.dial(Address("127.0.0.1", port), desktop.id)
    assert desktop.served[0].address.startswith("127.0.0.1:")
    await connection.close()
    if socket.has_dualstack_ipv6() and _has_ipv6_loopback():
        connection = await laptop.dial(Address("::1", port), desktop.id)
        await connection.close()


async def test_tls_before_1_3_is_refused(pair: Pair) -> None:
    """Even from a client that accepts older versions."""
    _, desktop = pair
    address = desktop.listen()
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        await asyncio.open_connection(address.host, address.port, ssl=old)


@dataclass
class _Impostor:
    public_key: bytes
    device_id: str
    sign: Callable[[bytes], bytes]


class _Server:
    """An HTTPS server with its own certificate and a given handler."""

    def __init__(self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> None:
        self._handler = handler

    async def __aenter__(self) -> Address:
        self._runner = web.ServerRunner(web.Server(self._handler))
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=new_credentials().context).start()
        return Address(*self._runner.addresses[0][:2])

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()


class _Relay(_Server):
    """Passes frames on to a real listener, and records them."""

    def __init__(self, target: Address) -> None:
        super().__init__(self._relay)
        self._target = target
        self.seen: list[bytes] = []

    async def __aenter__(self) -> _Relay:  # type: ignore[override]
        self.address = await super().__aenter__()
        return self

    async def _relay(self, request: web.BaseRequest) -> web.StreamResponse:
        down = web.WebSocketResponse(protocols=(SUBPROTOCOL,), timeout=1)
        await down.prepare(request)
        async with aiohttp.ClientSession() as session:
            up = await _open(session, self._target)
            await asyncio.gather(self._pump(up, down), self._pump(down, up))
        return down

    async def _pump(self, source: Any, sink: Any) -> None:
        async for message in source:
            self.seen.append(message.data)
            await sink.send_bytes(message.data)
        await sink.close(code=source.close_code)


async def _open(
    session: aiohttp.ClientSession,
    address: Address,
    *,
    path: str = PATH,
    protocols: tuple[str, ...] = (SUBPROTOCOL,),
    headers: dict[str, str] | None = None,
) -> aiohttp.ClientWebSocketResponse:
    url = f"https://{address}{path}"
    return await session.ws_connect(url, ssl=dialer_context(), protocols=protocols, headers=headers)


async def _ends_with(client: aiohttp.ClientWebSocketResponse, code: int) -> None:
    message = await client.receive(timeout=5)
    assert (message.type, client.close_code) == (aiohttp.WSMsgType.CLOSE, code)


def _has_ipv6_loopback() -> bool:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError as exc:
            return exc.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
    return True


async def test_a_client_that_hangs_up_early_causes_no_long_pause(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The long pause is for a process without file handles. Here it would delay the laptop."""
    laptop, desktop = pair
    loop = asyncio.get_running_loop()
    take, gone = loop.sock_accept, [ConnectionAbortedError(), ConnectionAbortedError()]

    async def accept(listening: socket.socket) -> tuple[socket.socket, Any]:
        if gone:
            raise gone.pop()
        return await take(listening)

    monkeypatch.setattr(loop, "sock_accept", accept)
    monkeypatch.setattr("memcrdt.net.connection_gate._ACCEPT_RETRY_S", 60)
    connection = await laptop.dial(desktop.listen())
    assert connection.peer.device == desktop.id
    await connection.close()
