"""When the clock of a device is doubted, and when it is trusted again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memcrdt.memory.memory import Memory
from memcrdt.store import clock, meta
from memcrdt.store.clock import AGREES_MS, JUMP_MS, STEADY_MS, ClockNote

DAY = 86_400_000
NOW = 1_800_000_000_000


@pytest.mark.parametrize("days", [-14, -1, 0, 1, 14])
def test_a_clock_that_moved_little_is_trusted(days: int) -> None:
    """A pause of two weeks is a holiday."""
    assert ClockNote(NOW).moved_to(NOW + days * DAY) == ClockNote(NOW + days * DAY)


@pytest.mark.parametrize("days", [-400, -15, 15, 100, 36_500])
def test_a_clock_that_jumped_is_doubted_until_it_is_back(days: int) -> None:
    """In both directions. The time before the jump is kept, so that a corrected clock ends the doubt at once."""
    doubted = ClockNote(NOW).moved_to(NOW + days * DAY)
    assert doubted == ClockNote(NOW + days * DAY, before=NOW)
    assert doubted.moved_to(NOW + 3_600_000) == ClockNote(NOW + 3_600_000)


def test_a_week_of_use_ends_the_doubt() -> None:
    """Only time that was seen to pass counts: a day at most between two notes."""
    note, now = ClockNote(NOW).moved_to(NOW + 100 * DAY), NOW + 100 * DAY
    for _ in range(STEADY_MS // DAY - 1):
        now += 10 * DAY
        note = note.moved_to(now)
        assert note.is_doubted
    assert not note.moved_to(now + DAY).is_doubted


def test_another_jump_begins_the_week_again() -> None:
    """Otherwise two jumps in a row would confirm each other."""
    note, now = ClockNote(NOW).moved_to(NOW + 100 * DAY), NOW + 100 * DAY
    for _ in range(6):
        now += DAY
        note = note.moved_to(now)
    again = note.moved_to(now + 100 * DAY)
    assert again == ClockNote(now + 100 * DAY, before=NOW)


def test_time_that_passes_in_doubt_counts_for_the_return() -> None:
    """A clock that is set right after five days of use is five days after the time before the jump."""
    note, now = ClockNote(NOW).moved_to(NOW + 100 * DAY), NOW + 100 * DAY
    for _ in range(5):
        now += DAY
        note = note.moved_to(now)
    back = NOW + JUMP_MS + 5 * DAY
    assert note.moved_to(back) == ClockNote(back)


@pytest.mark.parametrize("skew", [-AGREES_MS, 0, AGREES_MS])
def test_another_device_confirms_a_clock(skew: int) -> None:
    """Within an hour."""
    assert ClockNote(NOW, before=NOW - 100 * DAY).compared(NOW, skew) == ClockNote(NOW)


def test_devices_that_jumped_together_do_not_confirm_each_other() -> None:
    """As with a wrong time server. A device shows no clock that it doubts, also before it has noted the jump."""
    here, now = ClockNote(NOW), NOW + 100 * DAY
    assert clock.shown(here, NOW + DAY) == NOW + DAY
    assert clock.shown(here, now) is None
    there = here.moved_to(now).compared(now, None)
    assert there.is_doubted
    assert clock.shown(there, now) is None
    assert here.compared(now, None).is_doubted


def test_a_clock_far_ahead_of_another_devices_is_doubted() -> None:
    """Also without a jump, as on a device whose clock was always wrong."""
    assert ClockNote(NOW).compared(NOW, -100 * DAY) == ClockNote(NOW, before=NOW - 100 * DAY)


def test_a_clock_behind_another_devices_is_not_doubted() -> None:
    """It forgets too late, which harms nobody. It does not confirm a doubted clock either."""
    assert not ClockNote(NOW).compared(NOW, 100 * DAY).is_doubted
    assert ClockNote(NOW, before=NOW - 100 * DAY).compared(NOW, 100 * DAY).is_doubted


@pytest.mark.parametrize("note", ["[]", "[1, 2]", '["x", null, 0]', "[1, null, -1]", "[" * 100_000, "5", "x"])
def test_a_damaged_note_is_none(open_memory: Callable[..., Memory], note: str) -> None:
    """The file may come from elsewhere. The time of the last commit takes its place."""
    memory = open_memory()
    memory.add("fact")
    with memory.store.writing() as db:
        meta.write(db, "clock", note)
        assert not clock.is_noted(db)
        assert not clock.read(db).is_doubted
        assert clock.read(db).seen > NOW
    assert memory.forget_expired() == 0
