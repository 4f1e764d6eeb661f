"""Heavy calls of one process beside another process that goes on working."""

from __future__ import annotations

from pathlib import Path

from tests.campaigns import heavy


def test_no_heavy_call_makes_an_everyday_call_of_another_process_fail(tmp_path: Path) -> None:
    """Twelve kinds of heavy calls. `python -m tests.campaigns heavy` shows how long the other process waits."""
    found = heavy.run(tmp_path, 100)
    assert len(found) == 12
    assert all(beside.rounds for beside in found.values())
