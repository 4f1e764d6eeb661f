"""Frame streams in memory, and the acceptance suite that every FrameStream has to pass.

A test of another transport inherits from FrameStreamAcceptance and provides the fixture `streams`:

    class TestMyStream(FrameStreamAcceptance):
        @pytest.fixture
        async def streams(self) -> AsyncIterator[tuple[FrameStream, FrameStream]]:
            yield await open_both_ends()
"""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from memcrdt.errors import RemoteProtocolError, UnreachableError
from memcrdt.net.frame_stream import CLOSE_S, FRAME_BYTES, GOODBYE, NOT_ACCEPTED, FrameStream

DIALER: Final = "192.0.2.1:50000"  # documentation addresses (RFC 5737)
LISTENER: Final = "192.0.2.2:27380"
WAIT_S: Final = 10.0


class MemoryFrameStream:
    """One end of a frame stream without a network. memory_streams() makes both."""

    def __init__(self, channel_binding: bytes, remote: str) -> None:
        self.remote = remote
        self.sent: list[bytes] = []  # every frame that this end has sent
        self._channel_binding = channel_binding
        self._close_code: int | None = None
        self._incoming: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._other = self

    @property
    def channel_binding(self) -> bytes:
        """Part of FrameStream."""
        return self._channel_binding

    @property
    def close_code(self) -> int | None:
        """Part of FrameStream."""
        return self._close_code

    def connect(self, other: MemoryFrameStream) -> None:
        """Make `other` the far end of this one, and this one the far end of `other`."""
        self._other, other._other = other, self

    async def send(self, frame: bytes) -> None:
        """Part of FrameStream."""
        if self._close_code is not None:
            raise UnreachableError(f"the connection to {self.remote} was lost; try again")
        self.sent.append(frame)
        self._other._incoming.put_nowait(frame)

    async def receive(self, limit: int) -> bytes | None:
        """Part of FrameStream."""
        if self._close_code is not None and self._incoming.empty():
            return None
        frame = await self._incoming.get()
        if frame is not None and len(frame) > limit:
            raise RemoteProtocolError(f"{self.remote} sent a frame of {len(frame)} bytes; at most {limit} are taken")
        return frame

    async def close(self, code: int = GOODBYE, reason: str = "") -> None:
        """Part of FrameStream."""
        for end in (self, self._other):
            if end._close_code is None:
                end._close_code = code
                end._incoming.put_nowait(None)


def memory_streams(channel_binding: bytes = b"c" * 32) -> tuple[MemoryFrameStream, MemoryFrameStream]:
    """Return the two ends of a stream: the dialer's and the listener's.

    Args:
        channel_binding: The channel binding that both ends see.
    """
    dialer, listener = MemoryFrameStream(channel_binding, LISTENER), MemoryFrameStream(channel_binding, DIALER)
    dialer.connect(listener)
    return dialer, listener


class FrameStreamAcceptance:
    """The contract of every FrameStream. The fixture `streams` returns the end of the dialer and of the listener."""

    async def test_frames_arrive_whole_and_in_order(self, streams: tuple[FrameStream, FrameStream]) -> None:
        """In both directions, with any size."""
        frames = [b"one", b"", b"\0" * 70_000, b"four", bytes(FRAME_BYTES)]
        for source, sink in (streams, streams[::-1]):
            sending = asyncio.create_task(_send_all(source, frames))
            assert [await sink.receive(FRAME_BYTES) for _ in frames] == frames
            await sending

    async def test_a_frame_over_the_limit_is_an_error_of_the_other_side(
        self, streams: tuple[FrameStream, FrameStream]
    ) -> None:
        """A frame of exactly that size is accepted. The error names the other side."""
        source, sink = streams
        sink.remote = "the other side"
        await source.send(bytes(100))
        await source.send(bytes(101))
        assert await sink.receive(100) == bytes(100)
        with pytest.raises(RemoteProtocolError, match="the other side"):
            await sink.receive(100)

    async def test_an_end_that_closes_says_why(self, streams: tuple[FrameStream, FrameStream]) -> None:
        """Earlier frames arrive first. The code is None until then."""
        source, sink = streams
        assert (source.close_code, sink.close_code) == (None, None)
        await source.send(b"the last word")
        closing = asyncio.create_task(source.close(NOT_ACCEPTED, "a reason"))
        assert await sink.receive(FRAME_BYTES) == b"the last word"
        assert await sink.receive(FRAME_BYTES) is None
        await closing
        assert sink.close_code == NOT_ACCEPTED

    async def test_after_the_end_nothing_is_received_or_sent(self, streams: tuple[FrameStream, FrameStream]) -> None:
        """Neither end hangs, and a second close does nothing."""
        source, sink = streams
        closing = asyncio.create_task(source.close())
        assert await sink.receive(FRAME_BYTES) is None
        await closing
        for end in streams:
            await end.close()
            assert await end.receive(FRAME_BYTES) is None
            with pytest.raises(UnreachableError):
                await _send_until_it_fails(end)

    async def test_a_close_ends_though_nobody_answers(self, streams: tuple[FrameStream, FrameStream]) -> None:
        """The other side may not respond."""
        async with asyncio.timeout(WAIT_S + CLOSE_S):
            await streams[0].close()

    async def test_a_receive_that_waits_ends_with_the_stream(self, streams: tuple[FrameStream, FrameStream]) -> None:
        """No matter which side closes it."""
        source, sink = streams
        waiting = asyncio.create_task(sink.receive(FRAME_BYTES))
        await asyncio.sleep(0)
        await source.close()
        async with asyncio.timeout(WAIT_S):
            assert await waiting is None

    async def test_many_tasks_may_send(self, streams: tuple[FrameStream, FrameStream]) -> None:
        """Their frames do not mix."""
        source, sink = streams
        frames = [bytes([number]) * 5_000 for number in range(50)]
        sending = asyncio.gather(*(source.send(frame) for frame in frames))
        received = [await sink.receive(FRAME_BYTES) for _ in frames]
        await sending
        assert sorted(frame or b"" for frame in received) == frames

    async def test_both_ends_see_one_channel_binding(self, streams: tuple[FrameStream, FrameStream]) -> None:
        """It has 32 bytes."""
        dialer, listener = streams
        assert dialer.channel_binding == listener.channel_binding
        assert len(dialer.channel_binding) == 32


async def _send_all(stream: FrameStream, frames: list[bytes]) -> None:
    for frame in frames:
        await stream.send(frame)


async def _send_until_it_fails(stream: FrameStream) -> None:
    async with asyncio.timeout(WAIT_S):
        while True:
            await stream.send(b"too late")
            await asyncio.sleep(0)
