"""Tests of the table of peers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from memcrdt.errors import InputError, NotFoundError
from memcrdt.model.device_ids import shown
from memcrdt.store.incarnation import StoreOptions
from memcrdt.store.indexer import NoIndex
from memcrdt.store.membership.peers import ADDRESSES, PENDING, PeerConnection, Peers
from memcrdt.store.store import Store

OURS, DESKTOP, PHONE = "A" * 52, "B" * 52, "C" * 52
KEY = b"k" * 32


@pytest.fixture(name="clock")
def _clock() -> list[int]:
    return [1_000]


@pytest.fixture(name="store")
def _store(tmp_path: Path, clock: list[int]) -> Iterator[Store]:
    store = Store(tmp_path, OURS, NoIndex(), StoreOptions(clock=lambda: clock[0]))
    yield store
    store.close()


@pytest.fixture(name="peers")
def _peers(store: Store) -> Peers:
    return Peers(store)


def test_an_accepted_device_shares_personal(peers: Peers, store: Store) -> None:
    """`personal` is the default space. The device's name and address are kept."""
    peers.accept(DESKTOP, name="desk", address="192.168.1.20:27380")
    peer = peers.get(DESKTOP)
    assert (peer.state, peer.name, peer.addresses, peer.added_at) == ("accepted", "desk", ("192.168.1.20:27380",), 1000)
    assert peers.is_accepted(DESKTOP)
    assert _shares(store) == [("personal", DESKTOP)]


def test_local_is_never_shared(peers: Peers, store: Store) -> None:
    """The call is refused, and the device is not accepted."""
    with pytest.raises(InputError, match="never leaves this machine"):
        peers.accept(DESKTOP, spaces=("personal", "local"))
    assert peers.all() == []
    assert _shares(store) == []


def test_a_space_that_is_not_here_is_named(peers: Peers) -> None:
    """The error names the space, and the device is not accepted."""
    with pytest.raises(NotFoundError, match="'work'"):
        peers.accept(DESKTOP, spaces=("work",))
    assert not peers.is_accepted(DESKTOP)


def test_our_own_id_cannot_be_accepted(peers: Peers) -> None:
    """This is a frequent mistake with two open windows."""
    with pytest.raises(InputError, match="own id"):
        peers.accept(OURS)


def test_a_knock_is_pending_until_it_is_accepted(peers: Peers) -> None:
    """The key and the address to dial are kept."""
    peers.knocked(DESKTOP, KEY, "192.168.1.20:27380")
    pending = peers.get(DESKTOP)
    assert (pending.state, pending.public_key, pending.addresses) == ("pending", KEY, ("192.168.1.20:27380",))
    assert not peers.is_accepted(DESKTOP)
    peers.accept(DESKTOP, name="desk")
    assert (peers.get(DESKTOP).state, peers.get(DESKTOP).public_key) == ("accepted", KEY)


def test_at_most_64_are_pending(peers: Peers, clock: list[int]) -> None:
    """The device with the oldest attempt is dropped. Accepted devices do not count and stay."""
    peers.accept(DESKTOP)
    for number in range(PENDING + 3):
        clock[0] += 1
        peers.knocked(f"device {number}", KEY, "192.168.1.20:27380")
    pending = [peer.device for peer in peers.all() if peer.state == "pending"]
    assert pending == [f"device {number}" for number in range(3, PENDING + 3)]
    assert peers.is_accepted(DESKTOP)


def test_a_second_knock_renews_the_first(peers: Peers, clock: list[int]) -> None:
    """So a device that keeps trying is not pushed out by devices that tried once."""
    for number in range(PENDING):
        clock[0] += 1
        peers.knocked(f"device {number}", KEY, "192.168.1.20:27380")
    clock[0] += 1
    peers.knocked("device 0", KEY, "192.168.1.20:27380")
    peers.knocked("another", KEY, "192.168.1.20:27380")
    devices = {peer.device for peer in peers.all()}
    assert "device 0" in devices
    assert "device 1" not in devices


def test_a_revoked_device_stays_revoked_when_it_knocks(peers: Peers, store: Store) -> None:
    """It no longer shares any space, but can be accepted again."""
    peers.accept(DESKTOP)
    peers.revoke(DESKTOP)
    peers.knocked(DESKTOP, KEY, "192.168.1.20:27380")
    assert (peers.get(DESKTOP).state, _shares(store)) == ("revoked", [])
    peers.accept(DESKTOP)
    assert peers.is_accepted(DESKTOP)
    assert _shares(store) == [("personal", DESKTOP)]


def test_a_forgotten_device_was_never_met(peers: Peers, store: Store) -> None:
    """No row about it is left."""
    peers.accept(DESKTOP)
    peers.forget(DESKTOP)
    assert peers.all() == []
    assert _shares(store) == []


@pytest.mark.parametrize("method", ["get", "revoke", "forget"])
def test_a_device_that_is_not_known_is_named(peers: Peers, method: str) -> None:
    """The error also names the command that lists the known devices."""
    with pytest.raises(NotFoundError, match=f"{shown(PHONE)}.*memcrdt peers"):
        getattr(peers, method)(PHONE)
    with pytest.raises(NotFoundError, match=shown(PHONE)):
        peers.remember_address(PHONE, "192.168.1.20:27380")


def test_a_connection_is_shown_while_it_stands(peers: Peers, clock: list[int]) -> None:
    """A connection clears the last error, and the device's listening address is remembered."""
    peers.accept(DESKTOP)
    peers.failed(DESKTOP, "no answer")
    assert (peers.get(DESKTOP).error, peers.get(DESKTOP).error_at) == ("no answer", 1000)
    link = PeerConnection("dialed", "192.168.1.20:27380", 2000)
    peers.connected(DESKTOP, KEY, link, link.address)
    peer = peers.get(DESKTOP)
    assert (peer.connected, peer.error, peer.seen_at, peer.addresses) == (link, None, 2000, ("192.168.1.20:27380",))
    clock[0] = 3000
    peers.disconnected(DESKTOP)
    assert (peers.get(DESKTOP).connected, peers.get(DESKTOP).seen_at) == (None, 3000)


def test_the_address_of_a_device_that_does_not_listen_is_not_remembered(peers: Peers) -> None:
    """Its port belongs to the dialing socket, where no server listens."""
    peers.accept(DESKTOP)
    peers.connected(DESKTOP, KEY, PeerConnection("accepted", "192.168.1.20:51234", 2000))
    assert peers.get(DESKTOP).addresses == ()


def test_connections_left_by_a_crash_are_cleared(peers: Peers) -> None:
    """The next process that runs the network clears them."""
    for device in (DESKTOP, PHONE):
        peers.accept(device)
        peers.connected(device, KEY, PeerConnection("accepted", "192.168.1.20:51234", 2000))
    peers.all_disconnected()
    assert [peer.connected for peer in peers.all()] == [None, None]


def test_the_newest_eight_addresses_are_kept(peers: Peers) -> None:
    """The address used last comes first, and each address appears once."""
    peers.accept(DESKTOP)
    for number in [*range(ADDRESSES + 2), 5]:
        peers.remember_address(DESKTOP, f"10.0.0.{number}:27380")
    assert peers.get(DESKTOP).addresses == tuple(f"10.0.0.{number}:27380" for number in (5, 9, 8, 7, 6, 4, 3, 2))


def _shares(store: Store) -> list[tuple[str, str]]:
    with store.reading() as db:
        return list(db.execute("SELECT name, device FROM shares JOIN spaces USING(space) ORDER BY name, device"))
