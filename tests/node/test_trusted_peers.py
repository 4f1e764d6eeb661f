"""What the gossip hears of the table of peers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import memcrdt
from memcrdt.node.trusted_peers import TrustedPeers
from memcrdt.store.membership.peers import Peers
from memcrdt.sync.events import Known, Revoked, SpacesChanged

DESKTOP, PHONE = "B" * 52, "C" * 52


@pytest.fixture(name="peers")
def _peers(tmp_path: Path) -> Iterator[Peers]:
    with memcrdt.open(tmp_path, embedder=None) as memory:
        yield Peers(memory.store)


def test_an_accepted_device_with_an_address_is_known(peers: Peers) -> None:
    """Once; one without an address cannot be dialed, but may come."""
    roster = TrustedPeers(peers)
    peers.accept(DESKTOP, address="192.168.1.20:27380")
    peers.accept(PHONE)
    assert roster.read() == [SpacesChanged(), Known(DESKTOP)]
    assert roster.read() == []
    assert DESKTOP in roster
    assert PHONE in roster


def test_a_new_address_is_news_and_another_order_is_not(peers: Peers) -> None:
    """The address used last moves to the front at every connection."""
    roster = TrustedPeers(peers)
    peers.accept(DESKTOP, address="192.168.1.20:27380")
    roster.read()
    peers.remember_address(DESKTOP, "10.0.0.7:27380")
    assert roster.read() == [Known(DESKTOP)]
    peers.remember_address(DESKTOP, "192.168.1.20:27380")
    assert roster.read() == []


def test_the_gossip_hears_who_may_write(peers: Peers) -> None:
    """And when that changes."""
    roster = TrustedPeers(peers)
    peers.accept(DESKTOP, address="192.168.1.20:27380", read_only=True)
    assert roster.read() == [SpacesChanged(), Known(DESKTOP, writes=False)]
    with peers._store.writing() as db:
        db.execute("UPDATE shares SET read_only = 0")
    assert roster.read() == [Known(DESKTOP, writes=True)]
    assert roster.known(DESKTOP) == Known(DESKTOP, writes=True)


@pytest.mark.parametrize("method", ["revoke", "forget"])
def test_a_device_that_is_no_longer_accepted_is_revoked(peers: Peers, method: str) -> None:
    """However that came."""
    roster = TrustedPeers(peers)
    peers.accept(DESKTOP)
    roster.read()
    getattr(peers, method)(DESKTOP)
    assert roster.read() == [Revoked(DESKTOP), SpacesChanged()]
    assert DESKTOP not in roster


def test_a_pending_device_is_nobody(peers: Peers) -> None:
    """A knock changes nothing for the network."""
    roster = TrustedPeers(peers)
    peers.knocked(DESKTOP, b"k" * 32, "192.168.1.20:27380")
    assert roster.read() == []
    assert DESKTOP not in roster
    assert not roster.is_sought


def test_a_revoked_device_may_come_to_be_told_so(peers: Peers) -> None:
    """As an accepted one may come to talk; one that is forgotten is nobody."""
    roster = TrustedPeers(peers)
    peers.accept(DESKTOP)
    roster.read()
    assert roster.is_sought
    peers.revoke(DESKTOP)
    roster.read()
    assert roster.is_sought
    peers.forget(DESKTOP)
    roster.read()
    assert not roster.is_sought
