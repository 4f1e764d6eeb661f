"""Tests of the record of a process's own commits."""

from __future__ import annotations

import pytest

from memcrdt.store import change_cursor
from memcrdt.store.change_cursor import OwnCommits


def test_a_commit_that_fails_is_not_noted() -> None:
    """Another process may write the next row of that number."""
    own = OwnCommits()
    with pytest.raises(OSError, match="full"), own.noting(7, "local"):
        raise OSError("the disk is full")
    assert own.origin(7) is None
    with own.noting(8, "B" * 52):
        pass
    assert own.origin(8) == "B" * 52


def test_the_oldest_commits_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of remembered commits is bounded."""
    monkeypatch.setattr(change_cursor, "OWN_COMMITS", 2)
    own = OwnCommits()
    for seq in (1, 2, 3):
        with own.noting(seq, "local"):
            pass
    assert [own.origin(seq) for seq in (1, 2, 3)] == [None, "local", "local"]
