"""Checks of callers' arguments. Each raises an InputError that says what is wrong and what is accepted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import timedelta
from itertools import islice

from memcrdt.errors import InputError
from memcrdt.model import limits
from memcrdt.model.ids import is_ulid
from memcrdt.model.normalization import nfc, nfc_json
from memcrdt.model.ports import AUTO
from memcrdt.model.values import Json, Vector, a_kind, canonical, check_json, check_unicode

_RERANK_MS = 60_000


def check_text(text: object) -> str:
    """Return a memory's text if it is not blank and has at most 64 KiB in UTF-8. Raises InputError."""
    if not isinstance(text, str):
        raise InputError(f"the text is {a_kind(text)}; give a string")
    if not text.strip():
        raise InputError("the text is empty; give a text that is not blank")
    size = len(check_unicode(text, "the text").encode())
    if size > limits.TEXT_BYTES:
        raise InputError(
            f"the text has {size:,} bytes; the maximum for a memory is {limits.TEXT_BYTES:,}: split it into several"
            " memories, or summarize it and give the file as its source"
        )
    return text


def check_query(query: object) -> str:
    """Return the query, cut to 8,192 characters at a word: callers pass whole prompts. Raises InputError."""
    if not isinstance(query, str):
        raise InputError(f"the query is {a_kind(query)}; give a string")
    if len(query) > limits.QUERY_CHARS:
        start = query[: limits.QUERY_CHARS]
        is_word_cut = not query[limits.QUERY_CHARS].isspace()
        query = start.rsplit(None, 1)[0] if is_word_cut and start.strip() else start
    return check_unicode(query, "the query")


def check_id(memory_id: object) -> str:
    """Return the id in upper case: callers may write a ULID in either case. Raises InputError."""
    if not isinstance(memory_id, str):
        raise InputError(f"the id is {a_kind(memory_id)}; give the id of a memory, a text of 26 characters")
    known = memory_id.upper() if memory_id.isascii() else memory_id
    if not is_ulid(known):
        raise InputError(
            f"{memory_id[:40]!r} is not the id of a memory, which has 26 characters; `list` and `search` show ids"
        )
    return known


def check_ids(ids: object) -> list[str]:
    """Return several ids without repeats. Raises InputError."""
    if isinstance(ids, (str, bytes, Mapping)) or not isinstance(ids, Iterable):
        raise InputError(f"the ids are {a_kind(ids)}; give a list of ids")
    return list(dict.fromkeys(check_id(memory_id) for memory_id in check_batch(ids)))


def check_expected(revisions: object, *, of_key: bool = True) -> tuple[str, ...] | None:
    """Return the revisions that a change expects, sorted; None for any, and () for no memory. Raises InputError.

    Args:
        revisions: One revision or several.
        of_key: Whether the change is an add under a key, so that there may be no memory.
    """
    if revisions is None:
        return None
    expected = tuple(sorted(check_ids([revisions] if isinstance(revisions, str) else revisions)))
    if not expected and not of_key:
        raise InputError("expected has no revision; give the revision of the record, or all revisions of conflicts()")
    return expected


def check_optional_id(memory_id: object) -> str | None:
    return None if memory_id is None else check_id(memory_id)


def check_label(value: object, what: str, chars: int = limits.LABEL_CHARS) -> str:
    """Return a short text, such as a kind or a name, in NFC. Raises InputError."""
    if not isinstance(value, str):
        raise InputError(f"{what} is {a_kind(value)}; give a string")
    composed = nfc(check_unicode(value, what))
    if not 0 < len(composed) <= chars:
        raise InputError(f"{what} has {len(composed):,} characters; 1 to {chars:,} are allowed")
    return composed


def check_name(value: object, what: str) -> str:
    """Return the name of a device or a space, which people type and other devices show. Raises InputError."""
    name = check_label(value, what, limits.NAME_CHARS)
    if not name.isprintable() or name != name.strip():
        raise InputError(f"{what}, {name!r}, cannot be typed; use printable characters without spaces around them")
    return name


def check_optional_label(value: object, what: str, chars: int = limits.LABEL_CHARS) -> str | None:
    return None if value is None else check_label(value, what, chars)


def check_tags(tags: object, what: str = "tags", most: int = limits.TAGS) -> tuple[str, ...]:
    """Return the tags without repeats, sorted. Raises InputError."""
    if isinstance(tags, (str, bytes)) or not isinstance(tags, Iterable):
        raise InputError(f"{what} is {a_kind(tags)}; give a list of strings")
    taken = list(islice(tags, most + 1))
    if len(taken) > most:
        raise InputError(f"{what} has over {most:,} tags, which is the maximum")
    return tuple(sorted({check_label(tag, "a tag", limits.TAG_CHARS) for tag in taken}))


def check_metadata(metadata: object) -> dict[str, Json]:
    """Return the metadata in NFC: a mapping of plain JSON with at most 64 keys and 8 KiB. Raises InputError."""
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping):
        raise InputError(f"the metadata is {a_kind(metadata)}; give a mapping from text to JSON")
    checked = {
        check_label(key, "a key of the metadata", limits.METADATA_KEY_CHARS): check_json(value, f"the metadata {key!r}")
        for key, value in metadata.items()
    }
    composed = {key: nfc_json(value) for key, value in checked.items()}
    check_metadata_size(composed)
    return composed


def check_metadata_size(metadata: Mapping[str, Json], before: Mapping[str, Json] | None = None) -> None:
    """Raise InputError if the metadata exceeds the limits of a memory, and also the metadata it had `before`."""
    had = before or {}
    if len(metadata) > max(limits.METADATA_KEYS, len(had)):
        raise InputError(f"the metadata has {len(metadata):,} keys; the maximum is {limits.METADATA_KEYS}")
    size = _size(metadata)
    if size > limits.METADATA_BYTES and size > _size(had):
        raise InputError(f"the metadata has {size:,} bytes as JSON; the maximum is {limits.METADATA_BYTES:,}")


def _size(metadata: Mapping[str, Json]) -> int:
    return len(canonical(dict(metadata)).encode())


def check_share(value: object, what: str) -> float:
    """Return a number from 0 to 1. Raises InputError."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise InputError(f"{what} is {value!r}; give a number from 0 to 1")
    return value


def check_optional_share(value: object, what: str) -> float | None:
    return None if value is None else check_share(value, what)


def check_flag(value: object, what: str) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{what} is {value!r}; give True or False")
    return value


def check_port(value: object, what: str) -> int | str:
    """Return a port to listen at, or "auto". Raises InputError."""
    if value == AUTO or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 65536):
        return value
    raise InputError(f'{what} is {value!r}; give a number from 0 to 65535, or "{AUTO}"')


def check_callback(value: object, what: str) -> None:
    if not callable(value):
        raise InputError(f"{what} is {a_kind(value)}; give a function")


def check_timeout(value: object) -> float | None:
    """Return a timeout in seconds, or None for no timeout. Raises InputError."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:  # also refuses NaN
        raise InputError(f"the timeout is {value!r}; give seconds, 0 or more, or None")
    return value


def check_ttl(value: object) -> int:
    """Return a time to live, given in seconds or as a timedelta, in whole milliseconds. Raises InputError."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise InputError(f"the ttl is {a_kind(value)}; give seconds or a timedelta")
    if not 0.001 <= seconds <= limits.TIME_MAX_MS / 1_000:  # also refuses NaN
        raise InputError(f"the ttl is {seconds} seconds; give at least a millisecond, and an end before the year 10000")
    return int(seconds * 1_000)


def check_vector(value: object) -> Vector | None:
    """Return an embedding that a caller computed: finite numbers, not all of them zero. Raises InputError."""
    if value is None:
        return None
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise InputError(f"the vector is {a_kind(value)}; give a list of numbers")
    taken = list(islice(value, limits.VECTOR_DIMENSIONS + 1))
    if len(taken) > limits.VECTOR_DIMENSIONS:
        raise InputError(f"the vector has over {limits.VECTOR_DIMENSIONS:,} numbers")
    try:
        vector = tuple(map(float, taken))
    except (TypeError, ValueError, OverflowError) as exc:
        raise InputError("the vector has an item that is not a number; give one list of numbers") from exc
    if any(isinstance(number, (str, bool)) for number in taken) or not all(map(math.isfinite, vector)):
        raise InputError("the vector has an item that is not a finite number")
    if not any(vector):
        raise InputError("the vector has no direction; give numbers that are not all zero")
    return vector


def check_devices(devices: object) -> list[str]:
    """Return a list of device ids as texts. The parser of device ids checks their form. Raises InputError."""
    if isinstance(devices, (str, bytes)) or not isinstance(devices, Iterable):
        raise InputError(f"the devices are {a_kind(devices)}; give a list of device ids")
    taken = list(islice(devices, limits.FILTER_VALUES + 1))
    if len(taken) > limits.FILTER_VALUES:
        raise InputError(f"over {limits.FILTER_VALUES:,} devices in one call; give fewer")
    return [check_label(device, "a device id") for device in taken]


def check_names(names: object, what: str) -> tuple[str, ...]:
    """Return one name or several, without repeats. Raises InputError."""
    given = (names,) if isinstance(names, str) else names
    if not isinstance(given, Iterable) or isinstance(given, bytes):
        raise InputError(f"{what} are {a_kind(names)}; give a name or a list of names")
    taken = list(islice(given, limits.FILTER_VALUES + 1))
    if len(taken) > limits.FILTER_VALUES:
        raise InputError(f"{what} are more than {limits.FILTER_VALUES:,}; give fewer")
    return tuple(dict.fromkeys(check_label(name, f"a name among {what}") for name in taken))


def check_batch(items: object) -> list[object]:
    """Return the items of one call as a list. Raises InputError without reading more items than a call allows."""
    if isinstance(items, (str, bytes, Mapping)) or not isinstance(items, Iterable):
        raise InputError(f"the items are {a_kind(items)}; give a list of texts or of mappings")
    taken = list(islice(items, limits.BATCH_ITEMS + 1))
    if len(taken) > limits.BATCH_ITEMS:
        raise InputError(f"over {limits.BATCH_ITEMS:,} items in one call; split them into several calls")
    return taken


def check_rerank_ms(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _RERANK_MS:
        raise InputError(f"rerank_ms is {value!r}; give a whole number of milliseconds from 1 to {_RERANK_MS:,}")
    return value


def check_limit(value: object, most: int = limits.RESULTS) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise InputError(f"the limit is {value!r}; give a number from 1 to {most:,}")
    return value
