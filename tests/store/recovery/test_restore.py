"""Tests of restoring backups."""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from memcrdt.errors import CorruptError, InputError, LockedError, SchemaError
from memcrdt.model import limits
from memcrdt.store import alarms, backup, log
from memcrdt.store.membership.peers import Peers
from memcrdt.store.membership.shares import replace_genesis
from memcrdt.store.membership.tokens import TokenTable
from memcrdt.store.recovery import doctor, rebuild, restore
from memcrdt.store.spaces import Genesis, add_space
from memcrdt.store.store import Store
from tests.bare_device import BareDevice, agree

Make = Callable[..., BareDevice]


def _cut(path: Path) -> None:
    os.truncate(path, 20_000)


def _spoil(path: Path) -> None:
    with closing(apsw.Connection(str(path))) as db:
        db.execute("PRAGMA user_version = 0")


def test_restoring_goes_back_and_peers_bring_the_rest(device: Make, tmp_path: Path) -> None:
    """Invariant 4: the store is another incarnation, so its lost writes collide with nothing."""
    a, b = device("A"), device("B")
    kept = a.add("kept")
    backup.back_up(a.store, tmp_path / "backup")
    later = a.add("later")
    a.update(kept, text="edited")
    agree([a, b])
    facts, head = a.store.facts, a.replica.head()
    restore.restore(a.store, tmp_path / "backup")
    assert a.texts() == {kept: "kept"}
    assert a.store.facts.incarnation != facts.incarnation
    new = a.add("new")
    assert a.replica.head() == head + 1
    agree([a, b])
    assert a.texts() == {kept: "edited", later: "later", new: "new"}
    assert (a.views(), a.digest()) == (b.views(), b.digest())
    assert doctor.examine(a.store).problems == ()
    facts = a.store.facts
    a.reopen()
    assert a.store.facts == facts


def test_other_processes_go_on_after_a_restore(device: Make, tmp_path: Path) -> None:
    """Their documents reflect the store before the restore, so they are loaded again."""
    a = device("A")
    kept = a.add("kept")
    backup.back_up(a.store, tmp_path / "backup")
    other = BareDevice(a.home, "A")
    other.add("of the other")
    restore.restore(a.store, tmp_path / "backup")
    assert other.texts() == {kept: "kept"}
    new = other.add("after")
    assert a.ids_of_documents() == {kept, new} == set(a.texts())
    assert doctor.examine(a.store).problems == ()
    other.close()


def test_what_is_no_backup_is_refused(device: Make, tmp_path: Path) -> None:
    """Covers a file that is not SQLite, an empty file and another program's file. The store does not change."""
    a = device("A")
    a.add("kept")
    (tmp_path / "text").write_text("no database at all" * 100)
    (tmp_path / "empty").touch()
    with closing(apsw.Connection(str(tmp_path / "foreign"))) as db:
        db.execute("CREATE TABLE theirs (x)")
    for name in ("text", "empty", "foreign"):
        with pytest.raises(SchemaError, match=f"{name} is not a backup; name a file"):
            restore.restore(a.store, tmp_path / name)
    with pytest.raises(InputError, match="no file"):
        restore.restore(a.store, tmp_path / "nothing")
    assert list(a.texts().values()) == ["kept"]


def test_a_damaged_backup_is_refused(device: Make, tmp_path: Path) -> None:
    """Every row is checked and scanned before the store is replaced."""
    a = device("A")
    kept = a.add("kept")
    backup.back_up(a.store, tmp_path / "backup")
    with closing(apsw.Connection(str(tmp_path / "backup"))) as db:
        db.execute("UPDATE updates SET bytes = x'00'")
    with pytest.raises(CorruptError, match="name another one"):
        restore.restore(a.store, tmp_path / "backup")
    assert a.texts() == {kept: "kept"}


@pytest.mark.parametrize("damage", [_cut, _spoil], ids=["cut short", "its header"])
def test_damage_to_a_backups_file_is_told_of_the_backup(
    device: Make, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """The error does not recommend the doctor, which examines only the store of the home."""
    a = device("A")
    kept = a.add("kept")
    backup.back_up(a.store, tmp_path / "backup")
    damage(tmp_path / "backup")
    with pytest.raises(CorruptError, match=r"the backup .* is damaged \(.*; name another one"):
        restore.restore(a.store, tmp_path / "backup")
    assert a.texts() == {kept: "kept"}


def test_a_store_in_use_is_no_backup(device: Make, tmp_path: Path) -> None:
    """Its file lacks the rows of its WAL.

    Neither the store itself nor another store is accepted, and nothing changes.
    """
    a, b = device("A"), device("B")
    for each in (a, b):
        kept = each.add("kept")
        with pytest.raises(InputError, match="in use"):
            restore.restore(a.store, each.store.path)
        assert each.texts() == {kept: "kept"}


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege")
def test_a_link_to_a_store_in_use_is_no_backup(device: Make, tmp_path: Path) -> None:
    """The WAL is beside the file that the link leads to, and a hard link is another name of the file."""
    a, b = device("A"), device("B")
    link, to_other, name = (tmp_path / each for each in ("link", "other", "name"))
    link.symlink_to(a.store.path)
    to_other.symlink_to(b.store.path)
    name.hardlink_to(a.store.path)
    for path in (link, to_other, name):
        with pytest.raises(InputError, match="in use"):
            restore.restore(a.store, path)


def _crafted(path: Path, sql: str, *bindings: Any) -> Path:
    """Change a backup by hand."""
    with closing(apsw.Connection(str(path))) as db:
        db.execute(sql, bindings or None)
    return path


def _backup(device: BareDevice, path: Path) -> Path:
    backup.back_up(device.store, path)
    return path


def _alarms(device: BareDevice) -> str:
    with device.store.reading() as db:
        return " ".join(alarm.text for alarm in alarms.raised(db))


def test_every_table_is_restored_kept_or_made_anew() -> None:
    """A new table needs a decision whether a backup may bring it."""
    groups = (restore.LOG, restore.VIEWS, restore.OF_NOW, restore.VOID, restore.INDEXES, ("meta", "spaces"))
    every = [table for group in groups for table in group]
    with rebuild.empty_store() as db:
        sql = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite_%'"
        assert sorted(every) == sorted(str(name) for (name,) in db.execute(sql))


def test_restoring_takes_no_revocation_back(device: Make, tmp_path: Path) -> None:
    """Whoever was revoked after the backup stays revoked: devices, their shares, and tokens."""
    a, laptop = device("A"), device("L")
    peers, tokens = Peers(a.store), TokenTable(a.store)
    peers.accept(laptop.id)
    secret = tokens.create("browser")
    file = _backup(a, tmp_path / "backup")
    peers.revoke(laptop.id)
    tokens.revoke("browser")
    restore.restore(a.store, file)
    assert [(peer.device, peer.state) for peer in peers.all()] == [(laptop.id, "revoked")]
    assert tokens.find(secret) is None
    assert a.rows("SELECT * FROM shares") == []


def test_trust_gained_after_the_backup_stays(device: Make, tmp_path: Path) -> None:
    """The user need not pair again."""
    a = device("A")
    kept = a.add("kept")
    file = _backup(a, tmp_path / "backup")
    a.add("later")
    peers, tokens = Peers(a.store), TokenTable(a.store)
    peers.accept("B" * 52)
    secret = tokens.create("browser")
    before = a.rows("SELECT * FROM shares"), a.rows("SELECT * FROM spaces")
    restore.restore(a.store, file)
    assert list(a.texts()) == [kept]
    assert [(peer.device, peer.state) for peer in peers.all()] == [("B" * 52, "accepted")]
    assert tokens.find(secret) is not None
    assert (a.rows("SELECT * FROM shares"), a.rows("SELECT * FROM spaces")) == before


def test_a_backup_of_a_stranger_brings_no_trust(device: Make, tmp_path: Path) -> None:
    """Also into an empty home. Its spaces belong to this device, which can invite others into them."""
    a, other = device("A"), device("O")
    kept = other.add("kept")
    with other.store.writing() as db:
        add_space(db, "work", Genesis(other.id, b"n" * 16), 1)
    Peers(other.store).accept("X" * 52)
    secret = TokenTable(other.store).create("theirs")
    restore.restore(a.store, _backup(other, tmp_path / "backup"))
    assert list(a.texts()) == [kept]
    assert Peers(a.store).all() == []
    assert TokenTable(a.store).find(secret) is None
    assert a.rows("SELECT name, creator FROM spaces ORDER BY name") == [
        ("local", a.id),
        ("personal", a.id),
        ("work", a.id),
    ]
    assert "Pair again" in _alarms(a)
    assert doctor.examine(a.store).problems == ()


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TRIGGER t AFTER INSERT ON memories BEGIN DELETE FROM memories; END",
        "CREATE TABLE kept(x); CREATE VIEW v AS SELECT * FROM memories",
        "CREATE UNIQUE INDEX i ON memories(device)",
        "UPDATE sqlite_sequence SET seq = 9223372036854775807",
        "DELETE FROM sqlite_sequence",
        "ALTER TABLE memories ADD COLUMN odd TEXT GENERATED ALWAYS AS (hex(id)) VIRTUAL",
        "DROP TABLE tags; CREATE VIEW tags AS SELECT 1 AS memory, 'x' AS tag",
        "DROP TABLE tags; CREATE VIRTUAL TABLE tags USING fts5(memory, tag)",
        "DROP TABLE links; PRAGMA page_size = 512; PRAGMA auto_vacuum = NONE; VACUUM",
        "UPDATE shards SET digest = x'00', births = 9, bytes = 99999999",
        "UPDATE memories SET seq = 1 << 60",
        "UPDATE memories SET text = 'another', created_at = 7, memory = memory + 1000",
        "DELETE FROM memories; DELETE FROM homes",
        "INSERT INTO graves SELECT space, id, 0, NULL, NULL, 1 FROM memories",
        "DROP TABLE fulltext",
        "UPDATE meta SET value = 'x'; DELETE FROM meta WHERE key = 'device'",
    ],
)
def test_nothing_but_memories_comes_along(device: Make, tmp_path: Path, sql: str) -> None:
    """Whatever a crafted backup has besides its log: the store is as if the backup were an honest one."""
    a, b = device("A"), device("B")
    kept = b.add("kept", tags=["t"], metadata={"n": 1})
    b.update(kept, text="edited")
    gone = b.add("gone")
    b.forget(gone)
    honest = b.views()
    restore.restore(a.store, _crafted(_backup(b, tmp_path / "backup"), sql))
    assert a.views() == honest
    new = a.add("new")
    assert set(a.texts()) == {kept, new} == a.ids_of_documents() - a.graves()
    a.forget(kept)
    assert set(a.texts()) == {new}
    assert doctor.examine(a.store).problems == ()


def test_a_bomb_is_refused(device: Make, tmp_path: Path) -> None:
    """A snapshot of a kilobyte that unpacks to a gigabyte. It is not unpacked."""
    a, b = device("A"), device("B")
    b.add("kept")
    packer = zlib.compressobj(9)
    packed = b"".join([*(packer.compress(bytes(limits.MIB)) for _ in range(64)), packer.flush()])
    file = _backup(b, tmp_path / "backup")
    _crafted(file, "INSERT OR REPLACE INTO snapshots VALUES(1, 1, ?, ?)", packed, log.checksum(1, packed))
    with pytest.raises(CorruptError, match="a piece that is too large"):
        restore.restore(a.store, file)


def test_a_log_that_takes_too_much_memory_is_refused(
    device: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few bytes of a crafted update are enough to take a kilobyte of memory."""
    a, b = device("A"), device("B")
    b.add_many(["one", "two"])
    file = _backup(b, tmp_path / "backup")
    for limit in ("_SHARD_MEMORY_BYTES", "_UNPACKED_BYTES"):
        with monkeypatch.context() as patched:
            patched.setattr(restore, limit, 100)
            patched.setattr(restore, "_UNPACKED_RATIO", 0)
            with pytest.raises(CorruptError, match="more than a backup can have"):
                restore.restore(a.store, file)
    restore.restore(a.store, file)
    assert len(a.texts()) == 2


def test_damaged_rows_are_counted(device: Make, tmp_path: Path) -> None:
    """The error says how many rows are damaged, and how the rest can be had."""
    a, b = device("A"), device("B")
    b.add("one")
    b.add("two")
    file = _crafted(_backup(b, tmp_path / "backup"), "UPDATE updates SET bytes = x'00'")
    with pytest.raises(CorruptError, match=r"2 rows cannot be used; .*doctor --repair"):
        restore.restore(a.store, file)


def test_invalid_rows_of_the_views_are_counted_and_told(device: Make, tmp_path: Path) -> None:
    """The log has their content."""
    a, b = device("A"), device("B")
    b.add("one", tags=["t"])
    before = b.views()
    file = _crafted(_backup(b, tmp_path / "backup"), "UPDATE memories SET updated_at = -1; DELETE FROM tags")
    restore.restore(a.store, file)
    assert a.views() == before
    assert "1 invalid rows of the backup were left out" in _alarms(a)


def test_a_backup_with_lost_rows_keeps_what_its_views_show(device: Make, tmp_path: Path) -> None:
    """A damaged store can be backed up and restored. The shard still waits for the lost rows."""
    a, b = device("A"), device("B")
    kept = b.add("kept")
    b.update(kept, text="edited")
    b.update(kept, text="edited again")
    with b.store.writing() as db:
        db.execute("DELETE FROM updates WHERE seq = 2; UPDATE shards SET damaged = 1")
    restore.restore(a.store, _backup(b, tmp_path / "backup"))
    assert a.texts() == {kept: "edited again"}
    assert a.rows("SELECT damaged FROM shards") == [(1,)]


def test_spaces_are_found_by_their_id_or_name(device: Make, tmp_path: Path) -> None:
    """A space that was renamed since, and one that became part of another device's space of that name."""
    a = device("A")
    kept = a.add("kept")
    file = _backup(a, tmp_path / "backup")
    with a.store.writing() as db:
        replace_genesis(db, a.store.space("personal"), Genesis("B" * 52, b"n" * 16), a.store.device)
    before = a.rows("SELECT * FROM spaces")
    restore.restore(a.store, file)
    assert a.rows("SELECT * FROM spaces") == before
    assert a.rows("SELECT s.name, m.id FROM memories m JOIN spaces s USING(space)") == [("personal", kept)]


def test_a_space_that_may_only_be_read_takes_no_memories_of_another(device: Make, tmp_path: Path) -> None:
    """Other devices would refuse them. They come into a space of their own."""
    a = device("A")
    kept = a.add("kept")
    file = _backup(a, tmp_path / "backup")
    with a.store.writing() as db:
        replace_genesis(db, a.store.space("personal"), Genesis("B" * 52, b"n" * 16), a.store.device)
        db.execute("UPDATE spaces SET read_only = 1 WHERE name = 'personal'")
    restore.restore(a.store, file)
    assert a.rows("SELECT s.name, s.creator, m.id FROM memories m JOIN spaces s USING(space)") == [
        ("personal-2", a.id, kept)
    ]


def test_a_revocation_during_the_restore_stays(device: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust is taken when no other process can change it any more."""
    a = device("A")
    a.add("kept")
    Peers(a.store).accept("B" * 52)
    file = _backup(a, tmp_path / "backup")
    other = BareDevice(a.home, "A")
    correct = rebuild.correct_views

    def revoke_meanwhile(restored: Store) -> int:
        Peers(other.store).revoke("B" * 52)
        return correct(restored)

    monkeypatch.setattr(rebuild, "correct_views", revoke_meanwhile)
    restore.restore(a.store, file)
    assert [peer.state for peer in Peers(a.store).all()] == ["revoked"]
    other.close()


def test_a_space_made_during_the_restore_stops_it(
    device: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its number may be the number that a space of the backup was given."""
    a = device("A")
    kept = a.add("kept")
    file = _backup(a, tmp_path / "backup")
    later = a.add("later")
    other = BareDevice(a.home, "A")
    correct = rebuild.correct_views

    def make_meanwhile(restored: Store) -> int:
        with other.store.writing() as db:
            add_space(db, "new", Genesis(a.id, b"n" * 16), 1)
        return correct(restored)

    monkeypatch.setattr(rebuild, "correct_views", make_meanwhile)
    with pytest.raises(LockedError, match="try again"):
        restore.restore(a.store, file)
    assert set(a.texts()) == {kept, later}
    other.close()
