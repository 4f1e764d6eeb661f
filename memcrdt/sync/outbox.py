"""The effects of one session, and its flows that wait for the store. All parts of a session share one outbox."""

from __future__ import annotations

from typing import Any, Final, Literal

from memcrdt.errors import LocalProtocolError, RemoteProtocolError
from memcrdt.sync.events import Ask, Close, Effect, Schedule, SendFrame, SyncReport
from memcrdt.sync.messages import Bye, Message
from memcrdt.sync.queries import Failed, Flow
from memcrdt.sync.wire import encode

QUERIES: Final = 1_024  # open at a time; far more than a peer that respects its windows can cause
STRIKES: Final = 3


class Outbox:
    """Collects the effects of a session's parts, in order.

    Queries are numbered from 1, and `next_query` is the number of the next one. A part that has to know which of two
    queries was made first compares their numbers.
    """

    def __init__(self, link: int, peer: str) -> None:
        self.link = link
        self.peer = peer
        self.closed = False
        self.next_query = 1
        self._effects: list[Effect] = []
        self._waiting: dict[int, Flow[None]] = {}
        self._strikes = 0

    def take(self) -> list[Effect]:
        """Return the effects since the last call."""
        effects, self._effects = self._effects, []
        return effects

    def send(self, message: Message) -> int:
        """Send a message, and return the size of its frame in bytes."""
        frame = encode(message)
        self._emit(SendFrame(self.link, frame))
        return len(frame)

    def start(self, *flows: Flow[None]) -> None:
        """Run flows one after the other, each until it queries the store or ends.

        Raises:
            RemoteProtocolError: Too many queries are open.
        """
        for flow in flows:
            self._run(flow, None)

    def answered(self, id: int, answer: object) -> None:
        """Resume the flow that made query `id`. If the store failed, close the session; the next one starts fresh.

        A space may go while a query about it is on its way: it has become one with another, or was left. That is no
        failure to report.

        Raises:
            LocalProtocolError: No such query is open.
        """
        if id not in self._waiting:
            raise LocalProtocolError(f"query {id} was answered, but is not open")
        flow = self._waiting.pop(id)
        if isinstance(answer, Failed):
            if not answer.is_gone:
                self.report("failed", answer.reason)
            self.close("the shared spaces have changed" if answer.is_gone else "the store failed")
        else:
            self._run(flow, answer)

    def schedule(self, delay_s: float, name: str) -> None:
        """Have a Timer event with this name arrive after `delay_s` seconds."""
        self._emit(Schedule(self.link, delay_s, name))

    def report(
        self, kind: Literal["ready", "agreed", "refused", "declined", "protocol", "apart", "failed"], text: str
    ) -> None:
        """Report something about this peer to the driver."""
        self._emit(SyncReport(self.peer, kind, text))

    def strike(self, kind: Literal["refused", "protocol"], text: str) -> None:
        """Report a fault in an update from the peer. The third fault ends the session."""
        self.report(kind, text)
        self._strikes += 1
        if self._strikes >= STRIKES:
            self.close(f"{STRIKES} of the updates were invalid")

    def close(self, reason: str) -> None:
        """Send a Bye and close the connection. Later effects are dropped."""
        self.send(Bye(reason))
        self._emit(Close(self.link, reason))
        self.closed = True

    def _run(self, flow: Flow[None], answer: Any) -> None:
        try:
            query = flow.send(answer)
        except StopIteration:
            return
        if len(self._waiting) >= QUERIES:
            raise RemoteProtocolError(f"{self.peer} sends requests faster than they can be answered")
        self._waiting[self.next_query] = flow
        self._emit(Ask(self.link, self.next_query, query))
        self.next_query += 1

    def _emit(self, effect: Effect) -> None:
        if not self.closed:
            self._effects.append(effect)
