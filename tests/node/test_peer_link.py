"""The send queue of a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from memcrdt.errors import UnreachableError
from memcrdt.net.auth import AuthenticatedPeer
from memcrdt.node.peer_link import ASKS_AHEAD, PeerLink
from memcrdt.sync.events import FRAME_BYTES, UNSENT_BYTES

Eventually = Callable[[Callable[[], object]], Awaitable[None]]


class _Connection:
    """Writes only while `open` is set, like a connection to a slow reader."""

    peer = AuthenticatedPeer("B" * 52, b"k" * 32, b"n" * 32, b"n" * 32)
    address = "192.168.1.20:27380"
    via = "dialed"
    found = None
    peer_clock_ms = 1_800_000_000_000

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.broken = False
        self.closed = False
        self.written: list[bytes] = []

    async def send(self, frame: bytes) -> None:
        await self.open.wait()
        if self.broken:
            raise UnreachableError("broken")
        self.written.append(frame)

    async def receive(self) -> bytes:
        return b"frame"

    async def close(self) -> None:
        self.closed = True


@pytest.fixture(name="connection")
async def _connection() -> _Connection:
    return _Connection()


async def test_frames_are_written_in_order(connection: _Connection, eventually: Eventually) -> None:
    """Sending does not wait."""
    connection.open.set()
    link = PeerLink(1, connection)
    for number in range(5):
        assert link.send(bytes([number]))
    await eventually(lambda: len(connection.written) == 5)
    assert b"".join(connection.written) == bytes(range(5))
    await link.close()


async def test_a_slow_peer_is_detected_by_the_queue_size(connection: _Connection) -> None:
    """Up to 8 MiB may wait; send() returns False beyond that."""
    link = PeerLink(1, connection)
    frame = bytes(FRAME_BYTES)
    for _ in range(UNSENT_BYTES // FRAME_BYTES):
        assert link.send(frame)
    assert not link.send(b"one more")
    await link.close(flush_s=0)


async def test_a_close_writes_queued_frames_first(connection: _Connection) -> None:
    """So a Bye message arrives."""
    connection.open.set()
    link = PeerLink(1, connection)
    link.send(b"bye")
    await link.close()
    assert connection.written == [b"bye"]
    assert connection.closed


@pytest.mark.parametrize("broken", [False, True])
async def test_a_close_does_not_wait_for_a_peer_that_does_not_read(connection: _Connection, broken: bool) -> None:
    """Nor for a peer that is gone."""
    connection.broken = broken
    if broken:
        connection.open.set()
    link = PeerLink(1, connection)
    link.send(b"bye")
    await link.close(flush_s=0.01)
    assert connection.closed
    assert connection.written == []


async def test_nothing_is_read_while_the_store_is_behind(connection: _Connection) -> None:
    """A peer cannot pile up queries: its further frames wait in the socket."""
    link = PeerLink(1, connection)
    for _ in range(ASKS_AHEAD + 1):
        link.asked()
    reading = asyncio.create_task(link.receive())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not reading.done()
    link.answered()
    assert await reading == b"frame"
    await link.close()
