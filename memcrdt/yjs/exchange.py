"""The exchange with one client about one shard: y-protocols without the connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from memcrdt.errors import ReadOnlyError, RemoteProtocolError
from memcrdt.yjs import protocol
from memcrdt.yjs.protocol import Awareness, Message, Presence, QueryAwareness, Step1, Update
from memcrdt.yjs.room import Rooms, ShardRef

if TYPE_CHECKING:
    from memcrdt.model.clocks import StateVector
    from memcrdt.store.membership.tokens import StoredToken
    from memcrdt.yjs.source import Position, ShardSource

InStore = Callable[..., Awaitable[Any]]  # runs a function off the event loop
Send = Callable[[bytes], Awaitable[None]]


class ClientContext(NamedTuple):
    """The store, and the client's token."""

    source: ShardSource
    in_store: InStore
    token: StoredToken


class ShardExchange:
    """Takes the messages of a client about one shard, and sends it what it lacks. Implements Participant.

    One task calls `take`, another one `speak`. Updates are not queued for the client: `speak` reads the new ones from
    the store.

    Attributes:
        stored: How many of the client's updates are committed, counted from its first one. After an update with a gap
            before it, none counts until a sync step 2 has brought everything that the client has.
    """

    def __init__(
        self, context: ClientContext, place: ShardRef, rooms: Rooms, send: Send, wake: Callable[[], None]
    ) -> None:
        self.stored = 0
        self._context = context
        self._place = place
        self._rooms = rooms
        self._send = send
        self._wake = wake
        self._received = 0  # updates of the client
        self._has_gap = False
        self._asks = True  # whether to send our step 1, which asks for the client's updates, if it may write
        self._denial = ""  # why an update of the client was not accepted
        self._told = ""  # the denial that was sent: once is enough, because the client may keep writing
        self._asked: StateVector | None = None  # from a step 1 of the client that is not answered yet
        self._position: Position | None = None  # None until the client's first step 1 is answered
        self._news: dict[int, Presence] = {}
        self._room = rooms.join(place, self)

    def leave(self) -> None:
        """End the exchange: the client's presences disappear."""
        self._rooms.leave(self._place, self)

    def tell(self, presences: Iterable[Presence]) -> None:
        """Implement Participant."""
        self._news.update({presence.client: presence for presence in presences})
        self._wake()

    def is_due(self, head: int) -> bool:
        """Return whether `speak` would send something, if the newest row of the shard's log is `head`."""
        is_behind = self._position is not None and self._position.seq != head
        is_asked = self._asks or self._asked is not None
        return is_behind or is_asked or bool(self._news) or self._denial != self._told

    async def take(self, message: Message | None) -> None:
        """Process a message of the client.

        Raises:
            RemoteProtocolError: It has an update that is refused.
            UntrustedPeerError: The token was revoked.
            StoreError: The store cannot be used now.
        """
        match message:
            case Step1(known):
                self._asked = known
                self._wake()
            case Update():
                await self._take_update(message)
            case Awareness(presences):
                self._room.heard(self, presences)
            case QueryAwareness():
                self.tell(self._room.present)

    async def _take_update(self, message: Update) -> None:
        source, in_store, token = self._context
        self._received += 1
        try:
            applied = await in_store(source.take, token, self._place, message.update)
        except ReadOnlyError as exc:
            self._denial = str(exc)
            self._wake()
            return
        if applied.status in ("later", "full", "refused"):
            raise RemoteProtocolError(applied.reason)
        if applied.status == "gap":
            self._has_gap = True
            # If a step 2 has a gap, the client lacks the missing updates too, and asking it again would never end.
            self._asks = self._asks or not message.is_step_2
        elif message.is_step_2 or not self._has_gap:
            self._has_gap = False
            self.stored = self._received
        self._wake()

    async def speak(self) -> None:
        """Send everything that is due. Raises the errors of `take`, and UnreachableError if the client is gone."""
        if self._asks:
            self._asks = False
            await self._ask()
        if self._denial != self._told:
            self._told = self._denial
            await self._send(protocol.denied(self._denial))
        await self._send_document()
        if self._news:
            news, self._news = self._news, {}
            await self._send(protocol.awareness(news.values()))

    async def _ask(self) -> None:
        source, in_store, token = self._context
        if await in_store(source.denial, token, self._place.space) is None:
            await self._send(protocol.step_1(await in_store(source.known, self._place)))

    async def _send_document(self) -> None:
        source, in_store, token = self._context
        if self._position is None:
            await in_store(source.check, token)  # answer() and news() check the token themselves
        if self._asked is not None:
            theirs, self._asked = self._asked, None
            updates, self._position = await in_store(source.answer, token, self._place, theirs)
            for update in updates[:-1]:
                await self._send(protocol.update(update))
            await self._send(protocol.step_2(updates[-1]))
        while self._position is not None:
            updates, self._position = await in_store(source.news, token, self._place, self._position)
            if not updates:
                return
            for update in updates:
                await self._send(protocol.update(update))
