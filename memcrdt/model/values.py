"""Plain JSON values, and times as whole milliseconds since 1970 in UTC."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, TypeAlias

from memcrdt.errors import InputError
from memcrdt.model import limits

Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None
Time: TypeAlias = datetime | date | str  # ISO 8601; local time without a zone; a date is its start
Vector: TypeAlias = tuple[float, ...]  # an embedding that a caller computed

_START: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)

# One encoder for all: json.dumps makes a new one for each value, which takes as long as encoding it.
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def canonical(value: Json) -> str:
    """Return a JSON text with sorted keys and without spaces. Equal values have the same text."""
    return _encode(value)


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text from outside. The caller has limited its size.

    Raises:
        ValueError: The text is not JSON, or is nested too deeply. json.loads has another error for the latter.
    """
    try:
        return json.loads(text)
    except RecursionError as exc:
        raise ValueError("it is nested too deeply") from exc


def encoded_size(value: Json) -> int:
    """Return the maximum number of bytes that `value` takes in an update of Yjs."""
    if isinstance(value, str):
        return 6 + len(value.encode(errors="surrogatepass"))
    if isinstance(value, dict):
        return 6 + sum(encoded_size(key) + encoded_size(item) for key, item in value.items())
    if isinstance(value, list):
        return 6 + sum(map(encoded_size, value))
    return 11


def restored(value: Json) -> Json:
    """Return `value` as it was before Yjs turned its integers into floats: whole floats become integers again.

    Beyond 2^53 all numbers become floats, because a bigint of a stock client can be an integer in one copy and a float
    in another.
    """
    if isinstance(value, str):  # nearly all of them
        return value
    if isinstance(value, dict):
        return {key: item if item is None or isinstance(item, str) else restored(item) for key, item in value.items()}
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= limits.INTEGER_MAX else value
    if isinstance(value, int) and abs(value) > limits.INTEGER_MAX:
        return float(value)
    if isinstance(value, list):
        return [restored(item) for item in value]
    return value


def check_json(value: object, what: str, depth: int = limits.METADATA_DEPTH) -> Json:
    """Return `value`, restored, if it is plain JSON that every Yjs client can read. Raises InputError."""
    if depth < 0:
        raise InputError(f"{what} is nested more than {limits.METADATA_DEPTH} deep; flatten it")
    value = _plain(value)
    match value:
        case None | bool():
            return value
        case str():
            return check_unicode(value, what)
        case int() if abs(value) <= limits.INTEGER_MAX:
            return value
        case int():
            raise InputError(f"{what} has an integer beyond 2^53, which JavaScript would round; give it as text")
        case float() if math.isfinite(value):
            return restored(value)
        case float():
            raise InputError(f"{what} has {value}, which is not JSON; leave it out or give it as text")
        case list() | tuple():
            return [check_json(item, what, depth - 1) for item in value]
        case dict():
            return {_check_key(key, what): check_json(item, what, depth - 1) for key, item in value.items()}
    raise InputError(
        f"{what} has a value of the type {type(value).__name__}, which JSON does not have; use text, numbers, lists "
        "and mappings"
    )


def _plain(value: object) -> object:
    """Return a date, a time or a UUID as its text, and a scalar of numpy as a value of Python."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (date, time)):
        return value.isoformat()
    from uuid import UUID

    if isinstance(value, UUID):
        return str(value)
    item = getattr(value, "item", None)  # numpy is not imported: its scalars can convert themselves
    if getattr(value, "shape", None) == () and callable(item):
        return item()
    return value


def check_unicode(text: str, what: str) -> str:
    """Return `text` if it can be encoded as UTF-8. Raises InputError for a lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise InputError(f"{what} has a lone surrogate at character {exc.start}, which is not valid text") from exc
    return text


def a_kind(value: object) -> str:
    """Return the name of a value's type with its article, for messages: a list, an int, None."""
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def to_ms(given: Time, what: str = "the time") -> int:
    """Return a time in whole milliseconds since 1970.

    Fractions of a millisecond are dropped, as in the clock of a store.

    Args:
        given: A datetime, a date, or an ISO 8601 text of either. Without a time zone it is local time on this machine.
            A date is the start of that day.
        what: The name of the time in messages.

    Raises:
        InputError: `given` is not such a time, or is not between 1970 and 9999 in UTC.
    """
    moment = _parse(given, what) if isinstance(given, str) else given
    if isinstance(moment, date) and not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)  # noqa: DTZ001 - local time, as documented
    if not isinstance(moment, datetime):
        raise InputError(f"{what} is {a_kind(given)}; give a datetime, a date or an ISO 8601 string")
    try:
        aware = moment.replace(tzinfo=None).astimezone() if moment.utcoffset() is None else moment
        ms = (aware - _START) // _MS
    except (OverflowError, ValueError, OSError):  # local time at the edges of the calendar
        ms = -1
    if not 0 <= ms <= limits.TIME_MAX_MS:
        raise InputError(f"{what}, {moment.isoformat()}, is not between 1970 and 9999 in UTC")
    return ms


def from_ms(ms: int) -> datetime:
    """Return the aware UTC datetime of `ms` milliseconds since 1970."""
    return datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)


def _parse(text: str, what: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as exc:
        raise InputError(f"{what}, {text[:40]!r}, is not an ISO 8601 time, such as 2026-11-22T09:30:00+01:00") from exc


def _check_key(key: object, what: str) -> str:
    if not isinstance(key, str):
        raise InputError(f"{what} has the key {key!r}, which is not text; JSON keys are text")
    return check_unicode(key, what)
