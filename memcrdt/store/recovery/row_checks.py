"""Check the rows of a file that may come from anybody, before they are copied into a store.

SQLite checks only the types, and only in tables that are STRICT. A row that passes here cannot make a reader fail: its
numbers fit into times and row numbers, its texts have a limit, and its JSON can be read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from memcrdt.model import limits
from memcrdt.model.attributes import ATTRIBUTES, Attribute
from memcrdt.model.ids import is_ulid
from memcrdt.model.predicates import is_metadata_key, is_metadata_value, is_tag, is_text
from memcrdt.model.values import parse_json

Check: TypeAlias = Callable[[Any], bool]

# Row numbers and local numbers. A number of a passage is 256 times the number of its memory, and every counter needs
# room to go on: at a million rows a second, this one is reached after nine years.
NUMBER_MAX: Final = 1 << 48
_ID_CHARS: Final = 256  # ids of memories, revisions, spaces and devices have 26 or 52; registers may name others
_FACT_BYTES: Final = limits.MIB


def is_valid(table: str, columns: Sequence[str], row: Sequence[Any]) -> bool:
    """Return whether a row can be copied. Columns of tables that no store has are not checked."""
    checks = CHECKS.get(table, {})
    return all(checks[column](value) for column, value in zip(columns, row, strict=True) if column in checks)


def _integer(low: int, high: int) -> Check:
    return lambda value: isinstance(value, int) and low <= value <= high


def _string(most: int, least: int = 1) -> Check:
    return lambda value: isinstance(value, str) and least <= len(value) <= most


def _blob(most: int) -> Check:
    return lambda value: isinstance(value, bytes) and len(value) <= most


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _any(_: object) -> bool:
    return True


def _list_of_strings(value: object) -> bool:
    found = _parsed(value)
    return isinstance(found, list) and all(isinstance(each, str) for each in found)


def _object(value: object) -> bool:
    return isinstance(_parsed(value), dict)


def _parsed(value: object) -> object:
    """Return the value of a JSON text, or None."""
    if not isinstance(value, str) or len(value) > limits.MIB:
        return None
    try:
        return parse_json(value)
    except ValueError:
        return None


def _metadata_value(value: object) -> bool:
    found = _parsed(value)
    return (found is not None or value == "null") and is_metadata_value(found)  # type: ignore[arg-type]


def _number(value: object) -> bool:
    return isinstance(value, (int, float))


def _fact(value: object) -> bool:
    """Facts are numbers, words, and JSON lists and objects."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        return _parsed(value) is not None
    return _integer(-limits.INTEGER_MAX, limits.INTEGER_MAX)(value) or _string(_FACT_BYTES, least=0)(value)


def _attribute(attribute: Attribute) -> Check:
    if isinstance(attribute.default, bool):
        return _integer(0, 1)
    return lambda value: value is None or attribute.type.is_valid(value)


_COUNT: Final = _integer(0, NUMBER_MAX)
_KEY: Final = _integer(1, NUMBER_MAX)
_TIME: Final = _integer(0, limits.TIME_MAX_MS)
_FLAG: Final = _integer(0, 1)
_ID: Final = _string(_ID_CHARS)
_LABEL: Final = _or_none(_string(limits.LABEL_CHARS, least=0))
_BYTES: Final = _blob(limits.ROW_BYTES)
_CHECKSUM: Final = _blob(8)

# Every column of every table that is copied out of another file.
CHECKS: Final[Mapping[str, Mapping[str, Check]]] = {
    "meta": {"key": _string(_ID_CHARS), "value": _fact},
    "spaces": {
        "space": _KEY,
        "id": _ID,
        "name": _string(limits.NAME_CHARS),
        "creator": _string(_ID_CHARS, least=0),
        "nonce": _blob(64),
        "created_at": _TIME,
        "read_only": _FLAG,
    },
    "shards": {
        "shard": _KEY,
        "space": _KEY,
        "number": _integer(0, limits.SHARDS - 1),
        **dict.fromkeys(("births", "registers", "foreign_keys", "bytes", "log_rows", "log_bytes"), _COUNT),
        **dict.fromkeys(("head", "to_scrub", "forgotten", "memory"), _COUNT),
        "state_vector": _blob(limits.ROW_BYTES),
        "digest": _or_none(_blob(16)),
        "damaged": _FLAG,
        "is_full": _FLAG,
    },
    "updates": {
        "seq": _KEY,
        "shard": _KEY,
        "bytes": _BYTES,
        "checksum": _CHECKSUM,
        "origin": _string(_ID_CHARS),
        "at": _TIME,
    },
    "snapshots": {"shard": _KEY, "seq": _COUNT, "bytes": _BYTES, "checksum": _CHECKSUM},
    "damaged": {
        "id": _KEY,
        "shard": _KEY,
        "seq": _COUNT,
        "kind": _string(8),
        "bytes": _BYTES,
        "at": _TIME,
    },
    "quarantine": {
        "id": _KEY,
        "space": _KEY,
        "shard": _integer(0, limits.INTEGER_MAX),
        "origin": _string(_ID_CHARS),
        "reason": _string(limits.MIB, least=0),
        "bytes": _BYTES,
        "at": _TIME,
    },
    "peers": {
        "device": _ID,
        "name": _LABEL,
        "state": _string(8),
        "public_key": _or_none(_blob(64)),
        "addresses": _list_of_strings,
        "added_at": _TIME,
        "seen_at": _or_none(_TIME),
        "connected": _or_none(_object),
        "error": _or_none(_string(limits.MIB, least=0)),
        "error_at": _or_none(_TIME),
        "seen_event": _COUNT,
        "error_event": _COUNT,
        "derived": _FLAG,
    },
    "shares": {
        "space": _KEY,
        "device": _ID,
        "agreed_at": _or_none(_TIME),
        "agreed_event": _COUNT,
        "read_only": _FLAG,
    },
    "receipts": {"device": _ID, "shard": _KEY, "seq": _COUNT, "scrubbed": _COUNT, "at": _TIME},
    "members": {"space": _KEY, "id": _blob(16), "statement": _blob(limits.MIB)},
    "invited": {"space": _KEY, "device": _ID, "read_only": _FLAG},
    "withdrawn": {"space": _KEY, "device": _ID},
    "relay_decisions": {"space": _KEY, "relay": _ID, "listed": _FLAG},
    "tokens": {
        "name": _ID,
        "hash": _blob(32),
        "origins": _list_of_strings,
        "created_at": _TIME,
        "rights": _list_of_strings,
    },
    "token_spaces": {"name": _ID, "space": _KEY},
    "models": {
        "model": _KEY,
        "name": _string(limits.MIB),
        "state": _string(8),
        "second": _FLAG,
        "element_bytes": _integer(1, 4),
    },
    "homes": {"space": _KEY, "id": _ID, "shard": _KEY},
    "memories": {
        "memory": _KEY,
        "space": _KEY,
        "id": _ID,
        "text": is_text,
        "revision": _ID,
        "conflicted": _FLAG,
        "category": _string(limits.LABEL_CHARS),
        "created_at": _TIME,
        "updated_at": _TIME,
        "device": _string(_ID_CHARS, least=0),
        "ignored": _COUNT,
        "fingerprint": _any,
        "born_seq": _COUNT,
        "seq": _COUNT,
        "salt": _or_none(_blob(64)),
        "superseded_at": _or_none(_TIME),
        "circular": _FLAG,
        **{each.name: _attribute(each) for each in ATTRIBUTES},
    },
    "revisions": {
        "memory": _KEY,
        "revision": _ID,
        "text": is_text,
        "at": _TIME,
        "by": _LABEL,
        "device": _string(_ID_CHARS, least=0),
        "base": _list_of_strings,
        "head": _FLAG,
    },
    "tags": {"memory": _KEY, "tag": is_tag},
    "metadata": {
        "memory": _KEY,
        "key": is_metadata_key,
        "value": _metadata_value,
        "number": _or_none(_number),
    },
    "links": {"memory": _KEY, "rel": _string(limits.LABEL_CHARS), "target": is_ulid},
    "graves": {
        "space": _KEY,
        "id": _ID,
        "at": _TIME,
        "by": _LABEL,
        "device": _or_none(_string(_ID_CHARS, least=0)),
        "seq": _COUNT,
    },
}
