"""What the parts of a session share: the way to the peer, to the store and to the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from memcrdt.errors import LocalProtocolError, RemoteProtocolError
from memcrdt.sync.events import Ask, Close, Effect, Schedule, SendFrame, SyncReport
from memcrdt.sync.messages import Bye, Message
from memcrdt.sync.queries import Answer, Failed, Query
from memcrdt.sync.wire import encode

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

ShardKey: TypeAlias = tuple[str, int]  # a space's id and a shard's number

ASKS: Final = 1_024  # far above what a peer that keeps to its windows can cause
STRIKES: Final = 3


class Outbox:
    """Collects the effects of one session, and brings the store's answers to those who asked."""

    def __init__(self, link: int, peer: str) -> None:
        self.link = link
        self.peer = peer
        self.closed = False
        self._effects: list[Effect] = []
        self.next_ask = 1
        self._open: dict[int, Callable[[Any], None]] = {}
        self._strikes = 0

    def take(self) -> list[Effect]:
        """The effects since the last call."""
        effects, self._effects = self._effects, []
        return effects

    def send(self, message: Message) -> int:
        """Sends a message, and returns the size of its frame."""
        frame = encode(message)
        self._emit(SendFrame(self.link, frame))
        return len(frame)

    def ask(self, query: Query, then: Callable[[Any], None]) -> int:
        """Asks the store; `then` gets the answer, of the type that the query's `perform` has. Returns a number
        that is greater for what is asked later. When the store fails, the session closes: the next one starts afresh.
        """
        if len(self._open) >= ASKS:
            raise RemoteProtocolError(f"{self.peer} asks faster than it is answered")
        asked = self.next_ask
        self.next_ask += 1
        self._open[asked] = then
        self._emit(Ask(self.link, asked, query))
        return asked

    def answered(self, id: int, answer: Answer) -> None:
        """Takes the answer to an ask."""
        if id not in self._open:
            raise LocalProtocolError(f"query {id} was answered, which is not open")
        then = self._open.pop(id)
        if isinstance(answer, Failed):
            self.report("failed", answer.reason)
            self.close("the store failed")
        else:
            then(answer)

    def schedule(self, delay_s: float, name: str) -> None:
        """Asks for a Timer."""
        self._emit(Schedule(self.link, delay_s, name))

    def report(self, kind: Literal["ready", "agreed", "refused", "protocol", "apart", "failed"], text: str) -> None:
        """Tells the driver something of this peer."""
        self._emit(SyncReport(self.peer, kind, text))

    def strike(self, kind: Literal["refused", "protocol"], text: str) -> None:
        """Reports what is wrong with something that the peer sent; the third time ends the session."""
        self.report(kind, text)
        self._strikes += 1
        if self._strikes >= STRIKES:
            self.close(f"{STRIKES} of the updates were wrong")

    def close(self, reason: str) -> None:
        """Says goodbye and closes; nothing follows."""
        self.send(Bye(reason))
        self._emit(Close(self.link, reason))
        self.closed = True

    def _emit(self, effect: Effect) -> None:
        if not self.closed:
            self._effects.append(effect)
