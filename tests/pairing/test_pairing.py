"""Pairing of two devices over real sockets on the loopback interface."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgpack
import pytest

from memcrdt.errors import (
    InputError,
    MemcrdtError,
    PairingError,
    ReadOnlyError,
    RemoteProtocolError,
    UnreachableError,
)
from memcrdt.memory.memory import Memory
from memcrdt.memory.pairing import PairedDevice, PairOptions
from memcrdt.model.device_ids import shown
from memcrdt.model.ports import DEFAULT_PORT
from memcrdt.net.addresses import Address
from memcrdt.net.auth import AuthenticatedPeer
from memcrdt.net.connection import Connection
from memcrdt.net.dialer import Dialer, DialTarget
from memcrdt.net.discovery.finder import AddressCandidate, Found
from memcrdt.net.discovery.mdns import MdnsFinder
from memcrdt.net.handshake import TrustPolicy
from memcrdt.net.identity import Identity
from memcrdt.net.listener import Listener
from memcrdt.net.websocket import PAIRING_PATH
from memcrdt.node.node import Node
from memcrdt.pairing.channel import PairingChannel, PairingOffer, spaces_to_join
from memcrdt.pairing.codes import Code, parse_code
from memcrdt.pairing.exchange import CodeExchange
from memcrdt.pairing.inviting import InvitationListener
from memcrdt.pairing.joining import JoinAttempt
from memcrdt.pairing.pair import _ours, invite, join
from memcrdt.store.membership.members import Entry, Members
from memcrdt.store.membership.peers import Peers
from memcrdt.store.spaces import Genesis

Eventually = Callable[[Callable[[], object]], Awaitable[None]]
LOOPBACK = PairOptions(host="127.0.0.1")


def known(memory: Memory) -> dict[str, tuple[str | None, str]]:
    """Return the name and state of each other device."""
    return {peer.device: (peer.name, peer.state) for peer in Peers(memory.store).all()}


def _addresses(memory: Memory) -> list[str]:
    """Return the addresses of the other device."""
    return [address for peer in Peers(memory.store).all() for address in peer.addresses]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def another(code: Code) -> str:
    """Return a code with the same number and another word."""
    return f"{code.number}-{code.first}-{'granite' if code.second != 'granite' else 'acorn'}"


async def pair(inviter: Memory, joiner: Memory, **options: Any) -> PairedDevice:
    """Pair the two, and return the joiner's record of the inviter."""
    async with await invite(inviter, PairOptions(host="127.0.0.1", **options)) as invitation:
        there, here = await asyncio.gather(
            invitation.joined(), join(joiner, str(invitation.code), LOOPBACK, at=invitation.addresses[0])
        )
    assert (there.device, here.device) == (joiner.store.device, inviter.store.device)
    return here


async def test_both_sides_know_each_other_afterwards(two: tuple[Memory, Memory]) -> None:
    """By name, as accepted devices, with one shared space."""
    laptop, desktop = two
    await pair(laptop, desktop)
    assert known(laptop) == {desktop.store.device: ("desktop", "accepted")}
    assert known(desktop) == {laptop.store.device: ("laptop", "accepted")}
    assert laptop.space("personal").id() == desktop.space("personal").id()


async def test_the_memories_of_a_joining_device_are_shared(two: tuple[Memory, Memory], eventually: Eventually) -> None:
    """Both devices get all memories once both networks run. The inviter signs."""
    laptop, desktop = two
    laptop.add("from the laptop")
    desktop.add("from the desktop")
    await pair(laptop, desktop)
    async with Node(laptop, host="127.0.0.1", port=0) as there, Node(desktop, host="127.0.0.1", port=0) as here:
        await here.connect(there.addresses[0])
        await eventually(lambda: len(list(laptop.list())) == len(list(desktop.list())) == 2)
    assert set(Members(desktop.store).of("personal").members) == {laptop.store.device, desktop.store.device}


async def test_a_read_only_device_keeps_its_memories_in_another_space(
    two: tuple[Memory, Memory], eventually: Eventually
) -> None:
    """It is told the name of that space. It receives the inviter's memories, and the two agree."""
    laptop, desktop = two
    laptop.add("from the laptop")
    kept = desktop.add("from the desktop")
    partner = await pair(laptop, desktop, read_only=True)
    assert partner.aside == {"personal": "personal-2"}
    assert desktop.get(kept).space == "personal-2"
    async with Node(laptop, host="127.0.0.1", port=0) as there, Node(desktop, host="127.0.0.1", port=0) as here:
        await here.connect(there.addresses[0])
        await eventually(lambda: desktop.space("personal").digest() == laptop.space("personal").digest())
    assert {record.text: record.space for record in desktop.list()} == {
        "from the laptop": "personal",
        "from the desktop": "personal-2",
    }
    assert [record.text for record in laptop.list()] == ["from the laptop"]


async def test_devices_with_other_ports_find_each_other(two: tuple[Memory, Memory], eventually: Eventually) -> None:
    """For homes on one machine. Each side sends the port where it will listen after the pairing."""
    laptop, desktop = two
    ports = [_free_port(), _free_port()]
    async with Node(laptop, host="127.0.0.1", port=ports[0]) as there, Node(desktop, host="127.0.0.1", port=ports[1]):
        await pair(laptop, desktop)
        assert [_addresses(laptop), _addresses(desktop)] == [[f"127.0.0.1:{ports[1]}"], [f"127.0.0.1:{ports[0]}"]]
        await eventually(lambda: there.status().connected == {desktop.store.device})


async def test_the_offered_port_is_the_known_or_default_port(two: tuple[Memory, Memory]) -> None:
    """Without a network, the default port of `memcrdt serve`. The port is not known if any free one was chosen."""
    laptop, desktop = two
    async with Node(desktop, host="127.0.0.1", port=0):
        await pair(laptop, desktop)
        assert (_addresses(laptop), _addresses(desktop)) == ([], [f"127.0.0.1:{DEFAULT_PORT}"])


async def test_the_side_that_is_alone_joins_the_other(
    two: tuple[Memory, Memory], make_memory: Callable[[str], Memory]
) -> None:
    """Whichever side shows the code: a new device can invite a device that is already in a group."""
    laptop, desktop = two
    await pair(laptop, desktop)
    phone = make_memory("phone")
    await pair(phone, laptop)
    assert {memory.space("personal").id() for memory in (laptop, desktop, phone)} == {laptop.space("personal").id()}


async def test_the_options_set_spaces_rights_and_name(two: tuple[Memory, Memory]) -> None:
    """The other device creates a missing space, and shares nothing else."""
    laptop, desktop = two
    laptop.space("acme").create()
    await pair(laptop, desktop, spaces=("acme",), read_only=True, name="the big one")
    assert known(laptop)[desktop.store.device][0] == "the big one"
    assert desktop.space("acme").id() == laptop.space("acme").id()
    assert [each.device for each in desktop.space("personal").members()] == [desktop.store.device]
    with laptop.store.reading() as db:
        assert list(db.execute("SELECT name, shares.read_only FROM shares JOIN spaces USING(space)")) == [("acme", 1)]
    with pytest.raises(ReadOnlyError):  # at once, before they meet again
        desktop.add("to nobody", space="acme")


async def test_a_space_that_cannot_merge_is_reported_and_fixed_as_advised(
    two: tuple[Memory, Memory], eventually: Eventually
) -> None:
    """A read-only device left the space, made one of the same name, and invites by hand."""
    laptop, desktop = two
    laptop.space("acme").create()
    added = laptop.add("from the laptop", space="acme")
    await pair(laptop, desktop, spaces=("acme",), read_only=True)
    async with Node(laptop, host="127.0.0.1", port=0) as there, Node(desktop, host="127.0.0.1", port=0) as here:
        await here.connect(there.addresses[0])
        await eventually(lambda: [record.id for record in desktop.list()] == [added])
        desktop.space("acme").leave()
        desktop.space("acme").invite(laptop.store.device)
        await here.connect(there.addresses[0])
        await eventually(lambda: laptop.devices()[0].error and desktop.devices()[0].error)
    for memory in two:
        assert "may only read the space 'acme'" in memory.devices()[0].error
        assert "memcrdt space leave acme" in memory.devices()[0].error
    desktop.space("acme").leave()
    await pair(laptop, desktop, spaces=("acme",), read_only=True)
    later = laptop.add("later", space="acme")
    async with Node(laptop, host="127.0.0.1", port=0) as there, Node(desktop, host="127.0.0.1", port=0) as here:
        await here.connect(there.addresses[0])
        await eventually(lambda: {record.id for record in desktop.list()} == {added, later})
        assert [memory.devices()[0].error for memory in two] == [None, None]


async def test_one_wrong_guess_ends_the_code(two: tuple[Memory, Memory]) -> None:
    """Both sides get an error, the right code is useless, and no device is accepted."""
    laptop, desktop = two
    async with await invite(laptop, LOOPBACK) as invitation:
        with pytest.raises(PairingError, match="says that the code is wrong"):
            await join(desktop, another(invitation.code), LOOPBACK, at=invitation.addresses[0])
        with pytest.raises(PairingError, match="typed a wrong code"):
            await invitation.joined()
        with pytest.raises(MemcrdtError):
            await join(desktop, str(invitation.code), LOOPBACK, at=invitation.addresses[0])
    assert known(laptop) == known(desktop) == {}


async def test_a_code_with_another_number_is_not_a_guess(two: tuple[Memory, Memory]) -> None:
    """It is for another device; the right code still works."""
    laptop, desktop = two
    async with await invite(laptop, LOOPBACK) as invitation:
        code = invitation.code
        laptop_id = shown(laptop.store.device)
        other = f"{code.number % 99 + 1}-{code.first}-{code.second}"
        with pytest.raises(PairingError, match=f"^{laptop_id} at .* shows another code; compare its number"):
            await join(desktop, other, LOOPBACK, at=invitation.addresses[0])
        await asyncio.gather(invitation.joined(), join(desktop, str(code), LOOPBACK, at=invitation.addresses[0]))
    assert desktop.store.device in known(laptop)


async def test_devices_that_cannot_share_get_an_error_on_both_sides(
    two: tuple[Memory, Memory], make_memory: Callable[[str], Memory]
) -> None:
    """The code was right, so the inviter stops waiting."""
    laptop, desktop = two
    await pair(laptop, make_memory("of the laptop"))
    await pair(desktop, make_memory("of the desktop"))
    async with await invite(laptop, LOOPBACK) as invitation:
        with pytest.raises(PairingError, match="memcrdt space leave personal"):
            await join(desktop, str(invitation.code), LOOPBACK, at=invitation.addresses[0])
        with pytest.raises(PairingError, match=r"^the code was typed, but the devices .*memcrdt space leave personal"):
            await invitation.joined()


async def test_a_refused_device_gets_an_error_on_both_sides(two: tuple[Memory, Memory]) -> None:
    """A device that may already write is invited to read only."""
    laptop, desktop = two
    await pair(laptop, desktop)
    async with await invite(laptop, PairOptions(host="127.0.0.1", read_only=True)) as invitation:
        with pytest.raises(
            PairingError, match=f"^{shown(laptop.store.device)} at .* says: .* may already write the space"
        ):
            await join(desktop, str(invitation.code), LOOPBACK, at=invitation.addresses[0])
        with pytest.raises(PairingError, match=r"^the code was typed, but the devices .* may already write the space"):
            await invitation.joined()


async def test_a_code_expires(two: tuple[Memory, Memory]) -> None:
    """After five minutes, here at once. Then nothing listens any more."""
    laptop, desktop = two
    async with await invite(laptop, LOOPBACK) as invitation:
        with pytest.raises(PairingError, match="start pairing again"):
            await invitation.joined(expires_s=0)
    with pytest.raises(UnreachableError):
        await join(desktop, str(invitation.code), LOOPBACK, at=invitation.addresses[0])


async def test_malformed_messages_end_neither_code_nor_invitation(two: tuple[Memory, Memory]) -> None:
    """Invalid frames, messages that are not curve points, a hang-up in the middle."""
    laptop, desktop = two
    async with await invite(laptop, LOOPBACK) as invitation:
        for frame in (b"", b"\xc1", b"\x90", b"x" * 2000, *_pairs(invitation.code)):
            async with _dialed(desktop, invitation.addresses[0]) as connection:
                await connection.send(frame)
                await connection.receive()
        await asyncio.gather(
            invitation.joined(), join(desktop, str(invitation.code), LOOPBACK, at=invitation.addresses[0])
        )


async def test_a_device_in_the_middle_learns_nothing(
    two: tuple[Memory, Memory], make_memory: Callable[[str], Memory]
) -> None:
    """It terminates TLS on both sides with its own keys, and relays every message. The code ends without trust."""
    laptop, desktop = two
    async with await invite(laptop, LOOPBACK) as invitation:
        async with _middle(make_memory("middle"), invitation.addresses[0]) as address:
            with pytest.raises(PairingError):
                await join(desktop, str(invitation.code), LOOPBACK, at=address)
        with pytest.raises(PairingError, match="typed a wrong code"):
            await invitation.joined()
    assert known(laptop) == known(desktop) == {}


@pytest.mark.xdist_group("mdns")
async def test_the_device_that_shows_the_code_is_found_by_mdns(two: tuple[Memory, Memory]) -> None:
    """Among others. Devices with another number are not asked."""
    laptop, desktop = two
    invitation = InvitationListener(_ours(laptop, LOOPBACK), "127.0.0.1")
    invitation.finders = [_mdns(laptop, invitation.code.number)]
    other = _mdns(desktop, invitation.code.number % 99 + 1)
    other.announce(1)
    others = asyncio.create_task(other.run(lambda _: None))
    async with invitation:
        joining = JoinAttempt(_ours(desktop, PairOptions(spaces=())), invitation.code)
        await asyncio.gather(invitation.joined(), joining.find_and_join([_mdns(desktop, None)]))
    others.cancel()
    await asyncio.gather(others, return_exceptions=True)
    assert desktop.store.device in known(laptop)


async def test_a_code_that_no_device_shows_is_an_error_with_advice(two: tuple[Memory, Memory]) -> None:
    """Give the address."""
    joining = JoinAttempt(_ours(two[1], PairOptions(spaces=())), parse_code("7-crossover-granite"))
    with pytest.raises(PairingError, match="--at HOST:PORT"):
        await joining.find_and_join([], find_s=0)


async def test_a_found_but_unreachable_device_is_reported(two: tuple[Memory, Memory]) -> None:
    """Otherwise a firewall would look like a missing device."""
    joining = JoinAttempt(_ours(two[1], PairOptions(spaces=())), parse_code("7-crossover-granite"))
    with pytest.raises(PairingError, match=r"a device that announces it was found, but .* 127\.0\.0\.1:1: "):
        await joining.find_and_join([_Named([Address("127.0.0.1", 1)])], find_s=2)


def _joining(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> JoinAttempt:
    """Return an attempt with the code 7-crossover-granite that explains early what it does not find."""
    monkeypatch.setattr("memcrdt.pairing.joining.EARLY_S", 0.1)
    return JoinAttempt(_ours(memory, PairOptions(spaces=())), parse_code("7-crossover-granite"))


async def test_a_mistyped_number_is_told_early(two: tuple[Memory, Memory], monkeypatch: pytest.MonkeyPatch) -> None:
    """With the numbers that are announced. Nobody was asked, so no code is used up."""
    joining = _joining(two[1], monkeypatch)
    addresses = [Address("127.0.0.1", 1), Address("127.0.0.1", 2)]
    with pytest.raises(PairingError, match=r"number 7; announced: 8, 12\. Probably the number is mistyped"):
        await joining.find_and_join([_Named(addresses, 12), _Named(addresses, 8)], find_s=60)


async def test_a_network_without_codes_is_told_early(
    two: tuple[Memory, Memory], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The search goes on, because the other device may be slow."""
    with pytest.raises(PairingError, match="was reached within"):
        await _joining(two[1], monkeypatch).find_and_join([], find_s=0.2)
    (message,) = caplog.messages
    assert message.startswith("no device on this network announces a code yet; the search goes on")


async def test_a_device_of_the_tailnet_may_show_a_number_that_nobody_announces(
    two: tuple[Memory, Memory], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The numbers are told, and it is asked all the same."""
    joining, silent = _joining(two[1], monkeypatch), socket.create_server(("127.0.0.1", 0))
    monkeypatch.setattr("memcrdt.net.dialer.DIAL_S", 0.3)
    address = Address("127.0.0.1", silent.getsockname()[1])
    with silent, pytest.raises(PairingError, match="was reached within"):
        await joining.find_and_join([_Tailnet(address), _Named([address], 8)], find_s=0.5)
    assert [message.partition(".")[0] for message in caplog.messages] == [
        "no device on this network announces a code with the number 7; announced: 8"
    ]


class _Tailnet:
    """A finder of one address, without a number."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def announce(self, port: int | None) -> None: ...

    async def run(self, found: Found) -> None:
        found(AddressCandidate(self._address, "tailscale"))


async def test_a_port_that_swallows_everything_names_the_firewall(
    two: tuple[Memory, Memory], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With the port, as soon as it is known, and at the end."""
    joining, silent = _joining(two[1], monkeypatch), socket.create_server(("127.0.0.1", 0))
    monkeypatch.setattr("memcrdt.net.dialer.DIAL_S", 0.1)
    address = Address("127.0.0.1", silent.getsockname()[1])
    blocked = f"no answer at {address} within 0.1 s: is a firewall blocking TCP {address.port}?"
    with silent, pytest.raises(PairingError, match="was reached within") as raised:
        await joining.find_and_join([_Named([address])], find_s=2)
    assert blocked in str(raised.value)
    assert [blocked in message for message in caplog.messages] == [True]


@pytest.mark.parametrize("says", [["no", "the code is used up"], ["no", "another code waits here"], [], None])
async def test_only_one_device_gets_the_joiners_proof(
    two: tuple[Memory, Memory], make_memory: Callable[[str], Memory], says: list[str] | None
) -> None:
    """A device with our proof can test one guess, so the next device is not asked, whatever the first one answers."""
    _, desktop = two
    guesses: list[bytes] = []
    async with (
        _guessing(make_memory("one"), guesses, says) as one,
        _guessing(make_memory("two"), guesses, says) as two_,
    ):
        joining = JoinAttempt(_ours(desktop, PairOptions(spaces=())), parse_code("7-crossover-granite"))
        with pytest.raises(MemcrdtError):
            await joining.find_and_join([_Named([one, two_])], find_s=5)
    assert len(guesses) == 1


async def test_a_misbehaving_device_does_not_end_the_search(
    two: tuple[Memory, Memory], make_memory: Callable[[str], Memory]
) -> None:
    """Any device on the network can announce the code's number."""
    laptop, desktop = two
    async with await invite(laptop, LOOPBACK) as invitation, _guessing(make_memory("liar"), None, []) as liar:
        joining = JoinAttempt(_ours(desktop, PairOptions(spaces=())), invitation.code)
        named = _Named([liar, Address.parse(invitation.addresses[0])], invitation.code.number)
        await asyncio.gather(invitation.joined(), joining.find_and_join([named]))
    assert desktop.store.device in known(laptop)


async def test_an_invalid_address_opens_nothing(two: tuple[Memory, Memory], caplog: pytest.LogCaptureFixture) -> None:
    """Otherwise asyncio would warn about an unclosed resource."""
    with pytest.raises(InputError, match="99999"):
        await join(two[1], "7-crossover-granite", PairOptions(spaces=()), at="127.0.0.1:99999")
    gc.collect()
    assert caplog.records == []


def test_two_groups_do_not_become_one_by_accident() -> None:
    """Both share a space of that name with others. The error says what to do."""
    with pytest.raises(PairingError, match="memcrdt space leave personal"):
        spaces_to_join(_offer(_entry("A", shared=True)), _offer(_entry("B", shared=True)))


def test_a_group_cannot_be_joined_read_only_by_its_member() -> None:
    """It works the other way round."""
    with pytest.raises(PairingError, match="invite this device instead"):
        spaces_to_join(_offer(_entry("A"), read_only=True), _offer(_entry("B", shared=True)))


def test_devices_of_one_space_join_nothing() -> None:
    """They are members already, or will be with the next statement."""
    assert spaces_to_join(_offer(_entry("A", shared=True)), _offer(_entry("A", shared=True))) == ([], [])


@pytest.mark.parametrize(
    "fields",
    [
        ["", 1, False, []],
        ["name", -1, False, []],
        ["name", 1, False, [["personal", "S" * 52, "C", b"n", False]]],
        ["name", 1, False, [["personal", "S" * 52, "C", 10**12, False]]],
        ["name", 1, False, [["local", "S" * 52, "C", b"n", False]]],
        ["name", 1, False, [[]]],
        ["name", 1, False, 7],
    ],
)
async def test_an_invalid_offer_is_refused(fields: list[Any]) -> None:
    """A space whose id does not match its creator, the local space, an empty name."""

    class Heard(PairingChannel):
        async def receive(self, kind: str, count: int, limit: int = 0) -> list[Any]:
            return fields

    with pytest.raises(RemoteProtocolError):
        await Heard(None).receive_offer()


def _entry(creator: str, *, shared: bool = False) -> Entry:
    return Entry("personal", creator * 52, Genesis(creator, b"n"), shared)


def _offer(*entries: Entry, read_only: bool = False) -> PairingOffer:
    return PairingOffer("name", 1, read_only, entries)


def _mdns(memory: Memory, pairing: int | None) -> MdnsFinder:
    return MdnsFinder(memory.store.device, pairing=pairing, interfaces=["127.0.0.1"])


def _pairs(code: Code) -> list[bytes]:
    messages = (b"B" + bytes(32), b"A" + bytes(32), b"A" + b"\xff" * 32, b"", 7, None)
    return [msgpack.packb(["pair", code.number, message]) for message in messages]


@asynccontextmanager
async def _dialed(memory: Memory, address: str) -> AsyncIterator[Connection]:
    dialer = Dialer(Identity.load_or_create(memory.home), TrustPolicy(), PAIRING_PATH)
    connection = await dialer.dial(DialTarget(Address.parse(address)))
    try:
        yield connection
    finally:
        await connection.close()
        await dialer.close()


@asynccontextmanager
async def _middle(memory: Memory, target: str) -> AsyncIterator[str]:
    """Return the address of a device that relays all messages in both directions."""

    class Middle:
        async def admits(self, peer: AuthenticatedPeer, address: str) -> bool:
            return True

        async def serve(self, connection: Connection) -> None:
            async with _dialed(memory, target) as there:
                await asyncio.gather(_pump(connection, there), _pump(there, connection), return_exceptions=True)

    listener = Listener(Identity.load_or_create(memory.home), handler := Middle(), handler.serve, PAIRING_PATH)
    yield f"127.0.0.1:{listener.start(Address('127.0.0.1', 0))}"
    await listener.close()


class _Named:
    """A finder of addresses with the number of a code."""

    def __init__(self, addresses: list[Address], number: int = 7) -> None:
        self._addresses = addresses
        self._number = number

    def announce(self, port: int | None) -> None: ...

    async def run(self, found: Found) -> None:
        for address in self._addresses:
            found(AddressCandidate(address, "mdns", pairing=self._number))


@asynccontextmanager
async def _guessing(memory: Memory, guesses: list[bytes] | None, says: list[str] | None) -> AsyncIterator[Address]:
    """A device that pretends to show the code. It records the proofs that it gets, then sends `says` or hangs up."""

    class Guessing:
        async def admits(self, peer: AuthenticatedPeer, address: str) -> bool:
            return True

        async def serve(self, connection: Connection) -> None:
            other = PairingChannel(connection)
            await other.receive("pair", 2)
            if guesses is not None:
                exchange = CodeExchange(
                    "inviter", parse_code("7-crossover-acorn"), identity.public_key, connection.peer
                )
                await other.send("reply", exchange.message)
                guesses.extend(await other.receive("proof", 1))
            if says is not None:
                await connection.send(msgpack.packb(says))
            await connection.close()

    identity = Identity.load_or_create(memory.home)
    listener = Listener(identity, handler := Guessing(), handler.serve, PAIRING_PATH)
    yield Address("127.0.0.1", listener.start(Address("127.0.0.1", 0)))
    await listener.close()


async def _pump(source: Connection, sink: Connection) -> None:
    while (frame := await source.receive()) is not None:
        await sink.send(frame)
    await sink.close()
