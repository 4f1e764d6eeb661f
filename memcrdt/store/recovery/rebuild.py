"""Compare the views with the log, and rebuild views and indexes (invariant 10)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import apsw

from memcrdt.model.projection import State, project
from memcrdt.store import log, migrations, supersession, views
from memcrdt.store.documents import Documents
from memcrdt.store.indexer import IndexRow, NewText
from memcrdt.store.log import ShardRow
from memcrdt.store.transaction import Transaction

if TYPE_CHECKING:
    from memcrdt.store.store import Store

PAGE: Final = 1_024  # the number of memories that are indexed at once

# Columns that do not come from the log or not from one memory alone, and `salt`, which older rows lack.
_LOCAL: Final = frozenset({"memory", "born_seq", "seq", "salt", "circular"})
_PARTS: Final = ("revisions", "tags", "metadata", "links")
_ORPHANS: Final = "memory NOT IN (SELECT memory FROM memories)"
_HOMELESS: Final = "NOT EXISTS(SELECT 1 FROM homes h WHERE h.space = {0}.space AND h.id = {0}.id)"
_DELETE_GRAVE: Final = "DELETE FROM graves WHERE space = ? AND id = ?"  # only the log knows who is forgotten
_DAMAGED: Final = "(SELECT shard FROM shards s WHERE s.space = m.space AND s.damaged ORDER BY number LIMIT 1)"
_TO_HOUSE: Final = f"""
SELECT space, id, {_DAMAGED} FROM (SELECT space, id FROM memories UNION SELECT space, id FROM graves) AS m
WHERE {_HOMELESS.format("m")} AND {_DAMAGED} IS NOT NULL"""
_ANY_TO_HOUSE: Final = f"SELECT EXISTS({_TO_HOUSE})"
_HOUSE: Final = f"INSERT INTO homes(space, id, shard) {_TO_HOUSE}"


@contextmanager
def empty_store() -> Iterator[apsw.Connection]:
    """Open an empty store in memory, for views to compare with."""
    with closing(apsw.Connection(":memory:")) as db:
        for sql in migrations.scripts().values():
            db.execute(sql)
        yield db


def differing_memories(db: apsw.Connection, documents: Documents, row: ShardRow, beside: apsw.Connection) -> set[str]:
    """Return the ids of memories of a shard for which the views differ from the log.

    A damaged shard has none, because its views are all that is left of lost rows.

    Args:
        db: The store.
        documents: Its live documents.
        row: The shard.
        beside: An empty store for the views that follow from the log.
    """
    if row.damaged:
        return set()
    there = set(documents.current(db, row).live.ids())
    noted = views.at_home_in(db, row.shard)
    ids = there | noted
    views.write(beside, ((row.space, each, _state(db, documents, row, each)) for each in ids), 0)
    wanted, found = _view_rows(beside, row.space, ids), _view_rows(db, row.space, ids)
    return {each for each in ids if wanted[each] != found[each] or (each in there) != (each in noted)}


def assign_homes(store: Store) -> None:
    """Assign memories without a shard to a damaged shard of their space: they may be the last trace of lost rows.

    The homes of all memories in the log are corrected first.
    """
    with store.reading() as db:
        if not db.execute(_ANY_TO_HOUSE).get:
            return
    _correct_shards(store)
    with store.writing() as db:
        db.execute(_HOUSE)


def correct_views(store: Store) -> int:
    """Correct the views from the log, a shard at a time. Return the number of memories and rows corrected.

    The indexes were made from the views, so they must be rebuilt afterwards.
    """
    with store.writing() as db:
        count = delete_orphans(db)  # first, because new rows may get the numbers that they name
    count += _correct_shards(store)
    with store.writing() as db:
        count += count_orphans(db)
        delete_orphans(db)
        for table in ("memories", "graves"):
            db.execute(f"DELETE FROM {table} WHERE {_HOMELESS.format(table)}")
        count += supersession.settle_all(db)
    return count


def _correct_shards(store: Store) -> int:
    count = 0
    with store.reading() as db:
        shards = log.shard_numbers(db)
    for shard in shards:
        with store.writing_documents() as (db, documents), empty_store() as beside:
            ids = differing_memories(db, documents, log.shard_row(db, shard), beside)
            space = log.shard_row(db, shard).space
            db.executemany(_DELETE_GRAVE, ((space, each) for each in ids))
            transaction = Transaction(db, documents, store.stamp())
            transaction.reproject(shard, ids)
            transaction.finish()
            count += len(ids)
    return count


def delete_orphans(db: apsw.Connection) -> int:
    """Delete tags, metadata, links and revisions of no memory. Return their number.

    A later memory may get the local number that they name.
    """
    count = 0
    for table in _PARTS:
        db.execute(f"DELETE FROM {table} WHERE {_ORPHANS}")
        count += db.changes()
    return count


def count_orphans(db: apsw.Connection) -> int:
    """Return the number of view rows that belong to no memory."""
    counts = [f"(SELECT count(*) FROM {table} WHERE {_ORPHANS})" for table in _PARTS]
    counts += [f"(SELECT count(*) FROM {table} WHERE {_HOMELESS.format(table)})" for table in ("memories", "graves")]
    return int(db.execute(f"SELECT {' + '.join(counts)}").get)


def reindex(store: Store) -> int:
    """Rebuild the indexes from the views. Return the number of memories in them."""
    with store.reading() as db:
        texts = [NewText(*row) for row in db.execute("SELECT text, kind FROM memories")]
    prepared = store.indexer.prepare(texts)  # the indexer itself prepares memories that are added in between
    count = 0
    with store.writing() as db:
        store.indexer.clear(db)
        for rows in pages(db):
            store.indexer.replace(db, [], rows, prepared)
            count += len(rows)
    store.indexer.committed()
    return count


def pages(db: apsw.Connection) -> Iterator[list[IndexRow]]:
    """Yield the rows that the indexes should have according to the views, a page at a time."""
    last = -1
    while rows := list(views.index_rows(db, last, PAGE)):
        yield rows
        last = rows[-1].memory


def _state(db: apsw.Connection, documents: Documents, row: ShardRow, memory_id: str) -> State:
    shards = {row.shard, *views.homes_of(db, row.space, [memory_id])[memory_id]}
    homes = sorted((log.shard_row(db, shard) for shard in shards), key=lambda home: home.number)
    parts = (documents.current(db, home).live.registers(memory_id) for home in homes)
    return project(memory_id, [part for part in parts if part])


def _view_rows(db: apsw.Connection, space: int, ids: Iterable[str]) -> dict[str, list[Any]]:
    """Return all view rows of each memory, without local columns."""
    said: dict[str, list[Any]] = defaultdict(list)
    for each in ids:
        key = (space, each)
        for table in ("memories", "graves"):
            said[each] += db.execute(
                f"SELECT '{table}', {_columns(table)} FROM {table} WHERE space = ? AND id = ?", key
            )
        for table in _PARTS:
            columns = _columns(table)
            of_memory = "memory = (SELECT memory FROM memories WHERE space = ? AND id = ?)"
            said[each] += db.execute(
                f"SELECT '{table}', {columns} FROM {table} WHERE {of_memory} ORDER BY {columns}", key
            )
    return said


@cache
def _columns(table: str) -> str:
    """Return the columns of a view that come from the log, for a SELECT."""
    with empty_store() as db:
        names = [str(row[1]) for row in db.execute(f"PRAGMA table_info({table})")]
    return ", ".join(name for name in names if name not in _LOCAL)
