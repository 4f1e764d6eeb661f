"""Whether to trust this device's clock for work that cannot be undone.

Forgetting expired memories is permanent and reaches every device, and a clock can be years off: an empty battery, a
wrong NTP server, a mistyped year. So the store notes the time at which it was last used. A clock that moved by over 14
days since then is doubted, and so is one that is over 14 days ahead of another device's clock. The doubt ends when

- the clock is back where it was expected,
- the clock of another device, which does not doubt it itself, agrees within an hour,
- the clock has run on for 7 days without another jump, or
- the user confirms it.

While a device doubts its clock, it shows none to others: two devices that a wrong time server has set do not confirm
each other. Smaller jumps are not noticed. With `forget_expired_days` at 14 or more, they only touch memories that have
expired.
"""

from __future__ import annotations

import json
from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING, Final

from memcrdt.model.predicates import is_time
from memcrdt.store import meta
from memcrdt.store.sql import SqlConnection

if TYPE_CHECKING:
    from memcrdt.store.base import BaseStore

NOTE_INTERVAL_MS: Final = 3_600_000  # between two notes of the time; each is a write
_DAY_MS: Final = 86_400_000
JUMP_MS: Final = 14 * _DAY_MS  # below the 30 days of `forget_expired_days`, above a holiday of two weeks
STEADY_MS: Final = 7 * _DAY_MS  # how long a clock has to run on after a jump
AGREES_MS: Final = 3_600_000  # between two clocks
_KEY: Final = "clock"


@dataclass(frozen=True, slots=True)
class ClockNote:
    """The times that a store has seen. All are in ms.

    Attributes:
        seen: The time of the last note.
        before: The time before the jump that is in doubt, or None without doubt.
        steady: How long the clock has run on since the jump. A step between two notes counts for a day at most.
    """

    seen: int
    before: int | None = None
    steady: int = 0

    @property
    def is_doubted(self) -> bool:
        return self.before is not None

    def moved_to(self, now: int) -> ClockNote:
        """Return the note after the clock was read again."""
        step = now - self.seen
        is_jump = abs(step) > JUMP_MS
        if self.before is None:
            return ClockNote(now, self.seen if is_jump else None)
        if -JUMP_MS <= now - self.before <= JUMP_MS + self.steady:
            return ClockNote(now)
        if is_jump:
            return ClockNote(now, self.before)
        steady = self.steady + min(max(step, 0), _DAY_MS)
        return ClockNote(now) if steady >= STEADY_MS else replace(self, seen=now, steady=steady)

    def compared(self, now: int, skew: int | None) -> ClockNote:
        """Return the note after another device has shown its clock, which is `skew` ahead of ours, or none."""
        if skew is None:
            return self.moved_to(now)
        if abs(skew) <= AGREES_MS:
            return ClockNote(now)
        return ClockNote(now, now + skew) if skew < -JUMP_MS else self.moved_to(now)


def read(db: SqlConnection) -> ClockNote:
    """Return the last note. A store without one has the time of its last commit, or else of its creation."""
    return _noted(db) or ClockNote(int(db.execute(_LAST_USE).get))


def shown(note: ClockNote, now: int) -> int | None:
    """Return the time to show to other devices, or None while our clock is doubted.

    Args:
        note: The last note.
        now: The time in ms.
    """
    return None if note.moved_to(now).is_doubted else now


def note_time(store: BaseStore[SqlConnection], *, confirm: bool = False) -> ClockNote:
    """Note the time of the store's clock, at most once an hour, and return the note.

    Args:
        store: The store.
        confirm: Whether the user has confirmed that the clock is right.
    """
    now = store.now_ms()
    with store.reading() as db:
        note, is_known = read(db), is_noted(db)
    if is_known and not confirm and 0 <= now - note.seen < NOTE_INTERVAL_MS:
        return note
    with store.writing() as db:
        note = ClockNote(now) if confirm else read(db).moved_to(now)
        write(db, note)
    return note


def is_noted(db: SqlConnection) -> bool:
    """Return whether the store has a note."""
    return _noted(db) is not None


def write(db: SqlConnection, note: ClockNote) -> None:
    """Keep a note."""
    meta.write(db, _KEY, json.dumps(astuple(note)))


def _noted(db: SqlConnection) -> ClockNote | None:
    """Return the note in the file, which may be damaged or come from elsewhere, or None."""
    try:
        seen, before, steady = json.loads(str(meta.read(db, _KEY)))
    except (ValueError, TypeError, RecursionError):
        return None
    is_valid = is_time(seen) and is_time(steady) and (before is None or is_time(before))
    return ClockNote(seen, before, steady) if is_valid else None


def compare(db: SqlConnection, now: int, skew: int | None) -> None:
    """Note that another device has shown its clock, which is `skew` ms ahead of ours. None: it doubts its clock."""
    write(db, read(db).compared(now, skew))


_LAST_USE: Final = """
SELECT coalesce((SELECT at FROM updates ORDER BY seq DESC LIMIT 1), (SELECT max(created_at) FROM spaces))"""
