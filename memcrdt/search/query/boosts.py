"""Boosts, off by default: what is important, and the newer of what says about the same.

Both only rearrange what is good anyway. A bonus for every new or important memory, whatever it says, buries the
answers: with one that halved with each month of age, 10 of 100 old facts were found instead of 62, and the newer of
two that contradict each other came hardly more often first than without (benchmarks/boosts.py, docs/search.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# The figures are chosen by benchmarks/boosts.py, on the pairs that it measures.
FIRST: Final = 10  # memories that recency rearranges
_WORTH: Final = 4.0  # of the greatest importance, for what is as good as the best
_NEARLY: Final = 2.0  # in the ranking's sum: what is so much worse than the best gets nothing
_ALIKE: Final = 0.45  # from which likeness on two memories are taken for the same, at full strength
_AHEAD: Final = 0.01


def important(total: NDArray[np.float64], importance: NDArray[np.float64], strength: float) -> NDArray[np.float64]:
    """What importance, from 0 to 1, adds to each sum [n]. `strength` from 0 to 1."""
    import numpy as np

    nearly_best = np.maximum(1 - (total.max(initial=0.0) - total) / _NEARLY, 0.0)
    added: NDArray[np.float64] = strength * _WORTH * importance * nearly_best
    return added


def newer(
    total: NDArray[np.float64], at: NDArray[np.int64], alike: NDArray[np.float64], strength: float
) -> NDArray[np.float64]:
    """What is added to each sum [n] so that it comes just before all older ones that are taken for the same.

    `alike`, [n, n], is from 0 to 1, `at` in ms. The less `strength`, the more alike must they be.
    """
    import numpy as np

    least = 1 - (1 - _ALIKE) * strength
    raised = total.copy()
    for place in np.argsort(at, kind="stable"):
        older = (at < at[place]) & (alike[place] >= least)
        raised[place] = max(raised[place], raised[older].max(initial=-np.inf) + _AHEAD)
    return raised - total
