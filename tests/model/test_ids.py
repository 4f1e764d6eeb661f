"""ULIDs: sorted by time, ascending within a process, and derived ones equal everywhere."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from memcrdt.model.ids import derive, is_ulid, next_ulid, ulid_time_ms

moments = st.integers(0, (1 << 48) - 1)
randoms = st.binary(min_size=10, max_size=10)


@given(moments, randoms)
def test_a_ulid_carries_its_time(now: int, dice: bytes) -> None:
    """ulid_time_ms() returns the time to the millisecond."""
    ulid = next_ulid(None, now, dice)
    assert is_ulid(ulid)
    assert ulid_time_ms(ulid) == now


@given(moments, moments, randoms, randoms)
def test_ulids_sort_by_time(early: int, late: int, one: bytes, two: bytes) -> None:
    """ULIDs sort as text, and the random part does not matter."""
    if early < late:
        assert next_ulid(None, early, one) < next_ulid(None, late, two)


@given(st.integers(1, 1 << 45), st.lists(st.tuples(st.integers(-5, 5), randoms), min_size=2, max_size=20))
def test_ulids_ascend_even_if_the_clock_goes_back(start: int, steps: list[tuple[int, bytes]]) -> None:
    """Items added in a row sort in the order in which they were added."""
    ulids: list[str] = []
    for step, dice in steps:
        ulids.append(next_ulid(ulids[-1] if ulids else None, max(0, start + step), dice))
    assert ulids == sorted(set(ulids))


@given(st.integers(0, 1 << 45), st.integers(0, 1 << 45), randoms, randoms, randoms)
def test_two_devices_that_continue_from_one_ulid_make_different_ones(
    last: int, now: int, dice: bytes, one: bytes, two: bytes
) -> None:
    """This holds even if both clocks are behind the ULID, because the clock of a third device is days ahead."""
    assume(one[2:] != two[2:])
    previous = next_ulid(None, last, dice)
    taken = {next_ulid(previous, now, random) for random in (one, two)}
    assert len(taken) == 2
    assert previous < min(taken)


def test_the_successor_of_the_last_ulid_is_valid() -> None:
    """A hostile member may have written the last possible ULID."""
    assert is_ulid(next_ulid("7" + 25 * "Z", 1_800_000_000_000, bytes(10)))


@pytest.mark.parametrize("text", ["", "x" * 26, "01jd8z6q4m0000000000000001", "81JD8Z6Q4M0000000000000001", 5, None])
def test_an_invalid_ulid_is_recognized(text: object) -> None:
    """The cases are a wrong length, lower case, a time beyond 48 bits, and values that are not text."""
    assert not is_ulid(text)


def test_a_derived_id_depends_on_every_part() -> None:
    """The boundaries between parts count, too. Equal parts give equal ids on all devices, different parts do not."""
    ids = {derive(*parts)[0] for parts in (("a", "b", 0), ("a", "b", 1), ("ab", "", 0), ("a", "b"), ("b", "a", 0))}
    assert len(ids) == 5
    assert derive("personal", "global", "k", 0) == derive("personal", "global", "k", 0)


def test_a_derived_id_is_pinned() -> None:
    """It must never change: otherwise a newer version would import the same file a second time."""
    identity, salt = derive("personal", "global", "k", 0)
    assert identity == "333GC5KT1X3DDPX34NWSRM4M08"
    assert salt.hex() == "90ff431597693d1becf86baea89b0e8f"
