"""All sessions of a node: the connections it keeps, and the rows of its log that it offers to each session.

A node follows its log from the last row at the start. It offers each new row to every session, even if the row came
from a peer. Each session knows what its peer already has. So an update spreads until all devices have it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from memcrdt.errors import LocalProtocolError
from memcrdt.sync.events import (
    NODE,
    TIMER_SLACK_S,
    Answered,
    Ask,
    Close,
    Committed,
    Connected,
    Dial,
    DialFailed,
    Effect,
    Event,
    FrameReceived,
    Known,
    Lost,
    Revoked,
    Schedule,
    SpacesChanged,
    Started,
    SyncNow,
    SyncReport,
    Timer,
)
from memcrdt.sync.messages import HubHint
from memcrdt.sync.queries import Failed, query
from memcrdt.sync.replica import Applied, LogPage, Replica
from memcrdt.sync.session import LocalNode, LogRead, Session
from memcrdt.sync.topology import HEALTHY_S, VIEW, Topology

if TYPE_CHECKING:
    from random import Random

    from memcrdt.sync.session import SessionEvent

ACCEPTED: Final = 16  # connections; with this many, we refuse further dials of other devices
HUB_ACCEPTED: Final = 512  # connections of a process of a hub, which ends none to make room for another
EXCHANGE_S: Final = 60.0  # a guess: soon enough after a partition heals, and rare compared with the comparisons
LOG_ROWS: Final = 64  # read at a time
LOG_RETRY_S: Final = 1.0
INCARNATIONS: Final = 8  # remembered per peer


@dataclass(frozen=True, slots=True)
class ConnectionStatus:
    """One connection. `since` is when it was made, in seconds of the driver's clock.

    `idle`: everything that we know of is compared, sent and acknowledged, until the next commit.
    """

    peer: str
    since: float
    spaces: frozenset[str]
    idle: bool


@dataclass(frozen=True, slots=True)
class _Link:
    session: Session
    dialed: bool
    since: float
    relayed: bool = False


class Gossip:
    """The state of one node's sync.

    Args:
        me: Our device id.
        incarnation: The incarnation of our store.
        rng: The random source.
        hub: What this device says of itself if it is a hub, which keeps every connection.
    """

    def __init__(self, me: str, incarnation: str, *, rng: Random, hub: HubHint | None = None) -> None:
        self._me = LocalNode(me, incarnation, hub.features if hub else ())
        self._rng = rng
        self._is_hub = hub is not None
        self._now = 0.0
        self._effects: list[Effect] = []
        self._topology = Topology(rng)
        self._dial_at = 0.0
        self._links: dict[int, _Link] = {}
        self._hubs: dict[str, HubHint] = {}
        self._incarnations: dict[str, list[str]] = {}
        self._seq: int | None = None
        self._reading = False
        self._asked = 0  # the number of the last question about the log
        self._grown = False

    @property
    def incarnation(self) -> str:
        """The incarnation of our store, which greetings name."""
        return self._me.incarnation

    def restored(self, incarnation: str) -> None:
        """Name another incarnation in later greetings: the store was restored, and its log may have lost rows.

        Numbers of rows are used again. So the log is followed from its last row, as at the start, and what is before it
        is compared in the greetings of the next connections. The driver ends the present ones, and then tells of a
        commit.
        """
        self._me = replace(self._me, incarnation=incarnation)
        self._seq, self._reading = None, False

    def status(self) -> list[ConnectionStatus]:
        """Return the connections over which greetings were exchanged."""
        return [
            ConnectionStatus(
                link.session.peer, link.since, link.session.shared, link.session.idle and not self._reading
            )
            for link in self._links.values()
            if link.session.ready
        ]

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event at `now` (seconds, monotonic), and return the effects to perform, in order.

        Never raises because of a peer's message.

        Raises:
            LocalProtocolError: The driver broke the contract of `events`.
        """
        self._now = now
        match event:
            case FrameReceived(link=link) | Answered(link=link) | Timer(link=link) if link != NODE:
                self._run(link, event)
                if isinstance(event, Answered) and isinstance(event.answer, Applied):
                    self._read_log()
            case Answered(id=number, answer=answer):
                if number == self._asked:  # otherwise it is about the log before a restore
                    self._answered(answer)
            case Committed():
                self._read_log()
                self._run_all(event)
            case SpacesChanged():
                self._run_all(event)
            case _:
                self._handle_connecting(event)
                self._dial()
        effects, self._effects = self._effects, []
        return effects

    def _handle_connecting(self, event: Event) -> None:
        match event:
            case Started():
                self._read_log()
                self._schedule_exchange()
            case Connected():
                self._connected(event)
            case Lost(link):
                self._lost(link)
            case Known(peer, writes, hub) if peer != self._me.device:
                self._topology.know(peer, self._now, writes=writes)
                if hub:
                    self._topology.note_hub(peer, True)
            case Revoked(peer):
                self._revoked(peer)
            case DialFailed(peer):
                self._topology.failed(peer, self._now)
            case SyncNow():
                self._topology.hurry(self._now)
                self._run_all(event)
            case Timer(name="exchange"):
                self._exchange()
                self._schedule_exchange()
            case Timer(name="log"):
                self._read_log()

    # --- sessions ----------------------------------------------------------------------------------------------------

    def _run(self, number: int, event: SessionEvent) -> None:
        if number not in self._links:
            return  # an answer or a timer of a connection that has ended
        session = self._links[number].session
        was_ready = session.ready
        self._effects += session.handle(event, self._now)
        if session.ready and not was_ready:
            self._check_incarnation(session)
            self._note_role(session)
        if session.take_changed():
            self._run_all(SpacesChanged())

    def _run_all(self, event: SessionEvent) -> None:
        for number in list(self._links):
            self._run(number, event)

    def _check_incarnation(self, session: Session) -> None:
        """Report an alarm if an incarnation comes back after another one: then both stores are in use.

        A restored store gets a new incarnation and never has the old one again.
        """
        seen = self._incarnations.setdefault(session.peer, [])
        if session.incarnation in seen[:-1]:
            text = "two stores take turns under this device's id; give the copy its own device key"
            self._effects.append(SyncReport(session.peer, "alarm", text))
        if session.incarnation in seen:
            seen.remove(session.incarnation)
        seen.append(session.incarnation)
        del seen[:-INCARNATIONS]

    def _note_role(self, session: Session) -> None:
        """Take the hint whether the peer is a hub. The driver remembers it for the next start."""
        peer, hub = session.peer, session.hub
        if hub != self._hubs.get(peer) or (hub is None) == self._topology.is_hub(peer):
            self._topology.note_hub(peer, hub is not None)
            self._hubs.pop(peer, None)
            if hub is not None:
                self._hubs[peer] = hub
            self._effects.append(SyncReport(peer, "role", " ".join(hub.features) if hub else ""))

    # --- connections -------------------------------------------------------------------------------------------------

    def _active(self) -> set[str]:
        return {link.session.peer for link in self._links.values() if not link.session.closed}

    def _open_link(self, peer: str) -> _Link | None:
        links = (link for link in self._links.values() if link.session.peer == peer and not link.session.closed)
        return next(links, None)

    def _connected(self, event: Connected) -> None:
        if event.link in self._links or event.link == NODE:
            raise LocalProtocolError(f"link {event.link} is connected twice")
        if event.dialed:
            self._topology.connected(event.peer)
        older = self._open_link(event.peer)
        refusal = self._refusal(event, older)
        if refusal:
            self._effects.append(Close(event.link, refusal))
            return
        if older:
            self._effects += older.session.end("another connection took over")
        session = Session(self._me, event.link, event.peer, rng=self._rng)
        self._links[event.link] = _Link(session, event.dialed, self._now, event.relayed)
        self._run(event.link, event)
        if event.dialed and len(self._active()) > VIEW and not self._is_hub:
            self._make_room(event.peer)

    def _refusal(self, event: Connected, older: _Link | None) -> str:
        """Return why the connection is not kept; an empty string if it is kept."""
        if event.peer == self._me.device:
            text = "another store uses our device id; give the copy its own device key"
            self._effects.append(SyncReport(event.peer, "alarm", text))
            return "a device does not sync with itself"
        if older is None:
            full = not event.dialed and len(self._active()) >= (HUB_ACCEPTED if self._is_hub else ACCEPTED)
            return "there are too many connections" if full else ""
        if event.dialed == older.dialed or self._now - older.since >= HEALTHY_S:
            return ""  # the older connection is dead; the other side noticed it first
        if event.relayed != older.relayed:
            return "a direct connection is kept" if event.relayed else ""
        # Both dialed at the same time: both keep the connection that the device with the smaller id dialed.
        return "" if event.dialed == (self._me.device < event.peer) else "another connection is kept"

    def _exchange(self) -> None:
        """Dial another device, or end a connection if there are at least two too many. A hub keeps all it has."""
        if self._is_hub:
            return
        if len(self._active()) > VIEW + 1:
            self._make_room()
        else:
            self._effects += map(Dial, self._topology.choose_other(self._active()))

    def _make_room(self, newcomer: str = "") -> None:
        """End a connection that lasted long enough and is not needed, unless all devices should be connected."""
        active = self._active()
        kept = {newcomer, *(peer for peer in active if self._topology.is_needed(peer, active))}
        others = [
            link
            for link in self._links.values()
            if link.session.peer not in kept and not link.session.closed and self._now - link.since >= HEALTHY_S
        ]
        if others and not self._topology.is_mesh:
            self._effects += self._rng.choice(others).session.end("making room for another device")

    def _lost(self, number: int) -> None:
        link = self._links.pop(number, None)
        if link is None:
            return  # the connection was refused
        self._effects += link.session.handle(Lost(number), self._now)
        self._topology.lost(link.session.peer, self._now, self._now - link.since)

    def _revoked(self, peer: str) -> None:
        self._topology.forget(peer)
        self._incarnations.pop(peer, None)
        self._hubs.pop(peer, None)
        link = self._open_link(peer)
        if link:
            self._effects += link.session.end("the device was revoked")

    def _dial(self) -> None:
        active, now = self._active(), self._now + TIMER_SLACK_S
        self._effects += map(Dial, self._topology.choose(active, now))
        due = self._topology.next_due(active, now)
        if due is not None and not now < self._dial_at <= due:
            self._dial_at = due
            self._effects.append(Schedule(NODE, due - self._now, "dial"))

    def _schedule_exchange(self) -> None:
        self._effects.append(Schedule(NODE, EXCHANGE_S * self._rng.uniform(0.75, 1.25), "exchange"))

    # --- the log -----------------------------------------------------------------------------------------------------

    def _read_log(self) -> None:
        """Read the next rows of the log. The first time, only find the last row."""
        self._grown = True
        if not self._reading:
            self._grown, self._reading = False, True
            after = self._seq
            read = query(Replica.head) if after is None else query(Replica.log_for_all, after, LOG_ROWS)
            self._asked += 1
            self._effects.append(Ask(NODE, self._asked, read))

    def _answered(self, answer: object) -> None:
        self._reading = False
        match answer:
            case int():
                self._seq = answer
            case LogPage():
                self._grown |= answer.next_seq != self._seq
                self._seq = answer.next_seq
                self._run_all(LogRead(answer))
            case Failed(reason):
                self._effects.append(SyncReport("", "failed", reason))
                self._effects.append(Schedule(NODE, LOG_RETRY_S, "log"))
                return
        if self._grown:
            self._read_log()
