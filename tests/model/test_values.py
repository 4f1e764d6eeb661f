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
    """A time zone that doesn't know how far it is from UTC."""

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
    """Yjs makes floats of integers: restored, the value is what was checked."""
    checked = check_json(value, "it")
    assert restored(_through_yjs(checked)) == checked
    assert canonical(restored(_through_yjs(checked))) == canonical(checked)


@given(values)
def test_canonical_json_is_json_with_one_form(value: Any) -> None:
    """Equal values, equal text, whatever the order of keys."""
    checked = check_json(value, "it")
    assert json.loads(canonical(checked)) == checked
    if isinstance(checked, dict):
        assert canonical(dict(reversed(checked.items()))) == canonical(checked)


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, limits.INTEGER_MAX + 1, {1: "a"}, {"a": {2}}, b"bytes", "\ud800", {"\ud800": 1}, object()],
)
def test_what_is_no_json_is_refused(value: object) -> None:
    """With what it is and what to use."""
    with pytest.raises(InputError):
        check_json(value, "it")


def test_depth_has_a_limit() -> None:
    """Deep nesting crashes other readers."""
    value: Json = 1
    for _ in range(limits.METADATA_DEPTH):
        value = [value]
    check_json(value, "it")
    with pytest.raises(InputError, match="nested"):
        check_json([value], "it")


@given(st.integers(0, limits.TIME_MAX_MS))
def test_milliseconds_survive_a_datetime(ms: int) -> None:
    """Exactly, over the whole range."""
    assert to_ms(from_ms(ms)) == ms
    assert to_ms(from_ms(ms).isoformat()) == ms


def test_a_time_is_taken_to_the_whole_millisecond_before() -> None:
    """As the clock of a store counts, so that the last of the year 9999 is one; nothing is lost in floats."""
    assert to_ms("9999-12-31T23:59:59.999999Z") == limits.TIME_MAX_MS
    assert to_ms("2026-11-22T11:00:00.000999Z") == to_ms("2026-11-22T11:00:00Z")
    with pytest.raises(InputError, match="not between 1970 and 9999"):
        to_ms("1969-12-31T23:59:59.999999Z")


def test_times_of_any_zone_are_taken() -> None:
    """An aware datetime and ISO 8601 mean the same moment."""
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
    """A guess at the zone would be wrong on some device."""
    with pytest.raises(InputError):
        to_ms(time)


def _through_yjs(value: Json) -> Json:
    if isinstance(value, list):
        return [_through_yjs(item) for item in value]
    if isinstance(value, dict):
        return {key: _through_yjs(item) for key, item in value.items()}
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
