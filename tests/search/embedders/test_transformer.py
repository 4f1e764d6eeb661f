"""The shipped transformer."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from memcrdt.errors import EmbedderError
from memcrdt.search.embedders import transformer
from memcrdt.search.embedders.fastembedder import FolderEmbedder
from memcrdt.search.embedders.transformer import AutoEmbedder, TransformerEmbedder

TEXTS = ("Deploys go out on Tuesdays", "我在北京大学学习中文", "", "word " * 200, "Her naïve café order: 3 espressos!")


@pytest.fixture(name="embedder")
def _embedder() -> Iterator[TransformerEmbedder]:
    made = TransformerEmbedder(threads=2)
    yield made
    made.close()


def test_vectors_equal_those_of_fastembed(embedder: TransformerEmbedder, tiny_model: Path) -> None:
    """With the same files. Eight bits depend on the texts beside, so the vectors are equal for single texts only."""
    for file in (resources.files("memcrdt.search") / "models" / transformer.NAME).iterdir():
        (tiny_model / file.name).write_bytes(file.read_bytes())
    (tiny_model / "tokenizer_config.json").write_text('{"model_max_length": 512, "pad_token": "[PAD]"}')
    theirs = FolderEmbedder(tiny_model)
    for text in TEXTS:
        np.testing.assert_allclose(embedder.embed_query(text), theirs.embed([text])[0], atol=1e-5)


def test_a_text_has_the_same_bits_in_every_batch(embedder: TransformerEmbedder) -> None:
    """So replicas with the same model agree, whatever else each of them embeds at the time."""
    together = embedder.embed(TEXTS)
    assert np.array_equal(together[::-1], embedder.embed(TEXTS[::-1]))
    for text, vector in zip(TEXTS, together, strict=True):
        assert np.array_equal(embedder.embed([text])[0], vector)
        assert np.array_equal(embedder.embed_query(text), vector)


def test_embedders_of_one_process_share_the_model(embedder: TransformerEmbedder) -> None:
    """It takes 60 MB. With the last of them, it is freed."""
    other = TransformerEmbedder()
    embedder.load()
    other.load()
    assert other._loaded is embedder._loaded
    embedder.close()
    assert other.is_loaded
    assert other.embed(["text"]).shape == (1, 384)
    other.close()
    assert transformer._last is not None
    assert transformer._last() is None


def test_a_model_is_loaded_later_unless_the_program_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that ends soon neither loads a model nor waits for it."""
    soon = AutoEmbedder().second
    soon.load_soon()
    started = time.monotonic()
    soon.close()
    assert not soon.is_loaded
    assert time.monotonic() - started < transformer.LOAD_AFTER_S
    monkeypatch.setattr(transformer, "LOAD_AFTER_S", 0.0)
    later = AutoEmbedder().second
    later.load_soon()
    deadline = time.monotonic() + 60
    while not later.is_loaded and time.monotonic() < deadline:
        time.sleep(0.01)
    assert later.is_loaded
    later.close()
    with pytest.raises(EmbedderError, match="closed"):
        later.embed(["text"])


@pytest.mark.parametrize(
    "use",
    [
        "from memcrdt.search.embedders.transformer import TransformerEmbedder as T; T().embed(['text'])",
        "from memcrdt.search.embedders.fastembedder import text_embedding as t; t(); import onnxruntime as o;"
        " o.InferenceSession(MODEL)",
    ],
    ids=["shipped", "fastembed"],
)
def test_nothing_is_reported_to_the_makers_of_onnx_runtime(use: str, tmp_path: Path) -> None:
    """Its official builds write a lasting id of the machine and events into the user's cache, and send them."""
    home, model = tmp_path / "home", resources.files("memcrdt.search") / "models" / transformer.NAME / "model.onnx"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    folders = dict.fromkeys(("HOME", "USERPROFILE", "LOCALAPPDATA", "APPDATA", "XDG_CACHE_HOME", "TMPDIR"), str(home))
    subprocess.run([sys.executable, "-c", f"MODEL = {str(model)!r}; {use}"], env=kept | folders, check=True)
    assert list(home.rglob("*")) == []
