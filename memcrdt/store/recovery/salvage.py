"""A file that SQLite can't read everywhere: what can be read is copied into a new one, which takes its place.

The views are copied with the truth: they are all that is left of what the log may have lost. The indexes stay empty.
What is missing in either, doctor then makes anew. The damaged file is kept.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import apsw

from memcrdt.errors import CorruptError, SchemaError, StoreError
from memcrdt.model.limits import MIB
from memcrdt.model.requests import PERSONAL
from memcrdt.store import connections, machine, meta, migrations, scratch
from memcrdt.store.recovery import header_rebuild
from memcrdt.store.recovery.partial_reader import UNREADABLE, DamagedTable, Values
from memcrdt.store.spaces import LOCAL, Genesis

_SHOWN: Final = 20  # lines of SQLite's own check
_TREE: Final = re.compile(r"\bTree (\d+)\b")
_SEQUENCE: Final = "sqlite_sequence"
_REMADE: Final = frozenset({"sqlite_schema", _SEQUENCE, "indexed", "vectors", "codes", "waiting"})
# What only the user can say again.
_TOLD: Final = frozenset({"peers", "shares", "members", "withdrawn", "tokens", "token_spaces"})
_LOG: Final = frozenset({"updates", "snapshots", "shards"})

# The indexes of `shards` and `spaces` hold the better part of them once more.
_SHARDS_AGAIN: Final = "SELECT shard, space, number FROM shards INDEXED BY sqlite_autoindex_shards_1 WHERE space >= 0"
_IDS_AGAIN: Final = "SELECT space, id FROM spaces INDEXED BY sqlite_autoindex_spaces_1 WHERE id >= ''"
_NAMES_AGAIN: Final = "SELECT space, name FROM spaces INDEXED BY sqlite_autoindex_spaces_2 WHERE name >= ''"

# A shard that is named anywhere else, and the space that it is of, as far as that can be known.
_SHARDS_NAMED: Final = """
SELECT shard, coalesce((SELECT space FROM homes h WHERE h.shard = named.shard LIMIT 1), 1)
FROM (SELECT shard FROM updates UNION SELECT shard FROM snapshots UNION SELECT shard FROM homes) AS named
WHERE shard NOT IN (SELECT shard FROM shards) ORDER BY shard"""
_ADD_SHARD: Final = """
INSERT INTO shards(shard, space, number)
VALUES(?1, ?2, coalesce(?3, (SELECT max(number) + 1 FROM shards WHERE space = ?2), 0))"""
_COUNT_SHARD: Final = """
UPDATE shards SET damaged = 1,
  head = max(coalesce((SELECT max(seq) FROM updates u WHERE u.shard = shards.shard), 0),
             coalesce((SELECT seq FROM snapshots s WHERE s.shard = shards.shard), 0)),
  log_rows = (SELECT count(*) FROM updates u WHERE u.shard = shards.shard)
WHERE shard = ?"""
# Which of its rows forgot something is lost, too.
_DOUBT_SHARD: Final = "UPDATE shards SET to_scrub = head, forgotten = head WHERE shard = ?"
_MARK_LOSSES: Final = """
UPDATE shards SET damaged = 1
WHERE log_rows != (SELECT count(*) FROM updates u WHERE u.shard = shards.shard)
   OR bytes > log_bytes AND NOT EXISTS(SELECT 1 FROM snapshots s WHERE s.shard = shards.shard)"""
_SPACES_NAMED: Final = """
SELECT space FROM shards UNION SELECT space FROM memories UNION SELECT space FROM graves
UNION SELECT space FROM shares UNION SELECT space FROM members UNION SELECT space FROM withdrawn
UNION SELECT space FROM token_spaces"""
_HOMES: Final = """
INSERT OR IGNORE INTO homes(space, id, shard)
SELECT space, id, (SELECT shard FROM shards s WHERE s.space = m.space)
FROM (SELECT space, id FROM memories UNION SELECT space, id FROM graves) AS m
WHERE (SELECT count(*) FROM shards s WHERE s.space = m.space) = 1"""
_ANYTHING: Final = """
SELECT EXISTS(SELECT 1 FROM updates) OR EXISTS(SELECT 1 FROM snapshots) OR EXISTS(SELECT 1 FROM memories)"""
_HEAD: Final = """
SELECT max(coalesce((SELECT max(seq) FROM updates), 0), coalesce((SELECT max(head) FROM shards), 0),
           coalesce((SELECT max(seq) FROM snapshots), 0), coalesce((SELECT max(seq) FROM memories), 0))"""


def damage(path: Path, vfs: str | None = None) -> list[str]:
    """What SQLite itself finds wrong with the file, in words for the user."""
    # On a connection of its own: FTS5's check trusts what a connection has cached of an index that others changed.
    try:
        with connections.translated(path, "checking"), closing(_connect(path, vfs, read_only=True)) as db:
            return _checked(db)
    except (CorruptError, SchemaError) as exc:  # its list of tables
        return [_complaint(path) or str(exc.__cause__ or exc)]


def _complaint(path: Path) -> str | None:
    with _opened(path) as file:
        size = file.xFileSize()
        return header_rebuild.complaint(file.xRead(min(size, header_rebuild.HEADER), 0), size)


def _checked(db: apsw.Connection) -> list[str]:
    try:
        names = {int(root): str(name) for root, name in db.execute("SELECT rootpage, name FROM sqlite_schema")}
        lines = [str(row[0]) for row in db.execute(f"PRAGMA integrity_check({_SHOWN})")]
    except (apsw.CorruptError, apsw.SQLError, UnicodeDecodeError) as exc:
        return _pages_without_sense(db) or [str(exc)]
    found = [_named(part, names) for line in lines if line != "ok" for part in line.splitlines()]
    if migrations.is_spoiled(db):
        found.append("its header names a version of the schema that there never was")
    return found


def salvage(path: Path, vfs: str | None = None) -> tuple[str, ...]:
    """Puts all that can be read of the file at `path` into a new one, and that into its place. Returns what it did.

    Nobody may write meanwhile: StoreError, and nothing was changed, if somebody did. Raises CorruptError when not even
    the list of the tables can be read.
    """
    with (
        scratch.folder(path.parent, "salvaging") as folder,
        connections.translated(path, "salvaging"),
        closing(_connect(path, vfs)) as old,
        closing(_connect(folder / "salvaged.db", vfs)) as new,
    ):
        before = _version(old)
        connections.use_wal(new)
        migrations.migrate(new, path)
        copied, lacking = _copy_all(old, new)
        kept = _keep(old, path)
        if _version(old) != before:
            raise StoreError(f"another process wrote to {path} meanwhile; end it and try again: nothing was changed")
        with old.backup("main", new, "main") as backup:
            while not backup.done:
                backup.step(-1)
    return tuple(_told(kept, copied, lacking))


def is_listed(path: Path) -> bool:
    """Whether the list of the tables of the file can be read: then salvage() may do, else salvage_unlisted()."""
    try:
        with connections.translated(path, "salvaging"):
            _connect(path, None).close()
    except (CorruptError, SchemaError):
        return False
    return True


def salvage_unlisted(path: Path) -> tuple[str, ...]:
    """As salvage(), for a file of which not even the list of the tables can be read, and which nobody has open. It is
    another file then, and so another incarnation of the store.

    Raises CorruptError when no memory is found in it, and nothing was changed.
    """
    before = path.stat()
    with (
        scratch.folder(path.parent, "salvaging") as folder,
        connections.translated(path, "salvaging"),
    ):
        made, copy = folder / "salvaged.db", folder / "copy.db"
        with closing(_connect(made, None)) as new:
            connections.use_wal(new)
            migrations.migrate(new, path)
            missing = header_rebuild.grafted(path, copy, new, [*_copied(new), _SEQUENCE])
            with closing(connections.connect(copy, read_only=False, vfs=None)) as old:
                copied, lacking = _copy_all(old, new, missing)
            is_empty = not new.execute(_ANYTHING).get
        if is_empty:
            raise CorruptError(
                f"no memory can be found in {path}, and nothing was changed; keep the file, and restore a"
                " backup into a new home, or sync with the other devices into one"
            )
        if path.stat() != before:
            raise StoreError(f"another process wrote to {path} meanwhile; end it and try again: nothing was changed")
        kept = _put_in_place(made, path)
    return tuple(_told(kept, copied, lacking))


def _put_in_place(made: Path, path: Path) -> Path:
    """Puts one file in the place of another, which is kept with what SQLite has beside it."""
    kept = _kept(path)
    for suffix in ("", *connections.BESIDE):
        there = path.with_name(path.name + suffix)
        if there.exists():
            shutil.copyfile(there, kept.with_name(kept.name + suffix))
            kept.with_name(kept.name + suffix).chmod(0o600)
    for suffix in connections.BESIDE:
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    made.chmod(0o600)
    made.replace(path)
    return kept


def _connect(path: Path, vfs: str | None, *, read_only: bool = False) -> apsw.Connection:
    """A connection that knows the tables. Raises CorruptError when their list can't be read."""
    try:
        make = connections.connect_to_read if read_only else connections.connect
        db = make(path, read_only=read_only, vfs=vfs)
        db.execute("SELECT sql FROM sqlite_schema").fetchall()
    except apsw.CorruptError as exc:
        raise CorruptError(
            f"the list of the tables of {path} can't be read ({exc}); end all that has it open and let `memcrdt doctor"
            " --repair` look for them"
        ) from exc
    return db


def _told(kept: Path, copied: int, lacking: Sequence[str]) -> Iterator[str]:
    yield f"kept the damaged file as {kept.name}; delete it when nothing is missed"
    yield f"made a new file of the {copied:,} rows that could be read"
    if lacking:
        yield f"could not read some rows of {', '.join(lacking)}"
    if lost := sorted(_TOLD.intersection(lacking)):
        yield f"what {', '.join(lost)} held has to be said again: see `memcrdt peers`, `space list` and `token list`"


def _pages_without_sense(db: apsw.Connection) -> list[str]:
    """The pages that ended SQLite's check early, by what they are of."""
    sql = f"SELECT name, pageno FROM dbstat WHERE pagetype = 'corrupted' LIMIT {_SHOWN}"
    return [f"{name}: page {page} makes no sense" for name, page in _again(db, sql)]


def _named(line: str, names: dict[int, str]) -> str:
    """A line of SQLite's check, with the name of the table or index that it gives by its page."""
    found = _TREE.search(line)
    return f"{names.get(int(found[1]), 'a table')}: {line}" if found else line


def _version(db: apsw.Connection) -> int:
    """A number that differs when another connection has written."""
    return int(db.pragma("data_version"))


def _keep(db: apsw.Connection, path: Path) -> Path:
    """Copies the damaged file beside itself, the WAL moved into it before."""
    db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
    kept = _kept(path)
    descriptor = os.open(kept, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o600)
    with _opened(path) as source, os.fdopen(descriptor, "wb") as target:
        size = source.xFileSize()
        for at in range(0, size, MIB):
            target.write(source.xRead(min(MIB, size - at), at))
        target.flush()
        os.fsync(target.fileno())
    return kept


def _kept(path: Path) -> Path:
    return path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}")


@contextmanager
def _opened(path: Path) -> Iterator[apsw.VFSFile]:
    """The file, read in SQLite's own way: to open and close it by any other would drop the locks of this process."""
    file = apsw.VFSFile("", str(path), [apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_READONLY, 0])
    try:
        yield file
    finally:
        file.xClose()


def _copy_all(old: apsw.Connection, new: apsw.Connection, missing: Sequence[str] = ()) -> tuple[int, list[str]]:
    """Copies what can be read, and puts in place what follows from it; `missing` are tables that are lost. Returns how
    many rows, and the tables of which some are missing."""
    count, lacking = 0, [name for name in missing if name != _SEQUENCE]
    listed = {str(name) for (name,) in old.execute("SELECT name FROM sqlite_schema")}  # of an older schema, maybe
    new.execute("PRAGMA foreign_keys = OFF; BEGIN IMMEDIATE")
    for name, is_without_rowid in _copied(new).items():
        if name not in listed:
            continue
        table = _table(old, new, name)
        count += _copy(new, table, by_number=not is_without_rowid)
        if not table.is_whole:
            lacking.append(name)
    _complete_shards(old, new)
    _complete_spaces(old, new)
    _complete_facts(old, new, is_log_whole=_LOG.isdisjoint(lacking))
    new.execute("COMMIT")
    return count, lacking


def _copied(new: apsw.Connection) -> dict[str, bool]:
    """The tables that are copied, and whether each is without rowids."""
    tables = "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table' ORDER BY name"
    return {str(name): bool(wr) for name, wr in new.execute(tables) if name not in _REMADE}


def _table(old: apsw.Connection, new: apsw.Connection, name: str) -> DamagedTable:
    there = {str(row[1]) for row in old.execute(f"PRAGMA table_info({name})")}  # of an older schema, maybe
    info = [(str(row[1]), int(row[5])) for row in new.execute(f"PRAGMA table_info({name})")]
    key = [column for column, place in sorted(info, key=lambda each: each[1]) if place]
    return DamagedTable(old, name, [column for column, _ in info if column in there], key)


def _copy(new: apsw.Connection, table: DamagedTable, *, by_number: bool) -> int:
    values = ", ".join("?" * len(table.columns))
    insert = f"INSERT OR REPLACE INTO {table.name}({', '.join(table.columns)}) VALUES({values})"
    count = 0
    for row in table.rows(by_number=by_number):
        try:
            new.execute(insert, row)
            count += 1
        except apsw.Error:  # a value that its column does not take: no row that was written
            table.is_whole = False
    return count


def _complete_shards(old: apsw.Connection, new: apsw.Connection) -> None:
    """Puts shards back that could not be read, and marks all whose log has lost anything."""
    known = {int(shard) for (shard,) in new.execute("SELECT shard FROM shards")}
    again = {shard: row for row in _again(old, _SHARDS_AGAIN) if (shard := row[0]) not in known}
    new.executemany(_ADD_SHARD, again.values())
    for shard, space in new.execute(_SHARDS_NAMED).fetchall():
        new.execute(_ADD_SHARD, (shard, space, None))
        again[shard] = ()
    new.execute(_MARK_LOSSES)
    new.executemany(_COUNT_SHARD, ((shard,) for shard in again))
    new.executemany(_DOUBT_SHARD, ((shard,) for shard in again))
    new.execute(_HOMES)
    for table in ("revisions", "tags", "metadata", "links"):  # their numbers may be given to other memories
        new.execute(f"DELETE FROM {table} WHERE memory NOT IN (SELECT memory FROM memories)")


def _complete_spaces(old: apsw.Connection, new: apsw.Connection) -> None:
    """Puts spaces back that could not be read. Who made one, members tell each other; one whose id is lost, too, is
    another space from now on."""
    ids, names = ({int(space): str(value) for space, value in _again(old, sql)} for sql in (_IDS_AGAIN, _NAMES_AGAIN))
    named = {int(space) for (space,) in new.execute(_SPACES_NAMED)} | ids.keys() | names.keys()
    known = {int(space) for (space,) in new.execute("SELECT space FROM spaces")}
    founded = dict(enumerate((PERSONAL, LOCAL), start=1))
    for space in sorted((named | founded.keys()) - known):
        name = names.get(space) or founded.get(space) or f"recovered-{space}"
        nonce = secrets.token_bytes(16)
        identity = (ids[space], "", b"") if space in ids else (Genesis("", nonce).space_id, "", nonce)
        sql = "INSERT OR IGNORE INTO spaces(space, name, id, creator, nonce, created_at) VALUES(?, ?, ?, ?, ?, ?)"
        new.execute(sql, (space, name, *identity, time.time_ns() // 1_000_000))


def _complete_facts(old: apsw.Connection, new: apsw.Connection, *, is_log_whole: bool) -> None:
    """The store's facts and the numbers that are never given out again. Without its facts it is another store; with
    rows lost it writes under another client id, since others may know them."""
    known = {str(key) for (key,) in new.execute("SELECT key FROM meta")}
    if not {"incarnation", "device"} <= known:
        meta.reincarnate(new, "", machine.boot_id(), secrets.token_bytes)
    elif not is_log_whole or not {"client_id", "boot"} <= known:
        meta.renew_client_id(new, machine.boot_id(), secrets.token_bytes)
    counted = _again(old, "SELECT name, seq FROM sqlite_sequence")
    numbers = {str(name): seq for name, seq in counted if isinstance(seq, int)}
    new.execute("DELETE FROM sqlite_sequence")
    for table, least in (("updates", int(new.execute(_HEAD).get)), ("vectors", 0)):
        new.execute("INSERT INTO sqlite_sequence VALUES(?, ?)", (table, max(least, numbers.get(table, 0))))


def _again(old: apsw.Connection, sql: str) -> list[Values]:
    """What a second place still has; nothing where that is damaged, too."""
    try:
        return list(old.execute(sql))
    except UNREADABLE:
        return []
