"""Which of the ranked memories are shown: without near-duplicates, and with variety, when asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from memcrdt.search.words import searchable

FOLD = 0.8  # share of common words from which two texts with the same numbers are one
_WORD = re.compile(r"\w+")
_DIGIT = re.compile(r"\d")


def words_of(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(searchable(text).casefold()))


def overlap(one: frozenset[str], other: frozenset[str]) -> float:
    """The share of common words among all words of both (Jaccard)."""
    return len(one & other) / (len(one | other) or 1)


def folded(texts: Sequence[str]) -> list[int]:
    """The places of the texts, in order, that repeat none before them. Texts that differ in a number don't repeat."""
    kept: list[tuple[int, frozenset[str], frozenset[str]]] = []
    for place, text in enumerate(texts):
        words = words_of(text)
        numbers = frozenset(word for word in words if _DIGIT.search(word))
        if all(numbers != theirs or overlap(words, other) < FOLD for _, other, theirs in kept):
            kept.append((place, words, numbers))
    return [place for place, _, _ in kept]


def diverse(scores: Sequence[float], alike: Callable[[int, int], float], diversity: float, limit: int) -> list[int]:
    """At most `limit` places by maximal marginal relevance (Carbonell and Goldstein, 1998).

    `scores` descend, and are scaled to 0 to 1 here; `alike` is that of two places, up to 1. `diversity` 0 keeps the
    order, 1 looks at variety only. Of equal ones the first is taken.
    """
    low, high = min(scores, default=0.0), max(scores, default=0.0)
    relevance = [(score - low) / ((high - low) or 1.0) for score in scores]
    nearest = [0.0] * len(scores)
    chosen: list[int] = []
    left = list(range(len(scores)))
    while left and len(chosen) < limit:
        best = max(left, key=lambda place: ((1 - diversity) * relevance[place] - diversity * nearest[place], -place))
        left.remove(best)
        chosen.append(best)
        for place in left:
            nearest[place] = max(nearest[place], alike(best, place))
    return chosen
