"""Reranking options on top of the ranking. All are off by default.

`importance` and `recency` are boosts. They only rearrange memories that rank well anyway. A bonus for every new or
important memory, regardless of its text, buries the answers: with a bonus that halved with each month of age, 10 of 100
old facts were found instead of 62, and the newer of two contradicting facts hardly came first more often than without
the bonus (benchmarks/boosts.py, docs/benchmarks/reranking.md).

`fold` leaves out near-duplicates, and `diversity` prefers memories that differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from memcrdt.search.words import word_set

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")

# benchmarks/boosts.py chose these figures, on the pairs that it measures.
RECENCY_DEPTH: Final = 10  # memories at the top that recency rearranges
_WORTH: Final = 4.0  # bonus of the greatest importance, for a memory as good as the best
_NEARLY: Final = 2.0  # distance from the best, in the ranking's sum, from which importance adds nothing
_ALIKE: Final = 0.45  # likeness from which two memories are about the same, at full strength
_AHEAD: Final = 0.01

DUPLICATE: Final = 0.8  # share of common words from which two texts with the same numbers are duplicates
_DIGIT = re.compile(r"\d")


def importance_boost(
    total: NDArray[np.float64], importance: NDArray[np.float64], strength: float
) -> NDArray[np.float64]:
    """Return the bonus of importance, from 0 to 1, for each sum [n]. `strength` is from 0 to 1."""
    import numpy as np

    nearly_best = np.maximum(1 - (total.max(initial=0.0) - total) / _NEARLY, 0.0)
    added: NDArray[np.float64] = strength * _WORTH * importance * nearly_best
    return added


def recency_boost(
    total: NDArray[np.float64], at: NDArray[np.int64], alike: NDArray[np.float64], strength: float
) -> NDArray[np.float64]:
    """Return the bonus for each sum [n] that ranks a memory just before all older memories about the same subject.

    Args:
        total: The sums, [n].
        at: When each memory was made, in ms.
        alike: Likeness of each pair, [n, n], from 0 to 1.
        strength: From 0 to 1. The lower it is, the more alike two memories must be.
    """
    import numpy as np

    least = 1 - (1 - _ALIKE) * strength
    raised = total.copy()
    for place in np.argsort(at, kind="stable"):
        older = (at < at[place]) & (alike[place] >= least)
        raised[place] = max(raised[place], raised[older].max(initial=-np.inf) + _AHEAD)
    return raised - total


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """Return the share of common words among all words of both."""
    return len(one & other) / (len(one | other) or 1)


def without_duplicates(items: Iterable[T], text_of: Callable[[T], str]) -> Iterator[T]:
    """Yield the items, in order, whose texts do not repeat an earlier text.

    Texts that differ in a number do not repeat each other. A text is read when its turn comes: the work grows with the
    square of the texts, and a search needs few more of them than it shows.
    """
    kept: list[tuple[frozenset[str], frozenset[str]]] = []
    for item in items:
        words = word_set(text_of(item))
        numbers = frozenset(word for word in words if _DIGIT.search(word))
        if all(numbers != theirs or jaccard(words, other) < DUPLICATE for other, theirs in kept):
            kept.append((words, numbers))
            yield item


def diversify(scores: Sequence[float], alike: Callable[[int, int], float], diversity: float, limit: int) -> list[int]:
    """Choose places by maximal marginal relevance (Carbonell and Goldstein, 1998).

    Args:
        scores: The scores, descending. They are scaled to 0 to 1 here.
        alike: The likeness of two places, up to 1.
        diversity: From 0 to 1: 0 keeps the order, 1 considers only variety.
        limit: Maximum number of places.

    Returns:
        The chosen places, best first. Of equally good places, the first is chosen.
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
