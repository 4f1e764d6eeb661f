"""Read memories from the views."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache, partial
from threading import BoundedSemaphore, Lock
from time import sleep
from typing import Any, Final, TypeAlias

from memcrdt.errors import CorruptError, NotFoundError
from memcrdt.model.attributes import ATTRIBUTES, BY_NAME, unchanged
from memcrdt.model.records import Link, MemoryRecord, Revision
from memcrdt.model.values import from_ms
from memcrdt.store.destinations import destination
from memcrdt.store.sql import SqlConnection, json_rows

Place: TypeAlias = tuple[int, str]  # space (its local number) and id of a memory

_OWN_FIELDS: Final = ("id", "text", "category", "created_at", "updated_at", "device", "conflicted", "revision")
_FIELDS: Final = (*_OWN_FIELDS, *BY_NAME)
_CONVERSIONS: Final[tuple[tuple[int, Callable[[Any], Any]], ...]] = (
    *((_FIELDS.index(name), convert) for name, convert in (("created_at", from_ms), ("updated_at", from_ms))),
    (_FIELDS.index("conflicted"), bool),
    *((_FIELDS.index(each.name), each.type.to_record) for each in ATTRIBUTES if each.type.to_record is not unchanged),
)
_COLUMNS: Final = f"""
  m.memory, s.name, {", ".join(f"m.{name}" for name in _FIELDS)},
  json((SELECT json_group_array(tag) FROM (SELECT tag FROM tags WHERE memory = m.memory ORDER BY tag) t)),
  json((SELECT json_group_array(json_array(key, json(value))) FROM (SELECT key, value FROM metadata
                                                                    WHERE memory = m.memory ORDER BY key) t)),
  json((SELECT json_group_array(json_array(rel, target)) FROM (SELECT rel, target FROM links WHERE memory = m.memory
                                                               ORDER BY rel, target) t))"""
_FROM = "FROM memories m JOIN spaces s USING(space)"

# An event loop that waits for the GIL gets it from a computing thread after 5 ms, and then again after 5 ms from each
# other thread that asked for it. So few threads of a process read many memories at once, and they pause now and then.
_FEW: Final = 20  # memories that are read without waiting for other threads
_PAGES: Final = 2  # long pages that SQLite reads at once
_STEP: Final = 128  # rows that are turned into records between two pauses: about 1 ms
_PAUSE_S: Final = 1e-6  # the shortest pause that gives the GIL away: it takes 0.06 ms


@dataclass(frozen=True, slots=True)
class _Turns:
    """The turns of the threads of one process that read many memories."""

    pages: BoundedSemaphore = field(default_factory=partial(BoundedSemaphore, _PAGES))
    records: Lock = field(default_factory=Lock)


@cache
def _turns(process: int) -> _Turns:
    """Return the turns of a process. A forked child needs its own: the thread that has a turn may not be in it."""
    return _Turns()


def page_turn(limit: int) -> AbstractContextManager[object]:
    """Return a context to read up to `limit` memories in. With more than a few, it waits for other long pages."""
    return _turns(os.getpid()).pages if limit > _FEW else nullcontext()


def time_of(ms: Any) -> datetime:
    """Return the datetime of a time in the views. Raises CorruptError for an impossible value."""
    try:
        return from_ms(ms)
    except (ValueError, OverflowError, OSError, TypeError) as exc:
        raise _spoiled() from exc


def _spoiled() -> CorruptError:
    return CorruptError("a time in the views is damaged; run `memcrdt doctor --repair`")


def by_number(db: SqlConnection, numbers: Sequence[int]) -> dict[int, MemoryRecord]:
    """Return the memories with these local numbers, by number. Missing memories are left out."""
    among = "WHERE m.memory IN (SELECT CAST(value AS BIGINT) FROM json_each(?))"
    return dict(_found(db, among, (json.dumps(list(numbers)),)))


def by_id(db: SqlConnection, memory_id: str) -> MemoryRecord | None:
    """Return the memory with this id from any space."""
    found = _found(db, "WHERE m.id = ? ORDER BY m.space LIMIT 1", (memory_id,))
    return found[0][1] if found else None


def by_ids(db: SqlConnection, memory_ids: Sequence[str]) -> list[MemoryRecord]:
    """Return the memories with these ids in the order of the ids. Unknown ids are left out."""
    found = _found(
        db, "WHERE m.id IN (SELECT value FROM json_each(?)) ORDER BY m.space DESC", (json.dumps(memory_ids),)
    )
    records = {record.id: record for _, record in found}  # of one id in several spaces, the lowest space wins
    return [records[memory_id] for memory_id in memory_ids if memory_id in records]


def where(db: SqlConnection, clause: str, bindings: Iterable[Any], tail: str) -> list[MemoryRecord]:
    """Return the memories that satisfy `clause`, a condition on `memories m`. `tail` orders and limits them."""
    return [record for _, record in _found(db, f"WHERE {clause} {tail}", tuple(bindings))]


def rows(db: SqlConnection, clause: str, bindings: Iterable[Any], tail: str) -> list[str]:
    """Return the rows of the memories that where() returns. Each is JSON, and record() reads it."""
    return _rows(db, f"WHERE {clause} {tail}", tuple(bindings))


def record(row: str) -> MemoryRecord:
    """Return the memory of a row."""
    return _read(row)[1]


def place_of(db: SqlConnection, memory_id: str) -> tuple[int, int] | None:
    """Return the space and the local number of a memory, or None."""
    sql = "SELECT space, memory FROM memories WHERE id = ? ORDER BY space LIMIT 1"
    found: tuple[int, int] | None = db.execute(sql, (memory_id,)).fetchone()
    return found


def places_of(db: SqlConnection, memory_id: str) -> list[Place]:
    """Return all places of a memory. A memory that was imported into another space has the same id there."""
    return [(int(space), memory_id) for (space,) in db.execute("SELECT space FROM memories WHERE id = ?", (memory_id,))]


def revisions(db: SqlConnection, memory_id: str) -> list[Revision]:
    """Return all texts of a memory, oldest first, or an empty list for an unknown memory."""
    place = place_of(db, memory_id)
    if place is None:
        return []
    sql = "SELECT revision, text, at, by, device, base, head FROM revisions WHERE memory = ?"
    sql += " ORDER BY revision <> ?, at, revision"  # the birth comes first, regardless of its time
    rows: list[tuple[Any, ...]] = db.execute(sql, (place[1], memory_id)).fetchall()
    if not rows:  # never edited: the birth is the only revision
        sql = "SELECT revision, text, created_at, author, device, '[]', 1 FROM memories WHERE memory = ?"
        rows = db.execute(sql, (place[1],)).fetchall()
    return [
        Revision(
            id=memory_id,
            revision=revision,
            text=text,
            at=time_of(at),
            by=by,
            device=device,
            base=_bases(base),
            head=bool(head),
        )
        for revision, text, at, by, device, base, head in rows
    ]


def _bases(said: str) -> tuple[str, ...]:
    try:
        return tuple(json.loads(said))
    except (ValueError, TypeError) as exc:
        raise CorruptError("a revision in the views is damaged; run `memcrdt doctor --repair`") from exc


def as_it_stood(db: SqlConnection, record: MemoryRecord, moment: datetime) -> MemoryRecord:
    """Return the memory with the text that it had at `moment`. Everything else is current."""
    if record.revision == record.id:  # never edited
        return record
    from memcrdt.model.projection import heads_of  # few readers look back, and it takes 7 ms to import

    known = [
        revision for revision in revisions(db, record.id) if revision.at <= moment or revision.revision == record.id
    ]
    heads = heads_of(record.id, [(revision.revision, revision.base) for revision in known[1:]])
    shown = next(revision for revision in reversed(known) if revision.revision in heads)
    return replace(record, text=shown.text, revision=shown.revision, conflicted=len(heads) > 1)


def _found(db: SqlConnection, rest: str, bindings: tuple[Any, ...]) -> list[tuple[int, MemoryRecord]]:
    """Return all memories that the `rest` of a SELECT finds, each with its local number."""
    found = _rows(db, rest, bindings)
    if len(found) <= _FEW:
        return [_read(row) for row in found]
    with _turns(os.getpid()).records:
        return list(_read_in_steps(found))


def _read_in_steps(rows: Sequence[str]) -> Iterator[tuple[int, MemoryRecord]]:
    """Yield the memories of many rows, and pause after each millisecond of work."""
    for place, row in enumerate(rows):
        if place and place % _STEP == 0:
            sleep(_PAUSE_S)
        yield _read(row)


def _rows(db: SqlConnection, rest: str, bindings: tuple[Any, ...]) -> list[str]:
    """Return the columns of all memories that the `rest` of a SELECT finds, as JSON."""
    return json_rows(db, f"SELECT json_array({_COLUMNS}) AS found {_FROM} {rest}", bindings)


def _read(row: str) -> tuple[int, MemoryRecord]:
    """Return the memory of a row, with its local number."""
    number, space, *values, tags, metadata, links = json.loads(row)
    try:
        for place, convert in _CONVERSIONS:
            if (value := values[place]) is not None:
                values[place] = convert(value)
    except (ValueError, OverflowError, OSError, TypeError) as exc:
        raise _spoiled() from exc
    return number, MemoryRecord(
        space=space,
        tags=tuple(tags),
        metadata=dict(metadata),  # pairs, because SQLite cuts the keys of an object at a NUL
        links=tuple(Link(rel, to) for rel, to in links),
        **dict(zip(_FIELDS, values, strict=True)),
    )


def ids_from(db: SqlConnection, beginning: str, limit: int) -> list[str]:
    """Return up to `limit` ids of memories that begin so, in order."""
    return _ids_from(db, "memories", beginning, limit)


def forgotten_ids_from(db: SqlConnection, beginning: str, limit: int) -> list[str]:
    """Return up to `limit` ids of forgotten memories that begin so, in order."""
    return _ids_from(db, "graves", beginning, limit)


def _ids_from(db: SqlConnection, table: str, beginning: str, limit: int) -> list[str]:
    sql = f"SELECT DISTINCT id FROM {table} WHERE id >= ?1 AND id < ?1 || '~' ORDER BY id LIMIT ?2"
    return [str(memory_id) for (memory_id,) in db.execute(sql, (beginning, limit))]


def is_forgotten(db: SqlConnection, memory_id: str) -> bool:
    """Return whether a memory with this id was forgotten on any device."""
    return db.execute("SELECT 1 FROM graves WHERE id = ?", (memory_id,)).fetchone() is not None


def forgotten_in(db: SqlConnection, memory_id: str) -> list[str]:
    """Return the names of the spaces in which a memory with this id was forgotten."""
    rows = db.execute("SELECT s.name FROM graves g JOIN spaces s USING(space) WHERE g.id = ?", (memory_id,))
    return [name for (name,) in rows]


def missing(db: SqlConnection, memory_id: str) -> NotFoundError:
    """Return the error that says why a memory is not in the store."""
    if not is_forgotten(db, memory_id):
        return NotFoundError(f"there is no memory {memory_id} here, and never was; `list` and `search` show the ids")
    moved = destination(db, memory_id)
    if moved is None:
        return NotFoundError(f"the memory {memory_id} was forgotten; nothing of it is left")
    if moved.is_forgotten:
        return NotFoundError(f"the memory {memory_id} was moved to the space {moved.space!r} and forgotten there")
    where = f"the space {moved.space!r}; its id is now {moved.memory_id}"
    return NotFoundError(f"the memory {memory_id} was moved to {where}")


def text_of(db: SqlConnection, space: int, memory_id: str) -> str | None:
    """Return the text of a memory in a space, or None if it is not in the space."""
    text: str | None = db.execute("SELECT text FROM memories WHERE id = ? AND space = ?", (memory_id, space)).get
    return text
