"""A small model for the setting `reranker`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from memcrdt.search.embedders.reranker import Reranker
from memcrdt.testing.models import WORDS, _field, _tensor_type, write_tiny_model


def write_cross_encoder(folder: Path) -> Path:
    """Write a model whose logit is the greatest weight of a word of the pair: 90 for "kitten", else 0."""
    write_tiny_model(folder, dim=16)
    weights = np.zeros((len(WORDS), 1), np.float32)
    weights[WORDS.index("kitten")] = 90
    look_up = _field(1, "table") + _field(1, "input_ids") + _field(2, "found") + _field(4, "Gather")
    axes = _field(1, "axes") + _field(8, 1) + _field(20, 7)
    keep = _field(1, "keepdims") + _field(3, 0) + _field(20, 2)
    greatest = _field(1, "found") + _field(2, "logits") + _field(4, "ReduceMax") + _field(5, axes) + _field(5, keep)
    table = b"".join(_field(1, size) for size in weights.shape) + _field(2, 1) + _field(8, "table")
    graph = (
        _field(1, look_up) + _field(1, greatest) + _field(2, "tiny") + _field(5, table + _field(9, weights.tobytes()))
    )
    graph += b"".join(_field(11, _tensor_type(n, 7, ("batch", "tokens"))) for n in ("input_ids", "attention_mask"))
    graph += _field(12, _tensor_type("logits", 1, ("batch", "one")))
    (folder / "model.onnx").write_bytes(_field(1, 8) + _field(7, graph) + _field(8, _field(2, 13)))
    return folder


def without_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let rerankers score every text, however busy the machine is."""
    scores = Reranker.scores
    monkeypatch.setattr(Reranker, "scores", lambda self, query, texts, limit_ms: scores(self, query, texts, 60_000))
