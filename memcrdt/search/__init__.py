"""Search: embedders, full text, vectors and their fusion. Names resolve when used, so that importing this is cheap."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memcrdt.search.embedder import Embedder, make_embedder
    from memcrdt.search.engine import Options, Scored, search
    from memcrdt.search.index import SearchIndex

__all__ = ["Embedder", "Options", "Scored", "SearchIndex", "make_embedder", "search"]

_HOMES = {
    "Embedder": "embedder",
    "Options": "engine",
    "Scored": "engine",
    "SearchIndex": "index",
    "make_embedder": "embedder",
    "search": "engine",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
