"""The views: rows with the meaning of the registers, which can be read without any document."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from memcrdt.model import limits
from memcrdt.model.attributes import ATTRIBUTES
from memcrdt.model.normalization import nfc
from memcrdt.model.projection import LiveMemory, State, Tombstone
from memcrdt.model.records import ChangeKind
from memcrdt.model.scopes import category_of
from memcrdt.model.values import Json, canonical
from memcrdt.store import supersession
from memcrdt.store.indexer import IndexRow
from memcrdt.store.sql import SqlConnection

_PARTS = ("revisions", "tags", "metadata", "links")
# Columns of `memories` that follow from the log. They are equal in all stores with equal content.
COLUMNS: Final = (
    *("id", "text", "revision", "conflicted", "category", "created_at", "updated_at", "device", "ignored"),
    *("fingerprint", "salt", "superseded_at"),
    *(attribute.name for attribute in ATTRIBUTES),
)
_ATTRIBUTE_COLUMNS: Final = tuple((each.name, each.in_birth, each.default) for each in ATTRIBUTES)
_LOCAL_COLUMNS: Final = ("memory", "space", "born_seq", "seq")
_INSERT_MEMORY: Final = (
    f"INSERT INTO memories({', '.join((*_LOCAL_COLUMNS, *COLUMNS))})"
    f" VALUES({', '.join('?' * len((*_LOCAL_COLUMNS, *COLUMNS)))}) ON CONFLICT(memory) DO UPDATE"
    f" SET {', '.join(f'{column} = excluded.{column}' for column in ('seq', *COLUMNS))}, circular = 0"
)


@dataclass(slots=True)
class Projected:
    """The result of writing views.

    Attributes:
        seq: The row of the log that the views reflect.
        removed: Rows to take out of the indexes.
        added: Rows to put into the indexes.
        changes: Space, id and kind of change of every memory.
    """

    seq: int
    removed: list[IndexRow] = field(default_factory=list)
    added: list[IndexRow] = field(default_factory=list)
    changes: list[tuple[int, str, ChangeKind]] = field(default_factory=list)


def write(db: SqlConnection, states: Iterable[tuple[int, str, State]], seq: int) -> Projected:
    """Write the states of memories into the views.

    Args:
        db: The write connection, in a transaction.
        states: Space, id and state of every memory; each memory once.
        seq: The row of the log that the states reflect.

    Returns:
        The changes for the indexes and for subscribers.
    """
    known = list(states)
    existing = _existing(db, [(space, memory_id) for space, memory_id, _ in known])
    done, rows = Projected(seq), _Rows.behind(db)
    ids = [memory_id for _, memory_id, _ in known]
    in_circles = supersession.members(db, ids)
    for space, memory_id, state in known:
        before = existing.get((space, memory_id))
        if isinstance(state, LiveMemory):
            if before is not None:
                _remove_parts(db, before.memory)
            row = rows.put(space, state, seq, before)
            if before is None or before.row != row:
                done.added.append(row)
                done.removed.extend([before.row] if before else [])
            done.changes.append((space, memory_id, "updated" if before else "added"))
            continue
        if before is not None:
            _remove(db, before, done)
        if isinstance(state, Tombstone):
            _bury(db, space, state, seq, done, known=before is not None)
        elif before is not None:
            done.changes.append((space, memory_id, "forgotten"))
    rows.insert(db)
    _settle_circles(db, in_circles | supersession.members(db, ids), done)
    return done


def _settle_circles(db: SqlConnection, members: set[tuple[int, str]], done: Projected) -> None:
    """Decide which members of circles stay visible. A memory that this shows or hides has changed."""
    written = {(space, memory_id) for space, memory_id, _ in done.changes}
    for space, memory_id in supersession.settle(db, members):
        if (space, memory_id) not in written:
            db.execute("UPDATE memories SET seq = ? WHERE id = ? AND space = ?", (done.seq, memory_id, space))
            done.changes.append((space, memory_id, "updated"))


_HOMES: Final = "SELECT id, shard FROM homes WHERE space = ? AND id IN (SELECT value FROM json_each(?))"


def write_homes(db: SqlConnection, homes: Iterable[tuple[int, str, int, bool]]) -> None:
    """Note whether a shard has registers of an id. Each home is a space, an id, a shard and the answer."""
    known = list(homes)
    db.executemany(
        "INSERT INTO homes(space, id, shard) VALUES(?, ?, ?) ON CONFLICT DO NOTHING",
        [row[:3] for row in known if row[3]],
    )
    db.executemany(
        "DELETE FROM homes WHERE space = ? AND id = ? AND shard = ?", [row[:3] for row in known if not row[3]]
    )


def homes_of(db: SqlConnection, space: int, ids: Collection[str]) -> dict[str, set[int]]:
    """Return the local numbers of the shards that have registers of each id."""
    homes: dict[str, set[int]] = {memory_id: set() for memory_id in ids}
    for memory_id, shard in db.execute(_HOMES, (space, json.dumps(list(ids)))):
        homes[memory_id].add(shard)
    return homes


def at_home_in(db: SqlConnection, shard: int) -> set[str]:
    """Return the ids that are noted for a shard (its local number)."""
    return {str(row[0]) for row in db.execute("SELECT id FROM homes WHERE shard = ?", (shard,))}


def tombstone_of(db: SqlConnection, space: int, memory_id: str) -> Tombstone | None:
    """Return the tombstone of a memory, or None."""
    sql = "SELECT at, by, device FROM graves WHERE space = ? AND id = ?"
    row = db.execute(sql, (space, memory_id)).fetchone()
    return None if row is None else Tombstone(memory_id, *row)


def much_revised(db: SqlConnection, space: int, ids: Iterable[str]) -> list[str]:
    """Return the ids of the memories with more revisions than are kept."""
    sql = (
        "SELECT id FROM memories m WHERE space = ? AND id IN (SELECT value FROM json_each(?))"
        " AND (SELECT count(*) FROM revisions r WHERE r.memory = m.memory) > ?"
    )
    return [str(row[0]) for row in db.execute(sql, (space, json.dumps(list(ids)), limits.REVISIONS))]


def fingerprint(text: str) -> int:
    """Return a hash of the text in NFC: 64 bits, signed as in SQLite."""
    return int.from_bytes(hashlib.blake2b(nfc(text).encode(), digest_size=8).digest(), "big", signed=True)


@dataclass(frozen=True, slots=True)
class _Existing:
    memory: int
    born_seq: int
    row: IndexRow


def _existing(db: SqlConnection, ids: list[tuple[int, str]]) -> dict[tuple[int, str], _Existing]:
    """Return the rows of these memories by space and id. Memories that are not in the views are left out."""
    sql = (
        "SELECT space, id, memory, born_seq, text, scope, created_at, author, kind FROM memories"
        " WHERE id IN (SELECT value FROM json_each(?))"
    )
    wanted = json.dumps([memory_id for _, memory_id in ids])
    return {
        (row[0], row[1]): _Existing(row[2], row[3], IndexRow(row[2], *row[4:])) for row in db.execute(sql, (wanted,))
    }


@dataclass(slots=True)
class _Rows:
    """Rows to insert, by table. Inserting all at once halves the time. `last` is the greatest local number in use."""

    last: int
    memories: list[tuple[Any, ...]] = field(default_factory=list)
    tags: list[tuple[int, str]] = field(default_factory=list)
    metadata: list[tuple[int, str, str, float | None]] = field(default_factory=list)
    links: list[tuple[int, str, str]] = field(default_factory=list)
    revisions: list[tuple[int, str, str, int, str | None, str, str, int]] = field(default_factory=list)

    @classmethod
    def behind(cls, db: SqlConnection) -> _Rows:
        return cls(int(db.execute("SELECT coalesce(max(memory), 0) FROM memories").get))

    def put(self, space: int, state: LiveMemory, seq: int, before: _Existing | None) -> IndexRow:
        """Collect all rows of a memory under its local number, or a new one. Return its row for the indexes."""
        if before is None:
            self.last += 1
        memory, born_seq = (before.memory, before.born_seq) if before else (self.last, seq)
        self.memories.append((memory, space, born_seq, seq, *_memory_values(state)))
        self.tags += [(memory, tag) for tag in state.tags]
        self.metadata += [(memory, key, canonical(value), _number(value)) for key, value in state.metadata.items()]
        self.links += [(memory, link.rel, link.to) for link in state.links]
        if len(state.revisions) > 1:
            self.revisions += [
                (memory, r.revision, r.text, r.at, r.by, r.device, json.dumps(r.base), int(r.head))
                for r in state.revisions
            ]
        return IndexRow(memory, state.shown.text, state.scope, state.created_at, state.author, state.kind)

    def insert(self, db: SqlConnection) -> None:
        db.executemany(_INSERT_MEMORY, self.memories)
        db.executemany("INSERT INTO tags VALUES(?, ?)", self.tags)
        db.executemany("INSERT INTO metadata VALUES(?, ?, ?, ?)", self.metadata)
        db.executemany("INSERT INTO links VALUES(?, ?, ?)", self.links)
        db.executemany("INSERT INTO revisions VALUES(?, ?, ?, ?, ?, ?, ?, ?)", self.revisions)


def _memory_values(state: LiveMemory) -> tuple[Any, ...]:
    """Return the values of COLUMNS. Attributes need no conversion: SQLite stores true as 1."""
    others = state.attributes
    return (
        state.id,
        state.shown.text,
        state.shown.revision,
        int(len(state.heads) > 1),
        category_of(state.scope),
        state.created_at,
        state.updated_at,
        state.device,
        state.ignored,
        fingerprint(state.shown.text),
        state.salt,
        state.superseded_at,
        *(getattr(state, name) if born else others.get(name, default) for name, born, default in _ATTRIBUTE_COLUMNS),
    )


def _remove_parts(db: SqlConnection, memory: int) -> None:
    for table in _PARTS:
        db.execute(f"DELETE FROM {table} WHERE memory = ?", (memory,))


def _remove(db: SqlConnection, before: _Existing, done: Projected) -> None:
    _remove_parts(db, before.memory)
    db.execute("DELETE FROM memories WHERE memory = ?", (before.memory,))
    done.removed.append(before.row)


def _bury(db: SqlConnection, space: int, tombstone: Tombstone, seq: int, done: Projected, *, known: bool) -> None:
    db.execute(
        "INSERT INTO graves VALUES(?, ?, ?, ?, ?, ?) ON CONFLICT(space, id) DO UPDATE SET at = excluded.at,"
        " by = excluded.by, device = excluded.device",
        (space, tombstone.id, tombstone.at, tombstone.by, tombstone.device, seq),
    )
    if known:
        done.changes.append((space, tombstone.id, "forgotten"))


def forgotten_since(db: SqlConnection, memories: Iterable[tuple[int, str]], seq: int) -> None:
    """Let the forgets of these memories (each a space and an id) begin at row `seq`, where they were written again.

    What other devices have confirmed of the rows before says nothing: they may have had other blocks in their place.
    """
    db.executemany("UPDATE graves SET seq = ? WHERE space = ? AND id = ?", [(seq, *each) for each in memories])


def index_rows(db: SqlConnection, after: int, limit: int) -> Sequence[IndexRow]:
    """Return up to `limit` rows for the indexes after local number `after`, in order, to rebuild them page by page."""
    sql = "SELECT memory, text, scope, created_at, author, kind FROM memories WHERE memory > ? ORDER BY memory LIMIT ?"
    return [IndexRow(*row) for row in db.execute(sql, (after, limit))]


def _number(value: Json) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
