"""Restore a backup: the memories of the backup, and the trust of now.

The backup may come from anybody, or may have been made before a device or a token was revoked. So only its memories are
taken: the log, and the views as far as the log confirms them. Rows are checked and copied into a new store that our own
migrations made (row_checks.py, foreign_file.py). Devices, members, revocations and tokens are those of the store at the
moment of its replacement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import apsw

from memcrdt.errors import CorruptError, InputError, LockedError, SchemaError
from memcrdt.model import limits
from memcrdt.paths import translated_os_errors
from memcrdt.store import alarms, connections, log, migrations
from memcrdt.store.recovery import foreign_file, rebuild
from memcrdt.store.recovery.row_checks import is_valid
from memcrdt.store.spaces import LOCAL, NONCE_BYTES, Genesis
from memcrdt.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

# Every table of a store belongs to one of these groups, or is `meta` or `spaces`.
LOG: Final = ("shards", "updates", "snapshots")
VIEWS: Final = ("homes", "memories", "revisions", "tags", "metadata", "links", "graves")
OF_NOW: Final = (
    *("peers", "shares", "members", "invited", "withdrawn", "relay_decisions", "tokens", "token_spaces", "quarantine"),
)
VOID: Final = ("receipts", "damaged")  # they are about rows of the log that was here
INDEXES: Final = ("models", "indexed", "vectors", "codes", "waiting")

_IDENTITY: Final = frozenset({"incarnation", "device", "client_id", "boot", "attributes"})  # facts of the new store
_SQLITE: Final = b"SQLite format 3\0"  # the first bytes of every SQLite file

# An honest log unpacks to a few times the size of its file. These limits are far above that, and keep a crafted file
# from filling the memory or the disk.
_UNPACKED_BYTES: Final = 64 * limits.MIB
_UNPACKED_RATIO: Final = 32
_SHARD_MEMORY_BYTES: Final = 1_024 * limits.MIB  # 16 times that of a shard of 65,000 registers

# Other processes may add vectors until the store is replaced, and copies of vectors in memory follow by number.
_VECTORS_APART: Final = 1 << 20


def restore(store: Store, path: Path) -> None:
    """Replace the memories of the store with those of the backup at `path`.

    Changes after the backup are lost on this device and come back from peers. Other processes may continue to use the
    store: they see the whole backup or nothing of it. The store becomes another incarnation. An alarm says what
    was left out.

    Raises:
        InputError: The file does not exist, or is a store in use.
        SchemaError: The file is not a backup of a store.
        CorruptError: The backup is damaged, or unpacks to more than a backup can have.
        LockedError: Another process is restoring a backup here, or made a space meanwhile.
        StoreError: The file cannot be read.
    """
    store.check_writable("restoring")
    with _opened(store, path) as source:
        _check_log(source, path)
        with (
            store.location.temporary("restoring") as location,
            closing(Store(location, store.device, store.indexer, store.options)) as restored,
        ):
            filling = _Filling(store, restored, source, path)
            filling.fill()
            store.replace_content(restored.writer(), filling.complete)
    store.indexer.committed()


def check_backup(store: Store, path: Path) -> None:
    """Raise what restore() would for a file that is not a backup. Rows are not read, so damage may be found later."""
    with _opened(store, path):
        pass


@contextmanager
def _opened(store: Store, path: Path) -> Iterator[apsw.Connection]:
    """Open a backup. Raises InputError, SchemaError, CorruptError and StoreError, as restore() does."""
    if not path.is_file():
        raise InputError(f"there is no file {path}; name a backup that `memcrdt backup` made")
    _check_unused(store, path)
    _check_kind(path)
    with _translated(path), foreign_file.opened(path) as source:
        _check_ours(source, path)
        yield source


def _check_unused(store: Store, path: Path) -> None:
    """Raise InputError for the file of this store, by any name, and for a store with a WAL beside it.

    Such a file lacks the last writes.
    """
    there = path.resolve()  # the WAL is beside the file, not beside a link to it
    if store.location.is_at(there) or there.with_name(f"{there.name}-wal").exists():
        raise InputError(
            f"{path} is the file of a store that is in use, or was not closed, so it may be incomplete; name a"
            " backup that `memcrdt backup` made of that store"
        )


def _check_kind(path: Path) -> None:
    """Raise SchemaError for a file that is not a SQLite file."""
    with _of_file(path), path.open("rb") as file:
        if file.read(len(_SQLITE)) != _SQLITE:
            raise _no_backup(path)


def _check_ours(source: apsw.Connection, path: Path) -> None:
    """Raise SchemaError for the file of another program or a newer version, CorruptError for a damaged header."""
    if migrations.is_spoiled(source):
        raise _damaged(path, "its header names a schema version that does not exist")
    if not migrations.is_ours(source) or not all(foreign_file.plain_columns(source, table) for table in LOG):
        raise _no_backup(path)
    migrations.check(source, path)


def _check_log(source: apsw.Connection, path: Path) -> None:
    """Raise CorruptError if a row of the log cannot be loaded, or if the whole takes more than any backup."""
    size = int(source.pragma("page_count")) * int(source.pragma("page_size"))
    room = max(_UNPACKED_BYTES, _UNPACKED_RATIO * size)
    memory: dict[int, int] = {}
    wrong: list[str] = []
    kinds: dict[log.RowKind, str] = {"update": "updates", "snapshot": "snapshots"}
    for kind, table in kinds.items():
        for shard, data, kept in _rows(source, table, ("shard", "bytes", "checksum")):
            try:
                for unpacked, scan in log.scans_of(kind, shard, data, kept):
                    room -= unpacked
                    memory[shard] = memory.get(shard, 0) + scan.memory
                    if room < 0 or memory[shard] > _SHARD_MEMORY_BYTES:
                        raise _damaged(path, f"shard {shard} unpacks to more than a backup can have")
            except CorruptError as exc:
                wrong.append(f"{kind} of shard {shard} {exc}")
    if wrong:
        raise _damaged(path, f"{len(wrong):,} rows cannot be used; the first: {wrong[0]}")


def _rows(source: apsw.Connection, table: str, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Yield the valid and the invalid rows of a table.

    Raises:
        CorruptError: The table has no end.
    """
    most = foreign_file.most_rows(source)
    for count, row in enumerate(source.execute(f"SELECT {', '.join(columns)} FROM {table} NOT INDEXED")):
        if count >= most:
            raise apsw.CorruptError(f"the table {table} has no end")
        yield row


@dataclass(slots=True)
class _Filling:
    """Fills a new store with the memories of a backup."""

    store: Store
    restored: Store
    source: apsw.Connection
    path: Path
    left_out: int = 0
    spaces: Sequence[tuple[int, str, str]] = ()  # of the store: number, id, name

    def fill(self) -> None:
        """Copy the rows, correct the views from the log, and build the indexes."""
        with self.store.reading() as now, connections.consistent_read(now), self.restored.writing() as db:
            self.spaces = _spaces(now)
            for table in ("models", "spaces"):
                _copy_all(now, db, table)
            self._continue_numbers(now, db, vectors_apart=_VECTORS_APART)
        with self.restored.writing() as db:
            db.execute("PRAGMA defer_foreign_keys = ON")  # snapshots and updates name shards, in any order
            places = self._place_spaces(db)
            for table in LOG:
                if wrong := self._copy(db, table, places):
                    raise _damaged(self.path, f"{wrong:,} rows of {table} are invalid")
            for table in VIEWS:
                self.left_out += self._copy(db, table, places)
            rebuild.delete_orphans(db)
            db.execute("UPDATE shards SET digest = NULL")
            self._continue_numbers(db, db)
        try:
            rebuild.correct_views(self.restored)
        except CorruptError as exc:
            raise _damaged(self.path, str(exc.__cause__ or exc)) from exc
        self._index()

    def complete(self, now: apsw.Connection) -> None:
        """Take everything that is not memories from the store. No process can write to it any more.

        Raises:
            LockedError: The spaces are no longer those that the memories were placed in.
        """
        if _spaces(now) != self.spaces:
            raise LockedError(
                "another process changed the spaces during the restore, so nothing was changed; try again"
            )
        with self.restored.writing() as db:
            db.execute("PRAGMA defer_foreign_keys = ON")
            for table in OF_NOW:
                _copy_all(now, db, table)
            db.execute("UPDATE shares SET agreed_at = NULL")
            facts = [fact for fact in now.execute("SELECT key, value FROM meta") if fact[0] not in _IDENTITY]
            db.executemany("INSERT OR REPLACE INTO meta(key, value) VALUES(?, ?)", facts)
            self._continue_numbers(now, db)
            alarms.raise_alarm(db, self.store.now_ms(), self._alarm())

    def _alarm(self) -> str:
        text = (
            "This store was restored from a backup. A backup brings memories, not trust: devices, members, revocations"
            " and tokens are as they were before. Pair again with devices that `memcrdt peers` does not list"
        )
        return f"{text}. {self.left_out:,} invalid rows of the backup were left out" if self.left_out else text

    def _place_spaces(self, db: apsw.Connection) -> Mapping[int, int]:
        """Return the number that each space of the backup has here. Make the spaces that are missing.

        A space is found by its id, or else by its name: its id changes when it becomes part of another device's space.
        `local` never leaves the machine, so only its name counts. A space that this device may only read takes no
        memories of another space, because the other devices would refuse them.
        """
        columns = ("space", "id", "name", "created_at")
        known = {row[1]: row[0] for row in self.spaces if row[2] != LOCAL}
        named = {
            str(name): int(space) for space, name in db.execute("SELECT space, name FROM spaces WHERE NOT read_only")
        }
        found = [row for row in _rows(self.source, "spaces", columns) if is_valid("spaces", columns, row)]
        places = {row[0]: known[row[1]] for row in found if row[2] != LOCAL and row[1] in known}
        for space, _, name, created_at in found:
            if space in places:
                continue
            at = named.get(name)
            places[space] = self._new_space(db, name, created_at) if at is None or at in places.values() else at
        return places

    def _new_space(self, db: apsw.Connection, name: str, created_at: int) -> int:
        """Make a space of this device: into a space of another creator, this device could invite nobody."""
        genesis = Genesis(self.store.device, self.store.options.random(NONCE_BYTES))
        taken = {known for (known,) in db.execute("SELECT name FROM spaces")}
        name = next(each for n in range(1, len(taken) + 2) if (each := _numbered(name, n)) not in taken)
        sql = "INSERT INTO spaces(id, name, creator, nonce, created_at) VALUES(?, ?, ?, ?, ?)"
        db.execute(sql, (genesis.space_id, name, *genesis, created_at))
        return db.last_insert_rowid()

    def _copy(self, db: apsw.Connection, table: str, places: Mapping[int, int]) -> int:
        """Copy the valid rows of a table. Return the number of the others."""
        known = {str(row[1]) for row in db.execute(f"PRAGMA table_info({table})")}
        columns = [name for name in foreign_file.plain_columns(self.source, table) if name in known]
        if not columns:
            return 0
        place = columns.index("space") if "space" in columns else None
        insert = f"INSERT INTO {table}({', '.join(columns)}) VALUES({', '.join('?' * len(columns))})"
        wrong = 0
        for row in _rows(self.source, table, columns):
            if not is_valid(table, columns, row) or (place is not None and row[place] not in places):
                wrong += 1
                continue
            values = list(row)
            if place is not None:
                values[place] = places[row[place]]
            try:
                db.execute(insert, values)
            except (apsw.ConstraintError, apsw.MismatchError):
                wrong += 1
        return wrong

    def _continue_numbers(self, given: apsw.Connection, db: apsw.Connection, vectors_apart: int = 0) -> None:
        """Let the numbers of rows continue after those that were given out."""
        numbers = dict(given.execute("SELECT name, seq FROM sqlite_sequence"))
        for table, least in (("updates", int(db.execute(_HEAD).get)), ("vectors", 0)):
            seq = max(least, numbers.get(table, 0) + (vectors_apart if table == "vectors" else 0))
            db.execute(_COUNTER, (table,))
            db.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", (seq, table))

    def _index(self) -> None:
        indexer = self.restored.indexer
        with self.restored.writing() as db:
            for rows in rebuild.pages(db):
                indexer.replace(db, [], rows, indexer.prepare(rows))


_COUNTER: Final = """
INSERT INTO sqlite_sequence(name, seq) SELECT ?1, 0 WHERE NOT EXISTS(SELECT 1 FROM sqlite_sequence WHERE name = ?1)"""
_HEAD: Final = """
SELECT max(coalesce((SELECT max(seq) FROM updates), 0), coalesce((SELECT max(head) FROM shards), 0),
           coalesce((SELECT max(seq) FROM snapshots), 0), coalesce((SELECT max(seq) FROM memories), 0),
           coalesce((SELECT max(seq) FROM graves), 0))"""


def _spaces(db: apsw.Connection) -> list[tuple[int, str, str]]:
    return list(db.execute("SELECT space, id, name FROM spaces ORDER BY space"))


def _copy_all(now: apsw.Connection, db: apsw.Connection, table: str) -> None:
    """Replace the rows of a table with those of the store. Both have the same columns."""
    db.execute(f"DELETE FROM {table}")
    rows = now.execute(f"SELECT * FROM {table}")
    for row in rows:
        db.execute(f"INSERT INTO {table} VALUES({', '.join('?' * len(row))})", row)


def _numbered(name: str, n: int) -> str:
    tail = f"-{n}" if n > 1 else ""
    return f"{name[: limits.NAME_CHARS - len(tail)]}{tail}"


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Tell damage of the backup as such. The usual message recommends the doctor, for stores."""
    with _of_file(path), connections.translated(path, "restoring"):
        try:
            yield
        except (apsw.CorruptError, apsw.NotADBError, apsw.SQLError, apsw.TooBigError, UnicodeDecodeError) as exc:
            raise _damaged(path, str(exc)) from exc


def _of_file(path: Path) -> AbstractContextManager[None]:
    return translated_os_errors(f"the backup {path} cannot be read", "check the folder and its permissions")


def _no_backup(path: Path) -> SchemaError:
    return SchemaError(f"{path} is not a backup; name a file that `memcrdt backup` made")


def _damaged(path: Path, how: str) -> CorruptError:
    return CorruptError(
        f"the backup {path} is damaged ({how}), and nothing was changed; name another one, or copy it into a new home"
        " as memories.db and run `memcrdt doctor --repair` there"
    )
