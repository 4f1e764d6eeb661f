"""Listing and downloading models."""

from __future__ import annotations

from pathlib import Path

import pytest

from memcrdt.errors import InputError, ModelMissingError
from memcrdt.search.embedders import catalog
from memcrdt.testing.models import write_tiny_model


def test_the_shipped_models_come_first_and_are_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` and `static` are listed before fastembed's models. A model is here only if all of its files are."""
    monkeypatch.setenv("MEMCRDT_MODELS", str(tmp_path))
    folder = tmp_path / "models--Qdrant--bge-small-en-v1.5-onnx-Q"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(40 * "a")
    write_tiny_model(folder / "snapshots" / (40 * "a"), dim=384, file="model_optimized.onnx")
    (tmp_path / "models--Qdrant--bge-small-en" / "parts").mkdir(parents=True)
    known = catalog.known_models()
    shipped, others = known[:2], known[2:]
    assert [(model.name, model.dim, model.here) for model in shipped] == [("auto", 384, True), ("static", 256, True)]
    assert [model.name for model in others if model.here] == ["BAAI/bge-small-en-v1.5"]
    assert next(model for model in others if model.here).dim == 384


def test_an_unknown_model_is_refused_before_any_network() -> None:
    """The error names the command that lists the models."""
    with pytest.raises(InputError, match="memcrdt model list"):
        catalog.pull("nobody/nothing")


def test_without_a_network_pulling_fails_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub is asked once, and the error says what to do without it."""
    monkeypatch.setenv("MEMCRDT_MODELS", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "https://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(ModelMissingError, match="memcrdt model use FOLDER"):
        catalog.pull("BAAI/bge-small-en-v1.5")


def test_the_shipped_model_needs_no_download() -> None:
    """Pulling `static` or `auto` does nothing."""
    catalog.pull("static")
    catalog.pull("auto")
