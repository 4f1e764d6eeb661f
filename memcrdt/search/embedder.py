"""Embedders: whatever turns texts into vectors, behind one small Protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

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
        """Unit vectors, [len(texts), dim]. Raises EmbedderError."""
        ...


def make_embedder(spec: str | Embedder | EmbedFunction | None) -> Embedder | None:
    """The embedder that `spec` names: "static", "none" or None, a fastembed model, a folder, or a function.

    Nothing is loaded yet. Raises InputError.
    """
    if spec is None or spec == "none":
        return None
    if spec == "static":
        from memcrdt.search.static import StaticEmbedder

        return StaticEmbedder()
    if isinstance(spec, str):
        raise InputError(f"the embedder {spec!r} is not known; use static, none or a function")
    if callable(spec):
        return FunctionEmbedder(spec)
    if hasattr(spec, "embed"):
        return spec
    raise InputError(f"the embedder is a {type(spec).__name__}; give a name, a function or an object with embed()")


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
        return unit_rows(self._function(list(texts)), len(texts), self.name)


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
