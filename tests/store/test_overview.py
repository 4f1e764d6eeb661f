"""Counts of the memories of a store."""

from __future__ import annotations

from pathlib import Path

from memcrdt.store import overview
from memcrdt.testing.memories import Clock, open_memory

HOUR_MS = 3_600_000


def test_an_hour_of_activity_ends_at_the_given_time(tmp_path: Path) -> None:
    """A change just `hours` hours ago is too old. One of a clock that runs ahead by hours counts as now."""
    with open_memory(tmp_path, "A", Clock()) as memory:
        saved = memory.get(memory.add("The ferry leaves at nine"))
        at = round(saved.updated_at.timestamp() * 1000)
        with memory.store.reading() as db:
            found = [
                overview.activity(db, at + ms, 2) for ms in (-3 * HOUR_MS, 0, HOUR_MS - 1, HOUR_MS, 2 * HOUR_MS - 1)
            ]
            assert found == [[0, 1], [0, 1], [0, 1], [1, 0], [1, 0]]
            assert overview.activity(db, at + 2 * HOUR_MS, 2) == [0, 0]
