"""A real store as sync sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from memcrdt.model import limits
from memcrdt.net import replica
from memcrdt.testing.devices import Device


def test_a_diff_that_is_too_large_is_taken_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part applies on what the one before left, and together they bring everything."""
    monkeypatch.setattr(limits, "UPDATE_BYTES", 20_000)
    monkeypatch.setattr(replica, "PIECE_BYTES", 8_000)
    here, there = Device(tmp_path / "A", "A"), Device(tmp_path / "B", "B")
    for _ in range(5):
        here.add_many(f"text {number} {'x' * 100}" for number in range(50))
    here.forget(*list(here.texts())[::3])
    parts, known = 0, there.replica.state_vector(there.space(), 0)
    while True:
        diff = here.replica.diff(here.space(), 0, known)
        applied = there.replica.apply(there.space(), 0, diff.update, here.id)
        known, parts = applied.state_vector, parts + 1
        assert (applied.status, known) == ("applied", diff.after)
        if not diff.partial:
            break
    assert (parts > 3, there.digest(), there.views()) == (True, here.digest(), here.views())
    here.close()
    there.close()


def test_the_receipts_of_a_restored_store_are_void(tmp_path: Path) -> None:
    """Another incarnation may lack what the one before had; the same one keeps what it has confirmed."""
    here = Device(tmp_path / "A", "A")
    here.add("text")
    here.replica.met("B", "first")
    here.replica.note_receipts("B", here.space(), {0: 1}, {})
    here.replica.met("B", "first")
    assert here.rows("SELECT device, seq FROM receipts") == [("B", 1)]
    here.replica.met("B", "second")
    assert here.rows("SELECT * FROM receipts") == []
    here.close()
