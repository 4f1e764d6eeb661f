"""How an item of a LangGraph store is a memory.

The longest indexed string of the value is the text, so that every face shows it, finds it and can correct it. The other
indexed strings follow it, after a blank line. A value without a string, or with too much beside its text, is the text
as a whole, as JSON. Everything else is in one entry of the metadata: of two devices that put the same item at the same
time, one leaves its value, and never a mixture of both.

| tag | the item is |
|---|---|
| `ns:a`, `ns:a.b` | below the namespace `("a",)`, or `("a", "b")` |
| `ns:a.b.` | in the namespace `("a", "b")` itself |

Labels have no periods. A tag that would be too long has a hash of the labels instead.

| metadata | value |
|---|---|
| `item` | the rest of the item as ASCII JSON: metadata does not keep every number and every form of a letter |
| `unindexed` | `true` if search does not find the item |
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeAlias

from memcrdt.errors import InputError
from memcrdt.frameworks.extras import needs
from memcrdt.model import limits
from memcrdt.model.json_values import JsonComparison, JsonComparisons
from memcrdt.model.normalization import nfc
from memcrdt.model.predicates import is_time
from memcrdt.model.records import MemoryRecord, Revision
from memcrdt.model.values import canonical, parse_json

with needs("langgraph"):
    from langgraph.store.base import PutOp, get_text_at_path

Namespace: TypeAlias = tuple[str, ...]
Path: TypeAlias = list[str | int]  # to a string in a value

KIND: Final = "langgraph"
AUTHOR: Final = "langgraph"  # of every put; so any other author has corrected the text
WHOLE: Final = "$"  # of `fields`: all strings of a value
LEAST_TTL: Final = 1 / 60_000  # minutes: a millisecond
MOST_TTL: Final = limits.TIME_MAX_MS / 60_000
LABELS: Final = limits.TAGS - 1  # of a namespace

_TAG: Final = "ns:"
_HASHED: Final = _TAG + "#"
_ROOT: Final[Path] = []  # the text is the whole value
_BETWEEN: Final = "\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredItem:
    """An item of a store.

    Attributes:
        namespace: The labels of its namespace.
        key: Its key.
        value: Its value.
        ttl: Minutes that it lives after it was last put or read; None for ever.
        put_at: The time in ms at which it was put.
        text_hash: The hash of the text that it was put with.
    """

    namespace: Namespace
    key: str
    value: dict[str, Any]
    ttl: float | None
    put_at: int
    text_hash: str


def tag_of(namespace: Sequence[str], *, itself: bool = False) -> str:
    """Return the tag of all items below a namespace, or in the namespace itself."""
    end = "." if itself else ""
    tag = nfc(_TAG + ".".join(namespace))
    return tag + end if len(tag) < limits.TAG_CHARS else f"{_HASHED}{_hashed(tag, 20)}{end}"


def namespace_of(tag: str) -> Namespace | None:
    """Return the namespace that a tag names itself; () if only an item of it can tell, None for any other tag."""
    if not (tag.startswith(_TAG) and tag.endswith(".")):
        return None
    return () if tag.startswith(_HASHED) else tuple(tag[len(_TAG) : -1].split("."))


def key_of(namespace: Sequence[str], key: str) -> str:
    """Return the key of the memory of an item. It has the same length for every item."""
    return f"langgraph:{_hashed(nfc(json.dumps([*namespace, key], ensure_ascii=False)), 20)}"


def narrowed(all_of: tuple[JsonComparison, ...]) -> dict[str, JsonComparisons]:
    """Return the conditions on metadata that items whose value satisfies some comparisons satisfy."""
    return {"item": JsonComparisons(value="$[2]", text="$[3]", between=_BETWEEN, all_of=all_of)} if all_of else {}


def memory_of(op: PutOp, fields: Sequence[str], now: int) -> dict[str, Any]:
    """Return the arguments of Memory.add() for the item that an operation puts.

    Args:
        op: The operation.
        fields: The paths to index; none for an item that search does not find.
        now: The time in ms.

    Raises:
        InputError: The value is not JSON or too large, the TTL is invalid, or the namespace has too many labels.
    """
    where = f"{op.key[:60]!r} in {'.'.join(op.namespace)[:60]}"
    if not 1 <= len(op.namespace) <= LABELS:
        raise InputError(f"the namespace of {where} has {len(op.namespace)} labels; 1 to {LABELS} are allowed")
    if not _is_ttl(op.ttl):
        raise InputError(f"the ttl of {where} is {op.ttl!r}; give minutes, at least a millisecond, or None")
    value = _plain(op.value, where)

    def metadata(rest: Any, place: Path | None, text: str) -> dict[str, Any]:
        said = [op.namespace, op.key, rest, place, fields, op.ttl, now, hash_of(text)]
        return {"item": json.dumps(said), **({} if fields else {"unindexed": True})}

    text, rest, place = _split(value, fields)
    told = metadata(rest, place, text)
    if len(text.encode()) > limits.TEXT_BYTES or len(canonical(told).encode()) > limits.METADATA_BYTES:
        text = _dumped(value)
        told = metadata(None, _ROOT, text)
    if (size := len(text.encode())) > limits.TEXT_BYTES:
        raise InputError(
            f"the value of {where} has {size:,} bytes as JSON; an item has at most {limits.TEXT_BYTES:,}: split it into"
            " several items, or put the address of the data instead"
        )
    depth = range(1, len(op.namespace) + 1)
    tags = [tag_of(op.namespace, itself=True), *(tag_of(op.namespace[:labels]) for labels in depth)]
    ttl = None if op.ttl is None else timedelta(minutes=op.ttl)
    return {"text": text, "key": key_of(op.namespace, op.key), "metadata": told, "tags": tags, "ttl": ttl}


def read(record: MemoryRecord, text: str | None = None) -> StoredItem | None:
    """Return the item that a memory is, or None if it is none: any device may have written the memory.

    Args:
        record: The memory.
        text: One of its competing texts; None for the one that is shown.
    """
    try:
        namespace, key, rest, place, fields, ttl, put_at, text_hash = parse_json(record.metadata["item"])
        value = _joined(rest, place, _tail(rest, fields), record.text if text is None else text)
        item = StoredItem(namespace=tuple(namespace), key=key, value=value, ttl=ttl, put_at=put_at, text_hash=text_hash)
        is_named = bool(namespace) and all(isinstance(label, str) for label in (*namespace, key))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None
    return item if is_named and is_time(put_at) and _is_ttl(ttl) and isinstance(value, dict) else None


def own_text(record: MemoryRecord, history: Sequence[Revision]) -> str:
    """Return the text that belongs to the rest of the value that a memory has.

    Devices settle text and metadata apart, so after puts on two devices the text that is shown may belong to the value
    that lost. A correction by another face belongs to the value that it found.

    Args:
        record: The memory.
        history: Its revisions, oldest first.
    """
    item = read(record)
    heads = [revision for revision in history if revision.head]
    own = [revision.text for revision in history if item and hash_of(revision.text) == item.text_hash]
    corrected = [revision.text for revision in heads if revision.by != AUTHOR]
    if own and not any(revision.text == own[-1] for revision in heads) and corrected:
        return corrected[-1]
    return (own or corrected or [record.text])[-1]


def hash_of(text: str) -> str:
    """Return the hash by which an item knows the text that it was put with."""
    return _hashed(text, 8)


def strings(value: Any) -> Iterator[tuple[Path, str]]:
    """Yield every string of a JSON value with its path, in order."""
    waiting: list[tuple[Path, Any]] = [([], value)]
    while waiting:
        path, found = waiting.pop()
        if isinstance(found, str):
            yield path, found
        inside = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
        waiting += reversed([([*path, step], each) for step, each in inside])


def _split(value: dict[str, Any], fields: Sequence[str]) -> tuple[str, Any, Path | None]:
    """Return a text, the value with None in the place of the text, and this place.

    The place is the root if the text is the whole value, and None if the text is only for search.
    """
    places = {text: path for path, text in reversed(list(strings(value)))}
    body = max((text for text in _texts(value, fields or (WHOLE,)) if text in places), key=len, default=None)
    if body is None:
        tail = _tail(value, fields).removeprefix(_BETWEEN)
        return (tail, value, None) if tail else (_dumped(value), None, _ROOT)
    rest = parse_json(json.dumps(value))
    _put(rest, places[body], None)
    return body + _tail(rest, fields), rest, places[body]


def _joined(rest: Any, place: Path | None, tail: str, text: str) -> Any:
    """Return the value that _split() had. Another face may have changed the text."""
    if place is None:
        return rest
    if place == _ROOT:
        return _object(text)
    _put(rest, place, text.removesuffix(tail))
    return rest


def _put(value: Any, place: Path, text: str | None) -> None:
    *above, last = place
    for step in above:
        value = value[step]
    value[last] = text


def _tail(rest: Any, fields: Sequence[str]) -> str:
    """Return the indexed strings beside the text; empty if there are none."""
    others = _texts(rest, fields)
    return _BETWEEN + "\n".join(others) if others else ""


def _texts(value: Any, fields: Sequence[str]) -> list[str]:
    """Return the different texts of a value at some paths, without those that a memory cannot have."""
    found: list[str] = []
    for field in fields:
        found += [text for _, text in strings(value)] if field == WHOLE else get_text_at_path(value, field)
    return [text for text in dict.fromkeys(found) if text.strip() and _is_unicode(text)]


def _plain(value: Mapping[str, Any] | None, where: str) -> dict[str, Any]:
    """Return a value as JSON has it. Raises InputError."""
    try:
        plain: dict[str, Any] = parse_json(json.dumps(dict(value or {})))
    except (TypeError, ValueError, RecursionError) as exc:
        raise InputError(f"the value of {where} is not JSON: {exc}") from exc
    return plain


def _dumped(value: dict[str, Any]) -> str:
    said = json.dumps(value, ensure_ascii=False)
    return said if _is_unicode(said) else json.dumps(value)


def _object(text: str) -> dict[str, Any]:
    """Return a value from its JSON, or a value with the text if somebody made something else of it."""
    try:
        value = parse_json(text)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"text": text}


def _is_ttl(ttl: Any) -> bool:
    """Return whether this is a number of minutes that an item can live, or None."""
    is_number = isinstance(ttl, (int, float)) and not isinstance(ttl, bool)
    return ttl is None or (is_number and LEAST_TTL <= ttl <= MOST_TTL)


def _is_unicode(text: str) -> bool:
    """Return whether a text has no lone surrogates, which no memory can have."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _hashed(text: str, size: int) -> str:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=size).hexdigest()
