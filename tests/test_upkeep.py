"""The budget for the size of a store."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from memcrdt.errors import StoreError
from memcrdt.memory import Memory
from memcrdt.model.limits import MIB, TEXT_BYTES

OpenMemory = Callable[..., Memory]


def test_the_budget_warns_then_refuses_and_drops_nothing(
    open_memory: OpenMemory, caplog: pytest.LogCaptureFixture
) -> None:
    """Once it warns; then what brings text is refused, and everything else goes on; forgetting makes room."""
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
    """Batches before the one that is too much stay, and the error says so."""
    memory = open_memory(budget_mb=1)
    file = memory.home / "in.jsonl"
    file.write_text("".join(f'"{n} {"x" * 500}"\n' for n in range(2_000)))
    with pytest.raises(StoreError, match=r"the lines up to 1,000 are in; .*budget_mb"):
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
