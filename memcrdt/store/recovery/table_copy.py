"""Copy all readable rows of a damaged store into a new one, and complete the rows that follow from them.

The views are copied with the log, because they are all that is left of its lost rows. The indexes stay empty.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Final

import apsw

from memcrdt.model.scopes import PERSONAL
from memcrdt.store import log, machine, meta
from memcrdt.store.recovery.foreign_file import most_rows, plain_columns
from memcrdt.store.recovery.partial_reader import DamagedTable, readable_rows
from memcrdt.store.recovery.rebuild import delete_orphans
from memcrdt.store.recovery.row_checks import NUMBER_MAX, is_valid
from memcrdt.store.spaces import LOCAL, NONCE_BYTES, Genesis

SEQUENCE: Final = "sqlite_sequence"
_NOT_COPIED: Final = frozenset({"sqlite_schema", SEQUENCE, "indexed", "vectors", "codes", "waiting"})
_LOG: Final = frozenset({"updates", "snapshots", "shards"})

# The indexes of `shards` and `spaces` have a second copy of most of their columns.
_SHARDS_OF_INDEX: Final = (
    "SELECT shard, space, number FROM shards INDEXED BY sqlite_autoindex_shards_1 WHERE space >= 0"
)
_IDS_OF_INDEX: Final = "SELECT space, id FROM spaces INDEXED BY sqlite_autoindex_spaces_1 WHERE id >= ''"
_NAMES_OF_INDEX: Final = "SELECT space, name FROM spaces INDEXED BY sqlite_autoindex_spaces_2 WHERE name >= ''"

# A shard that another table names but `shards` lacks, and its most likely space.
_LOST_SHARDS: Final = """
SELECT shard, coalesce((SELECT space FROM homes h WHERE h.shard = named.shard LIMIT 1), 1)
FROM (SELECT shard FROM updates UNION SELECT shard FROM snapshots UNION SELECT shard FROM homes) AS named
WHERE shard NOT IN (SELECT shard FROM shards) ORDER BY shard"""
_ADD_SHARD: Final = "INSERT INTO shards(shard, space, number) VALUES(?, ?, ?)"
_COUNT_SHARD: Final = """
UPDATE shards SET damaged = 1,
  head = max(coalesce((SELECT max(seq) FROM updates u WHERE u.shard = shards.shard), 0),
             coalesce((SELECT seq FROM snapshots s WHERE s.shard = shards.shard), 0)),
  log_rows = (SELECT count(*) FROM updates u WHERE u.shard = shards.shard)
WHERE shard = ?"""
# It is unknown which of its rows forgot memories.
_DOUBT_SHARD: Final = "UPDATE shards SET to_scrub = head, forgotten = head WHERE shard = ?"
_MARK_LOSSES: Final = """
UPDATE shards SET damaged = 1
WHERE log_rows != (SELECT count(*) FROM updates u WHERE u.shard = shards.shard)
   OR bytes > log_bytes AND NOT EXISTS(SELECT 1 FROM snapshots s WHERE s.shard = shards.shard)"""
_NAMED_SPACES: Final = """
SELECT space FROM shards UNION SELECT space FROM memories UNION SELECT space FROM graves
UNION SELECT space FROM shares UNION SELECT space FROM members UNION SELECT space FROM withdrawn
UNION SELECT space FROM invited UNION SELECT space FROM relay_decisions UNION SELECT space FROM token_spaces"""
_HOMES: Final = """
INSERT OR IGNORE INTO homes(space, id, shard)
SELECT space, id, (SELECT shard FROM shards s WHERE s.space = m.space)
FROM (SELECT space, id FROM memories UNION SELECT space, id FROM graves) AS m
WHERE (SELECT count(*) FROM shards s WHERE s.space = m.space) = 1"""
_HEAD: Final = """
SELECT max(coalesce((SELECT max(seq) FROM updates), 0), coalesce((SELECT max(head) FROM shards), 0),
           coalesce((SELECT max(seq) FROM snapshots), 0), coalesce((SELECT max(seq) FROM memories), 0))"""


def copy_readable(old: apsw.Connection, new: apsw.Connection, missing: Sequence[str] = ()) -> tuple[int, list[str]]:
    """Copy the readable rows, and complete the rows that follow from them.

    Args:
        old: The damaged store.
        new: An intact, empty store.
        missing: The tables that are lost.

    Returns:
        The number of rows copied, and the tables that lack rows.
    """
    count, lacking = 0, [name for name in missing if name != SEQUENCE]
    listed = {str(name) for (name,) in old.execute("SELECT name FROM sqlite_schema")}  # an older schema may lack some
    new.execute("PRAGMA foreign_keys = OFF; BEGIN IMMEDIATE")
    for name, is_without_rowid in copied_tables(new).items():
        if name not in listed:
            continue
        if (table := _table(old, new, name)) is None:
            lacking.append(name)
            continue
        count += _copy(new, table, by_number=not is_without_rowid)
        if not table.is_whole:
            lacking.append(name)
    _complete_shards(old, new)
    _complete_spaces(old, new)
    _complete_facts(old, new, is_log_whole=_LOG.isdisjoint(lacking))
    new.execute("COMMIT")
    return count, lacking


def copied_tables(new: apsw.Connection) -> dict[str, bool]:
    """Return the names of the tables to copy, and whether each is a WITHOUT ROWID table."""
    tables = "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table' ORDER BY name"
    return {str(name): bool(wr) for name, wr in new.execute(tables) if name not in _NOT_COPIED}


def _table(old: apsw.Connection, new: apsw.Connection, name: str) -> DamagedTable | None:
    """Return a table to copy; None if something else has its name."""
    there = plain_columns(old, name)  # an older schema may lack some
    info = [(str(row[1]), int(row[5])) for row in new.execute(f"PRAGMA table_info({name})")]
    key = [column for column, place in sorted(info, key=lambda each: each[1]) if place]
    columns = [column for column, _ in info if column in there]
    if not set(key) <= set(columns):
        return None
    return DamagedTable(old, name, columns, key, most_rows(old))


def _copy(new: apsw.Connection, table: DamagedTable, *, by_number: bool) -> int:
    values = ", ".join("?" * len(table.columns))
    insert = f"INSERT OR REPLACE INTO {table.name}({', '.join(table.columns)}) VALUES({values})"
    count = 0
    for row in table.rows(by_number=by_number):
        try:
            if is_valid(table.name, table.columns, row):
                new.execute(insert, row)
                count += 1
                continue
        except apsw.Error:  # its column rejects the value
            pass
        table.is_whole = False  # no store wrote this row
    return count


def _complete_shards(old: apsw.Connection, new: apsw.Connection) -> None:
    """Restore the rows of unreadable shards, and mark every shard that lost part of its log as damaged."""
    known = {int(shard) for (shard,) in new.execute("SELECT shard FROM shards")}
    found = [
        row for row in readable_rows(old, _SHARDS_OF_INDEX) if is_valid("shards", ("shard", "space", "number"), row)
    ]
    again = {row[0]: row for row in found if row[0] not in known}
    new.executemany(_ADD_SHARD, again.values())
    lost: list[tuple[int, int]] = list(new.execute(_LOST_SHARDS))
    for shard, space in lost:
        new.execute(_ADD_SHARD, (shard, space, log.free_number(new, space)))
        again[shard] = ()
    new.execute(_MARK_LOSSES)
    new.executemany(_COUNT_SHARD, ((shard,) for shard in again))
    new.executemany(_DOUBT_SHARD, ((shard,) for shard in again))
    new.execute(_HOMES)
    delete_orphans(new)


def _complete_spaces(old: apsw.Connection, new: apsw.Connection) -> None:
    """Restore the rows of unreadable spaces.

    Members send each other the creator of a space. A space whose id is lost too becomes another space.
    """
    ids, names = (
        {row[0]: row[1] for row in readable_rows(old, sql) if is_valid("spaces", ("space", column), row)}
        for column, sql in (("id", _IDS_OF_INDEX), ("name", _NAMES_OF_INDEX))
    )
    named = {int(space) for (space,) in new.execute(_NAMED_SPACES)} | ids.keys() | names.keys()
    known = {int(space) for (space,) in new.execute("SELECT space FROM spaces")}
    founded = dict(enumerate((PERSONAL, LOCAL), start=1))
    for space in sorted((named | founded.keys()) - known):
        name = names.get(space) or founded.get(space) or f"recovered-{space}"
        nonce = secrets.token_bytes(NONCE_BYTES)
        identity = (ids[space], "", b"") if space in ids else (Genesis("", nonce).space_id, "", nonce)
        sql = "INSERT OR IGNORE INTO spaces(space, name, id, creator, nonce, created_at) VALUES(?, ?, ?, ?, ?, ?)"
        new.execute(sql, (space, name, *identity, time.time_ns() // 1_000_000))


def _complete_facts(old: apsw.Connection, new: apsw.Connection, *, is_log_whole: bool) -> None:
    """Complete the facts of the store, and the counters of numbers that must never be reused.

    Without its facts, the store becomes another incarnation. If rows are lost, it takes another client id, because
    other devices may have those rows.
    """
    known = {str(key) for (key,) in new.execute("SELECT key FROM meta")}
    if not {"incarnation", "device"} <= known:
        meta.reincarnate(new, "", machine.boot_id(), secrets.token_bytes)
    elif not is_log_whole or not {"client_id", "boot"} <= known:
        meta.renew_client_id(new, machine.boot_id(), secrets.token_bytes)
    counted = readable_rows(old, "SELECT name, seq FROM sqlite_sequence")
    numbers = {str(name): seq for name, seq in counted if isinstance(seq, int) and seq <= NUMBER_MAX}
    new.execute("DELETE FROM sqlite_sequence")
    for table, least in (("updates", int(new.execute(_HEAD).get)), ("vectors", 0)):
        new.execute("INSERT INTO sqlite_sequence VALUES(?, ?)", (table, max(least, numbers.get(table, 0))))
