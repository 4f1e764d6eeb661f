"""Reranking by a cross-encoder, with a small model that scores a pair by its most telling word."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

import memcrdt
from memcrdt import config
from memcrdt.errors import InputError
from memcrdt.search.embedders.reranker import Reranker
from memcrdt.service.context import Context
from memcrdt.service.service import Service
from tests.cross_encoders import without_deadline, write_cross_encoder

TEXTS = ["the ship sails at dawn", "the ship sails at noon", "a kitten may sail with us"]
QUERY = "when does the ship sail"


@pytest.fixture(name="home")
def _home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    config.change(home, "reranker", str(write_cross_encoder(tmp_path / "reranker")))
    with memcrdt.open(home) as memory:
        memory.add_many(TEXTS)
    return home


def test_the_reranker_moves_what_it_prefers_to_the_top(home: Path) -> None:
    """Only where a search asks for it, and with a part of its own in the explanation."""
    with memcrdt.open(home) as memory:
        plain = [hit.memory.text for hit in memory.search(QUERY)]
        assert plain[0] != TEXTS[2]
        hits = memory.search(QUERY, rerank=True, rerank_ms=60_000, explain=True)
        assert [hit.memory.text for hit in hits] == [TEXTS[2], *(text for text in plain if text != TEXTS[2])]
        assert hits[0].parts["reranker"] == 9.0
        assert "reranker" not in memory.search(QUERY, explain=True)[0].parts
        scoped = memory.scoped(project="acme").search(QUERY, rerank=True, rerank_ms=60_000)
        assert scoped[0].memory.text == TEXTS[2]


def test_the_score_counts_what_the_reranker_has_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So `min_score` shows what it takes for an answer. What it has not read keeps its score."""
    question = "is there a hamster?"
    with memcrdt.open(home) as memory:
        assert memory.search(question, min_score=0.3) == []
        hits = memory.search(question, rerank=True, rerank_ms=60_000, min_score=0.3)
        assert [hit.memory.text for hit in hits] == [TEXTS[2]]
        plain = memory.search(question)
        monkeypatch.setattr(Reranker, "scores", lambda *_: [5.0])
        read, *others = memory.search(question, rerank=True)
        assert read.score > 0.3
        assert [hit.score for hit in others] == [hit.score for hit in plain if hit.memory.id != read.memory.id]


def test_what_is_not_scored_in_time_keeps_its_rank(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below what is scored, although its own sum may be greater than theirs."""
    monkeypatch.setattr(Reranker, "scores", lambda self, query, texts, limit_ms: [-90.0, -80.0][: len(texts)])
    with memcrdt.open(home) as memory:
        plain = [hit.memory.text for hit in memory.search(QUERY)]
        assert [hit.memory.text for hit in memory.search(QUERY, rerank=True)] == [plain[1], plain[0], plain[2]]
        folded = memory.search(QUERY, rerank=True, diversity=0.0, fold=True)
        assert folded[0].memory.text == plain[1]


def test_the_deadline_ends_the_scoring(tmp_path: Path) -> None:
    """A limit that is over scores nothing, and every score is complete."""
    reranker = Reranker(str(write_cross_encoder(tmp_path / "reranker")))
    assert reranker.scores("ship", ["kitten", "cat"], 60_000) == [90.0, 0.0]
    assert reranker.scores("ship", ["kitten"], 0) == []
    assert reranker.error is None


def test_a_search_that_asks_for_a_missing_reranker_is_refused(tmp_path: Path) -> None:
    """The error names the setting. A limit beyond a minute is refused, too."""
    with memcrdt.open(tmp_path) as memory:
        with pytest.raises(InputError, match="setting `reranker`"):
            memory.search("ship", rerank=True)
        for wrong in (0, 60_001, True, 1.5):
            with pytest.raises(InputError, match="rerank_ms"):
                memory.search("ship", rerank=True, rerank_ms=wrong)  # type: ignore[arg-type]


def test_a_reranker_that_fails_changes_no_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The status has the reason, and a warning is logged once."""
    config.change(tmp_path, "reranker", "nobody/no-reranker")
    with memcrdt.open(tmp_path) as memory, caplog.at_level(logging.WARNING, "memcrdt.search"):
        memory.add_many(TEXTS)
        plain = [hit.memory.id for hit in memory.search(QUERY)]
        for _ in range(2):
            assert [hit.memory.id for hit in memory.search(QUERY, rerank=True)] == plain
        assert "nobody/no-reranker" in str(memory.status().search.error)
    assert len(caplog.records) == 1
    with pytest.raises(InputError, match=r"no model\.onnx"):
        Reranker(str(tmp_path))


def test_what_a_model_reads_is_reranked(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service, behind MCP and the frameworks, reranks if there is a reranker."""
    without_deadline(monkeypatch)
    with memcrdt.open(home) as memory:
        memory.search(QUERY, rerank=True)  # loads the model
        assert Service(memory, Context()).find(QUERY)[0].memory.text == TEXTS[2]
