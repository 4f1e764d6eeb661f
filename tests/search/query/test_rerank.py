"""Boosts, folding of near-duplicates, and variety."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np

from memcrdt.search.query.rerank import diversify, importance_boost, recency_boost, without_duplicates

AT = np.array([1, 2, 3])
SAME = np.ones((3, 3))


def test_a_newer_memory_comes_just_before_similar_older_ones() -> None:
    """It comes before all of them, for any sums. Nothing changes if the order is right already."""
    total = np.array([9.0, 5.0, 7.0])
    assert np.round(total + recency_boost(total, AT, SAME, 1.0), 3).tolist() == [9.0, 9.01, 9.02]
    assert recency_boost(np.array([1.0, 5.0, 9.0]), AT, SAME, 1.0).tolist() == [0, 0, 0]


def test_strength_sets_the_required_likeness() -> None:
    """Full strength needs a likeness of 0.45, half strength 0.725, and almost no strength needs equal texts."""
    total = np.array([9.0, 5.0, 7.0])
    raised = {
        strength: [
            bool(recency_boost(total, AT, np.full((3, 3), alike), strength).any()) for alike in (0.44, 0.46, 0.73, 1.0)
        ]
        for strength in (1.0, 0.5, 0.01)
    }
    assert raised == {
        1.0: [False, True, True, True],
        0.5: [False, False, True, True],
        0.01: [False, False, False, True],
    }
    assert recency_boost(total, np.array([1, 1, 1]), SAME, 1.0).tolist() == [0, 0, 0]


def test_importance_counts_only_near_the_best() -> None:
    """It counts fully for the best memory, half at half the distance, and not at all beyond the distance."""
    added = importance_boost(np.array([9.0, 8.0, 7.0, 1.0]), np.array([0.5, 1.0, 1.0, 1.0]), 1.0)
    assert added.tolist() == [2.0, 2.0, 0.0, 0.0]


def test_boosts_accept_an_empty_list() -> None:
    """An empty list of memories is not an error."""
    none = np.zeros(0)
    assert recency_boost(none, none.astype(np.int64), np.zeros((0, 0)), 1.0).tolist() == []
    assert importance_boost(none, none, 1.0).tolist() == []


def test_a_text_that_repeats_an_earlier_one_is_folded() -> None:
    """Texts that differ in case, punctuation or one word in ten are duplicates, unless they differ in a number."""
    texts = [
        "The build of the client library takes eleven minutes on Mondays.",
        "the build of the client library takes eleven minutes on mondays",
        "The build of the client library takes 11 minutes on Mondays.",
        "The build of the client library takes 12 minutes on Mondays.",
        "Something else.",
    ]
    assert list(without_duplicates(range(5), texts.__getitem__)) == [0, 2, 3, 4]


def test_folding_reads_no_text_before_its_turn() -> None:
    """So a search for ten memories does not compare a hundred texts."""
    read: list[int] = []

    def text_of(number: int) -> str:
        read.append(number)
        return f"text {number}"

    assert list(islice(without_duplicates(range(100), text_of), 3)) == [0, 1, 2]
    assert read == [0, 1, 2]


def test_variety_brings_another_subject_forward() -> None:
    """At 0 the order stays the same. At 0.5 a different text comes before a duplicate of the first."""
    alike = {frozenset((0, 1)): 1.0}
    similarity = lambda one, other: alike.get(frozenset((one, other)), 0.0)  # noqa: E731 - the shape of the argument
    assert diversify([3.0, 2.9, 2.0], similarity, 0.0, 3) == [0, 1, 2]
    assert diversify([3.0, 2.9, 2.0], similarity, 0.5, 3) == [0, 2, 1]
    assert diversify([], similarity, 0.5, 3) == []


def test_search_folds_and_varies_when_asked(shelf: Any) -> None:
    """Three copies of a sentence take three places, or one place with `fold`."""
    for _ in range(3):
        shelf.add("Deploys go out on Tuesdays")
    shelf.add("Deploys need two approvals")
    assert shelf.found("deploys tuesdays", limit=3) == ["Deploys go out on Tuesdays"] * 3
    both = ["Deploys go out on Tuesdays", "Deploys need two approvals"]
    assert shelf.found("deploys tuesdays", limit=3, fold=True) == both
    assert shelf.found("deploys tuesdays", limit=2, diversity=0.7) == both
