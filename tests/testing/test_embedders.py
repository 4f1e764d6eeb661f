"""Every embedder of the package passes the acceptance suite."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from memcrdt.search.embedders.embedder import Embedder, make_embedder
from memcrdt.search.embedders.static import StaticEmbedder
from memcrdt.search.embedders.watched import WatchedEmbedder
from memcrdt.testing.embedders import EmbedderAcceptance


def hashed_words(texts: list[str]) -> list[list[float]]:
    """Return bag-of-words vectors in 64 dimensions."""
    rows = [[0.0] * 64 for _ in texts]
    for row, text in zip(rows, texts, strict=True):
        for word in text.split():
            row[zlib.crc32(word.encode()) % 64] += 1
    return rows


class TestStaticEmbedder(EmbedderAcceptance):
    @pytest.fixture(name="embedder")
    def _embedder(self) -> Embedder:
        return StaticEmbedder()


class TestUserEmbedder(EmbedderAcceptance):
    """A function of a user."""

    @pytest.fixture(name="embedder")
    def _embedder(self) -> Embedder:
        embedder = make_embedder(hashed_words)
        assert embedder is not None
        return embedder


class TestWatchedEmbedder(EmbedderAcceptance):
    """The wrapper that counts failures changes nothing else."""

    @pytest.fixture(name="embedder")
    def _embedder(self) -> Embedder:
        return WatchedEmbedder(StaticEmbedder())


class TestFolderEmbedder(EmbedderAcceptance):
    """A transformer in a folder, run by fastembed. Its model knows only a few words."""

    texts = ("ship tuesdays", "cat sleeps", "sofa")

    @pytest.fixture(name="embedder")
    def _embedder(self, tiny_model: Path) -> Embedder:
        embedder = make_embedder(str(tiny_model))
        assert embedder is not None
        return embedder
