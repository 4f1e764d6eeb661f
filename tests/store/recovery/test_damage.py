"""Tests of bit rot on a device that syncs: damaged rows are set aside automatically, and peers send them again."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from memcrdt.crdt.scan import scan
from memcrdt.errors import CorruptError, DiskFullError
from memcrdt.store import alarms, compaction
from memcrdt.store.recovery import damage, doctor
from memcrdt.sync.replica import LogPage
from tests.bare_device import BareDevice, agree, spoil

Make = Callable[..., BareDevice]


def _two(make: Make) -> tuple[BareDevice, BareDevice, list[str]]:
    """Return two devices with equal content that was added, edited and tagged on both."""
    a, b = make("A"), make("B")
    for device, other in ((a, b), (b, a)):
        with device.store.writing() as db:
            db.execute("INSERT INTO peers(device, state, added_at) VALUES(?, 'accepted', 0)", (other.id,))
    ids = [a.add(f"memory {n}", tags=[f"t{n}"], metadata={"n": n}) for n in range(4)]
    agree([a, b])
    b.update(ids[1], text="edited there", importance=0.5)
    agree([a, b])
    a.update(ids[2], add_tags=["late"])
    agree([a, b])
    return a, b, ids


def _meet(*devices: BareDevice) -> None:
    """Exchange like sessions do: after a session with a failing store, another session follows."""
    try:
        agree(devices)
    except CorruptError:
        agree(devices)


def _alarms(device: BareDevice) -> list[str]:
    with device.store.reading() as db:
        return [alarm.text for alarm in alarms.raised(db)]


@pytest.mark.parametrize("lost", ["seq = 1", "seq = 3", "seq IN (2, 5)", "seq = 6", "1"])
def test_other_devices_bring_damaged_rows_again_by_themselves(device: Make, lost: str) -> None:
    """No doctor is needed. Changes of both devices continue to arrive, and the user gets an alarm."""
    a, b, _ = _two(device)
    before, client = a.texts(), a.store.facts.client_id
    spoil(a, "updates", lost)
    mine, theirs = a.add("from here"), b.add("from there")
    _meet(a, b)
    assert a.texts() == b.texts() == {**before, mine: "from here", theirs: "from there"}
    assert (a.views(), a.digest()) == (b.views(), b.digest())
    assert (a.store.facts.client_id == client, doctor.examine(a.store).problems) == (False, ())
    assert ["damaged" in alarm for alarm in _alarms(a)] == [True]
    a.reopen()
    assert {mine, theirs, *before} <= a.ids_of_documents()


def test_other_devices_bring_rows_again_that_are_gone(device: Make) -> None:
    """As after an unwritten page. The store no longer writes under the client id whose clocks are lost."""
    a, b, _ = _two(device)
    before, client = a.texts(), a.store.facts.client_id
    with a.store.writing() as db:
        db.execute("DELETE FROM updates WHERE seq = (SELECT max(seq) FROM updates)")
        db.execute("UPDATE shards SET digest = NULL")
    a.reopen()
    mine, theirs = a.add("from here"), b.add("from there")
    _meet(a, b)
    assert a.texts() == b.texts() == {**before, mine: "from here", theirs: "from there"}
    assert (a.digest(), a.store.facts.client_id == client) == (b.digest(), False)


def test_other_devices_bring_a_damaged_snapshot_again(device: Make) -> None:
    """Rows after the snapshot survive, although no other device has them yet."""
    a, b, _ = _two(device)
    compaction.compact(a.store)
    mine = a.add("behind the snapshot")
    before = a.views()
    spoil(a, "snapshots", "1")
    _meet(a, b)
    assert a.views() == b.views() == before
    assert mine in b.texts()


@pytest.mark.parametrize("seed", range(8))
def test_what_others_say_stands_against_what_is_read_back(device: Make, seed: int) -> None:
    """A whole shard is restored from the views before another device sends it.

    The restored registers yield to those of the other device, whatever the client ids are.
    """
    a, b, ids = _two(device)
    a.use_client(seed * 2**48 + 5)
    a.update(ids[1], text="edited twice", pinned=True)
    agree([a, b])
    compaction.compact(a.store)
    before = a.views()
    spoil(a, "snapshots", "1")
    with a.store.writing() as db:
        db.execute("UPDATE shards SET digest = NULL")
    a.replica.digests(a.space())
    assert (a.views(), doctor.examine(a.store).problems) == (before, ())
    b.update(ids[1], text="edited there", importance=0.9, remove_tags=["t1"], metadata={"n": None})
    b.forget(ids[0])
    after = b.views()
    _meet(a, b)
    assert a.views() == b.views() == after


def test_what_only_the_damaged_row_had_is_read_back_from_the_views(device: Make) -> None:
    """If no row builds on it, this happens at once. Its forgotten memories stay forgotten."""
    a, b, ids = _two(device)
    mine = a.add("not sent yet")
    spoil(a, "updates", f"seq = {a.replica.head()}")
    _meet(a, b)
    assert b.texts()[mine] == "not sent yet"
    a.store.commit(lambda transaction: transaction.forget(a.store.space("personal"), ids[0]))
    spoil(a, "updates", f"seq = {a.replica.head()}")
    _meet(a, b)
    assert (a.graves(), a.views()) == (b.graves(), b.views())
    assert ids[0] in b.graves()


@pytest.mark.parametrize("lost", ["seq = 2", "seq = 6", "1"])
def test_who_may_only_read_writes_nothing_to_mend_its_shard(device: Make, lost: str) -> None:
    """It keeps its views and waits for a device that may write, because no device would accept restored registers."""
    a, b, _ = _two(device)
    with a.store.writing() as db:
        db.execute("UPDATE spaces SET read_only = 1")
    before = a.views()
    spoil(a, "updates", lost)
    doctor.repair(a.store, give_up=True)
    assert a.views() == before
    assert "waits for other devices" in doctor.examine(a.store).problems[0]
    b.add("from there")
    _meet(a, b)
    assert (a.views(), a.digest()) == (b.views(), b.digest())
    assert doctor.examine(a.store).problems == ()


def test_rows_that_build_on_what_nobody_else_has_wait(device: Make) -> None:
    """Their memories stay visible, and the shard resumes when the user gives up the lost rows."""
    a, b, _ = _two(device)
    first, second = a.add("not sent yet"), a.add("nor this")
    before = a.views()
    spoil(a, "updates", f"seq = {a.replica.head() - 1}")
    theirs = b.add("from there")
    _meet(a, b)
    assert a.texts() == {**dict.fromkeys(a.texts(), ""), **b.texts(), first: "not sent yet", second: "nor this"}
    assert "waits for other devices" in doctor.examine(a.store).problems[0]
    doctor.repair(a.store, give_up=True)
    _meet(a, b)
    assert (a.views(), a.digest()) == (b.views(), b.digest())
    assert {first, second, theirs} <= b.texts().keys()
    assert len(b.views()[0]) == len(before[0]) + 1


@pytest.mark.parametrize("seed", range(12))
def test_three_devices_agree_whatever_row_is_damaged(device: Make, seed: int) -> None:
    """No data is lost, and forgotten memories stay forgotten, whether a row of the log or a snapshot is lost."""
    rng = Random(seed)
    devices = [device(name) for name in "ABC"]
    for _ in range(8):
        for each in devices:
            _live(each, rng)
        agree(devices)
    texts, graves = devices[0].texts(), devices[0].graves()
    for each in devices[:2]:
        rotten = [
            (table, seq) for table in ("updates", "snapshots") for (seq,) in each.rows(f"SELECT seq FROM {table}")
        ]
        table, seq = rng.choice(rotten)
        spoil(each, table, f"seq = {seq}")
        each.add("written afterwards")
    _meet(*devices)
    assert devices[0].views() == devices[1].views() == devices[2].views()
    assert len({each.digest() for each in devices}) == 1
    assert (texts.items() <= devices[2].texts().items(), devices[2].graves()) == (True, graves)


def _live(device: BareDevice, rng: Random) -> None:
    """Add and edit memories, and perhaps forget and fold."""
    device.add(f"memory {rng.random()}", tags=["x"])
    there = sorted(device.texts())
    device.update(rng.choice(there), text=f"edited {rng.random()}")
    if rng.random() < 0.3:
        device.forget(rng.choice(there))
    if rng.random() < 0.3:
        compaction.compact(device.store)


def test_whoever_holds_the_same_as_a_damaged_shard_need_not_hold_its_rows(device: Make) -> None:
    """It gets what was read back, but no receipt for waiting and lost rows: they are not part of what is compared."""
    a, b, _ = _two(device)
    a.add("not sent yet")
    a.add("nor this")
    spoil(a, "updates", f"seq = {a.replica.head() - 1}")
    damage.repair_shard(a.store, 1)
    agree([a, b])
    assert a.rows("SELECT damaged FROM shards WHERE shard = 1") == [(1,)]
    assert a.replica.digests(a.space())[0].digest == b.replica.digests(b.space())[0].digest
    assert {"not sent yet", "nor this"} <= set(b.texts().values())
    assert (a.replica.digests(a.space())[0].seq, a.replica.diff(a.space(), 0, {}).seq) == (0, 0)
    doctor.repair(a.store, give_up=True)
    assert a.replica.digests(a.space())[0].seq == a.replica.head()


@pytest.mark.parametrize("lost", ["seq = 1", "seq = 3", "seq IN (2, 5)", "seq = 6", "1"])
def test_a_change_of_a_memory_whose_rows_wait_is_taken(device: Make, lost: str) -> None:
    """It builds on what the views show, and stands when the lost rows have come."""
    a, b, ids = _two(device)
    before = a.views()
    spoil(a, "updates", lost)
    damage.mending(a.store, lambda: a.update(ids[1], add_tags=["changed"]))
    damage.mending(a.store, lambda: a.update(ids[3], text="changed"))
    damage.mending(a.store, lambda: a.forget(ids[0]))
    kept = {ids[1]: "edited there", ids[2]: "memory 2", ids[3]: "changed"}
    assert a.texts() == kept
    assert a.graves() == {ids[0]}
    assert len(before[0]) == len(a.views()[0]) + 1
    b.update(ids[2], text="changed there")
    _meet(a, b)
    assert a.views() == b.views()
    assert a.texts() == {**kept, ids[2]: "changed there"}
    assert (a.digest(), doctor.examine(a.store).problems) == (b.digest(), ())


def test_what_was_forgotten_stays_so_when_its_tombstone_is_lost(device: Make) -> None:
    """A device that does not know the forget sends the memory again, while rows wait and after they have arrived."""
    a, b, ids = _two(device)
    a.forget(ids[0])
    compaction.compact(a.store)
    a.add("behind the snapshot")
    spoil(a, "snapshots", "1")
    damage.repair_shard(a.store, 1)
    a.take(b)
    assert (ids[0] in a.graves(), ids[0] in a.texts()) == (True, False)
    _meet(a, b)
    doctor.repair(a.store, give_up=True)
    _meet(a, b)
    assert a.views() == b.views()
    assert (ids[0] in b.graves(), ids[0] in b.texts()) == (True, False)


def test_what_was_forgotten_while_rows_waited_is_scrubbed_when_they_go_on(
    device: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shard cannot be folded while rows wait. The update that makes it whole starts the scrubbing."""
    a, b, ids = _two(device)
    spoil(a, "updates", "seq = 3")
    damage.repair_shard(a.store, 1)
    a.forget(ids[0])
    assert (a.rows("SELECT damaged FROM shards"), a.store.scrub()) == ([(1,)], False)
    woken: list[None] = []
    monkeypatch.setattr(a.store, "scrub_later", lambda: woken.append(None))
    a.take(b)
    assert (a.rows("SELECT damaged FROM shards"), woken) == ([(0,)], [None])
    assert a.store.scrub()


def test_what_is_read_back_comes_into_the_shard_where_it_was(device: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other devices have it in the same shard. A shard that is left empty is not compared."""
    monkeypatch.setattr("memcrdt.model.limits.SHARD_BIRTHS", 3)
    a = device("A")
    a.add_many(["one", "two", "three"])
    a.forget(next(iter(a.texts())))
    last = a.add("in the second shard")
    homes = a.rows("SELECT id, shard FROM homes ORDER BY id")
    monkeypatch.setattr("memcrdt.model.limits.SHARD_BIRTHS", 9)
    spoil(a, "updates", "shard = 2")
    damage.repair_shard(a.store, 2)
    assert a.rows("SELECT id, shard FROM homes ORDER BY id") == homes
    with a.store.writing() as db:
        db.execute("DELETE FROM homes WHERE id = ?", (last,))
        db.execute("DELETE FROM memories WHERE id = ?", (last,))
    spoil(a, "snapshots", "shard = 2")
    damage.repair_shard(a.store, 2)
    assert list(a.replica.digests(a.space())) == [0]


def test_a_damaged_row_is_not_sent(device: Make) -> None:
    """A byte of text may be wrong in a well-formed update. The shard is compared instead."""
    a, b, _ = _two(device)
    with a.store.writing() as db:
        db.execute("INSERT INTO shares(space, device) SELECT space, ? FROM spaces WHERE name = 'personal'", (b.id,))
    head = a.replica.head()
    a.add("a text")
    a.add("another")
    with a.store.writing() as db:
        update = db.execute("SELECT bytes FROM updates WHERE seq = ?", (head + 1,)).get
        wrong = update.replace(b"a text", b"a next")
        db.execute("UPDATE updates SET bytes = ? WHERE seq = ?", (wrong, head + 1))
    assert scan(wrong).texts != scan(update).texts
    page = a.replica.log(head, 10)
    assert [entry.seq for entry in page.entries] == [head + 2]
    assert page == LogPage(page.entries, head + 2, [(a.space(), 0)])


def test_a_shard_is_mended_at_once_or_not_at_all(device: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """If rows were set aside but not restored, the next update would reduce the views to the rest."""
    a, _, _ = _two(device)
    mine = a.add("not sent yet")
    before, head = a.views(), a.replica.head()
    spoil(a, "updates", f"seq = {head}")
    with monkeypatch.context() as patch:
        patch.setattr(damage, "restore_from_views", _full)
        with pytest.raises(DiskFullError):
            damage.repair_shard(a.store, 1)
    assert a.rows("SELECT damaged FROM shards WHERE shard = 1") == [(0,)]
    assert a.rows("SELECT count(*) FROM damaged") == [(0,)]
    assert damage.repair_shard(a.store, 1) == "1 damaged rows of shard 1"
    assert (a.views(), mine in a.ids_of_documents()) == (before, True)


def _full(*_: object) -> int:
    raise DiskFullError("the disk is full")


def test_of_a_healthy_shard_nothing_is_set_aside(device: Make) -> None:
    """The store keeps its client id."""
    a, _, _ = _two(device)
    before = a.store.facts, a.views(), a.digest()
    shards = [shard for (shard,) in a.rows("SELECT shard FROM shards")]
    assert [damage.set_aside(a.store, shard) for shard in shards] == [None] * len(shards)
    a.reopen()
    assert (a.store.facts, a.views(), a.digest()) == before
