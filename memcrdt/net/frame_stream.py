"""The interface under both handshakes: a two-way stream of frames between two devices.

Authentication (`net/handshake.py`) and pairing run over any FrameStream. `net/websocket.py` has the implementation in
use. `memcrdt/testing/frame_streams.py` has an implementation in memory, and the acceptance suite for further ones.
"""

from __future__ import annotations

from typing import Final, Protocol

FRAME_BYTES: Final = 1 << 20  # once authenticated; before that, auth.HANDSHAKE_FRAME_BYTES
CLOSE_S: Final = 2.0  # maximum wait for the other side's answer to a close

# Close codes: two from RFC 6455, and two from the range that it reserves for applications.
GOODBYE: Final = 1000
PROTOCOL_BROKEN: Final = 1002
NOT_AUTHENTIC: Final = 4001
NOT_ACCEPTED: Final = 4003


class FrameStream(Protocol):
    """An open stream of binary frames that keeps their order and boundaries.

    The stream is encrypted but not authenticated: the handshakes authenticate the other end. One task at a time may
    receive; any number may send.

    Attributes:
        remote: Name of the other side in error messages: HOST:PORT at first. Assign a better name once it is known.
    """

    remote: str

    @property
    def channel_binding(self) -> bytes:
        """A value (32 bytes) that is the same on both sides only if no relay between them decrypts the stream.

        For TLS it is the hash of the listener's certificate. A relay that terminates TLS shows its own certificate.
        """
        ...

    @property
    def close_code(self) -> int | None:
        """The code that the stream was closed with; None while it is open, or if it ended without a code."""
        ...

    async def send(self, frame: bytes) -> None:
        """Send one frame; wait while the other side is slow. Raises UnreachableError when the stream has ended."""
        ...

    async def receive(self, limit: int) -> bytes | None:
        """Return the next frame, or None when the stream has ended.

        Raises:
            RemoteProtocolError: The other side sent anything but a binary frame of at most `limit` bytes. Close the
                stream then.
        """
        ...

    async def close(self, code: int = GOODBYE, reason: str = "") -> None:
        """Close the stream within CLOSE_S seconds, whatever the other side does.

        Args:
            code: The close code, which tells the other side why.
            reason: Explains the code. An implementation may shorten or omit it.
        """
        ...
