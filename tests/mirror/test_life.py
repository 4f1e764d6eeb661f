"""A simulated life of two machines with a mirrored folder. `python -m tests.campaigns mirror` runs more of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.mirror.life import live, no_sync


@pytest.mark.parametrize(
    ("source", "deletes", "steps"),
    [("markdown", False, 500), ("markdown", True, 300), ("claude-code", False, 300), ("claude-code", True, 300)],
)
@pytest.mark.timeout(600)
def test_a_life_with_crashes_on_both_machines_loses_no_text(
    tmp_path: Path, source: str, deletes: bool, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What anybody wrote is in a memory, in its history, or in a folder, after every hundred steps and at the end."""
    monkeypatch.setattr(os, "fsync", no_sync)
    assert live(tmp_path, steps + deletes, source, deletes, steps) > steps // 30
