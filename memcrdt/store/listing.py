"""Lists without ranking, page by page: no read transaction outlives a call, however long the list is."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

import apsw

from memcrdt.errors import InputError
from memcrdt.model.filters import Filters
from memcrdt.model.ids import is_ulid
from memcrdt.model.projection import is_time
from memcrdt.model.records import MemoryRecord, Page
from memcrdt.model.values import from_ms, to_ms
from memcrdt.store import reads
from memcrdt.store.filtering import where
from memcrdt.store.reads import Place

_ORDERS = {"newest": ("created_at", "DESC"), "oldest": ("created_at", "ASC"), "updated": ("updated_at", "DESC")}


@dataclass(frozen=True, slots=True)
class Listing:
    """One page that was asked for: at most `limit` memories behind `cursor`, in `order`."""

    limit: int
    cursor: str | None
    order: str
    filters: Filters


def page(db: apsw.Connection, asked: Listing, now_ms: int) -> Page:
    """The page, and the cursor of the next one if there is more. Raises InputError."""
    if not isinstance(asked.order, str) or asked.order not in _ORDERS:
        raise InputError(f"the order {asked.order!r} is not known; the orders are {', '.join(_ORDERS)}")
    column, direction = _ORDERS[asked.order]
    clause, bindings = where(asked.filters, now_ms)
    if asked.cursor is not None:
        comparison = "<" if direction == "DESC" else ">"
        clause = f"({clause}) AND (m.{column}, m.id) {comparison} (?, ?)"
        bindings = (*bindings, *_position(asked))
    tail = f"ORDER BY m.{column} {direction}, m.id {direction} LIMIT {asked.limit + 1}"
    found = reads.where(db, clause, bindings, tail)
    items = tuple(found[: asked.limit])
    cursor = _cursor(asked.order, items[-1], column) if len(found) > asked.limit else None
    if asked.filters.as_of is not None:
        moment = from_ms(asked.filters.as_of)
        items = tuple(reads.as_it_stood(db, record, moment) for record in items)
    return Page(items, cursor)


def places(db: apsw.Connection, filters: Filters, now_ms: int) -> list[Place]:
    """Where all memories are that the filters leave."""
    clause, bindings = where(filters, now_ms)
    found = db.execute(f"SELECT m.space, m.id FROM memories m WHERE {clause}", bindings)
    return [(int(space), str(memory_id)) for space, memory_id in found]


def _cursor(order: str, last: MemoryRecord, column: str) -> str:
    position = [order, to_ms(getattr(last, column)), last.id]
    return base64.urlsafe_b64encode(json.dumps(position, separators=(",", ":")).encode()).decode()


def _position(asked: Listing) -> tuple[int, str]:
    try:
        order, at, memory_id = json.loads(base64.urlsafe_b64decode(asked.cursor or ""))
    except (ValueError, TypeError, RecursionError) as exc:
        raise InputError("the cursor is none that list() gave out; start again without it") from exc
    if order != asked.order or not is_time(at) or not is_ulid(memory_id):
        raise InputError(f"the cursor is of a list in another order than {asked.order!r}; start again without it")
    return at, memory_id
