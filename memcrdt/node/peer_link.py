"""A connection with a send queue, so that sending never waits."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from memcrdt.errors import UnreachableError
from memcrdt.sync.events import UNSENT_BYTES

if TYPE_CHECKING:
    from memcrdt.net.connection import Connection

FLUSH_S: Final = 0.5  # maximum wait of a close for queued frames
ASKS_AHEAD: Final = 64  # queries of one link that may wait for the store before reading from the link pauses


class PeerLink:
    """A numbered connection. Frames are queued, and a task writes them.

    Attributes:
        number: The link number in the gossip.
        connection: The connection.
        peer: The id of the other device.
        since_ms: When the connection was made, in ms since 1970.
        skew_ms: How far the other device's clock is ahead of ours, in ms, or None if it doubts its clock.
        closing: Whether the link is being closed.
    """

    def __init__(self, number: int, connection: Connection) -> None:
        self.number = number
        self.connection = connection
        self.peer = connection.peer.device
        self.since_ms = time.time_ns() // 1_000_000
        theirs = connection.peer_clock_ms
        self.skew_ms = None if theirs is None else theirs - self.since_ms
        self.closing = False
        self._unsent: asyncio.Queue[bytes] = asyncio.Queue()
        self._unsent_bytes = 0
        self._asks = 0
        self._answered = asyncio.Event()
        self._writer = asyncio.create_task(self._write())

    def send(self, frame: bytes) -> bool:
        """Queue a frame. Return False if the other side is too slow: more than 8 MiB are waiting."""
        self._unsent.put_nowait(frame)
        self._unsent_bytes += len(frame)
        return self._unsent_bytes <= UNSENT_BYTES

    async def receive(self) -> bytes | None:
        """Return the next frame once the store has caught up with earlier frames; None when the connection ended."""
        while self._asks > ASKS_AHEAD:
            self._answered.clear()
            await self._answered.wait()
        return await self.connection.receive()

    def asked(self) -> None:
        """Note that a query of this link was handed to the store."""
        self._asks += 1

    def answered(self) -> None:
        """Note that the store answered a query."""
        self._asks -= 1
        self._answered.set()

    async def close(self, flush_s: float = FLUSH_S) -> None:
        """Write the queued frames for up to `flush_s` seconds, then close the connection."""
        self.closing = True
        with suppress(TimeoutError):
            async with asyncio.timeout(flush_s):
                await self._unsent.join()
        self._writer.cancel()
        await self.connection.close()

    async def _write(self) -> None:
        with suppress(UnreachableError):  # the reader notices the end of the connection
            while True:
                frame = await self._unsent.get()
                await self.connection.send(frame)
                self._unsent_bytes -= len(frame)
                self._unsent.task_done()
