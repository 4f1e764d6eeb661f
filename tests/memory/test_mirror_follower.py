"""The thread that keeps mirrors equal while `serve` runs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import memcrdt
from memcrdt.memory import mirror_follower
from memcrdt.memory.mirror_follower import MirrorFollower, _Following

PATIENCE_S = 60.0


def test_a_fault_in_one_mirror_leaves_the_others_at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault is in its state and in the log, and its next pass is tried."""
    faulty, sound = tmp_path / "faulty", tmp_path / "sound"
    real = MirrorFollower._pass

    def failing(self: MirrorFollower, each: _Following) -> object:
        if each.info.folder == str(faulty):
            raise ZeroDivisionError("division by zero")
        return real(self, each)

    with memcrdt.open(tmp_path / "home", embedder=None) as memory:
        for folder in (faulty, sound):
            folder.mkdir()
            memory.mirrors.add("markdown", folder, scope=f"project/{folder.name}")
        monkeypatch.setattr(MirrorFollower, "_pass", failing)
        monkeypatch.setattr(mirror_follower, "NOTE_S", 0.0)
        follower = MirrorFollower(memory.mirrors)
        follower.start()
        try:
            (sound / "note.md").write_text("Deploys go out on Tuesdays", encoding="utf-8")
            deadline = time.monotonic() + PATIENCE_S
            while not ((found := memory.list(scope="project/sound")) and _error(memory, faulty)):
                assert time.monotonic() < deadline
                time.sleep(0.05)
        finally:
            follower.stop()
        assert [each.text for each in found] == ["# note\n\nDeploys go out on Tuesdays"]
        assert "unexpected error: ZeroDivisionError: division by zero" in _error(memory, faulty)


def _error(memory: memcrdt.Memory, folder: Path) -> str:
    [info] = [each for each in memory.mirrors.list() if each.folder == str(folder)]
    return info.error or ""
