"""Alarms: messages about the store that stay in `status` until their cause ends, or the user acknowledges them.

There are two kinds. An event, such as a restored backup, is raised and kept here. A state, such as a revocation, is
derived from the store each time it is asked for, so its alarm ends with it. An acknowledged alarm is hidden as long as
its cause is the same. The id of an alarm names the cause and its beginning. So a cause that ends and comes back makes
another alarm.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import apsw

from memcrdt.model.serialization import Record, UtcTime
from memcrdt.model.values import from_ms
from memcrdt.store import meta

KEPT: Final = 16  # raised alarms
_RAISED: Final = "alarms"
_ACKNOWLEDGED: Final = "acknowledged"
_ID_BYTES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreAlarm(Record):
    """A message about the store that stays in `status`.

    Attributes:
        at: The time of the event, or since when the state has lasted.
        text: The message.
        id: Names the cause. A cause that comes back has another id.
    """

    at: UtcTime
    text: str
    id: str


def alarm(at_ms: int, text: str, *cause: object) -> StoreAlarm:
    """Return an alarm.

    Args:
        at_ms: The time of the event, or the beginning of the state, in ms.
        text: The message.
        cause: What the alarm is about, as JSON values: equal as long as the cause is the same. Default: time and text.
    """
    import hashlib  # takes 5 ms to load, and a store rarely has an alarm

    named = json.dumps(cause or (at_ms, text))
    return StoreAlarm(
        at=from_ms(at_ms), text=text, id=hashlib.blake2b(named.encode(), digest_size=_ID_BYTES).hexdigest()
    )


def raised(db: apsw.Connection) -> list[StoreAlarm]:
    """Return the raised alarms, oldest first."""
    return [alarm(at, text) for at, text in _rows(db)]


def raise_alarm(db: apsw.Connection, at_ms: int, text: str) -> None:
    """Keep an alarm about an event. If the same happened before, this one takes its place, and is shown again.

    Beyond the limit, the oldest alarm is dropped.
    """
    others = [row for row in _rows(db) if row[1] != text]
    meta.write(db, _RAISED, json.dumps([*others, (at_ms, text)][-KEPT:]))


def raise_alarm_once(db: apsw.Connection, at_ms: int, text: str) -> None:
    """Keep an alarm about a state that is found again and again, unless it is kept already."""
    if all(text != known for _, known in _rows(db)):
        raise_alarm(db, at_ms, text)


def end_alarms(db: apsw.Connection, texts: Iterable[str]) -> None:
    """Drop raised alarms, because their cause has ended."""
    ended, rows = set(texts), _rows(db)
    if len(left := [row for row in rows if row[1] not in ended]) < len(rows):
        meta.write(db, _RAISED, json.dumps(left))


def acknowledged(db: apsw.Connection) -> frozenset[str]:
    """Return the ids of the acknowledged alarms."""
    return frozenset(json.loads(str(meta.read(db, _ACKNOWLEDGED) or "[]")))


def acknowledge(db: apsw.Connection, ids: Iterable[str]) -> None:
    """Make these the ids of the acknowledged alarms."""
    meta.write(db, _ACKNOWLEDGED, json.dumps(sorted(ids)))


def _rows(db: apsw.Connection) -> list[tuple[int, str]]:
    return [(at, text) for at, text in json.loads(str(meta.read(db, _RAISED) or "[]"))]
