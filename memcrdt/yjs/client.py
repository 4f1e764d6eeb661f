"""The connections of Yjs clients: of a stock client to one shard, and of one client to all shards of a space."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from memcrdt.errors import NotFoundError, RemoteProtocolError, StoreError, UnreachableError, UntrustedPeerError
from memcrdt.yjs import protocol, space_protocol
from memcrdt.yjs.exchange import ClientContext, ShardExchange

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from memcrdt.net.frame_stream import FrameStream
    from memcrdt.yjs.room import Rooms, ShardRef

HEARTBEAT_S: Final = 12.0  # y-websocket gives up after 30 s without a message, and pings do not count

REFUSAL_FIRST_S: Final = 1.0  # in which the rest of a message that was too long is read, too
REFUSAL_MAX_S: Final = 20.0  # y-websocket gives up a silent connection after 30 s
REFUSAL_FORGET_S: Final = 120.0

# Close codes: y-websocket 3.1 and later connect again after any code except 4400 to 4499.
LEAVING: Final = 1001
FAILED: Final = 1011
REFUSED: Final = 4400
REVOKED: Final = 4401
UNKNOWN: Final = 4404  # of a shard, in a connection to a space


class RefusalDelays:
    """Delays that double with each refusal of the same client, up to 20 s.

    y-websocket before 3.1 connects again 0.1 s after any close, and sends the refused update again, for ever. It does
    not look at the close code, so only a slower close slows it down.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` returns the time in seconds, from any start."""
        self._clock = clock
        self._refused: dict[Hashable, tuple[float, float]] = {}  # time and delay of the last refusal

    def next_s(self, client: Hashable) -> float:
        """Note a refusal, and return its delay in seconds.

        Args:
            client: Any value that stays the same when the client connects again.
        """
        now = self._clock()
        self._refused = {each: last for each, last in self._refused.items() if last[0] + REFUSAL_FORGET_S > now}
        last = self._refused.get(client)
        delay_s = REFUSAL_FIRST_S if last is None else min(2 * last[1], REFUSAL_MAX_S)
        self._refused[client] = now, delay_s
        return delay_s


class YjsClient(ABC):
    """A connection. `run` serves it until it ends, with one task that reads and one that writes.

    The writer sleeps until `wake` is called. Then it sends whatever is due, from the store. After a refusal the
    connection stays open for the seconds that `refusal_s` returns.
    """

    def __init__(self, stream: FrameStream, context: ClientContext, refusal_s: Callable[[], float]) -> None:
        self._stream = stream
        self._context = context
        self._refusal_s = refusal_s
        self._wake = asyncio.Event()
        self._leaving = asyncio.Event()
        self._due = 0.0  # when the next heartbeat is due

    async def run(self) -> None:
        """Serve the client until it leaves, is refused, or `close` is called."""
        tasks = asyncio.create_task(self._read()), asyncio.create_task(self._write())
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            self._leave()
        await self._end(next((end for end in ends if isinstance(end, Exception)), None))

    def wake(self) -> None:
        """Note that there may be something to send: something was committed, or a client has spoken."""
        self._wake.set()

    async def close(self) -> None:
        """Close the connection. The client may connect again."""
        self._leaving.set()
        await self._stream.close(LEAVING)

    @abstractmethod
    async def _take(self, frame: bytes) -> None:
        """Process a frame of the client."""

    @abstractmethod
    async def _speak(self) -> None:
        """Send everything that is due."""

    @abstractmethod
    def _leave(self) -> None:
        """End the exchanges."""

    @abstractmethod
    def _heartbeat(self) -> bytes:
        """Return a frame without effect."""

    @abstractmethod
    def _farewell(self, reason: str) -> bytes | None:
        """Return a last frame for a client that is refused, before the close frame."""

    async def _read(self) -> None:
        while (frame := await self._stream.receive(space_protocol.FRAME_BYTES)) is not None:
            await self._take(frame)

    async def _write(self) -> None:
        while True:
            await self._speak()
            if asyncio.get_running_loop().time() >= self._due:
                await self._send(self._heartbeat())
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._due):
                    await self._wake.wait()
            self._wake.clear()

    async def _send(self, frame: bytes) -> None:
        await self._stream.send(frame)
        self._due = asyncio.get_running_loop().time() + HEARTBEAT_S

    async def _end(self, error: Exception | None) -> None:
        match error:
            case None:
                await self._stream.close(LEAVING)
            case RemoteProtocolError():
                await self._dismiss(REFUSED, str(error), self._refusal_s())
            case UntrustedPeerError():
                await self._dismiss(REVOKED, str(error), 0.0)
            case StoreError() | NotFoundError():
                await self._stream.close(FAILED, str(error))
            case UnreachableError():
                pass  # the client is gone
            case _:
                await self._stream.close(FAILED)
                raise error

    async def _dismiss(self, code: int, reason: str, after_s: float) -> None:
        """Close the connection for good, `after_s` seconds from now. Until then, drop whatever the client sends."""
        with suppress(UnreachableError, TimeoutError):
            async with asyncio.timeout(after_s or None):
                if (last := self._farewell(reason)) is not None:
                    await self._stream.send(last)
                if after_s:
                    await self._until_left()
        await self._stream.close(code, reason)

    async def _until_left(self) -> None:
        with suppress(RemoteProtocolError):
            while await self._stream.receive(space_protocol.FRAME_BYTES) is not None:
                pass
            return
        await self._leaving.wait()  # nothing can be read behind a frame that was too long


class ShardClient(YjsClient):
    """The connection of a stock Yjs client to one shard."""

    def __init__(
        self, stream: FrameStream, context: ClientContext, refusal_s: Callable[[], float], place: ShardRef, rooms: Rooms
    ) -> None:
        super().__init__(stream, context, refusal_s)
        self._exchange = ShardExchange(context, place, rooms, self._send, self.wake)

    async def _take(self, frame: bytes) -> None:
        await self._exchange.take(protocol.read(frame))

    async def _speak(self) -> None:
        await self._exchange.speak()

    def _leave(self) -> None:
        self._exchange.leave()

    def _heartbeat(self) -> bytes:
        return protocol.awareness(())

    def _farewell(self, reason: str) -> bytes:
        return protocol.denied(reason)  # every version of y-websocket logs it; only new ones show the close frame


class SpaceClient(YjsClient):
    """The connection of a client to a space. It carries any number of shards, and news of the list of shards.

    A shard begins with the client's first message about it. If the shard is refused, only this shard ends.
    """

    def __init__(
        self, stream: FrameStream, context: ClientContext, refusal_s: Callable[[], float], space: str, rooms: Rooms
    ) -> None:
        super().__init__(stream, context, refusal_s)
        self._space = space
        self._rooms = rooms
        self._exchanges: dict[int, ShardExchange] = {}
        self._closed: dict[int, tuple[int, str]] = {}  # code and reason, by shard, until the client is told
        self._ended: set[int] = set()  # shards that were closed
        self._acknowledged: dict[int, int] = {}  # updates, by shard
        self._listed: dict[str, Any] = {}  # the list without its sizes, as the client knows it

    async def _take(self, frame: bytes) -> None:
        shard, message = space_protocol.read(frame)
        if shard is None or shard in self._ended:
            return
        try:
            if shard not in self._exchanges:
                self._exchanges[shard] = await self._begin(shard)
            await self._exchanges[shard].take(protocol.read(message))
        except RemoteProtocolError as exc:
            self._close_shard(shard, REFUSED, str(exc))
        except NotFoundError as exc:
            self._close_shard(shard, UNKNOWN, str(exc))

    async def _begin(self, shard: int) -> ShardExchange:
        place = await self._context.in_store(self._context.source.place, self._space, shard)

        async def send(frame: bytes) -> None:
            await self._send(space_protocol.of_shard(shard, frame))

        self.wake()
        return ShardExchange(self._context, place, self._rooms, send, self.wake)

    def _close_shard(self, shard: int, code: int, reason: str) -> None:
        if (exchange := self._exchanges.pop(shard, None)) is not None:
            exchange.leave()
        self._ended.add(shard)
        self._closed[shard] = code, reason
        self.wake()

    async def _speak(self) -> None:
        source, in_store, token = self._context
        state = await in_store(source.state, token, self._space)
        if (listed := {**state.space, "shards": [*state.heads]}) != self._listed:
            self._listed = listed
            await self._send(space_protocol.listed(json.dumps(state.listing)))
        for shard, exchange in list(self._exchanges.items()):
            if exchange.is_due(state.heads.get(shard, 0)):
                await exchange.speak()
            if exchange.stored > self._acknowledged.get(shard, 0):
                self._acknowledged[shard] = exchange.stored
                await self._send(space_protocol.stored(shard, exchange.stored))
        while self._closed:
            shard, (code, reason) = self._closed.popitem()
            await self._send(space_protocol.closed(shard, code, reason))

    def _leave(self) -> None:
        for exchange in self._exchanges.values():
            exchange.leave()

    def _heartbeat(self) -> bytes:
        return space_protocol.HEARTBEAT

    def _farewell(self, reason: str) -> None:
        return None
