"""A relay, honest or not, with real sockets: two devices that can reach only the relay."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from memcrdt.errors import MemcrdtError, UnreachableError, UntrustedPeerError
from memcrdt.net.addresses import Address
from memcrdt.net.dialer import DialTarget
from memcrdt.net.handshake import AnotherDeviceError
from memcrdt.net.relay.client import call, wait_for_call
from memcrdt.net.relay.protocol import (
    Call,
    Called,
    Challenge,
    FrameReader,
    Joined,
    Ready,
    Refused,
    Wait,
    Waiting,
    encode,
)
from memcrdt.net.relay.rendezvous import RelayLimits
from memcrdt.net.relay.server import Relay, RelayOptions
from memcrdt.net.tls import dialer_context, new_credentials

if TYPE_CHECKING:
    from tests.network import Device

DOCUMENT = b"the text of a memory"
Pair = tuple["Device", "Device"]
Eventually = Callable[[Callable[[], object]], Awaitable[None]]


@asynccontextmanager
async def _relay(**options: object) -> AsyncIterator[tuple[Relay, Address]]:
    async with Relay(RelayOptions(host="127.0.0.1", port=0, **options)) as relay:
        yield relay, Address("127.0.0.1", relay.port)


@asynccontextmanager
async def _waiting(device: Device, at: Address) -> AsyncIterator[None]:
    """Let a device wait at a relay, as often as it is called."""

    async def wait() -> None:
        while True:
            with suppress(MemcrdtError):
                device.listener.take(await wait_for_call(at, device.identity, registered.set), at)
            await asyncio.sleep(0.01)

    registered = asyncio.Event()
    task = asyncio.create_task(wait())
    try:
        async with asyncio.timeout(10):
            await registered.wait()
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _dial(device: Device, other: Device, at: Address) -> bytes | None:
    """Dial through a relay, and return the first frame."""
    connection = await device.dialer.dial(DialTarget(at, other.id, by_relay=True))
    assert connection.peer.device == other.id
    assert (connection.found, connection.listens_at) == ("relay", None)
    try:
        return await connection.receive()
    finally:
        await connection.close()


async def test_two_devices_meet_at_a_relay(pair: Pair, eventually: Eventually) -> None:
    """Several times, one after the other. Neither side takes the relay's address for the other's."""
    laptop, desktop = pair
    desktop.listen()
    async with _relay() as (relay, at), _waiting(desktop, at):
        for _ in range(3):
            assert await _dial(laptop, desktop, at) == DOCUMENT
        assert desktop.served[0].address == f"relay {at}"
        assert desktop.served[0].listens_at is None
        await eventually(lambda: (relay.joined, relay.waiting) == (0, 1))


async def test_many_dials_at_once_all_arrive(pair: Pair) -> None:
    """The device registers anew after each call, and the callers wait for that."""
    laptop, desktop = pair
    desktop.listen()
    async with _relay() as (_, at), _waiting(desktop, at):
        assert await asyncio.gather(*(_dial(laptop, desktop, at) for _ in range(4))) == [DOCUMENT] * 4


async def test_a_device_that_does_not_wait_is_named(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says where to look."""
    monkeypatch.setattr("memcrdt.net.relay.rendezvous.CALL_S", 0.1)
    laptop, desktop = pair
    async with _relay() as (_, at):
        with pytest.raises(UnreachableError, match="does not wait at the relay"):
            await _dial(laptop, desktop, at)


async def test_a_relay_serves_only_the_devices_it_is_for(pair: Pair) -> None:
    """Neither to wait nor to call."""
    laptop, desktop = pair
    async with _relay(devices=[desktop.id]) as (_, at), _waiting(desktop, at):
        with pytest.raises(UnreachableError, match="this relay is for other devices"):
            await call(at, laptop.identity, desktop.id)
        with pytest.raises(UnreachableError, match="this relay is for other devices"):
            await wait_for_call(at, laptop.identity, lambda: None)


async def test_a_relay_that_knows_its_names_refuses_others(pair: Pair) -> None:
    """So another relay cannot use the proof of a device that registers there."""
    laptop, _ = pair
    async with _relay(names=["relay.example"]) as (_, at):
        with pytest.raises(UnreachableError, match=r"this relay is not called 127\.0\.0\.1"):
            await wait_for_call(at, laptop.identity, lambda: None)


async def test_an_address_has_a_limit_of_connections(pair: Pair) -> None:
    """More are closed at once."""
    laptop, desktop = pair
    async with _relay(limits=RelayLimits(links_per_host=1)) as (_, at), _waiting(desktop, at):
        with pytest.raises(UnreachableError, match="closed the connection"):
            await call(at, laptop.identity, desktop.id)


async def test_a_pair_is_held_to_its_rate(pair: Pair) -> None:
    """Reading pauses, and all bytes arrive in order."""
    laptop, desktop = pair
    data = bytes(range(256)) * 600
    async with _relay(rate=1 << 18) as (_, at):
        waiting = asyncio.create_task(wait_for_call(at, desktop.identity, lambda: None))
        one = await call(at, laptop.identity, desktop.id)
        other = await waiting
        loop = asyncio.get_running_loop()
        sending = asyncio.create_task(loop.sock_sendall(one, data))
        received = bytearray()
        async with asyncio.timeout(20):
            while len(received) < len(data):
                received += await loop.sock_recv(other, 1 << 16)
            await sending
        one.close()
        assert bytes(received) == data
        async with asyncio.timeout(10):
            assert await loop.sock_recv(other, 1) == b""
        other.close()


@pytest.mark.parametrize("sends", [b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 4096, encode(Ready()), b"\x00\x02\x91\xa1"])
async def test_a_stranger_gets_a_challenge_and_no_more(sends: bytes) -> None:
    """Fewer bytes than it costs to open the connection."""
    async with _relay() as (_, at):
        reader, writer = await asyncio.open_connection(at.host, at.port)
        writer.write(sends)
        with suppress(ConnectionResetError):
            async with asyncio.timeout(10):
                assert len(await reader.read()) < 60
        writer.close()


# --- relays that lie -------------------------------------------------------------------------------------------------


class LyingRelay:
    """Speaks the relay's protocol, joins whom it likes, and keeps all bytes. Devices wait and call at `at`."""

    def __init__(self) -> None:
        self.seen = bytearray()
        self.waiting: list[tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.tamper: Callable[[bytes], bytes] = lambda data: data
        self.delay_s = 0.0
        self.terminates_tls = False
        self.answers_instead = b""
        self.cut_after = 1 << 30

    async def __aenter__(self) -> LyingRelay:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.at = Address("127.0.0.1", self._server.sockets[0].getsockname()[1])
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        task = asyncio.current_task()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with suppress(OSError, EOFError, asyncio.IncompleteReadError):
            writer.write(encode(Challenge(bytes(32))))
            message = await _message(reader)
            if isinstance(message, Wait):
                writer.write(encode(Waiting()))
                self.waiting.append((message.public_key, reader, writer))
                return
            assert isinstance(message, Call)
            await self._join(reader, writer)
        writer.close()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Join the caller with the first device that waits, whichever it wanted."""
        if self.answers_instead:
            writer.write(encode(Joined()) + self.answers_instead)
            self.seen += await reader.read(1 << 16)
            return
        _, there, back = self.waiting.pop(0)
        back.write(encode(Called()))
        assert isinstance(await _message(there), Ready)
        writer.write(encode(Joined()))
        if self.terminates_tls:
            await writer.drain()
            await writer.start_tls(new_credentials().context)
            back.transport.get_protocol()._client_connected_cb = None  # it decides which side of TLS this is
            await back.start_tls(dialer_context(), server_hostname="memcrdt")
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(1 << 16):
                self.seen += data
                await asyncio.sleep(self.delay_s)
                sink.write(self.tamper(data))
                if len(self.seen) > self.cut_after:
                    break
        sink.close()


async def _message(reader: asyncio.StreamReader) -> object:
    frames = FrameReader()
    size = await reader.readexactly(2)
    frames.feed(size + await reader.readexactly(int.from_bytes(size, "big")))
    return frames.next()


@pytest.fixture(name="liar")
async def _liar() -> AsyncIterator[LyingRelay]:
    async with LyingRelay() as relay:
        yield relay


def _knows_nothing(relay: LyingRelay, *devices: Device) -> bool:
    """Return whether the relay saw no plaintext of what the devices sent inside TLS: documents, keys, frames."""
    secrets = [DOCUMENT, b"greeting", b"proof", b"welcome", b"/sync", b"memcrdt.1"]
    secrets += [device.identity.public_key for device in devices]
    return not any(secret in relay.seen for secret in secrets)


async def test_a_relay_that_keeps_everything_has_no_plaintext(pair: Pair, liar: LyingRelay) -> None:
    """Also if it delays what it passes on."""
    laptop, desktop = pair
    desktop.listen()
    liar.delay_s = 0.05
    async with _waiting(desktop, liar.at):
        assert await _dial(laptop, desktop, liar.at) == DOCUMENT
    assert len(liar.seen) > 1000
    assert _knows_nothing(liar, laptop, desktop)


async def test_a_relay_that_swaps_devices_learns_nothing(
    pair: Pair, liar: LyingRelay, make_device: Callable[[str], Device]
) -> None:
    """The wrong device is recognized before the caller has shown its own key, even if both trust it."""
    laptop, desktop = pair
    phone = make_device("phone")
    phone.trusted.add(laptop.id)
    laptop.trusted.add(phone.id)
    phone.listen()
    async with _waiting(phone, liar.at):
        with pytest.raises(AnotherDeviceError):
            await _dial(laptop, desktop, liar.at)
    assert (phone.documents_sent, phone.served, phone.refused) == (0, [], [])
    assert _knows_nothing(liar, laptop, phone)


async def test_a_relay_that_ends_tls_itself_gets_no_document(pair: Pair, liar: LyingRelay) -> None:
    """Both sides sign the certificate that they see, and these differ."""
    laptop, desktop = pair
    desktop.listen()
    liar.terminates_tls = True
    async with _waiting(desktop, liar.at):
        with pytest.raises((UntrustedPeerError, UnreachableError)):
            await _dial(laptop, desktop, liar.at)
    assert b"greeting" in liar.seen  # it did read the stream, up to the failed proof
    assert DOCUMENT not in liar.seen
    assert desktop.documents_sent == 0


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 101 Switching Protocols\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\x46", b"x" * 300]
)
async def test_a_relay_cannot_make_a_device_speak_without_tls(pair: Pair, liar: LyingRelay, answer: bytes) -> None:
    """Plain HTTP, a TLS alert and nonsense end the dial. All that was sent is the ClientHello."""
    laptop, desktop = pair
    liar.answers_instead = answer
    with pytest.raises(MemcrdtError):
        await _dial(laptop, desktop, liar.at)
    assert liar.seen[:1] == b"\x16"  # a TLS handshake record
    assert _knows_nothing(liar, laptop, desktop)


async def test_a_relay_that_changes_or_cuts_the_stream_only_delays(pair: Pair, liar: LyingRelay) -> None:
    """The dial fails, and the next one, through an honest moment, works."""
    laptop, desktop = pair
    desktop.listen()
    async with _waiting(desktop, liar.at):
        liar.tamper = lambda data: data[:-1] + bytes([data[-1] ^ 1])
        with pytest.raises(MemcrdtError):
            await _dial(laptop, desktop, liar.at)
        liar.tamper, liar.cut_after = lambda data: data, len(liar.seen) + 2000
        await _until(lambda: liar.waiting)
        with suppress(MemcrdtError):
            assert await _dial(laptop, desktop, liar.at) in (None, DOCUMENT)
        liar.cut_after = 1 << 30
        await _until(lambda: liar.waiting)
        assert await _dial(laptop, desktop, liar.at) == DOCUMENT
    assert _knows_nothing(liar, laptop, desktop)


async def test_a_program_that_is_no_relay_is_said_to_be_none(pair: Pair) -> None:
    """Such as a wrong port, or a relay of another version."""
    laptop, desktop = pair
    for said, match in (
        (b"HTTP/1.1 400\r\n\r\n", "is not a relay"),
        (encode(Refused("closed")), "refuses this device: closed"),
    ):

        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter, said: bytes = said) -> None:
            writer.write(said)
            await writer.drain()
            writer.close()

        async with AsyncExitStack() as stack:
            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            stack.callback(server.close)
            at = Address("127.0.0.1", server.sockets[0].getsockname()[1])
            with pytest.raises(MemcrdtError, match=match):
                await call(at, laptop.identity, desktop.id)


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - arbitrary conditions have no event
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("turns", range(6))
async def test_a_connection_that_comes_while_the_relay_ends_is_closed(turns: int) -> None:
    """At any moment: no socket is left to whoever ran the relay."""
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        async with _relay() as (_, at):
            client.connect((at.host, at.port))
            for _turn in range(turns):
                await asyncio.sleep(0)
        client.setblocking(False)
        async with asyncio.timeout(10):
            with suppress(ConnectionResetError):
                while await loop.sock_recv(client, 1024):
                    pass
