"""The budget for the size of a store, and the removal of memories that expired long ago."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import memcrdt
from memcrdt.errors import DiskFullError, NotFoundError, StoreError
from memcrdt.memory.memory import Memory
from memcrdt.memory.transfer import BATCH
from memcrdt.model.device_ids import device_id
from memcrdt.model.limits import MIB, TEXT_BYTES
from memcrdt.store.membership.peers import PeerConnection, Peers
from memcrdt.testing.memories import Clock

OpenMemory = Callable[..., Memory]
OTHER = device_id(bytes(range(32)))


def test_the_budget_warns_then_refuses_and_drops_nothing(
    open_memory: OpenMemory, caplog: pytest.LogCaptureFixture
) -> None:
    """First a warning. Then new texts are refused, and all other calls work. Forgetting makes room."""
    memory = open_memory(budget_mb=2)
    ids: list[str] = []
    with caplog.at_level(logging.WARNING), pytest.raises(StoreError, match="budget_mb"):
        _fill(memory, ids)
    assert len(ids) > 5
    assert [record.name for record in caplog.records] == ["memcrdt.store"]
    assert memory.status().budget.near
    assert memory.status().budget.limit == 2 * MIB
    for refused in (lambda: memory.update(ids[0], text="y" * TEXT_BYTES), lambda: memory.add_many(["y" * TEXT_BYTES])):
        with pytest.raises(StoreError, match="nothing was changed"):
            refused()
    assert [record.id for record in memory.list(order="oldest")] == ids
    memory.update(ids[0], add_tags=["t"])
    for memory_id in ids:
        memory.forget(memory_id)
    memory.compact()
    assert memory.add("there is room again")


def test_an_import_keeps_to_the_budget(open_memory: OpenMemory) -> None:
    """The batches before the limit stay, and the error says so."""
    memory = open_memory(budget_mb=1)
    file = memory.home / "in.jsonl"
    file.write_text("".join(f'"{n} {"x" * 500}"\n' for n in range(2_000)))
    with pytest.raises(StoreError, match="budget_mb") as refused:
        memory.import_(file)
    kept = memory.stats().memories
    assert kept % BATCH == 0
    assert f"the first {kept:,} lines or items are imported" in str(refused.value)


def test_no_budget_is_no_limit(open_memory: OpenMemory) -> None:
    """`budget_mb` 0."""
    memory = open_memory(budget_mb=0)
    memory.add("a")
    assert (memory.status().budget.limit, memory.status().budget.near) == (None, False)


def _fill(memory: Memory, ids: list[str]) -> None:
    while len(ids) < 100:
        ids.append(memory.add(f"{len(ids)} " + "x" * (TEXT_BYTES - 10)))


def test_what_hinders_upkeep_hinders_neither_opening_nor_writing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log says why an expired memory could not be forgotten. It is forgotten the next time."""
    long_ago = datetime.now(UTC) - timedelta(days=90)
    with memcrdt.open(tmp_path, embedder=None) as memory:
        expired = memory.add("fact", created_at=long_ago)
        with memory.store.writing() as db:
            db.execute("UPDATE memories SET expires_at = created_at + 1")
    with monkeypatch.context() as patch, memcrdt.open(tmp_path, embedder=None) as memory:
        patch.setattr("memcrdt.store.changes.forget", _full)
        assert memory.get(memory.add("other fact")).text == "other fact"
        assert "could not be forgotten; memcrdt tries again in an hour: the disk is full" in caplog.text
        assert memory.get(expired).text == "fact"
    with memcrdt.open(tmp_path, embedder=None) as memory:
        assert memory.forget_expired() == 1


def _full(*_: object) -> list[str]:
    raise DiskFullError("the disk is full")


def test_damage_does_not_keep_expired_memories(tmp_path: Path) -> None:
    """The row is set aside, and the memory is forgotten with the first write."""
    with memcrdt.open(tmp_path, embedder=None) as memory:
        expired = memory.add("fact", created_at=datetime.now(UTC) - timedelta(days=90))
        with memory.store.writing() as db:
            db.execute("UPDATE memories SET expires_at = created_at + 1; UPDATE updates SET checksum = zeroblob(8)")
    with memcrdt.open(tmp_path, embedder=None) as memory:
        memory.add("other fact")
        with pytest.raises(NotFoundError):
            memory.get(expired)
        assert memory.doctor().problems == ()


def test_what_expired_where_this_device_may_only_read_stays(open_memory: OpenMemory, clock: Clock) -> None:
    """It may not forget the memory, and still forgets elsewhere."""
    memory = open_memory()
    memory.add("fact", expires_at=clock.time(hours=1))
    gone = memory.add("fact", expires_at=clock.time(hours=1), space="local")
    with memory.store.writing() as db:
        db.execute("UPDATE spaces SET read_only = 1 WHERE name = 'personal'")
    clock.advance(days=31)
    assert memory.forget_expired(trust_clock=True) == 1
    assert {record.space for record in memory.list(include="expired", contains="fact")} == {"personal"}
    with pytest.raises(NotFoundError, match="forgotten"):
        memory.get(gone)
    assert memory.forget_expired() == 0


def test_reading_forgets_nothing(open_memory: OpenMemory, clock: Clock) -> None:
    """Opening and every read call leave an expired memory where it is; a write forgets it."""
    gone = open_memory().add("fact", expires_at=clock.time(hours=1))
    _use(open_memory(), clock, days=31)
    memory = open_memory()
    memory.list()
    memory.search("fact")
    memory.status()
    assert memory.get(gone).text == "fact"
    memory.add("other fact")
    with pytest.raises(NotFoundError, match="forgotten"):
        memory.get(gone)


def test_a_jump_of_the_clock_forgets_nothing(
    open_memory: OpenMemory, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """What has two months to live survives a clock that is 100 days ahead once. Log and status say why it waits."""
    memory = open_memory()
    kept = memory.add("fact", expires_at=clock.time(days=60))
    clock.advance(days=100)
    with caplog.at_level(logging.WARNING):
        memory.add("other fact")
    assert "trust-clock" in caplog.text
    assert ["trust-clock" in alarm.text for alarm in memory.status().alarms] == [True]
    with pytest.raises(StoreError, match="until the clock is confirmed"):
        memory.forget_expired()
    assert memory.list(contains="fact")[0].text == "other fact"  # the expired memory is hidden, not forgotten
    clock.advance(days=-100)
    memory.add("third fact")
    assert memory.get(kept).text == "fact"
    assert memory.status().alarms == ()
    assert memory.forget_expired() == 0


def test_a_jump_is_noticed_by_the_next_process(open_memory: OpenMemory, clock: Clock) -> None:
    """The time of the last use is in the store."""
    kept = open_memory().add("fact", expires_at=clock.time(days=60))
    clock.advance(days=100)
    memory = open_memory()
    memory.add("other fact")
    assert memory.get(kept).text == "fact"


def test_a_confirmed_clock_forgets(open_memory: OpenMemory, clock: Clock) -> None:
    """By the user, after a long pause. From then on memcrdt forgets by itself again."""
    memory = open_memory()
    memory.add("fact", expires_at=clock.time(days=1))
    later = memory.add("later fact", expires_at=clock.time(days=101))
    clock.advance(days=100)
    assert memory.forget_expired(trust_clock=True) == 1
    _use(memory, clock, days=40)
    memory.add("other fact")
    with pytest.raises(NotFoundError, match="forgotten"):
        memory.get(later)


def test_a_clock_that_went_back_does_not_stop_retention(open_memory: OpenMemory, clock: Clock) -> None:
    """The hourly interval is no reason to wait until the clock reaches its old time again."""
    clock.advance(days=5)
    memory = open_memory()
    gone = memory.add("fact")
    clock.advance(days=-5)
    with memory.store.writing() as db:
        db.execute("UPDATE memories SET expires_at = 1, updated_at = 1")
    memory.add("second")
    with pytest.raises(NotFoundError, match="forgotten"):
        memory.get(gone)


def test_another_device_settles_the_doubt(open_memory: OpenMemory, clock: Clock) -> None:
    """A connection shows its clock. An equal one confirms ours, and one far behind ours makes it doubtful."""
    memory = open_memory()
    kept = memory.add("fact", expires_at=clock.time(days=1))
    peers = Peers(memory.store)
    peers.accept(OTHER)
    clock.advance(days=100)
    peers.connected(OTHER, bytes(32), PeerConnection("dialed", "host:1", clock.now, skew=-100 * 86_400_000))
    with pytest.raises(StoreError, match="until the clock is confirmed"):
        memory.forget_expired()
    assert memory.get(kept).text == "fact"
    peers.connected(OTHER, bytes(32), PeerConnection("dialed", "host:1", clock.now, skew=1_000))
    assert memory.forget_expired() == 1


def _use(memory: Memory, clock: Clock, *, days: int) -> None:
    """Let days pass in which the memory is used."""
    for _ in range(days):
        clock.advance(days=1)
        memory.retention.note_time()
