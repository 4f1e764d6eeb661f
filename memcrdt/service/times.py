"""Times as people write them: `2026-11-01`, `yesterday` or `2w`, in the time zone of this machine."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

from memcrdt.errors import InputError
from memcrdt.model.values import from_ms, to_ms

TIME_FILTERS: Final = ("after", "before", "updated_after", "updated_before", "as_of")  # the filters that take a time

FORMS: Final = "a date such as 2026-11-01, a time such as 2026-11-01T09:30, yesterday, or an age such as 12h or 2w"
_AGE: Final = re.compile(r"(\d{1,6})\s*([a-z]+)(?:\s+ago)?")
_UNITS: Final = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_DAYS: Final = {"today": 0, "yesterday": 1}


def parse_past(text: str, now_ms: int, what: str) -> datetime:
    """Return the time that a person means, in the time zone of this machine.

    Args:
        text: An ISO 8601 date (its start) or time, `now`, `today` or `yesterday` (the start of the day), or an age: a
            number with s, m, h, d or w. Days and weeks go back to the same time of day, also over a change of the
            clocks.
        now_ms: The present time in ms since 1970.
        what: The name of the time in messages.

    Raises:
        InputError: The text is no such time, or not between 1970 and 9999.

    Example:
        >>> parse_past("2026-11-01", 1_795_000_000_000, "--after").isoformat()
        '2026-11-01T00:00:00+01:00'
    """
    try:
        moment = _moment(text.strip(), from_ms(now_ms))
    except ValueError as exc:
        raise InputError(f"{what}, {text[:40]!r}, is not a time; give {FORMS}") from exc
    except OverflowError as exc:
        raise InputError(f"{what}, {text[:40]!r}, is too long ago; give {FORMS}") from exc
    return _local(from_ms(to_ms(moment, what)))


def _moment(text: str, now: datetime) -> datetime:
    """Return a datetime, naive in local time. Raises ValueError, OverflowError."""
    word = text.lower()
    here = _local(now).replace(tzinfo=None)
    if word == "now":
        return now
    if word in _DAYS:
        return here.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=_DAYS[word])
    if (age := _AGE.fullmatch(word)) and age[2] in _UNITS:
        back = int(age[1]) * _UNITS[age[2]]
        return now - back if back.seconds else here - back  # whole days go back to the same time of day
    return datetime.fromisoformat(text)


def _local(moment: datetime) -> datetime:
    """Return an aware time in the time zone of this machine, or unchanged where the calendar has no local time."""
    try:
        return moment.astimezone()
    except (OverflowError, ValueError, OSError):
        return moment


def ago(moment: datetime, now: datetime) -> str:
    """Return how long ago a time was, in words: `just now`, `12 s ago`, `3 h ago`, `yesterday`, `5 days ago`.

    A time that is still to come, by a clock that was ahead, is `just now`. Days are those of this machine's time zone.

    Example:
        >>> ago(datetime(2026, 11, 1, 9, 30, tzinfo=UTC), datetime(2026, 11, 1, 12, 40, tzinfo=UTC))
        '3 h ago'
    """
    seconds = int((now - moment).total_seconds())
    if seconds < 1:
        return "just now"
    for most, size, unit in ((60, 1, "s"), (3_600, 60, "min"), (86_400, 3_600, "h")):
        if seconds < most:
            return f"{seconds // size} {unit} ago"
    days = (_local(now).date() - _local(moment).date()).days
    return "yesterday" if days <= 1 else f"{days:,} days ago"
