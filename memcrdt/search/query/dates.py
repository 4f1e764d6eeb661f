"""Times that an English query mentions, for comparison with the time at which a memory was made.

Forms such as "in May 2023", "on 7 May", "2023-05-08", "last week", "yesterday" and "three days ago" are understood. A
month without a year means that month of any year. Days are UTC days. Periods are widened by a day to cover all time
zones.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple

_MONTHS: Final = {
    name: number
    for number, names in enumerate(
        (
            "january jan", "february feb", "march mar", "april apr", "may", "june jun", "july jul", "august aug",
            "september sept sep", "october oct", "november nov", "december dec",
        ),
        start=1,
    )
    for name in names.split()
}  # fmt: skip
_NUMBERS: Final = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7}
_DAYS_OF: Final = {"day": 1, "week": 7, "month": 30, "year": 365}
_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_ISO = re.compile(r"\b(\d{4})-(\d\d)-(\d\d)\b")
# "may" and "march" are verbs too, so a month needs a capital letter, a day, a year, or a word that introduces times.
_MONTH = re.compile(
    r"(?:\b(?P<lead>in|on|of|since|during|last|this|by|around|until)\s+)?"
    r"(?:\b(?P<day1>\d{1,2})(?:st|nd|rd|th)?\s+(?:of\s+)?)?"
    rf"\b(?P<month>{'|'.join(_MONTHS)})\b\.?"
    r"(?:\s+(?P<day2>\d{1,2})(?:st|nd|rd|th)?\b(?!\d))?(?:,?\s+(?:of\s+)?(?P<year>\d{4})\b)?",
    re.IGNORECASE,
)
_YEAR = re.compile(r"\b(?:in|of|since|during|year)\s+((?:19|20)\d\d)\b", re.IGNORECASE)
_AGO = re.compile(rf"\b(\d{{1,3}}|{'|'.join(_NUMBERS)})\s+(day|week|month|year)s?\s+ago\b", re.IGNORECASE)
_LAST = re.compile(rf"\b(last|this|past)\s+(week|month|year|{'|'.join(_WEEKDAYS)})\b", re.IGNORECASE)
_DAY = re.compile(r"\b(today|yesterday|last night|this morning)\b", re.IGNORECASE)


class TimeMention(NamedTuple):
    """A time that a query mentions. Every given part must match. `first` and `last` bound a period, both included."""

    year: int | None = None
    month: int | None = None
    day: int | None = None
    first: date | None = None
    last: date | None = None

    def match(self, at: int) -> float:
        """Return how well a time (ms) fits: 0 if it does not, 1 for the month, year or period, 1.7 for the day."""
        moment = datetime.fromtimestamp(at / 1000, UTC)
        if self.first is not None and self.last is not None:
            inside = (self.first - moment.date()).days <= 1 and (moment.date() - self.last).days <= 1
            return (1.7 if self.last - self.first <= timedelta(days=1) else 1.0) if inside else 0.0
        if self.year not in (None, moment.year) or self.month not in (None, moment.month):
            return 0.0
        return 1.7 if self.day == moment.day else 1.0


def find_time_mention(query: str, now: int) -> TimeMention | None:
    """Return the time that `query`, asked at `now` (ms), mentions; None if it mentions no time."""
    today = datetime.fromtimestamp(now / 1000, UTC).date()
    return _calendar(query, today) or _relative(query, today)


def _calendar(query: str, today: date) -> TimeMention | None:
    if found := _ISO.search(query):
        return TimeMention(int(found[1]), int(found[2]), int(found[3]))
    for found in _MONTH.finditer(query):
        named = found["lead"] or found["day1"] or found["day2"] or found["year"] or found["month"][0].isupper()
        if not named:
            continue
        day, month = found["day1"] or found["day2"], _MONTHS[found["month"].lower()]
        year = int(found["year"]) if found["year"] else None
        if year is None and (found["lead"] or "").lower() == "last":
            year = today.year - (month >= today.month)
        return TimeMention(year, month, int(day) if day else None)
    if found := _YEAR.search(query):
        return TimeMention(int(found[1]))
    return None


def _relative(query: str, today: date) -> TimeMention | None:
    if found := _DAY.search(query):
        back = found[1].lower() in ("yesterday", "last night")
        day = today - timedelta(days=back)
        return TimeMention(first=day, last=day)
    if found := _AGO.search(query):
        count = _NUMBERS.get(found[1].lower()) or int(found[1])
        unit = _DAYS_OF[found[2].lower()]
        middle = today - timedelta(days=count * unit)
        return TimeMention(first=middle - timedelta(days=unit // 2), last=middle + timedelta(days=unit // 2))
    if found := _LAST.search(query):
        return _last(found[2].lower(), today, this=found[1].lower() == "this")
    return None


def _last(unit: str, today: date, *, this: bool) -> TimeMention:
    if unit in _WEEKDAYS:
        back = (today.weekday() - _WEEKDAYS.index(unit)) % 7
        day = today - timedelta(days=back if this else back or 7)
        return TimeMention(first=day, last=day)
    if unit == "year":
        return TimeMention(year=today.year - (not this))
    if unit == "month":
        end = today if this else today.replace(day=1) - timedelta(days=1)
        return TimeMention(first=end.replace(day=1), last=end)
    monday = today - timedelta(days=today.weekday())
    return TimeMention(first=monday, last=today) if this else TimeMention(first=monday - timedelta(days=7), last=monday)
