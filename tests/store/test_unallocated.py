"""Tests of what SQLite leaves of rows in the unallocated space of pages."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from memcrdt.store import connections, unallocated
from memcrdt.store.files import FILE
from memcrdt.testing.faults import Disk, Fault, FaultyVfs
from tests.bare_device import BareDevice

Make = Callable[..., BareDevice]

TABLES = {
    "rows by number": "CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)",
    "rows in an index": "CREATE TABLE t (id TEXT PRIMARY KEY, text TEXT) WITHOUT ROWID",
    "rows with an index": "CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT); CREATE INDEX by_text ON t (text)",
}


def _mark(number: int) -> str:
    return f"mark-{number:04d}."


def _text(number: int, rng: random.Random, longest: int = 600) -> str:
    return _mark(number) + "x" * rng.randrange(20, longest)


def _connect(path: Path) -> apsw.Connection:
    return connections.connect(path, read_only=False, vfs=None)


def _table(path: Path, schema: str, rng: random.Random, settings: str = "", longest: int = 600) -> list[int]:
    """Make a table with 400 rows that are added in random order. Return their numbers."""
    numbers = rng.sample(range(400), 400)
    with closing(apsw.Connection(str(path))) as db:
        db.execute(settings)
        connections.use_wal(db)
    with closing(_connect(path)) as db:
        db.execute(schema)
        for number in numbers:
            db.execute("INSERT INTO t VALUES (?, ?)", (number, _text(number, rng, longest)))
    return numbers


def _table_with_removed(
    path: Path, schema: str, rng: random.Random, settings: str = "", longest: int = 600
) -> list[int]:
    """Make a table, and remove some of its rows. Return the numbers of these."""
    gone = rng.sample(_table(path, schema, rng, settings, longest), 150)
    with closing(_connect(path)) as db:
        for number in gone:
            db.execute("DELETE FROM t WHERE id = ?", (number,))
    return gone


def _found(path: Path, numbers: list[int]) -> list[int]:
    """Return which rows have a text in any byte of the file."""
    data = path.read_bytes()
    return [number for number in numbers if _mark(number).encode() in data]


def _erase(path: Path, db: apsw.Connection) -> bool:
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    db.execute("BEGIN IMMEDIATE")
    assert connections.is_wal_empty(path)
    found = unallocated.erase(db, path, None)
    connections.write_again(db)
    db.execute("COMMIT")
    return found


def _content(path: Path) -> list[object]:
    with closing(_connect(path)) as db:
        assert [row[0] for row in db.execute("PRAGMA integrity_check")] == ["ok"]
        return list(db.execute("SELECT id, text FROM t ORDER BY id"))


def _leaves(path: Path, table: str) -> Iterator[int]:
    """Yield the positions of the leaf pages of a table in the file, as SQLite tells them."""
    sql = "SELECT pgoffset FROM dbstat WHERE name = ? AND pagetype = 'leaf'"
    with closing(apsw.Connection(str(path))) as db:
        yield from (int(row[0]) for row in db.execute(sql, (table,)).fetchall())


def _all_unallocated(path: Path, table: str) -> list[bytes]:
    """Return what is in the unallocated space of each leaf page of a table, without zeros."""
    data, found = path.read_bytes(), []
    for at in _leaves(path, table):
        cells, content = struct.unpack_from(">HH", data, at + 3)
        found.append(data[at + 8 + 2 * cells : at + content].strip(b"\0"))
    return found


@pytest.mark.parametrize("schema", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize(
    ("settings", "longest"),
    [
        ("", 600),
        ("PRAGMA auto_vacuum = NONE", 600),
        ("PRAGMA page_size = 512", 600),
        ("PRAGMA page_size = 65536", 6_000),
    ],
)
def test_deleted_rows_are_in_no_byte_of_the_file(tmp_path: Path, schema: str, settings: str, longest: int) -> None:
    """SQLite alone leaves copies of deleted rows, also with `secure_delete`."""
    left = 0
    for seed in range(6):
        path, rng = tmp_path / f"{seed}.db", random.Random(seed)
        gone = _table_with_removed(path, schema, rng, settings, longest)
        before = _content(path)
        left += len(_found(path, gone))
        with closing(_connect(path)) as db:
            _erase(path, db)
            assert _found(path, gone) == []
            assert not _erase(path, db)
        assert _content(path) == before
    assert left


@pytest.mark.parametrize("is_other", [False, True])
def test_no_connection_writes_from_its_cache_what_was_erased(tmp_path: Path, is_other: bool) -> None:
    """Connections that read the pages before change them afterwards."""
    path = tmp_path / "rows.db"
    gone = _table_with_removed(path, TABLES["rows by number"], random.Random(0))
    assert _found(path, gone)
    with closing(_connect(path)) as db, closing(_connect(path)) as other:
        for each in (db, other):
            each.execute("SELECT sum(length(text)) FROM t").fetchall()
        _erase(path, db)
        (other if is_other else db).execute("UPDATE t SET text = replace(text, 'x', 'y')")
    assert _found(path, gone) == []


def test_what_was_erased_stays_so_after_a_power_cut(tmp_path: Path) -> None:
    """The mark of a shard that is to be scrubbed may be removed when this has returned."""
    vfs = FaultyVfs("memcrdt-unallocated", Disk())
    path, after = tmp_path / "rows.db", tmp_path / "after"
    _table(path, TABLES["rows by number"], random.Random(0))
    assert sum(bool(found) for found in _all_unallocated(path, "t")) > 10
    with closing(_connect(path)) as db:
        assert unallocated.erase(db, path, vfs.name)
    after.mkdir()
    vfs.disk.after_power_cut(after, random.Random(1))
    assert not any(_all_unallocated(after / "rows.db", "t"))


@pytest.mark.parametrize("seed", range(4))
def test_a_power_cut_in_the_middle_leaves_a_sound_file(tmp_path: Path, seed: int) -> None:
    """Some sectors are written, and others are not."""
    vfs = FaultyVfs(f"memcrdt-cut-{seed}", Disk())
    path, after = tmp_path / "rows.db", tmp_path / "after"
    _table(path, TABLES["rows by number"], random.Random(seed))
    before = _content(path)
    vfs.disk.fault = Fault("cut", 8, frozenset({"write"}))
    with closing(_connect(path)) as db, pytest.raises(apsw.IOError):
        unallocated.erase(db, path, vfs.name)
    after.mkdir()
    vfs.disk.after_power_cut(after, random.Random(seed))
    assert _content(after / "rows.db") == before


def test_the_pointer_map_of_the_pending_byte_is_on_the_next_page() -> None:
    """It is so in a file of SQLite 3.54 with 1.08 GB in pages of 1 KiB. With the usual pages no map would be there."""
    maps = [page for page in range(1_048_400, 1_048_800) if unallocated._is_map((page - 1) * 1_024, 1_024)]
    assert maps == [1_048_577, 1_048_578, 1_048_782]  # the first of them is unused


@pytest.mark.parametrize("damage", ["content below the list", "content behind the page", "cell", "free block"])
def test_a_damaged_page_is_left_alone(tmp_path: Path, damage: str) -> None:
    """What seems to be unallocated may have rows that can be saved."""
    path = tmp_path / "rows.db"
    _table(path, TABLES["rows by number"], random.Random(1))
    data = bytearray(path.read_bytes())
    leaves = list(_leaves(path, "t"))
    for at in leaves:
        cells, content = struct.unpack_from(">HH", data, at + 3)
        where, value = {
            "content below the list": (5, 8 + 2 * cells - 1),
            "content behind the page": (5, 4_097),
            "cell": (8, content - 1),
            "free block": (1, content - 1),
        }[damage]
        struct.pack_into(">H", data, at + where, value)
        data[at + content - 1] = 1
    path.write_bytes(data)
    with closing(apsw.Connection(str(path))) as db:
        unallocated.erase(db, path, None)
    after = path.read_bytes()
    assert all(after[at : at + 4_096] == data[at : at + 4_096] for at in leaves)


def test_forgetting_leaves_no_copies_of_rows_that_were_moved(device: Make) -> None:
    """Invariant 5: a later forget would not find them."""
    a, rng = device("A"), random.Random(4)
    memories = a.add_many(_text(number, rng, 900) for number in range(200))
    gone = rng.sample(range(200), 150)
    for number in gone:
        a.forget(memories[number])
    assert _found(a.home / FILE, gone) == []
    assert not any(_all_unallocated(a.home / FILE, "memories"))


def test_a_process_that_writes_before_the_mark_is_gone_brings_nothing_back(
    device: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It read the pages before they were overwritten, and drops them from its cache before it writes."""
    a = device("A")
    memories = a.add_many(_text(number, random.Random(number), 900) for number in range(200))
    truncate, erase = connections.truncate_wal, a.store.erase_unallocated
    with closing(_connect(a.home / FILE)) as other:

        def read_after(path: Path, vfs: str | None) -> bool:
            done = truncate(path, vfs)
            other.execute("SELECT sum(length(text)) FROM memories").fetchall()
            return done

        def write_after() -> bool:
            done = erase()
            other.execute("UPDATE memories SET text = replace(text, 'x', 'y')")
            return done

        monkeypatch.setattr(connections, "truncate_wal", read_after)
        monkeypatch.setattr(a.store, "erase_unallocated", write_after)
        a.forget(*memories[::2])
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert not any(_all_unallocated(a.home / FILE, "memories"))


def test_a_writer_in_between_lets_scrubbing_wait(device: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages in the WAL have unallocated space, too. This can happen where writers have no lock of their own."""
    a = device("A")
    memory = a.add("memory")
    with monkeypatch.context() as patched:
        patched.setattr(a.store, "scrub_later", lambda: None)
        patched.setattr(connections, "truncate_wal", lambda path, vfs: True)
        a.store.commit(lambda transaction: transaction.forget(1, memory))
        assert not a.store.scrub()
        assert a.rows("SELECT count(*) FROM shards WHERE to_scrub > 0") == [(1,)]
    assert a.store.scrub()
