"""Tests of the doctor: damaged rows are found, set aside and repaired, and prevent neither opening nor reading."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from memcrdt.errors import CorruptError
from memcrdt.store import compaction, log
from memcrdt.store.overview import overview
from memcrdt.store.recovery import doctor, rebuild
from tests.bare_device import BareDevice, agree, spoil

Make = Callable[..., BareDevice]


def _rich(make: Make, name: str = "A") -> tuple[BareDevice, list[str]]:
    """Return a device with memories of all kinds."""
    a = make(name)
    ids = [a.add(f"memory {n}", tags=[f"t{n}"], metadata={"n": n}, importance=n / 10) for n in range(6)]
    a.update(ids[1], text="edited", pinned=True)
    a.update(ids[2], remove_tags=["t2"], superseded_by=ids[3])
    a.forget(ids[4])
    return a, ids


def test_a_healthy_store_has_no_problems(device: Make) -> None:
    """This also holds after folding. Neither examine() nor repair() changes anything."""
    a, _ = _rich(device)
    before = a.views(), a.digest(), a.store.facts
    assert doctor.examine(a.store).problems == ()
    compaction.compact(a.store)
    assert doctor.repair(a.store) == doctor.DoctorReport((), ())
    a.reopen()
    assert (a.views(), a.digest(), a.store.facts) == before


@pytest.mark.parametrize(
    "harm",
    [
        "DELETE FROM memories; DELETE FROM tags; DELETE FROM metadata; DELETE FROM revisions; DELETE FROM graves;"
        " DELETE FROM homes; DELETE FROM links",
        "UPDATE memories SET text = 'wrong'",
        "UPDATE memories SET importance = 0.9, updated_at = 7",
        "DELETE FROM tags",
        "INSERT INTO tags SELECT memory, 'invented' FROM memories",
        "INSERT INTO tags VALUES(99, 'of nothing')",
        "DELETE FROM revisions",
        "UPDATE metadata SET value = '7'",
        "DELETE FROM graves",
        "UPDATE graves SET at = 7",
        "DELETE FROM homes",
        "INSERT INTO homes SELECT space, '01JD8Z6Q4M0000000000000001', shard FROM shards",
        "INSERT INTO homes SELECT space, 'no id of a memory', shard FROM shards",
        "UPDATE memories SET text = CAST(x'41FF' AS TEXT), device = CAST(x'FF' AS TEXT)",
        "UPDATE revisions SET base = CAST(x'FF' AS TEXT); UPDATE graves SET by = CAST(x'FF' AS TEXT)",
    ],
)
def test_views_are_made_anew_from_the_log(device: Make, harm: str) -> None:
    """Invariant 10: rebuilt views are identical to views maintained live, whatever was wrong with them."""
    a, _ = _rich(device)
    before = a.views(), a.digest()
    with a.store.writing() as db:
        for sql in harm.split(";"):
            db.execute(sql)
    assert doctor.examine(a.store).problems != ()
    assert "memories from the log" in " ".join(doctor.repair(a.store).done)
    assert (a.views(), a.digest()) == before
    assert doctor.examine(a.store).problems == ()


def test_views_of_memories_in_two_shards_are_made_anew(device: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Invariant 10: the registers of all their shards count."""
    monkeypatch.setattr("memcrdt.model.limits.SHARD_BIRTHS", 1)
    a, b = device("A"), device("B")
    b.add("another")
    for each in (a, b):
        each.add("the item", key="item", tags=[each.id[0]])
    agree([a, b])
    before = a.views()
    with a.store.writing() as db:
        db.execute("DELETE FROM memories")
        db.execute("DELETE FROM tags")
    assert rebuild.correct_views(a.store) > 0
    assert a.views() == before


def test_a_damaged_row_stops_neither_opening_nor_reading(device: Make) -> None:
    """It does not prevent adding either, which uses a new shard. An edit in the damaged shard fails with advice."""
    a, ids = _lossy(device)
    texts = a.texts()
    spoil(a, "updates", "seq = 2")
    assert a.texts() == texts
    assert a.add("goes on") in a.texts()
    assert a.rows("SELECT number FROM shards") == [(0,), (1,)]
    with pytest.raises(CorruptError, match="memcrdt doctor"):
        a.update(ids[0], text="no")
    assert "checksum" in doctor.examine(a.store).problems[0]


def test_a_poisoned_row_stops_neither_opening_nor_reading_nor_the_status(device: Make) -> None:
    """An older scan may have accepted such an update. Only the document cannot be loaded, and nothing else needs it."""
    a, ids = _lossy(device)
    texts = a.texts()
    _poison(a)
    a.reopen()
    assert a.texts() == texts
    assert a.add("goes on") in a.texts()
    [personal] = [space for space in overview(a.store).spaces if space.name == "personal"]
    assert (personal.memories, personal.shards, personal.digest) == (5, 2, "")
    with pytest.raises(CorruptError, match="memcrdt doctor"):
        a.update(ids[0], text="no")


def _poison(a: BareDevice) -> None:
    """Put an update into the log that cannot be applied, as if a peer had sent it."""
    hostile = b"\x01\x01\x05\x00\x08\x01\x08memories\x01" + b"\x75\x01" * 20_000
    with a.store.writing() as db:
        log.append(db, log.Append(1, hostile, "somebody", 7))
        db.execute("UPDATE shards SET head = head + 1, digest = NULL")


def _lossy(make: Make) -> tuple[BareDevice, list[str]]:
    """Return a device whose log has six updates, none of them folded."""
    a = make("A")
    ids = [a.add(f"memory {n}", tags=[f"t{n}"], metadata={"n": n}) for n in range(4)]
    a.update(ids[1], text="edited", importance=0.5)
    a.update(ids[2], add_tags=["late"])
    return a, ids


@pytest.mark.parametrize("lost", ["seq = 1", "seq = 3", "seq = 5", "seq = 6", "seq IN (2, 5)"])
def test_without_peers_nothing_that_was_shown_is_lost(device: Make, lost: str) -> None:
    """The row is set aside, rows that build on it are given up, and all content is restored from the views."""
    a, ids = _lossy(device)
    before, facts = a.views(), a.store.facts
    spoil(a, "updates", lost)
    report = doctor.repair(a.store, give_up=True)
    assert report.done[0].startswith("resumed without ")
    assert _readable(a.views()) == _readable(before)
    a.add("goes on")
    assert a.store.facts.client_id != facts.client_id
    a.reopen()
    assert doctor.examine(a.store).problems == ()
    assert set(ids) <= a.ids_of_documents()
    assert a.rows("SELECT count(*) FROM damaged")[0][0] > 0


@pytest.mark.parametrize("lost", ["seq = 1", "seq = 3", "seq = 6", "1"])
def test_rows_that_are_gone_are_damage_too(device: Make, lost: str) -> None:
    """As after an unwritten page: all content is restored from the views, and the lost clocks are not reused."""
    a, ids = _lossy(device)
    before, facts = a.views(), a.store.facts
    with a.store.writing() as db:
        db.execute(f"DELETE FROM updates WHERE {lost}")
    a.reopen()
    with pytest.raises(CorruptError, match="rows of the log of shard 1 are missing; run `memcrdt doctor --repair`"):
        a.update(ids[0], text="no")
    report = doctor.repair(a.store)
    assert report.done[0] == "resumed without missing rows of shard 1, and took a new client id"
    assert (a.views(), doctor.examine(a.store).problems) == (before, ())
    assert a.store.facts.client_id != facts.client_id
    assert set(ids) <= a.ids_of_documents()


def test_the_history_of_a_lost_shard_comes_back(device: Make) -> None:
    """This covers every text that a memory has had, and unsettled conflicts."""
    a, b = device("A"), device("B")
    memory = a.add("first")
    a.update(memory, text="second")
    agree([a, b])
    a.update(memory, text="from here")
    b.update(memory, text="from there")
    agree([a, b])
    before = a.views()
    compaction.compact(a.store)
    spoil(a, "snapshots", "1")
    doctor.repair(a.store)
    assert a.views() == before
    assert [row[:2] for row in a.rows("SELECT text, head FROM revisions ORDER BY head, at")][:2] == [
        ("first", 0),
        ("second", 0),
    ]


def test_what_has_lost_its_home_is_not_lost_with_the_log(device: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A memory in another shard is not assigned to the damaged shard."""
    monkeypatch.setattr("memcrdt.model.limits.SHARD_BIRTHS", 2)
    a, _ = _lossy(device)
    before = a.views()
    spoil(a, "updates", "seq = 3")
    with a.store.writing() as db:
        db.execute("DELETE FROM homes")
    doctor.repair(a.store)
    assert _readable(a.views()) == _readable(before)
    assert a.rows("SELECT id, count(*) FROM homes GROUP BY id HAVING count(*) > 1") == []
    assert doctor.examine(a.store).problems == ()


def test_what_is_damaged_in_the_log_and_the_views_is_saved_as_far_as_it_goes(device: Make) -> None:
    """A wrong byte costs one character, and an invalid scope the scope. Only a memory without a text is lost."""
    a, ids = _lossy(device)
    spoil(a, "updates", "seq = 1")
    with a.store.writing() as db:
        for place, harm in enumerate(("text = CAST(x'41FF42' AS TEXT)", "scope = 'nowhere'", "text = ''")):
            db.execute(f"UPDATE memories SET {harm} WHERE id = ?", (ids[place],))
        db.execute("INSERT INTO homes SELECT space, 'no id of a memory', shard FROM shards")
    doctor.repair(a.store)
    assert a.texts() == {ids[0]: "A\N{REPLACEMENT CHARACTER}B", ids[1]: "edited", ids[3]: "memory 3"}
    assert a.rows("SELECT DISTINCT scope FROM memories") == [("global",)]
    assert doctor.examine(a.store).problems == ()


def test_what_the_views_show_and_the_log_does_not_know_is_damage(device: Make) -> None:
    """An attempt to change such a memory fails with advice."""
    a = device("A")
    memory = a.add("memory")
    with a.store.writing() as db:
        db.execute("UPDATE memories SET id = '01JD8Z6Q4M0000000000000001'; UPDATE homes SET id = '-'")
    with pytest.raises(CorruptError, match="not in the log"):
        a.update("01JD8Z6Q4M0000000000000001", text="no")
    doctor.repair(a.store)
    assert a.texts() == {memory: "memory"}


def _know(device: BareDevice, other: BareDevice) -> None:
    """Make the first device accept the other."""
    with device.store.writing() as db:
        db.execute("INSERT INTO peers(device, state, added_at) VALUES(?, 'accepted', 0)", (other.id,))


def test_with_peers_the_lost_rows_come_back_as_they_were(device: Make) -> None:
    """Rows that build on them wait in the log. The next exchange fills the gap, and all devices are equal."""
    a, ids = _lossy(device)
    b = device("B")
    _know(a, b)
    agree([a, b])
    mine = a.add("not sent yet")
    before = a.texts()
    spoil(a, "updates", "seq = 3")
    report = doctor.repair(a.store)
    assert any("waits for other devices" in line for line in report.done)
    assert any("waits for other devices" in line for line in doctor.examine(a.store).problems)
    assert a.texts() == before
    a.add("written meanwhile")
    agree([a, b])
    assert (a.views(), a.digest()) == (b.views(), b.digest())
    assert {*before.values(), "written meanwhile"} == set(a.texts().values())
    assert mine in b.texts()
    assert doctor.examine(a.store).problems == ()
    a.reopen()
    assert {mine, *ids} <= a.ids_of_documents()


def test_a_lost_snapshot_comes_back_from_peers(device: Make) -> None:
    """The whole shard comes back, with the rows after the snapshot."""
    a, _ = _lossy(device)
    b = device("B")
    _know(a, b)
    agree([a, b])
    compaction.compact(a.store)
    a.add("behind the snapshot")
    before = a.views()
    spoil(a, "snapshots", "1")
    doctor.repair(a.store)
    assert a.views() == before
    agree([a, b])
    assert (a.views(), a.digest()) == (b.views(), b.digest())
    assert a.views() == before


def test_a_lost_forget_stays_forgotten(device: Make) -> None:
    """Invariant 6: the views have the tombstone, and it is written again."""
    a = device("A")
    memory = a.add("memory")
    a.add("another")
    a.store.commit(lambda transaction: transaction.forget(1, memory))
    spoil(a, "updates", "seq = 3")
    doctor.repair(a.store, give_up=True)
    assert memory in a.graves()
    assert memory not in a.texts()
    assert doctor.examine(a.store).problems == ()


def test_a_row_with_a_right_checksum_that_no_store_would_write_is_set_aside(device: Make) -> None:
    """Rows are scanned like foreign updates: 20,000 levels of nesting would end the process."""
    a, _ = _lossy(device)
    _poison(a)
    assert "not an update that can be applied" in doctor.examine(a.store).problems[0]
    doctor.repair(a.store, give_up=True)
    assert len(a.texts()) == 4


def test_the_index_is_made_anew(tmp_path: Any) -> None:
    """Missing and surplus words and vectors are found. After the repair, search works as before."""
    import memcrdt

    with memcrdt.open(tmp_path / "home", embedder=None) as memory:
        ids = memory.add_many(["the quokka sleeps", "a wombat digs", "nothing else"])
        assert doctor.examine(memory.store).problems == ()
        with memory.store.writing() as db:
            memory.store.indexer.clear(db)
        assert "index" in doctor.examine(memory.store).problems[0]
        assert memory.search("quokka") == []
        assert doctor.repair(memory.store).done == ("rebuilt the indexes of 3 memories",)
        assert [hit.memory.id for hit in memory.search("quokka")] == [ids[0]]
        assert doctor.examine(memory.store).problems == ()


def test_codes_of_another_layout_are_made_anew(tmp_path: Any) -> None:
    """Their length reveals them, and the repaired index answers."""
    import memcrdt

    with memcrdt.open(tmp_path / "home") as memory:
        kept = memory.add("the quokka sleeps")
        with memory.store.writing() as db:
            db.execute("UPDATE codes SET code = substr(code, 1, 64)")
        (problem,) = doctor.examine(memory.store).problems
        assert "no code of 96 bytes for 1 vectors" in problem
        assert doctor.repair(memory.store).done == ("rebuilt the indexes of 1 memories",)
        assert doctor.examine(memory.store).problems == ()
        assert [hit.memory.id for hit in memory.search("quokka")] == [kept]


def test_a_missing_extension_is_a_note_and_no_damage(device: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """numpy then compares vectors. With the extension there is no note."""
    a = device("A")
    assert doctor.examine(a.store).notes == ()
    monkeypatch.setattr(doctor, "load_vector_functions", lambda db: False)
    report = doctor.examine(a.store)
    assert report.problems == ()
    assert "sqlite-vec" in report.notes[0]
    assert doctor.repair(a.store).notes == report.notes


def _readable(views: list[Any]) -> list[Any]:
    """Return the views without the columns that a repair may change: times, and the revision of a text."""
    memories = [(*row[:3], *row[4:8], *row[10:17]) for row in views[0]]
    return [memories, views[2], views[3], views[4], [row[:2] for row in views[5]]]


def test_rows_of_no_memory_hinder_no_new_memory(device: Make) -> None:
    """A memory that is written again may get the number that they name."""
    a = device("A")
    kept = a.add("kept", tags=["t"], metadata={"n": 1})
    before = a.views(), a.digest()
    with a.store.writing() as db:
        db.execute("UPDATE memories SET memory = 1000, id = 'of no shard'")
        db.execute(
            "INSERT INTO tags VALUES(1001, 't'); INSERT INTO graves SELECT space, id, 0, NULL, NULL, 1 FROM homes"
        )
    doctor.repair(a.store)
    assert (a.views(), a.digest(), list(a.texts())) == (*before, [kept])
    assert doctor.examine(a.store).problems == ()
