"""Nodes that meet at a relay, and leave it as soon as a direct path works."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from memcrdt.net.addresses import Address
from memcrdt.net.relay.server import Relay, RelayOptions
from memcrdt.node.relayed import WAITED_AT, RelayPlan

if TYPE_CHECKING:
    from tests.network import Machine

Eventually = Callable[[Callable[[], object]], Awaitable[None]]
MakeMachine = Callable[[str], "Machine"]


@pytest.fixture(name="relay")
async def _relay() -> AsyncIterator[Relay]:
    async with Relay(RelayOptions(host="127.0.0.1", port=0)) as relay:
        yield relay


@pytest.fixture(name="apart")
async def _apart(make_machine: MakeMachine, relay: Relay) -> tuple[Machine, Machine]:
    """Return two running machines that accept each other and know no address but the relay's."""
    laptop, desktop = make_machine("laptop"), make_machine("desktop")
    for machine, other in ((laptop, desktop), (desktop, laptop)):
        machine.relays = [Address("127.0.0.1", relay.port)]
        machine.accept(other)
        await machine.start()
    return laptop, desktop


def _found(machine: Machine, other: Machine) -> str | None:
    link = machine.peers.get(other.id).connected
    return None if link is None else link.address.partition(" ")[0] if link.found == "relay" else "direct"


async def test_devices_without_a_direct_path_sync_through_a_relay(
    apart: tuple[Machine, Machine], eventually: Eventually
) -> None:
    """Nobody remembers the relay as an address of the other device."""
    laptop, desktop = apart
    laptop.write("from the laptop")
    desktop.write("from the desktop")
    await eventually(lambda: laptop.texts == desktop.texts == {"from the laptop", "from the desktop"})
    await eventually(lambda: _found(laptop, desktop) == _found(desktop, laptop) == "relay")
    assert laptop.peers.get(desktop.id).addresses == desktop.peers.get(laptop.id).addresses == ()


async def test_a_direct_path_replaces_the_relay(apart: tuple[Machine, Machine], eventually: Eventually) -> None:
    """As soon as one is found. The relayed connection ends, and nothing is lost."""
    laptop, desktop = apart
    await eventually(lambda: _found(laptop, desktop) == _found(desktop, laptop) == "relay")
    laptop.find(desktop, desktop.address)
    await eventually(lambda: _found(laptop, desktop) == _found(desktop, laptop) == "direct")
    laptop.write("over the direct path")
    await eventually(lambda: desktop.texts == {"over the direct path"})


async def test_direct_paths_win(make_machine: MakeMachine, relay: Relay, eventually: Eventually) -> None:
    """Also if the other device has called through the relay at the same time, whichever has the smaller id."""
    laptop, desktop = make_machine("laptop"), make_machine("desktop")
    for machine, other in ((laptop, desktop), (desktop, laptop)):
        machine.relays = [Address("127.0.0.1", relay.port)]
        await machine.start()
        machine.accept(other)
    await eventually(lambda: laptop.driver.port and desktop.driver.port)
    await laptop.driver.connect(desktop.address, desktop.id)
    await eventually(lambda: _found(laptop, desktop) == _found(desktop, laptop) == "direct")
    await eventually(lambda: relay.joined == 0)
    assert _found(laptop, desktop) == _found(desktop, laptop) == "direct"


async def test_a_relay_that_comes_back_is_used_again(
    make_machine: MakeMachine, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Devices register again by themselves, and what was written meanwhile arrives."""
    monkeypatch.setattr("memcrdt.node.relayed.RETRY_S", 0.05)
    laptop, desktop = make_machine("laptop"), make_machine("desktop")
    async with Relay(RelayOptions(host="127.0.0.1", port=0)) as relay:
        port = relay.port
        for machine, other in ((laptop, desktop), (desktop, laptop)):
            machine.relays = [Address("127.0.0.1", port)]
            machine.accept(other)
            await machine.start()
        await eventually(lambda: _found(laptop, desktop) == "relay")
    await eventually(lambda: _found(laptop, desktop) is None)
    laptop.write("while it was away")
    async with Relay(RelayOptions(host="127.0.0.1", port=port)):
        await eventually(lambda: desktop.texts == {"while it was away"})


def test_a_device_waits_at_few_relays_however_many_are_listed() -> None:
    """Its own first, then those that most devices know. What is no address is left out."""
    listed = {
        f"device {number}": [f"{number}-{each}.example:1" for each in range(4)] + ["known.example:1", "[::::]:1"]
        for number in range(20)
    }
    plan = RelayPlan.of(["own.example:1"], listed)
    assert [str(relay) for relay in plan.waited_at()[:2]] == ["own.example:1", "known.example:1"]
    assert len(plan.waited_at()) == WAITED_AT
    assert len(plan.to("device 3")) == 6
    assert [str(relay) for relay in plan.to("a stranger")] == ["own.example:1"]


async def test_relays_that_are_listed_later_are_used_and_others_left(
    make_machine: MakeMachine, relay: Relay, eventually: Eventually
) -> None:
    """Without a restart. Where no relay is listed any more, nobody waits."""
    laptop, desktop = make_machine("laptop"), make_machine("desktop")
    for machine, other in ((laptop, desktop), (desktop, laptop)):
        machine.accept(other)
        await machine.start()
    laptop.write("as soon as they meet")
    for machine in (desktop, laptop):
        machine.relays = [Address("127.0.0.1", relay.port)]
        machine.change_signal.event.set()
    await eventually(lambda: desktop.texts == {"as soon as they meet"})
    await eventually(lambda: relay.waiting > 0)  # a device that was called registers again
    for machine in (desktop, laptop):
        machine.relays = []
        machine.change_signal.event.set()
    await eventually(lambda: relay.waiting == 0)


async def test_a_listed_relay_that_is_another_program_gets_no_byte(
    make_machine: MakeMachine, eventually: Eventually
) -> None:
    """A member may list any address. There, this device waits for a challenge before it says anything."""
    got: list[bytes] = []

    async def other_program(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.9\r\n")
        received = b""
        with suppress(ConnectionError):
            while more := await reader.read(100):
                received += more
        got.append(received)
        writer.close()

    async with await asyncio.start_server(other_program, "127.0.0.1", 0) as server:
        laptop, desktop = make_machine("laptop"), make_machine("desktop")
        laptop.relays = [Address("127.0.0.1", server.sockets[0].getsockname()[1])]
        laptop.accept(desktop)
        await laptop.start()
        await eventually(lambda: got)
        await laptop.stop()
    assert set(got) == {b""}
