"""Alarms: messages about the store that stay in `status` until their cause ends, or the user acknowledges them.

There are two kinds. An event, such as a restored backup, is raised and kept here. A state, such as a revocation, is
derived from the store each time it is asked for, so its alarm ends with it. An acknowledged alarm is hidden as long as
its cause is the same. The id of an alarm names the cause and its beginning. So a cause that ends and comes back makes
another alarm. A cause that goes on raises its alarm again a day after it was acknowledged.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from memcrdt.model.serialization import Record, UtcTime
from memcrdt.model.values import from_ms
from memcrdt.store import meta
from memcrdt.store.sql import SqlConnection

KEPT: Final = 16  # raised alarms
QUIET_MS: Final = 86_400_000  # how long an acknowledged alarm stays hidden while its cause goes on
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


def raised(db: SqlConnection) -> list[StoreAlarm]:
    """Return the raised alarms, oldest first."""
    return [alarm(at, text) for at, text in _rows(db)]


def raise_alarm(db: SqlConnection, at_ms: int, text: str) -> None:
    """Keep an alarm about an event. If the same happened before, this one takes its place, and is shown again.

    Beyond the limit, the oldest alarm is dropped.
    """
    others = [row for row in _rows(db) if row[1] != text]
    meta.write(db, _RAISED, json.dumps([*others, (at_ms, text)][-KEPT:]))


def raise_alarm_once(db: SqlConnection, at_ms: int, text: str) -> None:
    """Keep an alarm about a state that is found again and again, if it is due."""
    if is_due(db, at_ms, text):
        raise_alarm(db, at_ms, text)


def is_due(db: SqlConnection, at_ms: int, text: str) -> bool:
    """Return whether an alarm about a state has to be raised: it is not kept, or was acknowledged over a day ago."""
    known = next((alarm(at, text) for at, each in _rows(db) if each == text), None)
    if known is None:
        return True
    acknowledged_at = acknowledged(db).get(known.id)
    return acknowledged_at is not None and abs(at_ms - acknowledged_at) >= QUIET_MS


def end_alarms(db: SqlConnection, texts: Iterable[str]) -> None:
    """Drop raised alarms, because their cause has ended."""
    ended, rows = set(texts), _rows(db)
    if len(left := [row for row in rows if row[1] not in ended]) < len(rows):
        meta.write(db, _RAISED, json.dumps(left))


def acknowledged(db: SqlConnection) -> dict[str, int]:
    """Return the acknowledged alarms: for each id, when the user acknowledged it, in ms."""
    found = json.loads(str(meta.read(db, _ACKNOWLEDGED) or "{}"))
    return dict.fromkeys(found, 0) if isinstance(found, list) else found  # a list is from an older version


def acknowledge(db: SqlConnection, acknowledged: Mapping[str, int]) -> None:
    """Make these the acknowledged alarms, in the form that acknowledged() returns."""
    meta.write(db, _ACKNOWLEDGED, json.dumps(acknowledged, sort_keys=True))


def _rows(db: SqlConnection) -> list[tuple[int, str]]:
    return [(at, text) for at, text in json.loads(str(meta.read(db, _RAISED) or "[]"))]
