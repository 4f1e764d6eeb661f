"""Search: embedders, full text, vectors and their fusion.

Names are imported when they are used, so importing this package is cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memcrdt.search.embedders.embedder import Embedder, make_embedder
    from memcrdt.search.index.index import SearchIndex
    from memcrdt.search.query.engine import ScoredMemory, SearchOptions, search

__all__ = ["Embedder", "ScoredMemory", "SearchIndex", "SearchOptions", "make_embedder", "search"]

_HOMES = {
    "Embedder": "embedders.embedder",
    "ScoredMemory": "query.engine",
    "SearchOptions": "query.engine",
    "SearchIndex": "index.index",
    "make_embedder": "embedders.embedder",
    "search": "query.engine",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
