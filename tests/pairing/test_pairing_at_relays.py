"""Pairing by code of two devices that reach only a relay, honest or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

import memcrdt
from memcrdt.errors import PairingError, UnreachableError
from memcrdt.memory.memory import Memory
from memcrdt.memory.pairing import PairOptions
from memcrdt.net.addresses import Address, through
from memcrdt.net.auth import AuthenticatedPeer
from memcrdt.net.connection import Connection
from memcrdt.net.dialer import Dialer, DialTarget
from memcrdt.net.handshake import TrustPolicy
from memcrdt.net.identity import Identity
from memcrdt.net.listener import Listener
from memcrdt.net.relay.client import call
from memcrdt.net.relay.server import Relay, RelayOptions
from memcrdt.net.websocket import PAIRING_PATH
from memcrdt.pairing.codes import RELAY_NUMBERS, Code
from memcrdt.pairing.inviting import InvitationListener
from memcrdt.pairing.joining import JoinAttempt
from memcrdt.pairing.pair import _ours, invite, join
from memcrdt.store.membership.peers import Peers

Eventually = Callable[[Callable[[], object]], Awaitable[None]]


@pytest.fixture(name="relay")
async def _relay() -> AsyncIterator[Relay]:
    async with Relay(RelayOptions(host="127.0.0.1", port=0)) as relay:
        yield relay


def at(relay: Relay) -> str:
    return f"127.0.0.1:{relay.port}"


def options(relay: str | None = None, *, read_only: bool = False, joins: bool = False) -> PairOptions:
    """Return options with which the devices find each other nowhere but at a relay."""
    spaces = () if joins else ("personal",)
    return PairOptions(spaces=spaces, read_only=read_only, mdns=False, tailscale=False, host="127.0.0.1", relay=relay)


def relays(memory: Memory) -> set[str]:
    return {relay.address for relay in memory.space("personal").relays()}


async def _paired(two: tuple[Memory, Memory], shows: PairOptions, types: PairOptions) -> None:
    laptop, desktop = two
    async with await invite(laptop, shows) as invitation:
        assert invitation.code.number in RELAY_NUMBERS
        await asyncio.gather(invitation.joined(), join(desktop, str(invitation.code), types))
    for memory, other in ((laptop, desktop), (desktop, laptop)):
        peer = Peers(memory.store).get(other.store.device)
        assert (peer.state, peer.addresses, peer.name) == ("accepted", (), other.config.device_name)


async def test_two_devices_pair_at_a_relay_that_both_name(two: tuple[Memory, Memory], relay: Relay) -> None:
    """They know no address of each other afterwards, so the space lists the relay on both sides at once."""
    await _paired(two, options(at(relay)), options(at(relay), joins=True))
    assert relays(two[0]) == relays(two[1]) == {at(relay)}


async def test_the_relay_of_a_space_is_used_by_itself(two: tuple[Memory, Memory], relay: Relay) -> None:
    """The device that shows the code waits there without being told, also for a reader."""
    two[0].space("personal").add_relay(at(relay))
    await _paired(two, options(read_only=True), options(at(relay), joins=True))
    assert relays(two[0]) == relays(two[1]) == {at(relay)}


async def test_a_code_of_six_digits_is_looked_for_at_known_relays(
    two: tuple[Memory, Memory], relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no direct path leads to the device."""
    monkeypatch.setattr("memcrdt.pairing.joining.DIRECT_S", 0)
    two[1].space("personal").add_relay(at(relay))
    await _paired(two, options(at(relay)), options(joins=True))


async def test_paired_devices_find_each_other_at_the_relay(two: tuple[Memory, Memory], relay: Relay) -> None:
    """And send each other their memories, in networks that know nothing else."""
    laptop, desktop = two
    await _paired(two, options(at(relay)), options(at(relay), joins=True))
    laptop.add("Deploys go out on Tuesdays")
    net = {"host": "127.0.0.1", "port": 0, "mdns": False, "tailscale": False}
    async with memcrdt.Node(laptop, **net), memcrdt.Node(desktop, **net):
        async with asyncio.timeout(30):
            while not await asyncio.to_thread(desktop.list):  # noqa: ASYNC110 - a memory that arrives has no event here
                await asyncio.sleep(0.05)
    assert relays(laptop) == relays(desktop) == {at(relay)}


async def test_a_wrong_code_ends_it(two: tuple[Memory, Memory], relay: Relay) -> None:
    """As on a direct path: one guess."""
    laptop, desktop = two
    async with await invite(laptop, options(at(relay))) as invitation:
        code = invitation.code
        wrong = Code(code.number, code.first, "acorn" if code.second != "acorn" else "granite")
        with pytest.raises(PairingError, match="the code is wrong"):
            await JoinAttempt(_ours(desktop, options(joins=True)), wrong).join_at(_address(relay), by_relay=True)
        with pytest.raises(PairingError, match="typed a wrong code"):
            await invitation.joined()
    assert Peers(laptop.store).all() == Peers(desktop.store).all() == []


async def test_a_number_that_nobody_shows_is_named(
    two: tuple[Memory, Memory], relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says what to compare."""
    monkeypatch.setattr("memcrdt.net.relay.rendezvous.CALL_S", 0.1)
    with pytest.raises(UnreachableError, match="no device shows the code 482913-"):
        await join(two[1], "482913-crossover-granite", options(at(relay), joins=True))


async def test_a_relay_that_puts_itself_in_the_middle_learns_nothing(
    two: tuple[Memory, Memory], make_memory: Callable[[str], Memory], relay: Relay
) -> None:
    """It answers as the device that shows the code, and types what it gets on the other side. The code ends."""
    laptop, desktop = two
    async with await invite(laptop, options(at(relay))) as invitation:
        async with _lying_relay(make_memory("middle"), invitation, relay) as address:
            with pytest.raises(PairingError):
                await join(desktop, str(invitation.code), options(address, joins=True))
        with pytest.raises(PairingError, match="typed a wrong code"):
            await invitation.joined()
    assert Peers(laptop.store).all() == Peers(desktop.store).all() == []
    assert relays(laptop) == relays(desktop) == set()


async def test_a_restricted_relay_lets_a_new_device_pair(two: tuple[Memory, Memory]) -> None:
    """It can be for certain devices, which could not name the new one before. Others can show no code there."""
    laptop, desktop = two
    laptops = RelayOptions(host="127.0.0.1", port=0, devices=[laptop.store.device])
    async with Relay(laptops) as relay:
        await _paired(two, options(at(relay)), options(at(relay), joins=True))
        identity = Identity.load_or_create(desktop.home)
        with pytest.raises(UnreachableError, match="this relay is for other devices"):
            await call(_address(relay), identity, laptop.store.device)


@asynccontextmanager
async def _lying_relay(memory: Memory, invitation: InvitationListener, honest: Relay) -> AsyncIterator[str]:
    """Return the address of a relay that joins each caller with itself, and calls the invitation with its own key."""

    class Middle:
        async def admits(self, peer: AuthenticatedPeer, address: str) -> bool:
            return True

        async def serve(self, connection: Connection) -> None:
            dialer = Dialer(identity, TrustPolicy(), PAIRING_PATH)
            target = DialTarget(_address(honest), by_relay=True, pairing=invitation.code.number)
            there = await dialer.dial(target)
            await asyncio.gather(_pump(connection, there), _pump(there, connection), return_exceptions=True)
            await dialer.close()

    identity = Identity.load_or_create(memory.home)
    middle = Middle()
    listener = Listener(identity, middle, middle.serve, PAIRING_PATH)
    listener.start(Address("127.0.0.1", 0))
    async with Relay(RelayOptions(host="127.0.0.1", port=0)) as own:
        waiting = asyncio.create_task(_take_calls(own, identity, listener, str(invitation.code.number)))
        yield at(own)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    await listener.close()


async def _take_calls(relay: Relay, identity: Identity, listener: Listener, place: str) -> None:
    from memcrdt.net.relay.client import wait_for_call

    while True:
        listener.take(await wait_for_call(_address(relay), identity, lambda: None, place), _address(relay))


async def _pump(source: Connection, sink: Connection) -> None:
    while (frame := await source.receive()) is not None:
        await sink.send(frame)
    await sink.close()


def _address(relay: Relay) -> Address:
    return Address("127.0.0.1", relay.port)


def test_a_relayed_pairing_names_its_relay() -> None:
    """In the form in which spaces list it."""
    from memcrdt.net.addresses import relay_of

    assert relay_of(through(Address("::1", 5))) == "[::1]:5"
    assert relay_of("192.0.2.1:5") is None
