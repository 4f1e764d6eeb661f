"""The driver, which joins gossip, sockets and store, with real sockets and a replica in memory."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import pytest

from memcrdt.errors import LockedError, UntrustedPeerError
from memcrdt.model.device_ids import shown
from memcrdt.net.addresses import Address
from memcrdt.net.auth import AuthenticatedPeer
from memcrdt.net.dialer import DIAL_S
from memcrdt.net.websocket import HEARTBEAT_S
from memcrdt.node.peer_records import UNKNOWN_PER_S
from memcrdt.sync.replica import Applied

if TYPE_CHECKING:
    from tests.network import CuttableRelay, Device, Machine

Eventually = Callable[[Callable[[], object]], Awaitable[None]]
Make = Callable[[str], "Machine"]


@pytest.fixture(name="two")
async def _two(make_machine: Make) -> tuple[Machine, Machine]:
    """Return two running devices that have accepted each other. The laptop has the desktop's address."""
    laptop, desktop = make_machine("laptop"), make_machine("desktop")
    desktop.accept(laptop)
    await desktop.start()
    laptop.accept(desktop, address=desktop.address)
    return laptop, desktop


async def test_two_nodes_exchange_earlier_and_later_writes(
    two: tuple[Machine, Machine], eventually: Eventually
) -> None:
    """Writes from before the connection, and then one write in each direction."""
    laptop, desktop = two
    laptop.write("from the laptop")
    desktop.write("from the desktop")
    await laptop.start()
    await eventually(lambda: laptop.texts == desktop.texts == {"from the laptop", "from the desktop"})
    laptop.write("later")
    await eventually(lambda: "later" in desktop.texts)
    desktop.write("and back")
    await eventually(lambda: "and back" in laptop.texts)


async def test_three_nodes_in_a_row_converge(make_machine: Make, eventually: Eventually) -> None:
    """The two ends do not know each other, and the middle node forwards."""
    left, middle, right = make_machine("left"), make_machine("middle"), make_machine("right")
    middle.accept(left, right)
    await middle.start()
    for end in (left, right):
        end.accept(middle, address=middle.address)
        await end.start()
    left.write("from the left")
    right.write("from the right")
    await eventually(lambda: left.texts == middle.texts == right.texts == {"from the left", "from the right"})


async def test_a_cut_connection_is_dialed_again(
    two: tuple[Machine, Machine], make_relay: Callable[[Address], CuttableRelay], eventually: Eventually
) -> None:
    """Writes of both sides during the cut arrive without any call."""
    laptop, desktop = two
    relay = make_relay(desktop.address)
    address = await relay.open()
    laptop.peers.forget(desktop.id)
    laptop.accept(desktop, address=address)
    await laptop.start()
    await eventually(lambda: laptop.driver.connected and desktop.driver.connected)
    await relay.cut()
    await eventually(lambda: not laptop.driver.connected and not desktop.driver.connected)
    laptop.write("written in the train")
    desktop.write("written at home")
    await relay.open(address.port)
    await eventually(lambda: laptop.texts == desktop.texts == {"written in the train", "written at home"})


async def test_a_silent_connection_is_closed(
    make_machine: Make,
    make_relay: Callable[[Address], CuttableRelay],
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A suspended laptop does not say goodbye. Both sides ping every 15 s, here more often, and wait half of that."""
    assert HEARTBEAT_S == 15
    monkeypatch.setattr("memcrdt.net.websocket.HEARTBEAT_S", 0.2)
    laptop, desktop = make_machine("laptop"), make_machine("desktop")
    desktop.accept(laptop)
    await desktop.start()
    relay = make_relay(desktop.address)
    laptop.accept(desktop, address=await relay.open())
    await laptop.start()
    await eventually(lambda: laptop.driver.connected and desktop.driver.connected)
    relay.flows.clear()
    await eventually(lambda: not laptop.driver.connected and not desktop.driver.connected)
    relay.flows.set()
    await eventually(lambda: laptop.driver.connected and desktop.driver.connected)


async def test_two_nodes_that_dial_each_other_at_once_keep_one_connection(
    two: tuple[Machine, Machine], eventually: Eventually
) -> None:
    """Both keep the same connection, and both tables show it."""
    laptop, desktop = two
    await laptop.start()
    desktop.accept(laptop, address=laptop.address)
    laptop.write("from the laptop")
    await eventually(lambda: "from the laptop" in desktop.texts)
    for _ in range(3):
        await asyncio.gather(
            laptop.driver.connect(desktop.address, desktop.id), desktop.driver.connect(laptop.address, laptop.id)
        )
        await eventually(lambda: len(laptop.driver._runner.links) == len(desktop.driver._runner.links) == 1)
    desktop.write("and back")
    await eventually(lambda: "and back" in laptop.texts)
    await eventually(lambda: {_via(laptop, desktop), _via(desktop, laptop)} == {"dialed", "accepted"})


def _via(here: Machine, there: Machine) -> str | None:
    link = here.peers.get(there.id).connected
    return None if link is None else link.via


async def test_no_text_is_sent_unencrypted(
    two: tuple[Machine, Machine], make_relay: Callable[[Address], CuttableRelay], eventually: Eventually
) -> None:
    """A listener on the network sees only TLS."""
    laptop, desktop = two
    relay = make_relay(desktop.address)
    laptop.peers.forget(desktop.id)
    laptop.accept(desktop, address=await relay.open())
    laptop.write("a secret of mine")
    await laptop.start()
    await eventually(lambda: "a secret of mine" in desktop.texts)
    assert b"a secret of mine" not in relay.passed
    assert len(relay.passed) > 1000


async def test_a_revoked_device_is_disconnected_and_refused(
    two: tuple[Machine, Machine], eventually: Eventually
) -> None:
    """It is told so, even if the desktop accepts no other device. The revocation may be from another process."""
    laptop, desktop = two
    await laptop.start()
    await eventually(lambda: laptop.id in desktop.driver.connected)
    desktop.peers.revoke(laptop.id)
    desktop.change_signal.event.set()
    await eventually(lambda: not desktop.driver.connected)
    desktop.write("not for the laptop")
    words = f"this device was revoked by {shown(desktop.id)}"
    await eventually(lambda: words in (laptop.peers.get(desktop.id).error or ""))
    assert laptop.texts == set()
    assert desktop.peers.get(laptop.id).connected is None


async def test_nothing_listens_until_a_device_is_accepted(make_machine: Make, eventually: Eventually) -> None:
    """And nothing listens after the last accepted device is forgotten. Pending devices do not count."""
    desktop, laptop = make_machine("desktop"), make_machine("laptop")
    desktop.peers.knocked("C" * 52, b"k" * 32, None)
    await desktop.start()
    assert desktop.driver.port is None
    desktop.accept(laptop)
    await eventually(lambda: desktop.driver.port)
    port = desktop.driver.port
    desktop.peers.forget(laptop.id)
    desktop.change_signal.event.set()
    await eventually(lambda: desktop.driver.port is None)
    assert desktop.ports == [port, None]
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_node_that_listens_for_a_revoked_device_refuses_all(make_machine: Make, eventually: Eventually) -> None:
    """Even after a restart. The revoked device is told so, and an unknown device is told that it is unknown."""
    desktop, laptop, unknown = make_machine("desktop"), make_machine("laptop"), make_machine("unknown")
    desktop.accept(laptop)
    desktop.peers.revoke(laptop.id)
    desktop.write("for nobody")
    await desktop.start()
    for other in (laptop, unknown):
        other.accept(desktop)
        await other.start()
    with pytest.raises(UntrustedPeerError, match="this device was revoked by"):
        await laptop.driver.connect(desktop.address, desktop.id)
    with pytest.raises(UntrustedPeerError, match="does not accept this device"):
        await unknown.driver.connect(desktop.address, desktop.id)
    assert not desktop.driver.connected
    assert laptop.texts == unknown.texts == set()


async def test_a_device_accepted_while_running_is_dialed(make_machine: Make, eventually: Eventually) -> None:
    """As soon as it is in the table."""
    desktop, laptop = make_machine("desktop"), make_machine("laptop")
    desktop.accept(laptop)
    await desktop.start()
    await laptop.start()
    laptop.accept(desktop, address=desktop.address)
    await eventually(lambda: laptop.driver.connected == {desktop.id})


async def test_an_unknown_device_is_recorded_as_pending(make_machine: Make, eventually: Eventually) -> None:
    """With its key and host. Once accepted, it can connect."""
    desktop, friend, unknown = make_machine("desktop"), make_machine("friend"), make_machine("unknown")
    desktop.accept(friend)
    await desktop.start()
    unknown.accept(desktop)
    await unknown.start()
    with pytest.raises(UntrustedPeerError, match="memcrdt accept"):
        await unknown.driver.connect(desktop.address, desktop.id)
    noted = desktop.peers.get(unknown.id)
    assert (noted.state, noted.public_key) == ("pending", unknown.identity.public_key)
    assert noted.addresses == (str(unknown.address),)  # the address that it sent
    desktop.accept(unknown)
    assert await unknown.driver.connect(desktop.address) == desktop.id
    await eventually(lambda: unknown.id in desktop.driver.connected)


async def test_a_flood_of_unknown_devices_is_not_recorded(make_machine: Make) -> None:
    """Each record is a commit, so at most eight are written in a second."""
    desktop = make_machine("desktop")
    await desktop.start()
    for number in range(3 * UNKNOWN_PER_S):
        unknown = AuthenticatedPeer(f"unknown {number}", b"k" * 32, b"n" * 32, b"n" * 32)
        assert not await desktop.driver._records.admits(unknown, "192.168.1.66:51234")
    assert len(desktop.peers.all()) == UNKNOWN_PER_S


async def test_connections_are_recorded_for_other_processes(
    two: tuple[Machine, Machine], eventually: Eventually
) -> None:
    """Who dialed, the address, and the end."""
    laptop, desktop = two
    await laptop.start()
    await eventually(lambda: desktop.peers.get(laptop.id).connected)
    await eventually(lambda: laptop.peers.get(desktop.id).connected)
    assert desktop.peers.get(laptop.id).connected.via == "accepted"
    link = laptop.peers.get(desktop.id).connected
    assert (link.via, link.address) == ("dialed", str(desktop.address))
    assert laptop.peers.get(desktop.id).public_key == desktop.identity.public_key
    await laptop.stop()
    await eventually(lambda: desktop.peers.get(laptop.id).connected is None)
    assert laptop.peers.get(desktop.id).connected is None


async def test_a_failed_dial_is_recorded_in_plain_words(two: tuple[Machine, Machine], eventually: Eventually) -> None:
    """The device, the address, and what to check. A successful dial removes the record."""
    laptop, desktop = two
    address = desktop.address
    await desktop.stop()
    await laptop.start()
    await eventually(lambda: laptop.peers.get(desktop.id).error)
    error = laptop.peers.get(desktop.id).error
    assert error.startswith(f"cannot reach {shown(desktop.id)} at {address}: ")
    assert error.endswith(f"is memcrdt serving there, and TCP port {address.port} open?")
    await desktop.start(address.port)
    await eventually(lambda: laptop.peers.get(desktop.id).connected)
    assert laptop.peers.get(desktop.id).error is None


async def test_an_old_address_does_not_hide_a_good_one(two: tuple[Machine, Machine], eventually: Eventually) -> None:
    """All addresses are tried, the newest first."""
    laptop, desktop = two
    laptop.peers.remember_address(desktop.id, "127.0.0.1:1")
    await laptop.start()
    await eventually(lambda: laptop.driver.connected)


async def test_a_refusal_by_the_device_ranks_before_other_errors(make_machine: Make, eventually: Eventually) -> None:
    """The user can fix a refusal, whatever is at the newer addresses."""
    laptop, desktop, other = make_machine("laptop"), make_machine("desktop"), make_machine("other")
    for listening in (desktop, other):
        listening.accept(make_machine(f"friend of {listening.id}"))
        await listening.start()
    laptop.accept(desktop, address=desktop.address)
    for stale in (str(other.address), "127.0.0.1:1"):
        laptop.peers.remember_address(desktop.id, stale)
    await laptop.start()
    await eventually(lambda: laptop.peers.get(desktop.id).error)
    assert laptop.peers.get(desktop.id).error == (
        f"{shown(desktop.id)} at {desktop.address} does not accept this device; run there: memcrdt accept "
        f"{shown(laptop.id)}"
    )


async def test_our_own_address_is_not_an_alarm(
    make_machine: Make, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    """Two homes on one machine may have the same port, without any copy. An address is missing."""
    laptop, desktop = make_machine("laptop"), make_machine("desktop")
    laptop.accept(desktop)
    await laptop.start()
    laptop.accept(desktop, address=laptop.address)
    await eventually(lambda: laptop.peers.get(desktop.id).error)
    assert laptop.peers.get(desktop.id).error.startswith(
        f"no address of {shown(desktop.id)} is known except this device's own, and discovery found none; "
    )
    with pytest.raises(UntrustedPeerError, match="is this device itself; give the address of the other device"):
        await laptop.driver.connect(laptop.address, desktop.id)
    assert "copy" not in caplog.text


async def test_our_own_address_does_not_hide_other_errors(make_machine: Make, eventually: Eventually) -> None:
    """The error of the device's older address is reported."""
    laptop, desktop = make_machine("laptop"), make_machine("desktop")
    laptop.accept(desktop, address=Address("127.0.0.1", 1))
    await laptop.start()
    laptop.peers.remember_address(desktop.id, str(laptop.address))
    laptop.driver.sync_now()
    before = laptop.peers.get(desktop.id).error_at or 0
    await eventually(lambda: (laptop.peers.get(desktop.id).error_at or 0) > before)
    assert laptop.peers.get(desktop.id).error.startswith(f"cannot reach {shown(desktop.id)} at 127.0.0.1:1: ")


async def test_a_copy_of_this_device_is_named(
    make_machine: Make, make_device: Callable[[str], Device], eventually: Eventually
) -> None:
    """It has our key and runs in another process: both would write as one device."""
    copy = make_device("laptop")
    laptop, desktop = make_machine("laptop"), make_machine("desktop")
    laptop.accept(desktop, address=copy.listen())
    await laptop.start()
    await eventually(lambda: laptop.peers.get(desktop.id).error)
    assert "has this device's own key" in laptop.peers.get(desktop.id).error


async def test_of_equal_errors_the_newest_address_counts(make_machine: Make, eventually: Eventually) -> None:
    """Another device at an older address says nothing about the wanted one, which has moved."""
    laptop, desktop, other = make_machine("laptop"), make_machine("desktop"), make_machine("other")
    other.accept(desktop)
    await other.start()
    laptop.accept(desktop, address=other.address)
    laptop.peers.remember_address(desktop.id, "127.0.0.1:1")
    await laptop.start()
    await eventually(lambda: laptop.peers.get(desktop.id).error)
    assert laptop.peers.get(desktop.id).error.startswith(f"cannot reach {shown(desktop.id)} at 127.0.0.1:1: ")


async def test_a_found_address_that_refuses_us_is_kept(make_machine: Make, eventually: Eventually) -> None:
    """Otherwise the next dial would report that no address was found."""
    laptop, desktop = make_machine("laptop"), make_machine("desktop")
    desktop.accept(make_machine("friend"))
    await desktop.start()
    laptop.accept(desktop)
    await laptop.start()
    laptop.find(desktop, desktop.address)
    await eventually(lambda: laptop.peers.get(desktop.id).error)
    first = laptop.peers.get(desktop.id).error_at
    await eventually(lambda: laptop.peers.get(desktop.id).error_at > first)
    assert "does not accept this device" in laptop.peers.get(desktop.id).error


async def test_a_device_that_breaks_the_protocol_is_named_with_its_address(
    two: tuple[Machine, Machine], eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    """With the next step, because the two may run different versions."""
    laptop, desktop = two
    address = desktop.address
    await laptop.start()
    await eventually(lambda: laptop.driver.connected and desktop.driver.connected)
    (link,) = desktop.driver._runner.links.values()
    link.send(b"no message")
    await eventually(lambda: caplog.messages)
    assert caplog.messages[0].startswith(f"{shown(desktop.id)} at {address}: a frame is not ")
    assert caplog.messages[0].endswith("; if this keeps happening, update memcrdt on the older of the two devices")


async def test_a_silent_address_costs_a_quarter_of_a_second(
    two: tuple[Machine, Machine], eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next address is dialed while it is silent, and the first connection wins."""
    monkeypatch.setattr("memcrdt.node.dial_race.HEAD_START_S", 0.01)
    laptop, desktop = two
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it accepts the connection and sends nothing
        laptop.peers.remember_address(desktop.id, f"127.0.0.1:{silent.getsockname()[1]}")
        await laptop.start()
        async with asyncio.timeout(DIAL_S / 2):
            await eventually(lambda: laptop.peers.get(desktop.id).connected)
    assert laptop.peers.get(desktop.id).connected.found == "address"


async def test_both_sides_remember_where_the_other_listens(
    two: tuple[Machine, Machine], eventually: Eventually
) -> None:
    """The dialer's port is signed, so the side that was dialed can dial next time."""
    laptop, desktop = two
    await laptop.start()
    await eventually(lambda: desktop.peers.get(laptop.id).connected)
    assert desktop.peers.get(laptop.id).addresses == (str(laptop.address),)


async def test_a_failing_store_ends_the_session_and_not_the_node(
    two: tuple[Machine, Machine], eventually: Eventually
) -> None:
    """When the store works again, everything arrives."""
    laptop, desktop = two
    await laptop.start()
    await eventually(lambda: laptop.driver.connected)
    desktop.replica.failing = "the disk is full"
    laptop.write("while it fails")
    await eventually(lambda: "the disk is full" in (desktop.peers.get(laptop.id).error or ""))
    desktop.replica.failing = ""
    await eventually(lambda: "while it fails" in desktop.texts)


async def test_a_refused_update_is_recorded(
    two: tuple[Machine, Machine], eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its sender, its address, its shard, and the reason."""
    laptop, desktop = two
    await laptop.start()
    await eventually(lambda: laptop.driver.connected)
    monkeypatch.setattr(desktop.replica, "apply", lambda *_: Applied("refused", {}, "a block without a key"))
    laptop.write("text")
    whom, why = f"{shown(laptop.id)} at 127.0.0.1:", ": shard 0 of space SPACE: a block without a key"
    await eventually(
        lambda: (said := desktop.peers.get(laptop.id).error) and said.startswith(whom) and said.endswith(why)
    )


async def test_a_panic_in_the_store_ends_the_session_and_not_the_node(
    two: tuple[Machine, Machine],
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A panic in Yjs is not an Exception. It is logged with its traceback, and the next session works."""

    class Panic(BaseException):
        pass

    def panic(*_: object) -> None:
        monkeypatch.undo()
        raise Panic("in Rust")

    laptop, desktop = two
    await laptop.start()
    await eventually(lambda: laptop.driver.connected)
    monkeypatch.setattr(desktop.replica, "apply", panic)
    laptop.write("while it fails")
    await eventually(lambda: "while it fails" in desktop.texts)
    assert "in Rust" in caplog.text


@pytest.mark.parametrize("accepted", [True, False])
async def test_a_port_in_use_is_an_error_at_the_start(make_machine: Make, accepted: bool) -> None:
    """Even before a device is accepted, when nothing would listen yet. Nothing is left running."""
    desktop, laptop, other = make_machine("desktop"), make_machine("laptop"), make_machine("other")
    desktop.accept(laptop)
    await desktop.start()
    if accepted:
        other.accept(laptop)
    with pytest.raises(LockedError, match=f"port {desktop.driver.port} is in use"):
        await other.start(desktop.driver.port)


async def test_a_port_taken_later_is_logged_and_tried_again(
    make_machine: Make, eventually: Eventually, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Listening begins with the first accepted device, when no caller waits for the error any more."""
    monkeypatch.setattr("memcrdt.node.driver.PEERS_RETRY_S", 0.01)
    caplog.set_level(logging.ERROR)
    desktop, laptop, other = make_machine("desktop"), make_machine("laptop"), make_machine("other")
    desktop.accept(laptop)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    await other.start(port)
    await desktop.start(port)
    other.accept(laptop)
    await eventually(lambda: f"port {port} is in use" in caplog.text)
    assert f"port {port} is in use" in other.port_error
    await desktop.stop()
    await eventually(lambda: other.driver.port == port)
    assert other.port_error is None


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_device_that_listens_a_moment_later_is_no_warning(
    make_machine: Make, eventually: Eventually, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As after each pairing. The failure is in the status until the connection."""
    monkeypatch.setattr("memcrdt.node.peer_records.DIAL_GRACE_S", 60)
    laptop, desktop = make_machine("laptop"), make_machine("desktop")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = Address("127.0.0.1", probe.getsockname()[1])
    await laptop.start()
    laptop.accept(desktop, address=address)
    await eventually(lambda: laptop.peers.get(desktop.id).error)
    desktop.accept(laptop)
    await desktop.start(address.port)
    await eventually(lambda: laptop.driver.connected)
    await eventually(lambda: laptop.peers.get(desktop.id).error is None)
    assert _warnings(caplog) == []


async def test_a_device_that_is_away_is_waited_for_without_a_warning(
    make_machine: Make, eventually: Eventually, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """However often it is dialed. The failure is in the status, and addresses are for those who ask for them."""
    monkeypatch.setattr("memcrdt.node.peer_records.DIAL_GRACE_S", 0)
    caplog.set_level(logging.DEBUG, "memcrdt.net.peers")
    laptop, desktop = make_machine("laptop"), make_machine("desktop")
    await laptop.start()
    laptop.accept(desktop, address=Address("127.0.0.1", 1))
    await eventually(lambda: laptop.peers.get(desktop.id).error_at)
    last = laptop.peers.get(desktop.id).error_at
    await eventually(lambda: laptop.peers.get(desktop.id).error_at > last)
    assert _warnings(caplog) == []
    assert _said(caplog) == [f"waiting for {desktop.id[:7]}"]
    error = laptop.peers.get(desktop.id).error
    assert "the connection was refused" in error
    assert error in caplog.messages


def _said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines about other devices."""
    return [
        record.getMessage()
        for record in caplog.records
        if (record.name, record.levelno) == ("memcrdt.net.peers", logging.INFO)
    ]


async def test_each_change_of_a_device_is_one_line(
    make_machine: Make, eventually: Eventually, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With its name. A device that refuses us is a warning, with its name too."""
    caplog.set_level(logging.INFO, "memcrdt.net.peers")
    monkeypatch.setattr("memcrdt.node.peer_lines.LOST_S", 0.0)
    laptop, desktop = make_machine("laptop"), make_machine("desktop")
    desktop.accept(laptop)
    await desktop.start()
    caplog.clear()
    await laptop.start()
    laptop.peers.accept(desktop.id, name="desktop")
    laptop.accept(desktop)
    await eventually(lambda: "waiting for desktop" in _said(caplog))
    laptop.find(desktop, desktop.address)
    await eventually(lambda: "desktop is up to date" in _said(caplog))
    await desktop.stop()
    await eventually(lambda: "lost desktop, trying again" in _said(caplog))
    laptop.peers.revoke(desktop.id)
    laptop.change_signal.event.set()
    await eventually(lambda: "desktop is no longer accepted" in _said(caplog))
    mine = [line for line in _said(caplog) if "desktop" in line]
    assert mine == [
        "waiting for desktop",
        "connected to desktop (mDNS)",
        "desktop is up to date",
        "lost desktop, trying again",
        "desktop is no longer accepted",
    ]


async def test_a_driver_that_need_not_listen_starts_and_says_why_it_does_not(
    make_machine: Make, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dials meanwhile, and listens as soon as the port is free."""
    monkeypatch.setattr("memcrdt.node.driver.PEERS_RETRY_S", 0.01)
    desktop, laptop, other = make_machine("desktop"), make_machine("laptop"), make_machine("other")
    desktop.accept(laptop)
    await desktop.start()
    port = desktop.driver.port
    assert port is not None
    other.accept(laptop)
    await other.start(port, must_listen=False)
    assert f"port {port} is in use" in other.port_error
    assert "config.toml" in other.port_error
    await desktop.stop()
    await eventually(lambda: other.driver.port == port)
    assert other.port_error is None


async def test_a_restore_by_another_process_is_told_to_the_peers(make_machine: Make, eventually: Eventually) -> None:
    """Otherwise they would count on what the store confirmed before."""
    laptop, desktop = make_machine("laptop"), make_machine("desktop")
    laptop.accept(desktop)
    await laptop.start()
    desktop.accept(laptop, address=laptop.address)
    await desktop.start()
    await eventually(lambda: laptop.replica.incarnations.get(desktop.id) == "incarnation")
    desktop.incarnation = "another"
    desktop.change_signal.event.set()
    await eventually(lambda: laptop.replica.incarnations.get(desktop.id) == "another")
