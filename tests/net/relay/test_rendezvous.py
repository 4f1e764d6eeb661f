"""The relay's decisions: who waits, who is joined with whom, and the limits."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcrdt.net.identity import Identity
from memcrdt.net.relay import protocol
from memcrdt.net.relay.protocol import (
    Absent,
    Called,
    Challenge,
    Joined,
    Message,
    Ping,
    Pong,
    Ready,
    Refused,
    Waiting,
    decode,
    encode,
)
from memcrdt.net.relay.rendezvous import (
    CALL_S,
    OPENED_WINDOW_S,
    PROVE_S,
    READY_S,
    SILENT_S,
    Effect,
    End,
    Join,
    RelayLimits,
    Rendezvous,
    Send,
)

HOST = "192.0.2.1"
NAME = "relay.example"


class Wire:
    """A relay without sockets, whose time the test moves. Keeps the last message of each link."""

    def __init__(self, tmp_path: Path, limits: RelayLimits | None = None) -> None:
        numbers = itertools.count()
        self.relay = Rendezvous(limits or RelayLimits(), nonce=lambda: next(numbers).to_bytes(32, "big"))
        self.now = 0.0
        self.said: dict[int, list[Message | bytes]] = {}
        self.ended: dict[int, str] = {}
        self.joined: list[tuple[int, int]] = []
        self.links = itertools.count(1)
        self.laptop, self.desktop = (Identity.load_or_create(tmp_path / name) for name in ("laptop", "desktop"))

    def perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(link, data) if len(data) > 1 and int.from_bytes(data[:2], "big") == len(data) - 2:
                    self.said.setdefault(link, []).append(decode(data[2:]))
                case Send(link, data):
                    self.said.setdefault(link, []).append(data)
                case End(link, why):
                    self.ended[link] = why
                case Join(caller, called):
                    self.joined.append((caller, called))

    def open(self, host: str = HOST) -> int:
        link = next(self.links)
        self.perform(self.relay.opened(link, host, self.now))
        return link

    def send(self, link: int, message: Message, more: bytes = b"") -> None:
        self.perform(self.relay.received(link, encode(message) + more, self.now))

    def lose(self, link: int) -> None:
        self.perform(self.relay.lost(link, self.now))

    def after(self, seconds: float) -> None:
        self.now += seconds
        self.perform(self.relay.tick(self.now))

    def waiting(self, identity: Identity, place: str | None = None) -> int:
        link = self.open()
        self.send(link, protocol.wait(identity, self.nonce(link), NAME, place))
        return link

    def calling(self, identity: Identity, device: str) -> int:
        link = self.open()
        self.send(link, protocol.call(identity, self.nonce(link), NAME, device))
        return link

    def nonce(self, link: int) -> bytes:
        challenge = self.said[link][0]
        assert isinstance(challenge, Challenge)
        return challenge.nonce


@pytest.fixture(name="wire")
def _wire(tmp_path: Path) -> Wire:
    return Wire(tmp_path)


def test_a_call_is_joined_when_the_called_device_is_ready(wire: Wire) -> None:
    """The first bytes after its answer are for the caller."""
    waits = wire.waiting(wire.desktop)
    calls = wire.calling(wire.laptop, wire.desktop.device_id)
    assert isinstance(wire.said[waits][-1], Called)
    assert wire.joined == []
    wire.send(waits, Ready(), more=b"early")
    assert wire.said[calls][1:] == [Joined(), b"early"]
    assert wire.joined == [(calls, waits)]
    assert wire.relay.waiting == 0


def test_a_caller_waits_a_moment_for_a_device_that_registers(wire: Wire) -> None:
    """It may just have been called by another device."""
    calls = wire.calling(wire.laptop, wire.desktop.device_id)
    wire.after(CALL_S - 1)
    waits = wire.waiting(wire.desktop)
    wire.send(waits, Ready())
    assert wire.joined == [(calls, waits)]


def test_a_device_that_does_not_come_is_absent(wire: Wire) -> None:
    """The caller is told, and its connection ends."""
    calls = wire.calling(wire.laptop, wire.desktop.device_id)
    wire.after(CALL_S)
    assert isinstance(wire.said[calls][-1], Absent)
    assert calls in wire.ended


def test_a_dead_connection_of_a_device_does_not_hide_a_living_one(wire: Wire) -> None:
    """The newest is called first. If it does not answer, the call goes to the other one."""
    first, second = wire.waiting(wire.desktop), wire.waiting(wire.desktop)
    calls = wire.calling(wire.laptop, wire.desktop.device_id)
    assert isinstance(wire.said[second][-1], Called)
    wire.after(READY_S)
    assert second in wire.ended
    wire.lose(second)
    wire.send(first, Ready())
    assert wire.joined == [(calls, first)]


def test_a_device_waits_in_few_connections(wire: Wire) -> None:
    """The newest count: a device that changed networks leaves dead ones behind."""
    links = [wire.waiting(wire.desktop) for _ in range(4)]
    assert list(wire.ended) == links[:2]
    assert wire.relay.waiting == 2


def test_silence_ends_a_connection(wire: Wire) -> None:
    """Before the proof after seconds, and while waiting after three missing pings."""
    silent, waits = wire.open(), wire.waiting(wire.desktop)
    wire.after(PROVE_S)
    assert list(wire.ended) == [silent]
    wire.now = SILENT_S - 1
    wire.send(waits, Ping())
    assert isinstance(wire.said[waits][-1], Pong)
    wire.after(2)
    assert waits not in wire.ended
    wire.after(SILENT_S)
    assert waits in wire.ended


def test_when_one_side_goes_the_other_is_ended(wire: Wire) -> None:
    """Joined or not yet."""
    for ready in (False, True):
        waits = wire.waiting(wire.desktop)
        calls = wire.calling(wire.laptop, wire.desktop.device_id)
        if ready:
            wire.send(waits, Ready())
        wire.lose(calls)
        assert waits in wire.ended
        wire.lose(waits)


def test_an_answer_after_the_caller_was_refused_joins_nobody(wire: Wire) -> None:
    """The caller's time is over first if its device answers late."""
    calls = wire.calling(wire.laptop, wire.desktop.device_id)
    wire.now = CALL_S - 1
    waits = wire.waiting(wire.desktop)
    wire.after(1)
    wire.send(waits, Ready())
    assert wire.joined == []
    assert {calls, waits} <= wire.ended.keys()


def test_a_caller_that_speaks_too_early_is_ended(wire: Wire) -> None:
    """The relay would have to keep its bytes."""
    link = wire.open()
    wire.send(link, protocol.call(wire.laptop, wire.nonce(link), NAME, wire.desktop.device_id), more=b"\x16")
    assert link in wire.ended


def test_the_limits_hold(tmp_path: Path) -> None:
    """Of connections in total, from one address, opened in a minute, and of calls of one device."""
    wire = Wire(tmp_path, RelayLimits(links=3, links_per_host=2))
    assert [wire.open() in wire.ended for _ in range(3)] == [False, False, True]
    assert [wire.open("192.0.2.2") in wire.ended for _ in range(2)] == [False, True]
    wire.lose(1)
    assert wire.open() not in wire.ended
    wire = Wire(tmp_path, RelayLimits(opened_per_host=1))
    assert [wire.open() in wire.ended for _ in range(2)] == [False, True]
    wire.now = OPENED_WINDOW_S
    assert wire.open() not in wire.ended
    wire = Wire(tmp_path, RelayLimits(calls_per_device=1))
    calls = wire.calling(wire.laptop, wire.desktop.device_id)
    assert isinstance(wire.said[wire.calling(wire.laptop, wire.desktop.device_id)][-1], Refused)
    wire.lose(calls)
    assert isinstance(wire.said[wire.calling(wire.laptop, wire.desktop.device_id)][-1], Challenge)


def test_a_proof_for_another_link_is_refused(wire: Wire) -> None:
    """Each has a nonce of its own, so a recorded proof is worth nothing."""
    one, other = wire.open(), wire.open()
    wire.send(other, protocol.wait(wire.desktop, wire.nonce(one), NAME))
    assert other in wire.ended
    assert wire.relay.waiting == 0


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["open", "wait", "call", "ready", "ping", "bytes", "lose", "time"]),
        st.integers(0, 5),
        st.binary(max_size=20),
    ),
    max_size=40,
)


@given(ACTIONS)
def test_any_order_of_events_leaves_nothing_behind(
    tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[str, int, bytes]]
) -> None:
    """No exception, nobody in two pairs, and when all links have gone, no state is left."""
    wire = Wire(_home(tmp_path_factory), RelayLimits(links=5))
    opened: list[int] = []
    for action, pick, data in actions:
        link = opened[pick % len(opened)] if opened else 0
        match action:
            case "open" | "wait" | "call":
                link = wire.open()
                opened.append(link)
                if link in wire.ended or action == "open":
                    pass
                elif action == "wait":
                    wire.send(link, protocol.wait(wire.desktop, wire.nonce(link), NAME))
                else:
                    wire.send(link, protocol.call(wire.laptop, wire.nonce(link), NAME, wire.desktop.device_id))
            case "ready":
                wire.send(link, Ready())
            case "ping":
                wire.send(link, Ping())
            case "bytes":
                wire.perform(wire.relay.received(link, data, wire.now))
            case "lose":
                wire.lose(link)
            case "time":
                wire.after(pick)
    assert all(isinstance(said[0], Challenge) for said in wire.said.values())
    members = [link for pair in wire.joined for link in pair]
    assert len(members) == len(set(members))
    for link in opened:
        wire.lose(link)
    left = wire.relay
    assert not any((left._links, left._waiting, left._calling, +left._per_host, +left._calls_of))


_homes: list[Path] = []


def _home(factory: pytest.TempPathFactory) -> Path:
    """Return one folder for all examples: making keys takes longer than using them."""
    if not _homes:
        _homes.append(factory.mktemp("devices"))
    return _homes[0]


CODE = "482913"


def test_a_device_waits_under_its_own_id_or_the_number_of_a_code(wire: Wire) -> None:
    """Not under the id of another device. The number belongs to the first device that waits under it."""
    link = wire.open()
    wire.send(link, protocol.wait(wire.laptop, wire.nonce(link), NAME, wire.desktop.device_id))
    assert wire.said[link][-1] == Refused("a device can wait only under its own id")
    shows = wire.waiting(wire.laptop, CODE)
    squats = wire.waiting(wire.desktop, CODE)
    assert wire.said[squats][-1] == Refused("another device shows a code with this number")
    calls = wire.calling(wire.desktop, CODE)
    wire.send(shows, Ready())
    assert wire.joined == [(calls, shows)]


def test_few_codes_are_shown_and_tried_from_one_address(wire: Wire) -> None:
    """A stranger could otherwise take all numbers, or use up the codes of others by trying many."""
    for number in range(RelayLimits().codes_per_host):
        link = wire.waiting(wire.laptop, str(200_000 + number))
        assert isinstance(wire.said[link][-1], Waiting)
    assert wire.said[wire.waiting(wire.laptop, CODE)][-1] == Refused("too many devices show a code")
    for _ in range(RelayLimits().code_calls_per_host):
        wire.lose(wire.calling(wire.desktop, CODE))
    assert wire.said[wire.calling(wire.desktop, CODE)][-1] == Refused("too many codes were tried")
    assert isinstance(wire.said[wire.waiting(wire.desktop)][-1], Waiting)  # its own id is no code
    wire.now += OPENED_WINDOW_S
    assert len(wire.said[wire.calling(wire.desktop, CODE)]) == 1


def test_a_relay_for_certain_devices_lets_others_call_their_codes(tmp_path: Path) -> None:
    """A new device is in no list yet. It can neither show a code, nor call a device."""
    wire = Wire(tmp_path)
    wire.relay = Rendezvous(
        RelayLimits(), nonce=lambda: bytes(32), names=frozenset({NAME}), allowed=frozenset({wire.laptop.device_id})
    )
    shows, calls = wire.waiting(wire.laptop, CODE), wire.calling(wire.desktop, CODE)
    wire.send(shows, Ready())
    assert wire.joined == [(calls, shows)]
    for refused in (wire.waiting(wire.desktop, "300000"), wire.calling(wire.desktop, wire.laptop.device_id)):
        assert wire.said[refused][-1] == Refused("this relay is for other devices")
