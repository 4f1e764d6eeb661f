"""The score of a hit: how likely the memory answers the query, on one scale for all queries and models.

Models differ in the cosine of unrelated texts: 0.21 on average with the shipped model, 0.04 with all-MiniLM-L6-v2. So
a cosine counts by its position between that value and 1. And even if no memory answers a question, the best one shares
some common words with it. So the share of the words counts by its cube. docs/search.md has the figures.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from memcrdt.search.embedders.embedder import Embedder

UNKNOWN: Final = 0.1  # the cosine of unrelated texts that is assumed until it is measured
_MIDDLE, _SLOPE = 3.5, 8.0  # the score is a half where the evidence is 3.5 / 8
_SHARE, _BOTH = 0.5, 2.0  # weights of the cubed share, alone and times the cosine
# 16 subjects, questions among them. A change of these texts changes the meaning of every score.
_UNRELATED: Final = (
    "The ferry to the island leaves at nine and comes back in the evening.",
    "Which database does the billing service use?",
    "My sister is allergic to nuts and carries a pen with her.",
    "Add two spoons of flour and stir until it thickens.",
    "The tests fail on Windows because of the path separator.",
    "He plays the cello in an orchestra on Thursdays.",
    "When does our lease for the office end?",
    "The old bridge was closed after the flood in spring.",
    "Interest on the loan is fixed for five years.",
    "Please answer in short sentences and without emoji.",
    "The goalkeeper hurt his knee in the first half.",
    "What did the doctor say about her blood pressure?",
    "Tomatoes need more light than this balcony gets.",
    "The release was signed with a new key last month.",
    "Who borrowed the ladder from the garage?",
    "A museum in Oslo shows paintings of the sea.",
)


def unrelated_cosine(embedder: Embedder) -> float:
    """Return the mean cosine of unrelated texts, from 0 to 0.9: a property of the model. Raises EmbedderError."""
    vectors = embedder.embed(_UNRELATED)
    every, same = float((vectors.sum(axis=0) ** 2).sum()), float((vectors**2).sum())
    return round(min(max((every - same) / (len(vectors) * (len(vectors) - 1)), 0.0), 0.9), 3)


def score_of_share(share: float) -> float:
    """Return calibrated() without vectors for one share of the query's idf, without numpy."""
    return round(1 / (1 + math.exp(_MIDDLE - _SLOPE * share)), 4)


def calibrated(
    cosines: NDArray[np.float64] | None, shares: NDArray[np.float64], unrelated: float = UNKNOWN
) -> NDArray[np.float64]:
    """Return the scores, [n], from 0 to 1.

    Args:
        cosines: The cosine of each memory, [n]; None without vectors.
        shares: The share of the query's idf that each memory has, [n].
        unrelated: The mean cosine of unrelated texts in the model of the cosines.
    """
    import numpy as np

    if cosines is None:
        evidence = shares
    else:
        nearness = np.maximum(cosines - unrelated, 0.0) / (1 - unrelated)
        evidence = nearness + shares**3 * (_SHARE + _BOTH * nearness)
    return np.round(1 / (1 + np.exp(_MIDDLE - _SLOPE * evidence)), 4)
