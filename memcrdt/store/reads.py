"""Read memories from the views."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, TypeAlias

import apsw

from memcrdt.errors import CorruptError, NotFoundError
from memcrdt.model.attributes import ATTRIBUTES, BY_NAME, unchanged
from memcrdt.model.records import Link, MemoryRecord, Revision
from memcrdt.model.values import from_ms
from memcrdt.store.destinations import destination

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
  json((SELECT json_group_array(tag) FROM (SELECT tag FROM tags WHERE memory = m.memory ORDER BY tag))),
  json((SELECT json_group_array(json_array(key, json(value))) FROM (SELECT key, value FROM metadata
                                                                    WHERE memory = m.memory ORDER BY key))),
  json((SELECT json_group_array(json_array(rel, target)) FROM (SELECT rel, target FROM links WHERE memory = m.memory
                                                               ORDER BY rel, target)))"""
_FROM = "FROM memories m JOIN spaces s USING(space)"


def time_of(ms: Any) -> datetime:
    """Return the datetime of a time in the views. Raises CorruptError for an impossible value."""
    try:
        return from_ms(ms)
    except (ValueError, OverflowError, OSError, TypeError) as exc:
        raise _spoiled() from exc


def _spoiled() -> CorruptError:
    return CorruptError("a time in the views is damaged; run `memcrdt doctor --repair`")


def by_number(db: apsw.Connection, numbers: Sequence[int]) -> dict[int, MemoryRecord]:
    """Return the memories with these local numbers, by number. Missing memories are left out."""
    found = _rows(db, "WHERE m.memory IN (SELECT value FROM json_each(?))", (json.dumps(list(numbers)),))
    return {row[0]: _record(row) for row in found}


def by_id(db: apsw.Connection, memory_id: str) -> MemoryRecord | None:
    """Return the memory with this id from any space."""
    found = _rows(db, "WHERE m.id = ? ORDER BY m.space LIMIT 1", (memory_id,))
    return _record(found[0]) if found else None


def by_ids(db: apsw.Connection, memory_ids: Sequence[str]) -> list[MemoryRecord]:
    """Return the memories with these ids in the order of the ids. Unknown ids are left out."""
    found = _rows(db, "WHERE m.id IN (SELECT value FROM json_each(?)) ORDER BY m.space DESC", (json.dumps(memory_ids),))
    records = {
        record.id: record for record in map(_record, found)
    }  # of one id in several spaces, the lowest space wins
    return [records[memory_id] for memory_id in memory_ids if memory_id in records]


def where(db: apsw.Connection, clause: str, bindings: Iterable[Any], tail: str) -> list[MemoryRecord]:
    """Return the memories that satisfy `clause`, a condition on `memories m`. `tail` orders and limits them."""
    return [_record(row) for row in _rows(db, f"WHERE {clause} {tail}", tuple(bindings))]


def place_of(db: apsw.Connection, memory_id: str) -> tuple[int, int] | None:
    """Return the space and the local number of a memory, or None."""
    return db.execute("SELECT space, memory FROM memories WHERE id = ? ORDER BY space LIMIT 1", (memory_id,)).fetchone()


def places_of(db: apsw.Connection, memory_id: str) -> list[Place]:
    """Return all places of a memory. A memory that was imported into another space has the same id there."""
    return [(int(space), memory_id) for (space,) in db.execute("SELECT space FROM memories WHERE id = ?", (memory_id,))]


def revisions(db: apsw.Connection, memory_id: str) -> list[Revision]:
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


def as_it_stood(db: apsw.Connection, record: MemoryRecord, moment: datetime) -> MemoryRecord:
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


def _rows(db: apsw.Connection, rest: str, bindings: tuple[Any, ...]) -> list[list[Any]]:
    """Return the columns of all memories that the `rest` of a SELECT finds.

    SQLite returns them as one row. It releases the GIL for each row, and a computing thread may return the GIL only
    after 5 ms. Beside such a thread, a page of 100 memories took three times as long row by row.
    """
    each = f"SELECT json_array({_COLUMNS}) AS found {_FROM} {rest}"
    rows: list[list[Any]] = json.loads(
        db.execute(f"SELECT '[' || coalesce(group_concat(found), '') || ']' FROM ({each})", bindings).get
    )
    return rows


def _record(row: Sequence[Any]) -> MemoryRecord:
    _, space, *values, tags, metadata, links = row
    try:
        for place, convert in _CONVERSIONS:
            if (value := values[place]) is not None:
                values[place] = convert(value)
    except (ValueError, OverflowError, OSError, TypeError) as exc:
        raise _spoiled() from exc
    return MemoryRecord(
        space=space,
        tags=tuple(tags),
        metadata=dict(metadata),  # pairs, because SQLite cuts the keys of an object at a NUL
        links=tuple(Link(rel, to) for rel, to in links),
        **dict(zip(_FIELDS, values, strict=True)),
    )


def ids_from(db: apsw.Connection, beginning: str, limit: int) -> list[str]:
    """Return up to `limit` ids of memories that begin so, in order."""
    return _ids_from(db, "memories", beginning, limit)


def forgotten_ids_from(db: apsw.Connection, beginning: str, limit: int) -> list[str]:
    """Return up to `limit` ids of forgotten memories that begin so, in order."""
    return _ids_from(db, "graves", beginning, limit)


def _ids_from(db: apsw.Connection, table: str, beginning: str, limit: int) -> list[str]:
    sql = f"SELECT DISTINCT id FROM {table} WHERE id >= ?1 AND id < ?1 || '~' ORDER BY id LIMIT ?2"
    return [str(memory_id) for (memory_id,) in db.execute(sql, (beginning, limit))]


def is_forgotten(db: apsw.Connection, memory_id: str) -> bool:
    """Return whether a memory with this id was forgotten on any device."""
    return db.execute("SELECT 1 FROM graves WHERE id = ?", (memory_id,)).fetchone() is not None


def forgotten_in(db: apsw.Connection, memory_id: str) -> list[str]:
    """Return the names of the spaces in which a memory with this id was forgotten."""
    rows = db.execute("SELECT s.name FROM graves g JOIN spaces s USING(space) WHERE g.id = ?", (memory_id,))
    return [name for (name,) in rows]


def missing(db: apsw.Connection, memory_id: str) -> NotFoundError:
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


def text_of(db: apsw.Connection, space: int, memory_id: str) -> str | None:
    """Return the text of a memory in a space, or None if it is not in the space."""
    text: str | None = db.execute("SELECT text FROM memories WHERE id = ? AND space = ?", (memory_id, space)).get
    return text
