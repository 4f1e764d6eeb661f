"""Embedders: whatever turns texts into vectors, behind one small Protocol."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

from memcrdt.errors import EmbedderError, InputError
from memcrdt.search.arrays import normalised

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EmbedFunction: TypeAlias = Callable[[list[str]], Any]  # rows of numbers, one for each text


class Embedder(Protocol):
    """Vectors of one model. `name` is kept with every vector; `fast` ones are waited for, others work behind."""

    @property
    def name(self) -> str: ...

    @property
    def dim(self) -> int:
        """Dimensions of a vector. Raises EmbedderError when the model can't be loaded."""
        ...

    @property
    def fast(self) -> bool:
        """Whether a text takes well under a millisecond."""
        ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors, [len(texts), dim]; zeros for a text that means nothing to the model. Raises EmbedderError."""
        ...

    def embed_query(self, query: str) -> NDArray[np.float32]:
        """The unit vector, [dim], of a question: some models see those in another way. Raises EmbedderError."""
        ...


def make_embedder(spec: object) -> Embedder | None:
    """The embedder that `spec` names: "static", "none" or None, a fastembed model, a folder, or a function.

    Nothing is loaded yet. Raises InputError.
    """
    if spec is None or spec == "none":
        return None
    if isinstance(spec, str):
        return _named(spec)
    if hasattr(spec, "embed"):
        return cast("Embedder", spec)
    if callable(spec):
        return FunctionEmbedder(spec)
    raise InputError(f"the embedder has the type {type(spec).__name__}; give a name, a function or what has embed()")


def _named(spec: str) -> Embedder:
    from memcrdt.search.embedders.fastembedder import FOLDER_PREFIX, FastEmbedder, FolderEmbedder
    from memcrdt.search.embedders.static import NAME, StaticEmbedder

    if spec in ("static", NAME):
        return StaticEmbedder()
    folder = Path(spec.removeprefix(FOLDER_PREFIX).rpartition("#")[0] or spec.removeprefix(FOLDER_PREFIX))
    if spec.startswith(FOLDER_PREFIX) or folder.expanduser().is_dir():
        return FolderEmbedder(folder)
    if re.fullmatch(r"[\w.-]+/[\w.-]+", spec):
        return FastEmbedder(spec)
    raise InputError(
        f"the embedder {spec!r} is not known; use static, none, a model that `memcrdt model list` names, or a folder"
    )


class FunctionEmbedder:
    """A user's function from texts to rows of numbers. Its name tells its vectors from those of another."""

    fast = False

    def __init__(self, function: EmbedFunction) -> None:
        self._function = function
        module = getattr(function, "__module__", "")
        self.name = f"function:{module}.{getattr(function, '__qualname__', type(function).__qualname__)}"
        self._dim: int | None = None

    @property
    def dim(self) -> int:
        if self._dim is None:
            self._dim = self.embed(["dimensions"]).shape[1]
        return self._dim

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        try:
            given = self._function(list(texts))
        except Exception as exc:  # it is the user's: anything may come out of it
            raise EmbedderError(f"the embedder {self.name} failed on {len(texts)} texts: {exc}") from exc
        return unit_rows(given, len(texts), self.name)

    def embed_query(self, query: str) -> NDArray[np.float32]:
        vector: NDArray[np.float32] = self.embed([query])[0]
        return vector


def unit_rows(given: Any, count: int, name: str) -> NDArray[np.float32]:
    """`given` as `count` float32 rows of length 1. Raises EmbedderError when it is something else."""
    import numpy as np

    try:
        rows = np.array(given, np.float32)
    except (TypeError, ValueError) as exc:
        raise EmbedderError(f"the embedder {name} gave no rows of numbers: {exc}") from exc
    if rows.ndim != 2 or rows.shape[0] != count or not rows.shape[1]:
        raise EmbedderError(f"the embedder {name} gave an array of shape {rows.shape} for {count} texts; one row each")
    if not np.isfinite(rows).all():
        raise EmbedderError(f"the embedder {name} gave a number that is not finite")
    return normalised(rows)
