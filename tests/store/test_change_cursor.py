"""Which commits a process knows for its own."""

from __future__ import annotations

import pytest

from memcrdt.store import change_cursor
from memcrdt.store.change_cursor import OwnCommits


def test_a_commit_that_fails_is_not_noted() -> None:
    """The next row of that number may be another process's."""
    own = OwnCommits()
    with pytest.raises(OSError, match="full"), own.noting(7, "local"):
        raise OSError("the disk is full")
    assert own.origin(7) is None
    with own.noting(8, "B" * 52):
        pass
    assert own.origin(8) == "B" * 52


def test_the_oldest_commits_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a process runs, it keeps a bounded number."""
    monkeypatch.setattr(change_cursor, "OWN_COMMITS", 2)
    own = OwnCommits()
    for seq in (1, 2, 3):
        with own.noting(seq, "local"):
            pass
    assert [own.origin(seq) for seq in (1, 2, 3)] == [None, "local", "local"]
