"""Unranked lists, page by page. No read transaction outlives a call, however long the list is."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from memcrdt.errors import InputError
from memcrdt.model.filters import CheckedFilters, Order
from memcrdt.model.ids import is_ulid
from memcrdt.model.limits import KIB
from memcrdt.model.predicates import is_time
from memcrdt.model.records import MemoryRecord, Page
from memcrdt.model.values import from_ms, parse_json, to_ms
from memcrdt.store import reads
from memcrdt.store.filtering import Where, where
from memcrdt.store.reads import Place
from memcrdt.store.sql import SqlConnection

if TYPE_CHECKING:
    from memcrdt.store.reading import Readable

BATCH: Final = 100  # memories that one transaction forgets, so that other writers wait less than 0.1 s
BATCH_BYTES: Final = 128 * KIB  # of their texts
PAGE: Final = 500  # memories that every() reads at once, at most
FIRST_PAGE: Final = 16
GROWTH: Final = 4  # of a page over the one before
PAGE_CHARS: Final = 1024 * KIB  # of their texts: SQLite returns a page as one text, which Python copies in one step

_ORDERS: dict[Order, tuple[str, str]] = {
    "newest": ("created_at", "DESC"),
    "oldest": ("created_at", "ASC"),
    "updated": ("updated_at", "DESC"),
}

# Only this device's own memories, in spaces that it may write: each device forgets the memories it added, and sync
# carries the forgets. An expiry that was already past when it was set counts from the time of that change.
_EXPIRED = """
SELECT space, id FROM memories WHERE expires_at <= ?1 AND updated_at <= ?1 AND device = ?2
AND space IN (SELECT space FROM spaces WHERE read_only = 0) ORDER BY expires_at LIMIT ?3"""
_REVISED_SINCE = "EXISTS (SELECT 1 FROM revisions r WHERE r.memory = m.memory AND r.at > ? AND r.revision <> m.id)"


@dataclass(frozen=True, slots=True)
class Listing:
    """A request for one page: up to `limit` memories after `cursor`, in `order`."""

    limit: int
    cursor: str | None
    order: Order
    filters: CheckedFilters


def page(db: SqlConnection, asked: Listing, now_ms: int) -> Page:
    """Return a page, with the cursor of the next page if there is one. Raises InputError for a wrong cursor."""
    column, direction = _ORDERS[asked.order]
    parts = _sorted_parts(asked.filters)
    found = [record for filters in parts for record in _first(db, asked, filters, now_ms)]
    if len(parts) > 1:
        found.sort(key=lambda record: (getattr(record, column), record.id), reverse=direction == "DESC")
    items = tuple(found[: asked.limit])
    cursor = _cursor(asked.order, items[-1], column) if len(found) > asked.limit else None
    if asked.filters.as_of is not None:
        moment = from_ms(asked.filters.as_of)
        items = tuple(reads.as_it_stood(db, record, moment) for record in items)
    return Page(items, cursor)


def _sorted_parts(filters: CheckedFilters) -> list[CheckedFilters]:
    """Return filters whose results together are those of `filters`, each in the order of an index if possible.

    The index of scopes has the memories of each scope in order, so of several scopes only the first ones of each have
    to be read. Otherwise SQLite would sort them all: 70 ms for the newest 8 of 33,000 memories.
    """
    if len(filters.scope) < 2 or filters.ancestors or replace(filters, scope=()).narrows():
        return [filters]
    return [replace(filters, scope=(scope,)) for scope in dict.fromkeys(filters.scope)]


def _first(db: SqlConnection, asked: Listing, filters: CheckedFilters, now_ms: int) -> list[MemoryRecord]:
    """Return the first memories of a page that the filters select, and one more."""
    clause, bindings, tail = _selection(asked, filters, now_ms)
    with reads.page_turn(asked.limit):
        return reads.where(db, clause, bindings, tail)


def _selection(asked: Listing, filters: CheckedFilters, now_ms: int) -> tuple[str, tuple[Any, ...], str]:
    """Return the arguments of reads.where() for a page and one more memory."""
    column, direction = _ORDERS[asked.order]
    clause, bindings = where(filters, now_ms)
    if asked.cursor is not None:
        comparison = "<" if direction == "DESC" else ">"
        clause = f"({clause}) AND (m.{column}, m.id) {comparison} (?, ?)"
        bindings = (*bindings, *_position(asked))
    return clause, bindings, f"ORDER BY m.{column} {direction}, m.id {direction} LIMIT {asked.limit + 1}"


def every(store: Readable, order: Order, filters: CheckedFilters) -> Iterator[MemoryRecord]:
    """Yield all memories that the filters select, in `order`. No read transaction outlives a page.

    Many callers read only a few. So the first page is small, and the next ones grow as far as their texts allow.
    """
    cursor, size = None, min(FIRST_PAGE, PAGE)
    while True:
        asked = Listing(size, cursor, order, filters)
        with store.reading() as db:
            if filters.as_of is not None or len(_sorted_parts(filters)) > 1:
                found = page(db, asked, store.now_ms())
                records, cursor = iter(found), found.next_cursor
            else:
                records, cursor = _one_by_one(db, asked, store.now_ms())
        chars = 0
        for record in records:
            chars += len(record.text)
            yield record
        if cursor is None:
            return
        size = max(1, min(PAGE, GROWTH * size, PAGE_CHARS * size // max(chars, 1)))


def _one_by_one(db: SqlConnection, asked: Listing, now_ms: int) -> tuple[Iterator[MemoryRecord], str | None]:
    """Return the records of a page, and the cursor of the next page if there is one.

    The records are made when they are asked for. With hundreds of them alive, Python would look through all objects of
    the program now and then, and hold the GIL: 60 ms in a program of everyday size.
    """
    rows = reads.rows(db, *_selection(asked, asked.filters, now_ms))
    column, _ = _ORDERS[asked.order]
    cursor = _cursor(asked.order, reads.record(rows[asked.limit - 1]), column) if len(rows) > asked.limit else None
    return map(reads.record, rows[: asked.limit]), cursor


def count(db: SqlConnection, filters: CheckedFilters, now_ms: int) -> int:
    """Return the number of memories that the filters select."""
    clause, bindings = where(filters, now_ms)
    return int(db.execute(f"SELECT count(*) FROM memories m WHERE {clause}", bindings).get)


def tags(db: SqlConnection, filters: CheckedFilters, now_ms: int) -> dict[str, int]:
    """Return the tags of the memories that the filters select, sorted, with the number of memories of each."""
    clause, bindings = where(filters, now_ms)
    sql = f"SELECT tag, count(*) FROM tags JOIN memories m USING(memory) WHERE {clause} GROUP BY tag ORDER BY tag"
    return {str(tag): int(number) for tag, number in db.execute(sql, bindings)}


def places(db: SqlConnection, condition: Where) -> list[Place]:
    """Return the places of all memories that satisfy a condition."""
    found = db.execute(f"SELECT m.space, m.id FROM memories m WHERE {condition.sql}", condition.bindings)
    return [(int(space), str(memory_id)) for space, memory_id in found]


def batches(db: SqlConnection, condition: Where) -> list[list[str]]:
    """Return the ids of all memories that satisfy a condition, in batches that one transaction forgets quickly."""
    found: list[list[str]] = []
    size = BATCH_BYTES
    sql = f"SELECT m.id, octet_length(m.text) FROM memories m WHERE {condition.sql}"
    for memory_id, more in db.execute(sql, condition.bindings):
        if size + more > BATCH_BYTES or len(found[-1]) == BATCH:
            found.append([])
            size = 0
        found[-1].append(str(memory_id))
        size += more
    return found


def expired_places(db: SqlConnection, until_ms: int, device: str, limit: int) -> list[Place]:
    """Return the places of memories of `device` that expired by `until_ms` and have not changed since.

    Only spaces that the device may write count.
    """
    found = db.execute(_EXPIRED, (until_ms, device, limit))
    return [(int(space), str(memory_id)) for space, memory_id in found]


def revised_since(db: SqlConnection, filters: CheckedFilters, now_ms: int, limit: int) -> list[MemoryRecord]:
    """Return the memories that have a revision after `filters.as_of`, last changed first, in their present state."""
    clause, bindings = where(filters, now_ms)
    tail = f"ORDER BY m.updated_at DESC, m.id LIMIT {limit}"
    return reads.where(db, f"{clause} AND {_REVISED_SINCE}", (*bindings, filters.as_of), tail)


def _cursor(order: Order, last: MemoryRecord, column: str) -> str:
    position = [order, to_ms(getattr(last, column)), last.id]
    return base64.urlsafe_b64encode(json.dumps(position, separators=(",", ":")).encode()).decode()


def _position(asked: Listing) -> tuple[int, str]:
    try:
        order, at, memory_id = parse_json(base64.urlsafe_b64decode(asked.cursor or ""))
    except (ValueError, TypeError) as exc:
        raise InputError("the cursor does not come from list(); start again without it") from exc
    if order != asked.order or not is_time(at) or not is_ulid(memory_id):
        raise InputError(f"the cursor belongs to a list in another order than {asked.order!r}; start again without it")
    return at, memory_id
