"""Times as people write them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from memcrdt.errors import InputError
from memcrdt.model.values import to_ms
from memcrdt.service.times import ago, parse_past

NOW = datetime(2026, 3, 31, 10, 30, tzinfo=UTC)  # two days after the clocks of Europe went forward


@pytest.fixture
def _berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if not hasattr(time, "tzset"):
        pytest.skip("this platform cannot change the time zone of a process")
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def parsed(text: str) -> datetime:
    return parse_past(text, to_ms(NOW), "after")


@pytest.mark.usefixtures("_berlin")
@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-11-01", "2026-11-01T00:00:00+01:00"),
        ("2026-11-01T09:30", "2026-11-01T09:30:00+01:00"),
        ("2026-06-01T09:30:00Z", "2026-06-01T11:30:00+02:00"),
        ("now", "2026-03-31T12:30:00+02:00"),
        ("today", "2026-03-31T00:00:00+02:00"),
        (" Yesterday ", "2026-03-30T00:00:00+02:00"),
        ("90s", "2026-03-31T12:28:30+02:00"),
        ("15m", "2026-03-31T12:15:00+02:00"),
        ("3h", "2026-03-31T09:30:00+02:00"),
        ("1d", "2026-03-30T12:30:00+02:00"),
        ("2w", "2026-03-17T12:30:00+01:00"),  # the same time of day, before the clocks changed
        ("2w ago", "2026-03-17T12:30:00+01:00"),
        ("25h", "2026-03-30T11:30:00+02:00"),
    ],
)
def test_a_time_is_understood_in_the_zone_of_this_machine(text: str, meant: str) -> None:
    """A date and a day are their start, an age goes back from now."""
    assert parsed(text).isoformat() == meant


@pytest.mark.parametrize("text", ["", "soon", "2x", "w", "-2w", "2026-13-01", "99999999w", "yesterday 10:00"])
def test_another_text_is_refused_with_the_forms(text: str) -> None:
    """The message names the option, the text, and what can be given."""
    with pytest.raises(InputError, match=r"after, .* is not a time; give a date such as 2026-11-01"):
        parsed(text)


@pytest.mark.parametrize("text", ["999999w", "3000w", "1969-12-31", "0001-01-01", "9999-12-31T23:59:59-12:00"])
def test_a_time_outside_of_the_calendar_is_refused(text: str) -> None:
    """Memories have times from 1970 to 9999."""
    with pytest.raises(InputError, match="after"):
        parsed(text)


@pytest.mark.parametrize(
    ("back", "words"),
    [
        ({"seconds": -5}, "just now"),
        ({"milliseconds": 900}, "just now"),
        ({"seconds": 59}, "59 s ago"),
        ({"seconds": 119}, "1 min ago"),
        ({"minutes": 59}, "59 min ago"),
        ({"hours": 23, "minutes": 59}, "23 h ago"),
        ({"days": 1, "hours": 13}, "2 days ago"),
        ({"days": 1}, "yesterday"),
        ({"days": 1_000}, "1,000 days ago"),
    ],
)
def test_an_age_is_told_in_words(back: dict[str, int], words: str) -> None:
    """The largest unit that fits. Days begin at midnight."""
    now = datetime(2026, 11, 1, 12, 0).astimezone()
    assert ago(now - timedelta(**back), now) == words
