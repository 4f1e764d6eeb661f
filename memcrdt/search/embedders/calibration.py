"""The score of a hit: how likely the memory answers the query, on one scale for all queries and models.

Models differ in the cosine of unrelated texts: 0.21 on average with the shipped model, 0.04 with all-MiniLM-L6-v2. So
a cosine counts by its position between that value and 1. And even if no memory answers a question, the best one shares
some common words with it. So the share of the words counts by its cube. In a conversation all texts are alike, and more
tells an answer: the query names its speaker, or asks when and the turn names a time. So turns have weights of their
own, and so has what a reranker has read. docs/benchmarks/score.md has the figures.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from memcrdt.search.embedders.embedder import Embedder

UNKNOWN: Final = 0.1  # the cosine of unrelated texts that is assumed until it is measured
_MIDDLE, _SLOPE = 3.5, 8.0  # the score is a half where the evidence is 3.5 / 8
_SHARE, _BOTH = 0.5, 2.0  # weights of the cubed share, alone and times the cosine


class _Weights(NamedTuple):
    """The weights of the evidence in a score, which is the logistic function of their sum."""

    nearness: float  # where the cosine is between those of unrelated and of equal texts
    share: float
    whole: float  # of the sixth power of the share, which counts if the memory has nearly all words
    signs: float
    logit: float
    constant: float


# Chosen so that nine tenths of the questions with an answer reach 0.3.
_TURN = _Weights(8.0, 6.0, 3.0, 1.0, 0.0, -7.9)
_READ_TURN = _Weights(4.0, 2.0, 3.0, 0.4, 0.3, -3.5)
_READ_NOTE = _Weights(10.0, 0.0, 3.0, 0.0, 0.3, -1.0)
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


class Evidence(NamedTuple):
    """What speaks for each memory as an answer, [n].

    Attributes:
        shares: The share of the query's idf that the memory has.
        cosines: The cosine of the memory; None without vectors.
        unrelated: The mean cosine of unrelated texts in the model of the cosines.
        signs: What the signs of an answer in a turn of a conversation add to its rank; NaN for other memories. None if
            turns do not count as such.
        logits: The logit of the reranker; NaN for a memory that it has not read. None without a reranker.
    """

    shares: NDArray[np.float64]
    cosines: NDArray[np.float64] | None = None
    unrelated: float = UNKNOWN
    signs: NDArray[np.float64] | None = None
    logits: NDArray[np.float64] | None = None


def calibrated(evidence: Evidence) -> NDArray[np.float64]:
    """Return the scores, [n], from 0 to 1."""
    import numpy as np

    shares, cosines, unrelated, signs, logits = evidence
    nearness = np.zeros(len(shares)) if cosines is None else np.maximum(cosines - unrelated, 0.0) / (1 - unrelated)
    likeness = shares if cosines is None else nearness + shares**3 * (_SHARE + _BOTH * nearness)
    odds = _SLOPE * likeness - _MIDDLE
    if signs is not None or logits is not None:
        _weigh_turns_and_read(odds, nearness, evidence)
    scores: NDArray[np.float64] = np.round(1 / (1 + np.exp(-odds.clip(-50.0, 50.0))), 4)  # any logit may come
    return scores


def _weigh_turns_and_read(odds: NDArray[np.float64], nearness: NDArray[np.float64], evidence: Evidence) -> None:
    """Replace the log odds of turns, and of what a reranker has read."""
    import numpy as np

    shares = evidence.shares
    unknown = np.full(len(shares), np.nan)
    signs, logits = (unknown if part is None else part for part in (evidence.signs, evidence.logits))
    is_turn, is_read = ~np.isnan(signs), ~np.isnan(logits)
    parts = (nearness, shares, shares**6, np.nan_to_num(signs), np.nan_to_num(logits), np.ones(len(shares)))
    for those, weights in (
        (is_turn & ~is_read, _TURN),
        (is_turn & is_read, _READ_TURN),
        (~is_turn & is_read, _READ_NOTE),
    ):
        if those.any():
            odds[those] = np.sum([weight * part for weight, part in zip(weights, parts, strict=True)], axis=0)[those]
