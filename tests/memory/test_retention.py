"""The budget for the size of a store, and the removal of memories that expired long ago."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import memcrdt
from memcrdt.errors import NotFoundError, StoreError
from memcrdt.memory.memory import Memory
from memcrdt.model.limits import MIB, TEXT_BYTES
from memcrdt.testing.memories import Clock

OpenMemory = Callable[..., Memory]


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
    with pytest.raises(StoreError, match=r"the first 1,000 lines are imported; .*budget_mb"):
        memory.import_(file)
    assert memory.stats().memories == 1_000


def test_no_budget_is_no_limit(open_memory: OpenMemory) -> None:
    """`budget_mb` 0."""
    memory = open_memory(budget_mb=0)
    memory.add("a")
    assert (memory.status().budget.limit, memory.status().budget.near) == (None, False)


def _fill(memory: Memory, ids: list[str]) -> None:
    while len(ids) < 100:
        ids.append(memory.add(f"{len(ids)} " + "x" * (TEXT_BYTES - 10)))


def test_what_hinders_upkeep_hinders_neither_opening_nor_writing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With a damaged row before an expired memory, the doctor can still open the store, and additions succeed."""
    long_ago = datetime.now(UTC) - timedelta(days=90)
    with memcrdt.open(tmp_path, embedder=None) as memory:
        memory.add("fact", created_at=long_ago)
        with memory.store.writing() as db:
            db.execute("UPDATE memories SET expires_at = created_at + 1; UPDATE updates SET checksum = zeroblob(8)")
    with memcrdt.open(tmp_path, embedder=None) as memory:
        assert "could not be forgotten" in caplog.text
        assert memory.get(memory.add("other fact")).text == "other fact"
        assert memory.doctor(repair=True).problems
        assert memory.doctor().problems == ()


def test_what_expired_where_this_device_may_only_read_stays(open_memory: OpenMemory, clock: Clock) -> None:
    """It may not forget the memory, and writes elsewhere succeed."""
    memory = open_memory()
    memory.add("fact", expires_at=clock.time(hours=1))
    gone = memory.add("fact", expires_at=clock.time(hours=1), space="local")
    with memory.store.writing() as db:
        db.execute("UPDATE spaces SET read_only = 1 WHERE name = 'personal'")
    clock.advance(days=31)
    memory.add("other fact", space="local")
    assert {record.space for record in memory.list(include="expired", contains="fact")} == {"personal", "local"}
    with pytest.raises(NotFoundError, match="forgotten"):
        memory.get(gone)
    assert memory.forget_expired() == 0
