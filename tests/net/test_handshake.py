"""Device authentication over streams in memory, without sockets or TLS."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from memcrdt.errors import RemoteProtocolError, UnreachableError, UntrustedPeerError
from memcrdt.model.device_ids import shown
from memcrdt.net.auth import AuthenticatedPeer
from memcrdt.net.frame_stream import GOODBYE, NOT_ACCEPTED, NOT_AUTHENTIC, PROTOCOL_BROKEN
from memcrdt.net.handshake import (
    AnotherDeviceError,
    LocalDevice,
    OurselvesError,
    RefusedError,
    TrustPolicy,
    authenticate_as_dialer,
    authenticate_as_listener,
    claimed_device,
)
from memcrdt.net.identity import Identity
from memcrdt.testing.frame_streams import DIALER, LISTENER, MemoryFrameStream, memory_streams


class Trusting(TrustPolicy):
    """The policies of both sides: accepts some devices, and one introduction."""

    def __init__(self, *accepted: str) -> None:
        self.accepted = set(accepted)
        self.revokers: dict[str, str] = {}
        self.own_introduction: bytes | None = None
        self.introductions: list[bytes] = []
        self.refused: list[tuple[str, str]] = []

    async def is_accepted(self, device: str) -> bool:
        return device in self.accepted

    async def introduction(self, device: str) -> bytes | None:
        return self.own_introduction

    async def admits(self, peer: AuthenticatedPeer, address: str) -> bool:
        if peer.device not in self.accepted:
            self.refused.append((peer.device, address))
        return peer.device in self.accepted

    async def revoker_of(self, peer: AuthenticatedPeer) -> str | None:
        return self.revokers.get(peer.device)

    async def introduced(self, peer: AuthenticatedPeer, introduction: bytes) -> bool:
        self.introductions.append(introduction)
        return introduction == b"believe me"


class Two:
    """A laptop that dials, a desktop that listens, and the stream between them. They accept each other."""

    def __init__(self, home: Path) -> None:
        self.laptop, self.desktop = (Identity.load_or_create(home / name) for name in ("laptop", "desktop"))
        self.laptops, self.desktops = Trusting(self.desktop.device_id), Trusting(self.laptop.device_id)
        self.dialed, self.accepted = memory_streams()

    async def meet(self, wanted: str | None = None) -> tuple[object, object]:
        """Run the handshake, and return the results of dialer and listener: a peer or an error."""
        return tuple(
            await asyncio.gather(
                authenticate_as_dialer(self.dialed, LocalDevice(self.laptop, 27380), self.laptops, wanted),
                authenticate_as_listener(self.accepted, LocalDevice(self.desktop), self.desktops),
                return_exceptions=True,
            )
        )


@pytest.fixture(name="two")
async def _two(tmp_path: Path) -> Two:
    return Two(tmp_path)


async def test_two_devices_that_accept_each_other_are_authenticated(two: Two) -> None:
    """Each learns the other's id, and the stream stays open."""
    listener, dialer = await two.meet(two.desktop.device_id)
    assert (listener.device, dialer.device) == (two.desktop.device_id, two.laptop.device_id)
    assert listener.dialer_nonce == dialer.dialer_nonce
    assert (two.dialed.close_code, two.accepted.close_code) == (None, None)


async def test_an_unknown_device_is_refused(two: Two) -> None:
    """It is told the command to run, and the other side records its id and address."""
    two.desktops.accepted.clear()
    refusal, peer = await two.meet()
    assert isinstance(refusal, RefusedError)
    assert str(refusal) == (
        f"{shown(two.desktop.device_id)} at {LISTENER} does not accept this device; run there: memcrdt accept "
        f"{shown(two.laptop.device_id)}"
    )
    assert (peer, two.desktops.refused) == (None, [(two.laptop.device_id, DIALER)])
    assert two.dialed.close_code is not None


async def test_an_invalid_introduction_is_refused(two: Two) -> None:
    """The listener closes with a code and sends nothing else."""
    two.desktops.accepted.clear()
    two.laptops.own_introduction = b"believe somebody else"
    refusal, peer = await two.meet()
    assert isinstance(refusal, RefusedError)
    assert (peer, two.desktops.introductions) == (None, [b"believe somebody else"])
    assert two.dialed.close_code == NOT_ACCEPTED


async def test_a_valid_introduction_is_accepted(two: Two) -> None:
    """The device sends members' statements after the listener has proven its identity."""
    two.desktops.accepted.clear()
    two.laptops.own_introduction = b"believe me"
    listener, dialer = await two.meet()
    assert (listener.device, dialer.device) == (two.desktop.device_id, two.laptop.device_id)


async def test_a_revoked_device_is_told_who_revoked_it(two: Two) -> None:
    """It is not asked for an introduction."""
    two.desktops.accepted.clear()
    two.desktops.revokers[two.laptop.device_id] = "R" * 52
    two.laptops.own_introduction = b"believe me"
    refusal, peer = await two.meet()
    assert isinstance(refusal, RefusedError)
    assert f"this device was revoked by {shown('R' * 52)}" in str(refusal)
    assert (peer, two.desktops.introductions) == (None, [])


async def test_a_listener_that_is_not_accepted_learns_nothing_about_us(two: Two) -> None:
    """The dialer closes after the greeting."""
    two.laptops.accepted.clear()
    refusal, peer = await two.meet()
    assert isinstance(refusal, UntrustedPeerError)
    assert f"memcrdt accept {shown(two.desktop.device_id)}" in str(refusal)
    assert (peer, two.dialed.sent) == (None, [])


async def test_another_device_than_the_wanted_one_is_refused(two: Two) -> None:
    """Even if it is accepted."""
    refusal, peer = await two.meet("P" * 52)
    assert isinstance(refusal, AnotherDeviceError)
    assert (peer, two.dialed.sent) == (None, [])


class Impostor:
    """Shows the key of another device, and signs with its own."""

    def __init__(self, claimed: Identity, own: Identity) -> None:
        self.public_key, self.device_id, self.sign = claimed.public_key, claimed.device_id, own.sign


@pytest.mark.parametrize("side", ["dialer", "listener"])
async def test_an_impostor_is_refused(two: Two, tmp_path: Path, side: str) -> None:
    """It knows the public key of an accepted device, but cannot sign for it."""
    own = Identity.load_or_create(tmp_path / "impostor")
    if side == "dialer":
        two.laptop = Impostor(two.laptop, own)
    else:
        two.desktop = Impostor(two.desktop, own)
    refusal, peer = await two.meet()
    assert isinstance(refusal, UntrustedPeerError)
    assert two.accepted.close_code == NOT_AUTHENTIC
    if side == "dialer":
        assert peer is None
    else:
        assert "cannot prove it" in str(refusal)


async def test_a_relay_with_another_channel_binding_is_detected(two: Two) -> None:
    """It passes every frame on, but each side signs the channel binding that it sees."""
    two.dialed, near = memory_streams(b"r" * 32)
    far, two.accepted = memory_streams(b"c" * 32)
    pumps = [asyncio.create_task(pump) for pump in (_pump(near, far), _pump(far, near))]
    refusal, peer = await two.meet(two.desktop.device_id)
    await asyncio.gather(*pumps)
    assert isinstance(refusal, UntrustedPeerError)
    assert "a proxy between the two devices decrypts TLS" in str(refusal)
    assert (peer, two.desktops.refused) == (None, [])


async def test_our_own_listener_is_recognised(two: Two) -> None:
    """By its channel binding, before anything is sent."""
    local = LocalDevice(two.laptop, 27380, two.dialed.channel_binding)
    with pytest.raises(OurselvesError):
        await authenticate_as_dialer(two.dialed, local, two.laptops)
    assert two.dialed.sent == []


@pytest.mark.parametrize("frame", [b"", b"garbage", bytes(1025)])
async def test_a_dialer_that_breaks_the_protocol_is_disconnected(two: Two, frame: bytes) -> None:
    """The close code gives the reason."""
    await two.dialed.send(frame)
    assert await authenticate_as_listener(two.accepted, LocalDevice(two.desktop), two.desktops) is None
    assert two.dialed.close_code == PROTOCOL_BROKEN


@pytest.mark.parametrize("frame", [b"", b"garbage", bytes(1025)])
async def test_a_listener_that_breaks_the_protocol_is_disconnected(two: Two, frame: bytes) -> None:
    """The error names the device and the next step."""
    await two.accepted.send(frame)
    with pytest.raises(RemoteProtocolError, match=f"{LISTENER} breaks the protocol: .* update memcrdt"):
        await authenticate_as_dialer(two.dialed, LocalDevice(two.laptop), two.laptops)
    assert two.accepted.close_code == PROTOCOL_BROKEN


async def test_a_side_that_hangs_up_ends_the_handshake(two: Two) -> None:
    """The dialer raises an error, the listener returns None."""
    await two.accepted.close(GOODBYE)
    with pytest.raises(UnreachableError, match="hung up"):
        await authenticate_as_dialer(two.dialed, LocalDevice(two.laptop), two.laptops)
    assert await authenticate_as_listener(two.accepted, LocalDevice(two.desktop), two.desktops) is None


async def test_a_claim_is_read_without_revealing_our_identity(two: Two) -> None:
    """For an address whose device is not known."""
    listening = asyncio.create_task(authenticate_as_listener(two.accepted, LocalDevice(two.desktop), two.desktops))
    assert await claimed_device(two.dialed) == two.desktop.device_id
    assert (await listening, two.dialed.sent, two.dialed.close_code) == (None, [], GOODBYE)


async def _pump(source: MemoryFrameStream, sink: MemoryFrameStream) -> None:
    while (frame := await source.receive(1 << 20)) is not None:
        await sink.send(frame)
    await sink.close(source.close_code or GOODBYE)
