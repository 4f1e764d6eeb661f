"""Times that a query mentions."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from memcrdt.search.query.dates import find_time_mention

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)  # a Sunday


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("query", "fits", "fits_not"),
    [
        ("what did we do in May 2023?", "2023-05-20", "2023-06-01"),
        ("the talk on 7 May", "2024-05-07", "2024-06-07"),
        ("the talk on May 7th, 2023", "2023-05-07", "2022-05-07"),
        ("what happened last May?", "2026-05-02", "2025-05-02"),
        ("what happened last december?", "2025-12-24", "2026-12-24"),
        ("notes of 2023-05-08", "2023-05-08", "2023-04-08"),
        ("what was decided in 2024?", "2024-02-01", "2025-02-01"),
        ("what did I do yesterday?", "2026-11-21", "2026-11-18"),
        ("three weeks ago", "2026-11-01", "2026-11-20"),
        ("what was agreed last week?", "2026-11-11", "2026-11-20"),
        ("what was agreed this week?", "2026-11-20", "2026-11-11"),
        ("the call last month", "2026-10-15", "2026-11-15"),
        ("the call last year", "2025-03-01", "2026-03-01"),
        ("what came last Friday?", "2026-11-20", "2026-11-13"),
    ],
)
def test_a_named_time_fits_memories_of_that_time(query: str, fits: str, fits_not: str) -> None:
    """A time within the period that the query names fits, and a time outside does not."""
    when = find_time_mention(query, int(NOW.timestamp() * 1000))
    assert when is not None
    assert when.match(ms(fits)) > 0
    assert when.match(ms(fits_not)) == 0


def test_the_exact_day_fits_better_than_its_month() -> None:
    """If the query names a day, a memory of that day gets more than a memory of that month."""
    when = find_time_mention("on 7 May 2023", 0)
    assert when is not None
    assert when.match(ms("2023-05-07")) > when.match(ms("2023-05-20")) > 0


@pytest.mark.parametrize(
    "query", ["may I ask?", "how long did they march?", "what is port 5432?", "", "99 days", "agony"]
)
def test_words_that_only_look_like_times_are_ignored(query: str) -> None:
    """Verbs, plain numbers and counts are not times."""
    assert find_time_mention(query, 0) is None


def test_impossible_dates_raise_nothing() -> None:
    """An impossible date fits nothing, and times at the limits of the calendar are not an error."""
    when = find_time_mention("on 2023-13-45", 0)
    assert when is not None
    assert when.match(ms("2023-05-07")) == 0
    end = ms("9999-12-31")
    today = find_time_mention("today", end)
    assert today is not None
    assert today.match(end) > 0
    assert find_time_mention("999 years ago", 0) is not None
