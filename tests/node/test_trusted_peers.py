"""The events for the gossip that follow from the table of peers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import memcrdt
from memcrdt.node.trusted_peers import TrustedPeers
from memcrdt.store.membership.peers import HUBS, Peers
from memcrdt.sync.events import Known, Revoked, SpacesChanged

DESKTOP, PHONE = "B" * 52, "C" * 52


@pytest.fixture(name="peers")
def _peers(tmp_path: Path) -> Iterator[Peers]:
    with memcrdt.open(tmp_path, embedder=None) as memory:
        yield Peers(memory.store)


def test_an_accepted_device_with_an_address_is_known(peers: Peers) -> None:
    """Reported once. A device without an address cannot be dialed, but may connect."""
    trusted = TrustedPeers(peers)
    peers.accept(DESKTOP, address="192.168.1.20:27380")
    peers.accept(PHONE)
    assert trusted.read() == [SpacesChanged(), Known(DESKTOP)]
    assert trusted.read() == []
    assert DESKTOP in trusted
    assert PHONE in trusted


def test_a_new_address_is_an_event_and_a_new_order_is_not(peers: Peers) -> None:
    """The last used address moves to the front at every connection."""
    trusted = TrustedPeers(peers)
    peers.accept(DESKTOP, address="192.168.1.20:27380")
    trusted.read()
    peers.remember_address(DESKTOP, "10.0.0.7:27380")
    assert trusted.read() == [Known(DESKTOP)]
    peers.remember_address(DESKTOP, "192.168.1.20:27380")
    assert trusted.read() == []


def test_the_right_to_write_is_reported(peers: Peers) -> None:
    """And its changes."""
    trusted = TrustedPeers(peers)
    peers.accept(DESKTOP, address="192.168.1.20:27380", read_only=True)
    assert trusted.read() == [SpacesChanged(), Known(DESKTOP, writes=False)]
    with peers._store.writing() as db:
        db.execute("UPDATE shares SET read_only = 0")
    assert trusted.read() == [Known(DESKTOP, writes=True)]
    assert trusted.known(DESKTOP) == Known(DESKTOP, writes=True)


def test_a_hub_is_remembered(peers: Peers) -> None:
    """For the next start, until it says otherwise. The last eight are kept."""
    trusted = TrustedPeers(peers)
    peers.accept(DESKTOP, address="192.168.1.20:27380")
    peers.note_hub(DESKTOP, True)
    assert trusted.read() == [SpacesChanged(), Known(DESKTOP, hub=True)]
    peers.note_hub(DESKTOP, False)
    assert not peers.hubs()
    peers.note_hub(DESKTOP, True, backup_days=30)
    assert peers.hubs() == {DESKTOP: 30}
    peers.note_hub(DESKTOP, True, backup_days=7)
    assert peers.hubs() == {DESKTOP: 7}
    for number in range(HUBS + 2):
        peers.note_hub(f"device {number}", True)
    assert peers.hubs().keys() == {f"device {number}" for number in range(2, HUBS + 2)}


@pytest.mark.parametrize("method", ["revoke", "forget"])
def test_a_device_that_is_no_longer_accepted_is_reported(peers: Peers, method: str) -> None:
    """Whether it was revoked or forgotten."""
    trusted = TrustedPeers(peers)
    peers.accept(DESKTOP)
    trusted.read()
    getattr(peers, method)(DESKTOP)
    assert trusted.read() == [Revoked(DESKTOP), SpacesChanged()]
    assert DESKTOP not in trusted


def test_a_pending_device_changes_nothing(peers: Peers) -> None:
    """A connection attempt by an unknown device has no effect on the network."""
    trusted = TrustedPeers(peers)
    peers.knocked(DESKTOP, b"k" * 32, "192.168.1.20:27380")
    assert trusted.read() == []
    assert DESKTOP not in trusted
    assert not trusted.is_sought


def test_listening_is_needed_for_a_revoked_device(peers: Peers) -> None:
    """To tell it so. A forgotten device needs none."""
    trusted = TrustedPeers(peers)
    peers.accept(DESKTOP)
    trusted.read()
    assert trusted.is_sought
    peers.revoke(DESKTOP)
    trusted.read()
    assert trusted.is_sought
    peers.forget(DESKTOP)
    trusted.read()
    assert not trusted.is_sought


def test_hosts_of_accepted_devices_are_known(peers: Peers) -> None:
    """A revoked device is a stranger, wherever it is."""
    peers.accept(DESKTOP, address="192.0.2.7:27380")
    trusted = TrustedPeers(peers)
    trusted.read()
    assert trusted.has_host("192.0.2.7")
    assert not trusted.has_host("192.0.2.8")
    peers.revoke(DESKTOP)
    trusted.read()
    assert not trusted.has_host("192.0.2.7")
