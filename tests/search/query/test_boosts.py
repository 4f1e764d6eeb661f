"""What newness and importance add."""

from __future__ import annotations

import numpy as np

from memcrdt.search.query.boosts import important, newer

AT = np.array([1, 2, 3])
SAME = np.ones((3, 3))


def test_the_newer_comes_just_before_the_older_ones_that_it_is_like() -> None:
    """Each before the next, whatever their sums were; the oldest and what is good by itself stay."""
    total = np.array([9.0, 5.0, 7.0])
    assert np.round(total + newer(total, AT, SAME, 1.0), 3).tolist() == [9.0, 9.01, 9.02]
    assert newer(np.array([1.0, 5.0, 9.0]), AT, SAME, 1.0).tolist() == [0, 0, 0]


def test_strength_says_how_much_alike_they_must_be() -> None:
    """From 0.45 on with all of it, from 0.725 with half, and the same with hardly any."""
    total = np.array([9.0, 5.0, 7.0])
    raised = {
        strength: [bool(newer(total, AT, np.full((3, 3), alike), strength).any()) for alike in (0.44, 0.46, 0.73, 1.0)]
        for strength in (1.0, 0.5, 0.01)
    }
    assert raised == {
        1.0: [False, True, True, True],
        0.5: [False, False, True, True],
        0.01: [False, False, False, True],
    }
    assert newer(total, np.array([1, 1, 1]), SAME, 1.0).tolist() == [0, 0, 0]


def test_importance_counts_only_near_the_best() -> None:
    """Fully for the best, half at half the distance, and not at all beyond it."""
    added = important(np.array([9.0, 8.0, 7.0, 1.0]), np.array([0.5, 1.0, 1.0, 1.0]), 1.0)
    assert added.tolist() == [2.0, 2.0, 0.0, 0.0]


def test_nothing_is_rearranged_where_there_is_nothing() -> None:
    """No memory, no error."""
    none = np.zeros(0)
    assert newer(none, none.astype(np.int64), np.zeros((0, 0)), 1.0).tolist() == []
    assert important(none, none, 1.0).tolist() == []
