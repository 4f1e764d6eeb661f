"""The lines about other devices: one for each change, true at the end, and not too many."""

from __future__ import annotations

import pytest

from memcrdt.node.peer_lines import LINES, LOST_S, STILL_S, WINDOW_S, PeerLines

A, B = "A" * 52, "B" * 52


@pytest.fixture(name="lines")
def _lines() -> PeerLines:
    return PeerLines({A: "laptop-a", B: "desktop"}.__getitem__)


def test_a_device_is_waited_for_connected_up_to_date_and_lost(lines: PeerLines) -> None:
    """Each change is one line."""
    lines.accepted(A)
    lines.accepted(B)
    assert lines.take(0) == ["waiting for laptop-a", "waiting for desktop"]
    lines.connected(A, "mdns")
    lines.connected(B, "address")
    assert lines.take(1) == ["connected to laptop-a (mDNS)", "connected to desktop"]
    lines.shares(A, ["one", "two"])
    lines.agreed(A, "one")
    assert lines.take(2) == []
    lines.agreed(A, "two")
    assert lines.take(3) == ["laptop-a is up to date"]
    lines.disconnected(A, 4)
    assert (lines.take(4), lines.held_s(5)) == ([], LOST_S - 1)
    assert lines.take(4 + LOST_S) == ["lost laptop-a, trying again"]
    lines.connected(A, None)
    lines.shares(A, ["one", "two"])
    lines.agreed(A, "one")
    assert lines.take(9) == ["connected to laptop-a"]  # what was equal before counts no more


def test_a_session_that_ends_to_begin_anew_is_no_news(lines: PeerLines) -> None:
    """As when two spaces become one. What follows is said once."""
    lines.accepted(A)
    lines.connected(A, "mdns")
    assert lines.take(0) == ["connected to laptop-a (mDNS)"]
    for now in (1, 2):
        lines.disconnected(A, now)
        lines.connected(A, "mdns")
        assert (lines.take(now), lines.held_s(now)) == ([], None)
    lines.shares(A, ["one"])
    lines.agreed(A, "one")
    assert lines.take(3) == ["laptop-a is up to date"]


def test_what_changes_nothing_is_no_line(lines: PeerLines) -> None:
    """A failed dial, a second connection, another comparison, a greeting about the same spaces."""
    lines.accepted(A)
    lines.take(0)
    lines.unreachable(A, 1)
    assert lines.take(1) == []
    lines.connected(A, "tailscale")
    lines.shares(A, ["one"])
    lines.agreed(A, "one")
    assert lines.take(2) == ["laptop-a is up to date"]
    lines.connected(A, None)
    lines.shares(A, ["one"])
    lines.agreed(A, "one")
    lines.unreachable(A, 100)
    assert (lines.take(100), lines.held_s(100)) == ([], None)


def test_a_space_that_is_shared_later_is_compared_first(lines: PeerLines) -> None:
    """Until then, the device is not up to date again. Devices that share nothing yet are not up to date either."""
    lines.accepted(A)
    lines.connected(A, None)
    lines.shares(A, [])
    assert lines.take(0) == ["connected to laptop-a"]
    lines.shares(A, ["one"])
    lines.agreed(A, "one")
    assert lines.take(1) == ["laptop-a is up to date"]
    lines.shares(A, ["one", "two"])
    lines.agreed(A, "one")
    assert lines.take(2) == []


def test_a_device_that_stays_away_has_one_more_line(lines: PeerLines) -> None:
    """It says where the reason is."""
    lines.accepted(A)
    lines.take(0)
    said = []
    for now in (1, 1 + STILL_S, 10 * STILL_S):
        lines.unreachable(A, now)
        said += lines.take(now)
    assert said == ["still waiting for laptop-a; does memcrdt serve there? `memcrdt peers` shows the last error"]


def test_a_device_that_comes_and_goes_has_few_lines_and_a_true_last_one(lines: PeerLines) -> None:
    """What is held back is said later if it still holds. Other devices are not affected."""
    said: list[str] = []
    lines.accepted(A)
    for now in range(0, 56, 4):
        lines.connected(A, None)
        said += lines.take(now)
        lines.disconnected(A, now)
        said += lines.take(now + LOST_S)
    assert (len(said), said[-1]) == (LINES, "lost laptop-a, trying again")
    lines.connected(A, None)
    lines.accepted(B)
    assert lines.take(56) == ["waiting for desktop"]
    assert lines.held_s(56) == WINDOW_S - 56
    assert lines.take(WINDOW_S) == ["connected to laptop-a"]


def test_a_device_that_is_no_longer_accepted_is_not_lost(lines: PeerLines) -> None:
    """Its connection ends because of that. A device that was never accepted is not mentioned."""
    lines.accepted(A)
    lines.connected(A, None)
    lines.take(0)
    lines.removed(A)
    for device in (A, B):
        lines.disconnected(device, 0)
        lines.removed(device)
    lines.unreachable(A, 1)
    lines.connected(B, None)
    assert lines.take(1) == ["laptop-a is no longer accepted"]
    lines.accepted(A)
    assert lines.take(2) == ["waiting for laptop-a"]
