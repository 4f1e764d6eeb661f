"""Plain JSON and times."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

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
        datetime(2026, 1, 1),  # noqa: DTZ001 - what is refused
        datetime(2026, 1, 1, tzinfo=_Nowhere()),
        "2026-01-01",
        "yesterday",
        5,
        None,
        "1969-12-31T23:59:59Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-05:00",
    ],
)
def test_a_time_without_zone_or_out_of_range_is_refused(time: Any) -> None:
    """A guessed zone would be wrong on some device."""
    with pytest.raises(InputError):
        to_ms(time)


def _through_yjs(value: Json) -> Json:
    if isinstance(value, list):
        return [_through_yjs(item) for item in value]
    if isinstance(value, dict):
        return {key: _through_yjs(item) for key, item in value.items()}
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
