"""Pairing over streams in memory, with authentication, without sockets or TLS."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

import memcrdt
from memcrdt.errors import MemcrdtError, PairingError, UntrustedPeerError
from memcrdt.memory.memory import Memory
from memcrdt.model.device_ids import shown
from memcrdt.net.connection import Connection
from memcrdt.net.handshake import LocalDevice, TrustPolicy, authenticate_as_dialer, authenticate_as_listener
from memcrdt.pairing.codes import Code, new_code
from memcrdt.pairing.inviting import InvitationListener
from memcrdt.pairing.joining import JoinAttempt
from memcrdt.pairing.pair import PairOptions, _ours
from memcrdt.store.membership.peers import Peers
from memcrdt.testing.frame_streams import LISTENER, MemoryFrameStream, memory_streams


class Two:
    """A laptop that shows a code, and a desktop where it is typed. Only the network of the invitation is missing."""

    def __init__(self, laptop: Memory, desktop: Memory) -> None:
        self.laptop, self.desktop = laptop, desktop
        self.showing, self.typing = _ours(laptop, PairOptions()), _ours(desktop, PairOptions())
        self.invitation = InvitationListener(self.showing, "")

    async def pair(self, code: Code, streams: tuple[MemoryFrameStream, MemoryFrameStream]) -> object:
        """Type the code on the desktop, and return the laptop or an error."""
        serving = asyncio.create_task(self._serve(streams[1]))
        try:
            local = LocalDevice(self.typing.identity)
            connection = Connection(
                streams[0], await authenticate_as_dialer(streams[0], local, TrustPolicy()), "dialed"
            )
            return await JoinAttempt(self.typing, code).join_over(connection)
        except MemcrdtError as exc:
            return exc
        finally:
            await serving

    async def _serve(self, stream: MemoryFrameStream) -> None:
        peer = await authenticate_as_listener(stream, LocalDevice(self.showing.identity), self.invitation)
        if peer is not None:
            await self.invitation.serve(Connection(stream, peer, "accepted"))


@pytest.fixture(name="two")
async def _two(tmp_path: Path) -> Iterator[Two]:
    with (
        memcrdt.open(tmp_path / "laptop", embedder=None, device_name="laptop") as laptop,
        memcrdt.open(tmp_path / "desktop", embedder=None, device_name="desktop") as desktop,
    ):
        yield Two(laptop, desktop)


async def test_the_right_code_pairs_two_devices(two: Two) -> None:
    """Each accepts the other under its name, and they share the space."""
    partner = await two.pair(two.invitation.code, memory_streams())
    assert (partner.device, partner.name) == (two.laptop.store.device, "laptop")
    assert (await two.invitation.joined()).device == two.desktop.store.device
    for here, there, name in ((two.laptop, two.desktop, "desktop"), (two.desktop, two.laptop, "laptop")):
        (peer,) = Peers(here.store).all()
        assert (peer.device, peer.name, peer.state) == (there.store.device, name, "accepted")
    assert two.laptop.space("personal").id() == two.desktop.space("personal").id()


async def test_a_wrong_code_pairs_nobody_and_ends_the_code(two: Two) -> None:
    """Both sides get an error, and the right code is useless afterwards."""
    error = await two.pair(_another(two.invitation.code), memory_streams())
    assert isinstance(error, PairingError)
    assert "the code is wrong" in str(error)
    with pytest.raises(PairingError, match=f"{shown(two.desktop.store.device)} at .* typed a wrong code"):
        await two.invitation.joined()
    assert isinstance(await two.pair(two.invitation.code, memory_streams()), MemcrdtError)
    assert [Peers(memory.store).all() for memory in (two.laptop, two.desktop)] == [[], []]


async def test_another_number_is_not_a_guess(two: Two) -> None:
    """It belongs to another invitation."""
    code = two.invitation.code
    error = await two.pair(Code(code.number % 99 + 1, code.first, code.second), memory_streams())
    assert f"at {LISTENER} shows another code" in str(error)
    assert (await two.pair(code, memory_streams())).device == two.laptop.store.device


async def test_a_relay_with_another_channel_binding_gets_no_guess(two: Two) -> None:
    """Its channel bindings differ, and the devices detect it before any message about the code."""
    dialed, near = memory_streams(b"r" * 32)
    far, accepted = memory_streams(b"c" * 32)
    pumps = [asyncio.create_task(pump) for pump in (_pump(near, far), _pump(far, near))]
    error = await two.pair(two.invitation.code, (dialed, accepted))
    await asyncio.gather(*pumps)
    assert isinstance(error, UntrustedPeerError)
    assert len(dialed.sent) == 1  # the proof of its key
    assert [Peers(memory.store).all() for memory in (two.laptop, two.desktop)] == [[], []]
    assert (await two.pair(two.invitation.code, memory_streams())).device == two.laptop.store.device


def _another(code: Code) -> Code:
    """Return a code with the same number and other words."""
    while (other := new_code()).secret.split(b"-")[1:] == code.secret.split(b"-")[1:]:
        pass
    return Code(code.number, other.first, other.second)


async def _pump(source: MemoryFrameStream, sink: MemoryFrameStream) -> None:
    while (frame := await source.receive(1 << 20)) is not None:
        await sink.send(frame)
    await sink.close(source.close_code or 1000)
