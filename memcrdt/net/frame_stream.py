"""The seam under both handshakes: a two-way stream of frames between two devices.

Authentication (`net/handshake.py`) and pairing run over any FrameStream. `net/websocket.py` has the one in use;
`memcrdt/testing/frame_streams.py` has one in memory, and the acceptance suite for further ones.
"""

from __future__ import annotations

from typing import Final, Protocol

FRAME_BYTES: Final = 1 << 20  # once authenticated; before that, auth.HANDSHAKE_FRAME_BYTES
CLOSE_S: Final = 2.0  # how long the other side may take to answer a close

# Close codes: those of RFC 6455, and two of the range that it leaves to applications.
GOODBYE: Final = 1000
PROTOCOL_BROKEN: Final = 1002
NOT_AUTHENTIC: Final = 4001
NOT_ACCEPTED: Final = 4003


class FrameStream(Protocol):
    """An open stream of binary frames that keeps their order and boundaries.

    The stream keeps secrets from others, but does not know who is at the other end: the handshakes find out. One task
    at a time may receive; any number may send.

    Attributes:
        remote: Name of the other side in error messages: HOST:PORT at first. Assign a better name once it is known.
    """

    remote: str

    @property
    def channel_binding(self) -> bytes:
        """A value (32 bytes) that both sides see alike only if nothing in between opens the stream.

        For TLS it is the hash of the listener's certificate. A relay that ends TLS shows a certificate of its own.
        """
        ...

    @property
    def close_code(self) -> int | None:
        """The code that the stream was closed with, or None while it is open or when it broke off without a code."""
        ...

    async def send(self, frame: bytes) -> None:
        """Send one frame; wait while the other side is slow. Raises UnreachableError when the stream has ended."""
        ...

    async def receive(self, limit: int) -> bytes | None:
        """Return the next frame, or None when the stream has ended.

        Raises:
            RemoteProtocolError: The other side sent anything but a frame of at most `limit` bytes. Close the stream.
        """
        ...

    async def close(self, code: int = GOODBYE, reason: str = "") -> None:
        """Close the stream within CLOSE_S seconds, whatever the other side does.

        Args:
            code: Tells the other side why.
            reason: Explains the code. A stream may cut it, or leave it out.
        """
        ...
