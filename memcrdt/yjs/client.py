"""The connection of one stock Yjs client to a shard: takes its updates, and sends it new ones."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from memcrdt.errors import ReadOnlyError, RemoteProtocolError, StoreError, UnreachableError, UntrustedPeerError
from memcrdt.yjs import protocol
from memcrdt.yjs.protocol import Awareness, Presence, QueryAwareness, Step1, Update
from memcrdt.yjs.room import Room, ShardRef

if TYPE_CHECKING:
    from memcrdt.model.clocks import StateVector
    from memcrdt.net.frame_stream import FrameStream
    from memcrdt.store.membership.tokens import StoredToken
    from memcrdt.yjs.source import Position, ShardSource

HEARTBEAT_S: Final = 12.0  # y-websocket gives up after 30 s without a message, and pings do not count

# Close codes: y-websocket connects again after any code except 4400 to 4499.
LEAVING: Final = 1001
FAILED: Final = 1011
REFUSED: Final = 4400
REVOKED: Final = 4401

InStore = Callable[..., Awaitable[Any]]  # runs a function off the event loop


class ClientContext(NamedTuple):
    """The store, and the client's token, shard and room."""

    source: ShardSource
    in_store: InStore
    token: StoredToken
    place: ShardRef
    room: Room


class YjsClient:
    """A connection to a shard. `run` serves it until it ends, with one task that reads and one that writes.

    Updates are not queued for the client: a flag tells the writer that there are new ones, and the writer reads them
    from the store.
    """

    def __init__(self, stream: FrameStream, ties: ClientContext) -> None:
        self._stream = stream
        self._ties = ties
        self._wake = asyncio.Event()
        self._asks = True  # whether to send our step 1, which asks for the client's updates, if it may write
        self._denial: str | None = None  # why an update of the client was not accepted
        self._is_told = False  # whether the denial was sent
        self._asked: StateVector | None = None  # from a step 1 of the client that is not answered yet
        self._position: Position | None = None  # None until the client's first step 1 is answered
        self._news: dict[int, Presence] = {}
        self._due = 0.0  # when the next heartbeat is due

    async def run(self) -> None:
        """Serve the client until it leaves, is refused, or `close` is called."""
        self._ties.room.join(self)
        tasks = asyncio.create_task(self._read()), asyncio.create_task(self._write())
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            self._ties.room.leave(self)
        await self._end(next((end for end in ends if isinstance(end, Exception)), None))

    def wake(self) -> None:
        """Note that something was committed, perhaps to this shard."""
        self._wake.set()

    def tell(self, presences: Iterable[Presence]) -> None:
        """Implement Participant."""
        self._news.update({presence.client: presence for presence in presences})
        self._wake.set()

    async def close(self) -> None:
        """Close the connection. The client may connect again."""
        await self._stream.close(LEAVING)

    async def _end(self, error: Exception | None) -> None:
        match error:
            case None:
                await self._stream.close(LEAVING)
            case RemoteProtocolError():
                await self._stream.close(REFUSED, str(error))
            case UntrustedPeerError():
                await self._stream.close(REVOKED, str(error))
            case StoreError():
                await self._stream.close(FAILED, str(error))
            case UnreachableError():
                pass  # the client is gone
            case _:
                await self._stream.close(FAILED)
                raise error

    async def _read(self) -> None:
        while (frame := await self._stream.receive(protocol.FRAME_BYTES)) is not None:
            match protocol.read(frame):
                case Step1(known):
                    self._asked = known
                    self._wake.set()
                case Update() as message:
                    await self._take(message)
                case Awareness(presences):
                    self._ties.room.heard(self, presences)
                case QueryAwareness():
                    self.tell(self._ties.room.present)

    async def _take(self, message: Update) -> None:
        source, in_store, token, place, _ = self._ties
        try:
            applied = await in_store(source.take, token, place, message.update)
        except ReadOnlyError as exc:
            self._denial = str(exc)
            self._wake.set()
            return
        if applied.status == "refused":
            raise RemoteProtocolError(applied.reason)
        # If a step 2 has a gap, the client lacks the missing updates too, and asking it again would never end.
        if applied.status == "gap" and not message.is_step_2:
            self._asks = True
            self._wake.set()

    async def _write(self) -> None:
        while True:
            if self._asks:
                self._asks = False
                await self._ask()
            if self._denial and not self._is_told:
                self._is_told = True  # once is enough: the client may keep writing
                await self._send(protocol.denied(self._denial))
            await self._send_document()
            if self._news:
                news, self._news = self._news, {}
                await self._send(protocol.awareness(news.values()))
            if asyncio.get_running_loop().time() >= self._due:
                await self._send(protocol.awareness(()))  # a heartbeat without effect
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._due):
                    await self._wake.wait()
            self._wake.clear()

    async def _send(self, frame: bytes) -> None:
        await self._stream.send(frame)
        self._due = asyncio.get_running_loop().time() + HEARTBEAT_S

    async def _ask(self) -> None:
        source, in_store, token, place, _ = self._ties
        if await in_store(source.denial, token, place) is None:
            await self._send(protocol.step_1(await in_store(source.known, place)))

    async def _send_document(self) -> None:
        source, in_store, token, place, _ = self._ties
        if self._position is None:
            await in_store(source.check, token)  # answer() and news() check the token themselves
        if self._asked is not None:
            theirs, self._asked = self._asked, None
            updates, self._position = await in_store(source.answer, token, place, theirs)
            for update in updates[:-1]:
                await self._send(protocol.update(update))
            await self._send(protocol.step_2(updates[-1]))
        while self._position is not None:
            updates, self._position = await in_store(source.news, token, place, self._position)
            if not updates:
                return
            for update in updates:
                await self._send(protocol.update(update))
