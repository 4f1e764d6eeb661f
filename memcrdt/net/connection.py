"""An authenticated connection to another device, whichever side dialed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from memcrdt.errors import UnreachableError
from memcrdt.model.device_ids import shown
from memcrdt.net.addresses import Address, is_relayed
from memcrdt.net.auth import clock_of, port_of
from memcrdt.net.frame_stream import FRAME_BYTES, GOODBYE

if TYPE_CHECKING:
    from memcrdt.net.auth import AuthenticatedPeer
    from memcrdt.net.frame_stream import FrameStream

Via: TypeAlias = Literal["dialed", "accepted"]


class Connection:
    """A stream to a device whose id is proven. One task at a time may receive; any number may send.

    Attributes:
        peer: The device.
        address: Where the stream leads: HOST:PORT, or the relay that joins it (net.addresses.through).
        via: Which side dialed: "dialed" if this device did, otherwise "accepted".
        found: The source that named the address; None if it is not known.
    """

    def __init__(self, stream: FrameStream, peer: AuthenticatedPeer, via: Via) -> None:
        self.peer = peer
        self.address = stream.remote
        self.via = via
        self.found: str | None = "relay" if self.is_relayed else None
        self._stream = stream
        stream.remote = str(self)

    @property
    def peer_clock_ms(self) -> int | None:
        """The other side's clock during authentication, in ms since 1970, or None if it doubts its clock."""
        return clock_of(self.peer.listener_nonce if self.via == "dialed" else self.peer.dialer_nonce)

    @property
    def is_relayed(self) -> bool:
        """Whether a relay joins the two devices."""
        return is_relayed(self.address)

    @property
    def listens_at(self) -> str | None:
        """Where the other side can be dialed, as HOST:PORT; None if it does not listen, or if that is not known."""
        if self.is_relayed:
            return None
        return self.address if self.via == "dialed" else listening_address(self.peer, self.address)

    async def send(self, frame: bytes) -> None:
        """Send one frame of at most 1 MiB; wait while the other side is slow. Raises UnreachableError."""
        try:
            await self._stream.send(frame)
        except UnreachableError as exc:
            raise UnreachableError(f"the connection to {self} was lost; memcrdt reconnects automatically") from exc

    async def receive(self, limit: int = FRAME_BYTES) -> bytes | None:
        """Return the next frame, or None when the connection has ended.

        Raises:
            RemoteProtocolError: The other side sent anything but a binary frame of at most `limit` bytes. Close the
                connection then.
        """
        return await self._stream.receive(limit)

    async def close(self, code: int = GOODBYE) -> None:
        """Close the connection, within 2 s. `code` tells the other side why."""
        await self._stream.close(code)

    def __str__(self) -> str:
        return f"{shown(self.peer.device)} at {self.address}"


def listening_address(peer: AuthenticatedPeer, address: str) -> str | None:
    """Return where a device that dialed us from `address` listens, or None if it does not, or came through a relay."""
    if is_relayed(address):
        return None
    port = port_of(peer.dialer_nonce)
    return str(Address(Address.parse(address).host, port)) if port else None
