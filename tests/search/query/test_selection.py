"""Folding near-duplicates, and variety."""

from __future__ import annotations

from typing import Any

from memcrdt.search.query.selection import diverse, folded


def test_a_text_that_repeats_an_earlier_one_is_folded() -> None:
    """Case, punctuation and one word in ten don't make another memory; a number does."""
    texts = [
        "The build of the client library takes eleven minutes on Mondays.",
        "the build of the client library takes eleven minutes on mondays",
        "The build of the client library takes 11 minutes on Mondays.",
        "The build of the client library takes 12 minutes on Mondays.",
        "Something else.",
    ]
    assert folded(texts) == [0, 2, 3, 4]


def test_variety_brings_another_subject_forward() -> None:
    """At 0 the order stays; at 0.5 what is unlike the first comes before its twin."""
    alike = {frozenset((0, 1)): 1.0}
    similarity = lambda one, other: alike.get(frozenset((one, other)), 0.0)  # noqa: E731 - the shape of the argument
    assert diverse([3.0, 2.9, 2.0], similarity, 0.0, 3) == [0, 1, 2]
    assert diverse([3.0, 2.9, 2.0], similarity, 0.5, 3) == [0, 2, 1]
    assert diverse([], similarity, 0.5, 3) == []


def test_search_folds_and_varies_when_asked(shelf: Any) -> None:
    """Three copies of a sentence take one place with fold, three without."""
    for _ in range(3):
        shelf.add("Deploys go out on Tuesdays")
    shelf.add("Deploys need two approvals")
    assert shelf.found("deploys tuesdays", limit=3) == ["Deploys go out on Tuesdays"] * 3
    both = ["Deploys go out on Tuesdays", "Deploys need two approvals"]
    assert shelf.found("deploys tuesdays", limit=3, fold=True) == both
    assert shelf.found("deploys tuesdays", limit=2, diversity=0.7) == both
