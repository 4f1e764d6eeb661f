"""The choice of devices to dial."""

from __future__ import annotations

from random import Random

import pytest

from memcrdt.sync.topology import BACKOFF_MAX_S, BACKOFF_MIN_S, HEALTHY_S, HUBS, MESH, VIEW, WRITERS, Topology


def dialing(count: int) -> Topology:
    """Return a topology that knows `count` devices, named p0, p1..."""
    made = Topology(Random(1))
    for number in range(count):
        made.know(f"p{number}", now=0.0)
    return made


def waits(made: Topology, now: float) -> float:
    """Return how long the unconnected device p0 waits."""
    due = made.next_due(set(), now)
    assert due is not None
    return due - now


def test_up_to_six_devices_are_all_dialed() -> None:
    """A full mesh."""
    assert dialing(MESH).choose(set(), 0.0) == [f"p{number}" for number in range(MESH)]


def test_of_more_devices_five_are_dialed() -> None:
    """Connected devices and dials in progress count."""
    made = dialing(20)
    first = made.choose({"p0", "p1"}, 0.0)
    assert len(set(first)) == VIEW - 2
    assert not {"p0", "p1"} & set(first)
    assert made.choose({"p0", "p1"}, 0.0) == []
    made.failed(first[0], 0.0)
    assert len(made.choose({"p0", "p1"}, 0.0)) == 1
    assert made.next_due({f"p{number}" for number in range(VIEW)}, 0.0) is None


def test_a_device_is_dialed_once_at_a_time() -> None:
    """Until the dial has succeeded or failed, and not while the device is connected."""
    made = dialing(1)
    assert made.choose(set(), 0.0) == ["p0"]
    assert made.choose(set(), 0.0) == []
    made.connected("p0")
    assert made.choose({"p0"}, 0.0) == []


def test_failures_double_the_wait_up_to_thirty_seconds() -> None:
    """From 100 ms, times 0.5 to 1.5."""
    made = dialing(1)
    now = 0.0
    for failures in range(20):
        made.choose(set(), now)
        made.failed("p0", now)
        nominal = min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2**failures)
        assert 0.5 * nominal <= waits(made, now) <= 1.5 * nominal
        assert made.choose(set(), now) == []
        now += waits(made, now)


@pytest.mark.parametrize(
    ("lasted_s", "most_s"), [(HEALTHY_S, 1.5 * BACKOFF_MIN_S), (HEALTHY_S - 1, 1.5 * BACKOFF_MAX_S)]
)
def test_a_connection_of_ten_seconds_resets_the_failures(lasted_s: float, most_s: float) -> None:
    """A shorter connection counts as another failure."""
    made = dialing(1)
    for _ in range(10):
        made.failed("p0", 0.0)
    made.lost("p0", 0.0, lasted_s)
    assert most_s / 3 <= waits(made, 0.0) <= most_s


def test_a_new_address_or_a_hurry_ends_the_wait() -> None:
    """The device may be dialed at once."""
    for end in (lambda made: made.know("p0", 1.0), lambda made: made.hurry(1.0)):
        made = dialing(1)
        for _ in range(10):
            made.failed("p0", 0.0)
        assert made.choose(set(), 1.0) == []
        end(made)
        assert made.choose(set(), 1.0) == ["p0"]


def test_a_forgotten_device_is_not_dialed() -> None:
    """An event about it does not bring it back."""
    made = dialing(1)
    made.forget("p0")
    made.failed("p0", 0.0)
    made.lost("p0", 0.0, 1.0)
    made.connected("p0")
    made.forget("p0")
    assert made.choose(set(), 100.0) == []


def test_beyond_the_mesh_another_device_is_chosen_for_exchange() -> None:
    """Although there are enough connections. In a mesh there is no other device."""
    active = {f"p{number}" for number in range(VIEW)}
    [other] = dialing(20).choose_other(active)
    assert other not in active
    assert dialing(MESH).choose_other(active) == []


def mostly_readers(count: int) -> Topology:
    """Return a topology that knows `count` devices, of which only p0, p1 and p2 may write."""
    made = Topology(Random(1))
    for number in range(count):
        made.know(f"p{number}", now=0.0, writes=number < 3)
    return made


def test_two_of_the_dialed_devices_may_write() -> None:
    """Five read-only devices would pass nothing on to us."""
    for seed in range(20):
        made = mostly_readers(40)
        made._rng = Random(seed)
        chosen = made.choose(set(), 0.0)
        assert len(chosen) == VIEW
        assert len({"p0", "p1", "p2"}.intersection(chosen)) >= WRITERS


def test_writers_are_dialed_although_there_are_enough_connections() -> None:
    """Until two are connected. After a failed dial, the next one waits as usual."""
    made = mostly_readers(40)
    readers = {f"p{number}" for number in range(10, 10 + VIEW)}
    (first, second) = made.choose(readers, 0.0)
    assert {first, second} < {"p0", "p1", "p2"}
    assert made.choose(readers, 0.0) == []
    made.failed(first, 0.0)
    made.failed(second, 0.0)
    assert made.next_due(readers, 0.0) is not None
    assert made.next_due(readers | {"p0", "p1"}, 0.0) is None


def test_the_last_two_writers_are_needed() -> None:
    """A third writer is not needed, nor is any read-only device."""
    made = mostly_readers(40)
    assert made.is_needed("p0", {"p0", "p1", "p10"})
    assert not made.is_needed("p10", {"p0", "p1", "p10"})
    assert not made.is_needed("p0", {"p0", "p1", "p2", "p10"})
    assert not made.is_needed("of an unknown address", {"p0"})


def test_rights_may_change() -> None:
    """The last event counts."""
    made = mostly_readers(40)
    made.know("p0", now=1.0, writes=False)
    assert not made.is_needed("p0", {"p0"})


def test_a_hub_is_dialed_first() -> None:
    """Also where all devices are dialed."""
    made = dialing(MESH)
    made.note_hub("p3", True)
    assert made.choose(set(), 0.0)[0] == "p3"
    made.note_hub("p3", False)
    assert not made.is_hub("p3")


def test_a_hub_is_dialed_whatever_else_is_connected_and_kept() -> None:
    """Its connection does not make room for another."""
    made, others = dialing(20), {f"p{number}" for number in range(VIEW)}
    assert made.choose(others, 0.0) == []
    made.note_hub("p9", True)
    assert made.choose(others, 0.0) == ["p9"]
    made.failed("p9", 0.0)
    assert made.next_due(others, 0.0) is not None
    assert made.is_needed("p9", {*others, "p9"})
    assert not made.is_needed("p0", {*others, "p9"})
    made.forget("p9")
    assert not made.is_hub("p9")


def test_more_hubs_than_two_get_no_connections_of_their_own() -> None:
    """A device is a hub by its own word only."""
    made, others = dialing(20), {f"p{number}" for number in range(VIEW)}
    for number in range(VIEW, VIEW + HUBS + 1):
        made.note_hub(f"p{number}", True)
    assert len(made.choose(others, 0.0)) == HUBS
