"""Waiting until other devices agree, by the order of events and not by the clock."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memcrdt.memory.memory import Memory
from memcrdt.model.device_ids import device_id
from memcrdt.node.sync_wait import SyncWait
from memcrdt.store.membership.peers import PeerConnection, Peers
from memcrdt.testing.memories import Clock

OpenMemory = Callable[..., Memory]
OTHER = device_id(bytes(range(32)))


@pytest.fixture(name="memory")
def _memory(open_memory: OpenMemory) -> Memory:
    memory = open_memory()
    memory.accept(OTHER, address="localhost:1")
    return memory


def test_an_error_before_the_wait_does_not_end_it(memory: Memory, clock: Clock) -> None:
    """Even if the clock was ahead then. An error after the request does end it."""
    peers = Peers(memory.store)
    clock.advance(days=1)
    peers.failed(OTHER, "no answer")
    clock.advance(days=-1)
    wait = SyncWait(memory.store, None, None)
    assert wait.look() is None
    peers.failed(OTHER, "no answer")
    assert wait.look() is False


def test_an_agreement_before_the_wait_is_not_taken_for_a_later_one(memory: Memory, clock: Clock) -> None:
    """Even if the clock was ahead then. One after the request counts, whatever the clock shows."""
    peers, (space,) = Peers(memory.store), [each.id for each in memory.status().spaces if each.name == "personal"]
    clock.advance(days=1)
    peers.agreed(OTHER, space)
    clock.advance(days=-1)
    wait = SyncWait(memory.store, None, None)
    assert wait.look() is None
    clock.advance(days=-1)
    peers.agreed(OTHER, space)
    assert wait.look() is True


def test_a_device_seen_before_the_wait_was_not_reached(memory: Memory, clock: Clock) -> None:
    """The result names only devices that were in contact since the wait began."""
    peers = Peers(memory.store)
    clock.advance(days=1)
    peers.connected(OTHER, bytes(32), PeerConnection("dialed", "localhost:1", clock.now))
    peers.disconnected(OTHER)
    clock.advance(days=-1)
    started = memory.sync._event()
    assert memory.sync._result(False, started).reached == ()
    peers.connected(OTHER, bytes(32), PeerConnection("dialed", "localhost:1", clock.now))
    peers.disconnected(OTHER)
    assert [device.device for device in memory.sync._result(True, started).reached] == [OTHER]
