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
    """In its first ten characters, to the millisecond."""
    ulid = next_ulid(None, now, dice)
    assert is_ulid(ulid)
    assert ulid_time_ms(ulid) == now


@given(moments, moments, randoms, randoms)
def test_ulids_sort_by_time(early: int, late: int, one: bytes, two: bytes) -> None:
    """As text, whatever their random part."""
    if early < late:
        assert next_ulid(None, early, one) < next_ulid(None, late, two)


@given(st.integers(1, 1 << 45), st.lists(st.tuples(st.integers(-5, 5), randoms), min_size=2, max_size=20))
def test_ulids_ascend_also_when_the_clock_goes_back(start: int, steps: list[tuple[int, bytes]]) -> None:
    """Items added in a row sort in the order in which they were added."""
    ulids: list[str] = []
    for step, dice in steps:
        ulids.append(next_ulid(ulids[-1] if ulids else None, max(0, start + step), dice))
    assert ulids == sorted(set(ulids))


@given(st.integers(0, 1 << 45), st.integers(0, 1 << 45), randoms, randoms, randoms)
def test_two_that_go_on_from_the_same_ulid_take_others(
    last: int, now: int, dice: bytes, one: bytes, two: bytes
) -> None:
    """Also when both clocks are behind it: two devices edit what a third wrote, whose clock is days ahead."""
    assume(one[2:] != two[2:])
    previous = next_ulid(None, last, dice)
    taken = {next_ulid(previous, now, random) for random in (one, two)}
    assert len(taken) == 2
    assert previous < min(taken)


def test_at_the_end_of_time_a_ulid_is_still_one() -> None:
    """A hostile member may have written the last there is."""
    assert is_ulid(next_ulid("7" + 25 * "Z", 1_800_000_000_000, bytes(10)))


@pytest.mark.parametrize("text", ["", "x" * 26, "01jd8z6q4m0000000000000001", "81JD8Z6Q4M0000000000000001", 5, None])
def test_what_is_no_ulid(text: object) -> None:
    """Another length, lower case, a letter that the alphabet lacks, a time beyond 48 bits, no text."""
    assert not is_ulid(text)


def test_a_derived_id_depends_on_every_part() -> None:
    """And on where one part ends: two devices that import the same get the same id, of different things others."""
    ids = {derive(*parts)[0] for parts in (("a", "b", 0), ("a", "b", 1), ("ab", "", 0), ("a", "b"), ("b", "a", 0))}
    assert len(ids) == 5
    assert derive("personal", "global", "k", 0) == derive("personal", "global", "k", 0)


def test_a_derived_id_is_pinned() -> None:
    """It must never change: the same file imported with a newer version would come twice."""
    identity, salt = derive("personal", "global", "k", 0)
    assert identity == "333GC5KT1X3DDPX34NWSRM4M08"
    assert salt.hex() == "90ff431597693d1becf86baea89b0e8f"
