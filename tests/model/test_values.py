"""Plain JSON and times."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcrdt.errors import InputError
from memcrdt.model import limits
from memcrdt.model.values import Json, canonical, check_json, from_ms, restored, to_ms


class _Nowhere(tzinfo):
    """A time zone without an offset from UTC."""

    def utcoffset(self, _: datetime | None) -> None:
        return None


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.integers(-limits.INTEGER_MAX, limits.INTEGER_MAX) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)


@given(values)
def test_checked_json_comes_back_from_floats(value: Json) -> None:
    """Yjs turns integers into floats. restored() turns them back into the checked value."""
    checked = check_json(value, "it")
    assert restored(_through_yjs(checked)) == checked
    assert canonical(restored(_through_yjs(checked))) == canonical(checked)


@given(values)
def test_canonical_json_is_json_with_one_form(value: Any) -> None:
    """Equal values have equal texts, for every order of keys."""
    checked = check_json(value, "it")
    assert json.loads(canonical(checked)) == checked
    if isinstance(checked, dict):
        assert canonical(dict(reversed(checked.items()))) == canonical(checked)


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, limits.INTEGER_MAX + 1, {1: "a"}, {"a": {2}}, b"bytes", "\ud800", {"\ud800": 1}, object()],
)
def test_values_that_are_not_json_are_refused(value: object) -> None:
    """check_json() raises InputError for each of them."""
    with pytest.raises(InputError):
        check_json(value, "it")


def test_depth_has_a_limit() -> None:
    """Deep nesting would crash other readers."""
    value: Json = 1
    for _ in range(limits.METADATA_DEPTH):
        value = [value]
    check_json(value, "it")
    with pytest.raises(InputError, match="nested"):
        check_json([value], "it")


@given(st.integers(0, limits.TIME_MAX_MS))
def test_milliseconds_survive_a_datetime(ms: int) -> None:
    """The conversion is exact over the whole range."""
    assert to_ms(from_ms(ms)) == ms
    assert to_ms(from_ms(ms).isoformat()) == ms


def test_a_time_is_rounded_down_to_a_millisecond() -> None:
    """The clock of a store does the same. So the last instant of the year 9999 is valid, and floats lose nothing."""
    assert to_ms("9999-12-31T23:59:59.999999Z") == limits.TIME_MAX_MS
    assert to_ms("2026-11-22T11:00:00.000999Z") == to_ms("2026-11-22T11:00:00Z")
    with pytest.raises(InputError, match="not between 1970 and 9999"):
        to_ms("1969-12-31T23:59:59.999999Z")


def test_times_of_any_zone_are_accepted() -> None:
    """An aware datetime and an ISO 8601 text give the same time."""
    noon = datetime(2026, 11, 22, 12, tzinfo=timezone(timedelta(hours=1)))
    assert to_ms(noon) == to_ms("2026-11-22T12:00:00+01:00") == to_ms("2026-11-22T11:00:00Z")
    assert from_ms(to_ms(noon)).tzinfo is UTC


@pytest.mark.parametrize(
    "time",
    [
        "0001-01-01",
        date(1, 1, 1),
        datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-5))),
        "yesterday",
        5,
        None,
        "1969-12-31T23:59:59Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-05:00",
    ],
)
def test_a_time_that_is_none_or_out_of_range_is_refused(time: Any) -> None:
    """Also at the edges of the calendar, where local time has no UTC."""
    with pytest.raises(InputError):
        to_ms(time)


def _through_yjs(value: Json) -> Json:
    if isinstance(value, list):
        return [_through_yjs(item) for item in value]
    if isinstance(value, dict):
        return {key: _through_yjs(item) for key, item in value.items()}
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def test_a_time_without_a_zone_is_local() -> None:
    """In every form, and a date is the start of its day."""
    naive = datetime(2026, 11, 22, 9, 30)  # noqa: DTZ001 - what is tested
    for moment in (naive, naive.replace(tzinfo=_Nowhere()), "2026-11-22T09:30", "2026-11-22 09:30"):
        assert to_ms(moment) == to_ms(naive.astimezone())
    midnight = naive.replace(hour=0, minute=0).astimezone()
    for day in (date(2026, 11, 22), "2026-11-22", "20261122"):
        assert to_ms(day) == to_ms(midnight)


class _Scalar:
    """Looks like a scalar of numpy."""

    shape = ()

    def __init__(self, value: object) -> None:
        self.value = value

    def item(self) -> object:
        return self.value


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (date(2026, 11, 22), "2026-11-22"),
        (datetime(2026, 11, 22, 9, 30, tzinfo=UTC), "2026-11-22T09:30:00+00:00"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (_Scalar(5), 5),
        (_Scalar(True), True),
        ([_Scalar(2.5)], [2.5]),
        (np.float32(0.5), 0.5),
        (np.int64(7), 7),
    ],
)
def test_common_scalars_become_json(value: object, wanted: Json) -> None:
    """Dates and UUIDs become text, and scalars of numpy become numbers."""
    assert check_json(value, "it") == wanted
