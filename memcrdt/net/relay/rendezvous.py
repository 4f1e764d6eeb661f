"""Which device waits for calls, and which link is joined with which: the relay's decisions, without I/O.

A link begins with a challenge. It then waits at a place, or calls one. A call takes the newest link that waits there,
which has to answer; if it does not, the next one is tried. A device whose only waiting link was just taken registers
anew at once, so a caller waits a moment for it. Every number has a limit, and every state a time.

The place of a device is its id. While it shows a pairing code, it also waits under the number of the code. That is not
its own: whoever is first has it, and strangers can call it. So each address can take few numbers, and call few times a
minute.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from memcrdt.errors import RemoteProtocolError
from memcrdt.net.relay.protocol import (
    FRAME_BYTES,
    REASON_CHARS,
    Absent,
    Call,
    Called,
    Challenge,
    FrameReader,
    Joined,
    Message,
    Ping,
    Pong,
    Ready,
    Refused,
    Wait,
    Waiting,
    encode,
    is_code,
    proven_device,
)

PROVE_S: Final = 5.0  # from the challenge to the proof
PING_S: Final = 30.0  # between two pings of a waiting device; routers forget silent connections after some minutes
SILENT_S: Final = 3 * PING_S  # after which a waiting device is gone
READY_S: Final = 3.0  # from the call to the answer of the called device
CALL_S: Final = 5.0  # how long a caller waits for a device
OPENED_WINDOW_S: Final = 60.0
HOSTS: Final = 65_536  # whose new connections are counted
RECEIVED_BYTES: Final = 2 * FRAME_BYTES  # at once, on a link that is not joined


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayLimits:
    """How much one relay, one device and one address may use.

    Attributes:
        links: Maximum number of connections. A joined pair has two.
        links_per_host: Maximum number of connections from one IPv4 address or one /64 IPv6 network.
        opened_per_host: Maximum number of new connections from there in a minute.
        waiting_per_device: Maximum number of connections in which one device waits. A further one ends the oldest.
        calls_per_device: Maximum number of connections that one device has opened by calling.
        codes_per_host: Maximum number of connections from one address in which devices with pairing codes wait.
        code_calls_per_host: Maximum number of calls of pairing codes from one address in a minute.
    """

    links: int = 4_096
    links_per_host: int = 256
    opened_per_host: int = 600
    waiting_per_device: int = 2
    calls_per_device: int = 32
    codes_per_host: int = 8
    code_calls_per_host: int = 30


@dataclass(frozen=True, slots=True)
class Send:
    """Send these bytes over a link."""

    link: int
    data: bytes


@dataclass(frozen=True, slots=True)
class End:
    """Close a link when its bytes are sent."""

    link: int
    why: str


@dataclass(frozen=True, slots=True)
class Join:
    """From now on, give what either link receives to the other one."""

    caller: int
    called: int


Effect: TypeAlias = Send | End | Join


@dataclass(slots=True, eq=False)
class _Link:
    number: int
    host: str
    nonce: bytes
    deadline: float
    state: Literal["new", "waiting", "called", "calling", "joined", "ended"] = "new"
    device: str = ""
    place: str = ""  # where it waits
    wanted: str = ""  # the place that it calls
    partner: int | None = None  # of a called link its caller, and the other way round
    reader: FrameReader = field(default_factory=FrameReader)


class Rendezvous:
    """The links of one relay. Each method takes the time in seconds (monotonic), and returns effects in order."""

    def __init__(
        self,
        limits: RelayLimits,
        *,
        nonce: Callable[[], bytes],
        names: frozenset[str] = frozenset(),
        allowed: frozenset[str] = frozenset(),
    ) -> None:
        """Take the rules.

        Args:
            limits: How much may be used.
            nonce: Returns a fresh nonce of 32 bytes.
            names: The hosts by which devices dial this relay. Proofs for other names are refused. Empty: not checked.
            allowed: The devices that may use this relay. Empty: every device.
        """
        self._limits = limits
        self._nonce = nonce
        self._names = frozenset(name.lower() for name in names)
        self._allowed = allowed
        self._links: dict[int, _Link] = {}
        self._waiting: dict[str, list[_Link]] = {}  # by place, the newest last
        self._calling: dict[str, list[_Link]] = {}  # by wanted place: callers that no waiting link was found for
        self._per_host: Counter[str] = Counter()
        self._calls_of: Counter[str] = Counter()
        self._opened: Counter[str] = Counter()  # in this window
        self._code_calls: Counter[str] = Counter()  # in this window
        self._window_ends = 0.0

    @property
    def waiting(self) -> int:
        """The number of links in which a device waits."""
        return sum(map(len, self._waiting.values()))

    def opened(self, number: int, host: str, now: float) -> list[Effect]:
        """Take a new link. `host` is the group of its address (net.addresses.host_group)."""
        if now >= self._window_ends or len(self._opened) >= HOSTS:
            self._opened.clear()
            self._code_calls.clear()
            self._window_ends = now + OPENED_WINDOW_S
        limits = self._limits
        if len(self._links) >= limits.links or self._per_host[host] >= limits.links_per_host:
            return [End(number, "there are too many connections")]
        if self._opened[host] >= limits.opened_per_host:
            return [End(number, "too many connections were opened")]
        self._opened[host] += 1
        self._per_host[host] += 1
        link = self._links[number] = _Link(number, host, self._nonce(), now + PROVE_S)
        return [Send(number, encode(Challenge(link.nonce)))]

    def received(self, number: int, data: bytes, now: float) -> list[Effect]:
        """Take bytes of a link that is not joined. Never raises because of them."""
        link = self._links.get(number)
        if link is None or link.state == "ended":
            return []
        if len(data) > RECEIVED_BYTES:
            return self._end(link, "it sent too much at once")
        link.reader.feed(data)
        effects: list[Effect] = []
        try:
            while link.state not in ("joined", "ended") and (message := link.reader.next()) is not None:
                effects += self._take(link, message, now)
            if link.state == "calling" and link.reader.take_rest():
                raise RemoteProtocolError("the caller sent bytes before it was joined")
        except RemoteProtocolError as exc:
            effects += self._end(link, str(exc))
        return effects

    def lost(self, number: int, now: float) -> list[Effect]:
        """Note that a link has ended."""
        link = self._links.pop(number, None)
        if link is None:
            return []
        self._per_host -= Counter((link.host,))
        if link.wanted:
            self._calls_of -= Counter((link.device,))
        self._unlist(link)
        partner = self._links.get(-1 if link.partner is None else link.partner)
        if partner is None or partner.partner != number:
            return []
        partner.partner = None
        if link.state == "called" and partner.state == "calling":
            return self._seek(partner, now)  # the called device has gone: try its next link
        return self._end(partner, "the other side has gone")

    def tick(self, now: float) -> list[Effect]:
        """End what has taken too long. Call it about once a second."""
        effects: list[Effect] = []
        for link in [link for link in self._links.values() if link.deadline <= now]:
            if link.state == "calling":
                effects += [Send(link.number, encode(Absent())), *self._end(link, "nobody waits there")]
            elif link.state in ("new", "waiting", "called"):
                effects += self._end(link, "it was silent for too long")
        return effects

    def _take(self, link: _Link, message: Message, now: float) -> list[Effect]:
        match message, link.state:
            case ((Wait() | Call()), "new"):
                return self._prove(link, message, now)
            case Ping(), "waiting":
                link.deadline = now + SILENT_S
                return [Send(link.number, encode(Pong()))]
            case Ping(), "called":  # it was sent before the call arrived
                return []
            case Ready(), "called":
                return self._join(link)
        raise RemoteProtocolError(f"a {type(message).__name__} frame came at the wrong time")

    def _prove(self, link: _Link, message: Wait | Call, now: float) -> list[Effect]:
        if self._names and message.name.lower() not in self._names:
            return self._refuse(link, f"this relay is not called {message.name}")
        device = proven_device(message, link.nonce)
        calls_code = isinstance(message, Call) and is_code(message.place)  # a new device, which nobody could list
        if self._allowed and device not in self._allowed and not calls_code:
            return self._refuse(link, "this relay is for other devices")
        link.device = device
        if isinstance(message, Wait):
            return self._wait(link, message.place, now)
        if self._calls_of[device] >= self._limits.calls_per_device:
            return self._refuse(link, "this device has too many connections")
        if calls_code:
            self._code_calls[link.host] += 1
            if self._code_calls[link.host] > self._limits.code_calls_per_host:
                return self._refuse(link, "too many codes were tried")
        link.wanted = message.place
        self._calls_of[device] += 1
        link.state, link.deadline = "calling", now + CALL_S
        return self._seek(link, now)

    def _wait(self, link: _Link, place: str, now: float) -> list[Effect]:
        if why := self._may_not_wait(link, place):
            return self._refuse(link, why)
        effects: list[Effect] = [Send(link.number, encode(Waiting()))]
        waiting = self._waiting.setdefault(place, [])
        if len(waiting) >= self._limits.waiting_per_device:
            effects += self._end(waiting[0], "the device waits in newer connections")
            waiting = self._waiting.setdefault(place, [])
        link.state, link.deadline, link.place = "waiting", now + SILENT_S, place
        waiting.append(link)
        if callers := self._calling.get(place):
            caller = callers.pop(0)
            if not callers:
                del self._calling[place]
            effects += self._seek(caller, now)
        return effects

    def _may_not_wait(self, link: _Link, place: str) -> str:
        """Return why a device may not wait at a place; empty if it may."""
        if not is_code(place):
            return "" if place == link.device else "a device can wait only under its own id"
        if any(other.device != link.device for other in self._waiting.get(place, ())):
            return "another device shows a code with this number"
        codes = sum(is_code(other.place) and other.host == link.host for other in self._links.values())
        return "too many devices show a code" if codes >= self._limits.codes_per_host else ""

    def _seek(self, caller: _Link, now: float) -> list[Effect]:
        """Call the newest link that waits at the wanted place, or let the caller wait for one."""
        waiting = self._waiting.get(caller.wanted)
        if not waiting:
            self._calling.setdefault(caller.wanted, []).append(caller)
            return []
        called = waiting[-1]
        self._unlist(called)
        called.state, called.deadline = "called", now + READY_S
        called.partner, caller.partner = caller.number, called.number
        return [Send(called.number, encode(Called()))]

    def _join(self, called: _Link) -> list[Effect]:
        caller = self._links.get(-1 if called.partner is None else called.partner)
        if caller is None or caller.state != "calling":
            return self._end(called, "the caller has gone")
        caller.state = called.state = "joined"
        effects: list[Effect] = [Send(caller.number, encode(Joined()))]
        if early := called.reader.take_rest():
            effects.append(Send(caller.number, early))
        return [*effects, Join(caller.number, called.number)]

    def _refuse(self, link: _Link, why: str) -> list[Effect]:
        return [Send(link.number, encode(Refused(why[:REASON_CHARS]))), *self._end(link, why)]

    def _end(self, link: _Link, why: str) -> list[Effect]:
        self._unlist(link)
        if link.state == "ended":
            return []
        if link.state != "called":  # lost() has to know that its caller may try another one
            link.state = "ended"
        return [End(link.number, why)]

    def _unlist(self, link: _Link) -> None:
        for index, key in ((self._waiting, link.place), (self._calling, link.wanted)):
            if link in (found := index.get(key, [])):
                found.remove(link)
                if not found:
                    del index[key]
