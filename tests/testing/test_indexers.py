"""Every Indexer of the package passes the acceptance suite, with a fast, with a slow, and without a model."""

from __future__ import annotations

import pytest

from memcrdt.search import SearchIndex
from memcrdt.search.embedders.embedder import make_embedder
from memcrdt.search.embedders.static import StaticEmbedder
from memcrdt.store.indexer import Indexer, NoIndex
from memcrdt.testing.indexers import IndexerAcceptance

EMBEDDERS = {
    "fast": StaticEmbedder(),
    "slow": make_embedder(lambda texts: [[float(len(text)), 1.0] for text in texts]),
    "none": None,
}


class TestSearchIndex(IndexerAcceptance):
    @pytest.fixture(name="indexer", params=EMBEDDERS)
    def _indexer(self, request: pytest.FixtureRequest) -> Indexer:
        return SearchIndex(EMBEDDERS[request.param])


class TestNoIndex(IndexerAcceptance):
    @pytest.fixture(name="indexer")
    def _indexer(self) -> Indexer:
        return NoIndex()
