"""Changes of a memory whose rows in the log are damaged: they are taken, because the views know the memory."""

from __future__ import annotations

from pathlib import Path

import pytest

import memcrdt
from tests.bare_device import spoil_rows


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("lost", ["seq = 1", "seq = 2", "seq = (SELECT max(seq) FROM updates)", "1"])
def test_every_change_is_taken(tmp_path: Path, lost: str, paired: bool) -> None:
    """On a device of its own, and on one that waits for another device. `status` has an alarm."""
    with memcrdt.open(tmp_path / "home", embedder=None) as memory:
        ids = [memory.add(f"memory {number}", key=str(number)) for number in range(4)]
        memory.update(ids[1], text="edited")
        if paired:
            memory.accept("B" * 51 + "A")
        with memory.store.writing() as db:
            spoil_rows(db, "updates", lost)
    with memcrdt.open(tmp_path / "home", embedder=None) as memory:
        memory.update(ids[1], add_tags=["late"])
        memory.update(ids[0], text="changed")
        memory.link(ids[0], "of", ids[1])
        memory.add("changed by its key", key="2")
        memory.forget(ids[3])
        moved = memory.move(ids[2], space="local")
        shown = {record.id: (record.text, record.tags) for record in memory.list()}
        assert shown == {ids[0]: ("changed", ()), ids[1]: ("edited", ("late",)), moved: ("changed by its key", ())}
        assert [revision.text for revision in memory.history(ids[1])] == ["memory 1", "edited"]
        assert ["The log had" in alarm.text for alarm in memory.status().alarms] == [True]
        memory.doctor(repair=True, give_up=True)
        assert {record.id: (record.text, record.tags) for record in memory.list()} == shown
        assert memory.doctor().problems == ()
