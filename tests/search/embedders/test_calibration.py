"""The score of a hit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import memcrdt
from memcrdt.search.embedders.calibration import UNKNOWN, Evidence, calibrated, unrelated_cosine
from memcrdt.search.embedders.embedder import make_embedder
from memcrdt.search.index.index import SearchIndex
from memcrdt.search.index.worker import EmbeddingWorker

part = st.floats(0, 1)


def test_the_score_is_fixed() -> None:
    """These values change only with a new calibration, because users have thresholds in their programs."""
    shares = np.array([0.0, 0.0, 0.5, 1.0])
    noted = Evidence(shares, np.array([-0.2, 0.5, 0.5, 1.0]), unrelated=0.1)
    assert calibrated(noted).tolist() == [0.0293, 0.5139, 0.8091, 1.0]
    assert calibrated(Evidence(np.array([0.0, 0.4375, 1.0]))).tolist() == [0.0293, 0.5, 0.989]
    said = noted._replace(signs=np.array([0.0, 0.5, 2.0, 1.0]))
    assert calibrated(said).tolist() == [0.0004, 0.0209, 0.6687, 1.0]
    read = np.array([-11.0, np.nan, 5.0, 10.0])
    assert calibrated(noted._replace(logits=read)).tolist() == [0.0134, 0.5139, 0.9932, 1.0]
    assert calibrated(said._replace(logits=np.array([-1e9, 1e9, np.inf, np.nan]))).tolist() == [0.0, 1.0, 1.0, 1.0]
    assert calibrated(said._replace(logits=read)).tolist() == [0.0011, 0.0209, 0.8354, 0.9999]


@given(st.floats(-1, 1), st.floats(-1, 1), part, part, st.floats(0, 0.9))
def test_the_score_never_falls_with_cosine_or_share(
    one: float, other: float, less: float, more: float, at: float
) -> None:
    """For any model, the score is from 0 to 1 and monotone in both. It never falls with the other evidence either."""
    cosines, shares = np.array(sorted([one, other])), np.array(sorted([less, more]))
    alone = Evidence(shares, cosines, unrelated=at)
    turn, logits = alone._replace(signs=3 * cosines), 11 * cosines
    read = (each._replace(logits=logits) for each in (alone, turn, Evidence(shares)))
    for scores in map(calibrated, (alone, turn, Evidence(shares), *read)):
        assert 0 <= scores[0] <= scores[1] <= 1


def test_the_cosine_of_unrelated_texts_counts_as_zero() -> None:
    """With any model, the mean cosine of its unrelated texts gives the same score as no likeness."""
    none = np.zeros(1)

    def score(cosine: float, unrelated: float) -> float:
        return float(calibrated(Evidence(none, np.array([cosine]), unrelated=unrelated))[0])

    assert score(0.3, 0.3) == score(0.0, 0.0)
    assert score(0.65, 0.3) == score(0.5, 0.0)


def test_the_unrelated_cosine_of_the_shipped_model_is_measured() -> None:
    """It is 0.209, the value that the score was fitted with."""
    embedder = make_embedder("static")
    assert embedder is not None
    assert unrelated_cosine(embedder) == pytest.approx(0.209, abs=0.002)


def test_a_model_with_equal_vectors_for_all_texts_is_handled() -> None:
    """Equal vectors and zero vectors cause no division by zero."""
    for number in (1.0, 0.0):
        embedder = make_embedder(lambda texts, number=number: [[number, 0.0] for _ in texts])
        assert embedder is not None
        assert np.isfinite(calibrated(Evidence(np.zeros(1), np.ones(1), unrelated=unrelated_cosine(embedder)))).all()


def letters(texts: list[str]) -> list[list[float]]:
    return [[1.0 + text.lower().count(letter) for letter in "abcdefghijklmnop"] for text in texts]


def test_the_worker_stores_the_unrelated_cosine_of_a_slow_model(tmp_path: Path) -> None:
    """No search waits for it. The next process reads it from the store, even if it cannot make the model."""
    with memcrdt.open(tmp_path, embedder=letters) as memory:
        memory.add("the harbour crane")
        index = memory.store.indexer
        assert isinstance(index, SearchIndex)
        EmbeddingWorker(memory.store, index).drain()
        embedder = index.embedders.own
        assert embedder is not None
        expected = unrelated_cosine(embedder)
    assert expected != UNKNOWN
    with memcrdt.open(tmp_path) as memory, memory.store.reading() as db:
        index = memory.store.indexer
        assert isinstance(index, SearchIndex)
        assert index.embedders.unrelated(db, embedder.name) == expected
        assert index.embedders.unrelated(db, "function:made.elsewhere") == UNKNOWN
