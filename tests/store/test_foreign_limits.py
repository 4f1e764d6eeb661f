"""Tests of what other devices can make of a shard, and of our own changes, which never fail because of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random

import pytest

from memcrdt.crdt.scan import memory_of, scan
from memcrdt.crdt.shard import Shard
from memcrdt.model import limits
from memcrdt.model.clocks import varuint
from memcrdt.model.ids import derive
from memcrdt.model.registers import DELETED
from memcrdt.store import compaction, documents, log, migrations
from memcrdt.store.meta import is_asserting
from memcrdt.store.overview import alarms_of
from memcrdt.store.recovery import doctor
from tests.bare_device import BareDevice, agree

Make = Callable[..., BareDevice]
CLIENTS = 40
MEMORY = 200_000


@pytest.fixture(autouse=True)
def _small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SHARD_CLIENTS", 10)
    monkeypatch.setattr(limits, "SHARD_CLIENTS_MAX", CLIENTS)
    monkeypatch.setattr(limits, "SHARD_MEMORY_MAX", MEMORY)
    monkeypatch.setattr(limits, "SHARDS_AHEAD", 4)
    monkeypatch.setattr(log, "_MEASURED", MEMORY // 8)


def _of_clients(clients: Iterable[int], clock: int = 0) -> bytes:
    """Return an update with one collected block of each client."""
    blocks = [b"\x01" + varuint(client) + varuint(clock) + b"\x00\x01" for client in clients]
    return varuint(len(blocks)) + b"".join(blocks) + b"\x00"


def _of_registers(client: int, count: int, value: str = "") -> bytes:
    """Return an update with registers of no memory."""
    return Shard(client).write({f"{client} {number}": value for number in range(count)}).updates[0]


def _check_writing(device: BareDevice, old: str) -> None:
    """Add, edit and forget. Each is seen afterwards, also from the log."""
    device.reopen()
    added = device.add("added")
    device.update(old, text="edited", add_tags=["new"], metadata={"k": 1})
    device.update(added, text="edited, too")
    assert device.texts()[old] == "edited"
    device.update(old, text="edited again", remove_tags=["new"], metadata={"k": 2})
    assert device.rows("SELECT value FROM metadata JOIN memories USING(memory) WHERE id = ?", old) == [("2",)]
    device.forget(added)
    assert device.texts()[old] == "edited again"
    assert added in device.graves()
    compaction.compact(device.store)
    device.reopen()
    assert doctor.examine(device.store).problems == ()


def test_a_document_with_more_clients_than_an_update_may_have_is_still_ours(
    device: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older version took them. Limits of the wire do not judge what we hold, so all of it can be written again."""
    a = device("A")
    old = a.add("old")
    with monkeypatch.context() as before:
        before.setattr(limits, "SHARD_CLIENTS_MAX", 1_000)
        assert a.apply(_of_clients(range(1_000, 1_299))).status == "applied"
    monkeypatch.setattr(limits, "UPDATE_CLIENTS", 300)
    monkeypatch.setattr(limits, "STATE_VECTOR_BYTES", 1_000)
    for client in (7, 8, 9):
        a.use_client(client)
        _check_writing(a, old)
    assert len(a.replica.state_vector(a.space(), 0)) == 300  # our changes went elsewhere
    a.forget(old)
    assert doctor.examine(a.store).problems == ()


def test_other_devices_get_what_is_written_beside_a_full_shard(device: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the edits and forgets of memories that were born in it."""
    a, b = device("A"), device("B")
    old, doomed = a.add("old", tags=["a"], metadata={"k": 0}), a.add("doomed")
    agree([a, b])
    assert a.apply(_of_clients(range(1_000, 1_000 + CLIENTS - 1))).status == "applied"
    agree([a, b])
    for number, each in enumerate((a, b, a)):
        each.use_client(50 + number)
        each.update(old, text=f"edit {number}", add_tags=[str(number)], metadata={"k": number})
        agree([a, b])
    b.forget(doomed)
    agree([a, b])
    assert a.views() == b.views()
    assert a.texts() == {old: "edit 2"}
    assert a.graves() == b.graves() == {doomed}
    assert a.rows("SELECT tag FROM tags ORDER BY tag") == [("0",), ("1",), ("2",), ("a",)]
    ordinary = [client for client in a.replica.state_vector(a.space(), 0) if not is_asserting(client)]
    assert len(ordinary) == CLIENTS  # what is written again has room of its own


def test_new_memories_go_elsewhere_when_a_shard_has_many_clients(device: Make) -> None:
    """Far below the number that other devices refuse."""
    a = device("A")
    a.add("one")
    assert a.apply(_of_clients(range(100, 100 + limits.SHARD_CLIENTS))).status == "applied"
    a.add("two")
    assert a.rows("SELECT number, births FROM shards ORDER BY number") == [(0, 1), (1, 1)]


def test_clients_beyond_the_limit_are_not_taken_and_deletes_are(device: Make) -> None:
    """Updates of known clients are taken, too. Everything else stays as it was, and the alarm names the sender once."""
    a = device("A")
    memory = a.add("text")
    assert a.apply(_of_clients(range(100, 100 + CLIENTS - 1))).status == "applied"
    before = a.views(), a.digest()
    for client in (1, 2):
        full = a.apply(_of_clients([client]))
        assert (full.status, "more than 40 Yjs clients" in full.reason) == ("full", True)
    assert (a.views(), a.digest()) == before
    (alarm,) = alarms_of(a.store)
    assert "YYYY" in alarm.text
    assert a.apply(_of_clients([100], clock=1)).status == "applied"
    client = Shard.load(3, [a.replica.diff(a.space(), 0, {}).update])
    deletion = client.write({memory: DELETED})
    assert a.apply(deletion.updates[0]).status == "applied"
    assert a.texts() == {memory: "text"}  # a deletion without a tombstone forgets nothing (test_claims.py)


def test_memory_beyond_the_limit_is_not_taken(device: Make) -> None:
    """Tiny registers, long values and deleted registers all count as what they cost."""
    for number, make in enumerate((lambda c: _of_registers(c, 50), lambda c: _of_registers(c, 2, "x" * 25_000))):
        a = device(f"{number}")
        a.add("text")
        statuses = [a.apply(make(client)).status for client in range(10, 20)]
        taken = statuses.count("applied")
        assert statuses == ["applied"] * taken + ["full"] * (10 - taken)
        assert 2 <= taken <= 4
        assert a.rows("SELECT max(memory) FROM shards")[0][0] <= MEMORY
        a.add("goes elsewhere")
        assert a.rows("SELECT count(*) FROM shards") == [(2,)]


def test_what_comes_twice_counts_once(device: Make) -> None:
    """A peer may send its whole copy again and again."""
    a = device("A")
    a.add("text")
    update = _of_registers(10, 60)
    assert {a.apply(update).status for _ in range(20)} == {"applied"}
    assert a.apply(_of_registers(11, 60)).status == "applied"


def test_overwritten_values_leave_the_count_when_a_shard_is_folded(device: Make) -> None:
    """So an honest device can edit a memory as often as it likes, and its peers take everything."""
    a, b = device("A"), device("B")
    memory = a.add("text")
    for number in range(600):
        a.update(memory, importance=number / 600)
        if not number % 50:
            compaction.compact(a.store)
            agree([a, b])
    agree([a, b])
    assert a.views() == b.views()
    assert a.rows("SELECT count(*) FROM shards") == [(1,)]


def test_the_estimate_of_our_own_registers_is_hardly_above_that_of_the_scan() -> None:
    """It is never below it. It is taken from the values, because scanning our own updates would slow every add."""
    value = {"text": "x" * 500, "at": 1_800_000_000_000, "by": None, "device": "d" * 52, "base": ["e" * 26, {"f": [1]}]}
    key = f"{derive('h', '1')[0]}/r/{derive('h', '2')[0]}"
    counted = scan(Shard(1).write({key: value}).updates[0]).memory
    assert counted <= memory_of(value) <= 1.3 * counted


@pytest.mark.parametrize("seed", range(6))
def test_no_sequence_of_foreign_updates_makes_our_next_change_fail(device: Make, seed: int) -> None:
    """Whatever is taken and whatever is not. A second honest device gets all of our changes."""
    rng = Random(seed)
    a, b = device("A"), device("B")
    a.use_client(rng.randrange(1, 1 << 20))
    mine = {a.add("mine"): "mine"}
    for step in range(25):
        shard, client = rng.choice([0, 0, 1, 2, 5, limits.SHARDS - 1, limits.SHARDS]), rng.randrange(1_000, 9_000)
        attack = rng.choice(
            [
                _of_clients(range(client, client + rng.randrange(1, CLIENTS))),
                _of_registers(client, rng.randrange(1, 120)),
                _of_registers(client, 1, "x" * rng.randrange(90_000)),
                b"nonsense",
            ]
        )
        assert a.apply(attack, shard).status in ("applied", "later", "full", "refused")
        if rng.random() < 0.3:
            a.use_client(rng.randrange(1, 1 << 20))  # as after a reboot
        memory = rng.choice(list(mine))
        mine[memory] = f"edit {step}"
        a.update(memory, text=mine[memory])
        mine[a.add(f"new {step}")] = f"new {step}"
        if len(mine) > 3:
            gone = rng.choice(list(mine))
            a.forget(gone)
            del mine[gone]
        assert a.texts() == mine
        if rng.random() < 0.3:
            agree([a, b])
    agree([a, b])
    assert b.texts() == mine
    assert a.views() == b.views()


def test_a_new_shard_gets_the_lowest_free_number(device: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever numbers other devices have made, the next one is one that they all take."""
    monkeypatch.setattr(limits, "SHARD_BIRTHS", 1)
    a = device("A")
    update = Shard(9).write({derive("h", "1")[0]: {"text": "theirs"}}).updates[0]
    assert a.apply(update, 3).status == "applied"
    a.add_many("abcde")
    assert a.rows("SELECT number FROM shards ORDER BY shard") == [(3,), (0,), (1,), (2,), (4,), (5,)]


def test_without_a_free_number_new_memories_share_a_shard(device: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """An add does not fail."""
    monkeypatch.setattr(limits, "SHARD_BIRTHS", 1)
    monkeypatch.setattr(limits, "SHARDS", 3)
    a = device("A")
    a.add_many("abcdefg")
    assert len(a.texts()) == 7
    assert a.rows("SELECT max(number) FROM shards") == [(2,)]


def test_shards_far_ahead_are_taken_once_those_before_them_are_there(device: Make) -> None:
    """Nothing changes before. An honest device sends all of them, in any order, and again."""
    a, rng = device("A"), Random(5)
    waiting = [(number, _of_registers(100 + number, 1)) for number in range(60)]
    rng.shuffle(waiting)
    assert a.apply(waiting[0][1], limits.SHARDS - 1).status == "later"
    assert a.rows("SELECT count(*) FROM shards WHERE number > 99") == [(0,)]
    rounds = 0
    while waiting:
        waiting, rounds = [each for each in waiting if a.apply(each[1], each[0]).status == "later"], rounds + 1
    assert rounds < 30
    assert len(a.replica.digests(a.space())) == 60


def test_the_cache_of_documents_holds_few_that_are_large(device: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A member cannot multiply the memory of a process by the number of shards that it fills."""
    monkeypatch.setattr(documents, "CAPACITY_BYTES", 300_000)
    a = device("A")
    for shard in range(6):
        assert a.apply(_of_registers(10 + shard, 100), shard).status == "applied"
    with a.store.documents() as (_, cached):
        assert len(cached.loaded) == 2
    assert len(a.replica.digests(a.space())) == 6


def test_choosing_a_shard_reads_no_other_shard(device: Make) -> None:
    """By an index of the open shards: its cost does not grow with their number."""
    a = device("A")
    a.add("text")
    with a.store.reading() as db:
        sql = "EXPLAIN QUERY PLAN SELECT 1 FROM shards WHERE space = 1 AND NOT is_full AND number > -1 ORDER BY number"
        assert "USING INDEX shards_open" in str(list(db.execute(sql)))
        assert next(log.open_shards(db, 1)).number == 0


def test_shards_that_no_device_accepts_get_numbers_that_all_accept(device: Make) -> None:
    """Older versions could be led to make them, and what they hold was never sent."""
    a, b = device("A"), device("B")
    texts = set()
    for number in (0, 1, limits.SHARDS - 1, limits.SHARDS, limits.SHARDS + 1):
        text = f"in {number}"
        a.add(text)
        texts.add(text)
        with a.store.writing() as db:
            top = db.execute("SELECT max(shard) FROM shards").get
            db.execute("UPDATE shards SET number = ?, births = 256, is_full = 1 WHERE shard = ?", (number, top))
    with a.store.writing() as db:
        db.execute(
            "DROP INDEX shards_open; ALTER TABLE shards DROP COLUMN memory; ALTER TABLE shards DROP COLUMN is_full"
        )
        db.execute(next(sql for sql in migrations.scripts().values() if "shards_open" in sql))
        assert [n for (n,) in db.execute("SELECT number FROM shards ORDER BY number")] == [
            0,
            1,
            2,
            3,
            limits.SHARDS - 1,
        ]
    a.reopen()
    b.take(a)
    assert set(b.texts().values()) == texts - {f"in {limits.SHARDS - 1}"}
    assert a.add("next")
    assert a.rows("SELECT max(number) FROM shards WHERE number < 1000") == [(4,)]
