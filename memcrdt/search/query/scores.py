"""Scores of passages as two columns, and the scores of memories that follow from them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from memcrdt.search.arrays import run_starts
from memcrdt.search.index.passages import PER_MEMORY

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class PassageScores:
    """Passages, ascending, each with a score. The score of a memory is the score of its best passage."""

    def __init__(self, passages: NDArray[np.int64], scores: NDArray[np.float64]) -> None:
        self.passages = passages
        self.scores = scores

    @classmethod
    def unsorted(cls, passages: NDArray[np.int64], scores: NDArray[Any]) -> PassageScores:
        """Make scores from passages in any order, and the score of each.

        Scores are rounded: the last bits depend on the machine, and replicas should agree.
        """
        order = passages.argsort()
        return cls(passages[order], scores[order].astype("f8").round(6))

    @cached_property
    def memories(self) -> NDArray[np.int64]:
        """The memories that have a score, ascending."""
        return self.passages[self._starts] // PER_MEMORY

    @cached_property
    def best(self) -> NDArray[np.float64]:
        """The best score of each of `memories`."""
        import numpy as np

        return np.maximum.reduceat(self.scores, self._starts) if len(self._starts) else self.scores

    def of(self, memories: NDArray[np.int64], missing: float = 0.0) -> NDArray[np.float64]:
        """Return the score of each of these memories; `missing` for a memory without a score."""
        import numpy as np

        known = self.memories
        if not len(known):
            return np.full(len(memories), missing)
        places = known.searchsorted(memories)
        places[places == len(known)] = 0
        return np.where(known[places] == memories, self.best[places], missing)

    def at(self, passage: int, missing: float = 0.0) -> float:
        """Return the score of one passage; `missing` for a passage without a score."""
        place = int(self.passages.searchsorted(passage))
        return float(self.scores[place]) if place < len(self.passages) and self.passages[place] == passage else missing

    def lacking(self, memories: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the memories among these, ascending, that have no score."""
        import numpy as np

        return memories[np.isnan(self.of(memories, missing=np.nan))]

    def merged(self, other: PassageScores) -> PassageScores:
        """Return these scores together with the scores of other passages."""
        import numpy as np

        passages = np.concatenate([self.passages, other.passages])
        order = passages.argsort(kind="stable")
        return PassageScores(passages[order], np.concatenate([self.scores, other.scores])[order])

    @cached_property
    def _starts(self) -> NDArray[np.intp]:
        return run_starts(self.passages // PER_MEMORY)
