"""Embedders: anything that turns texts into vectors, with one small Protocol as its interface."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from memcrdt.errors import EmbedderError, InputError
from memcrdt.search.arrays import unit_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EmbedFunction: TypeAlias = Callable[[list[str]], Any]  # returns rows of numbers, one row per text

_NEEDED: Final = ("name", "fast", "embed", "embed_query")
_NOT_ASYNC: Final = (
    "is async, and embedders are called from threads; pass a plain function, such as"
    " `lambda texts: asyncio.run(embed(texts))`, or your library's synchronous client"
)


class Embedder(Protocol):
    """Turns texts into vectors of one model.

    Methods are called from several threads. An exception or rows of a wrong shape count as a failure. Until the
    embedder works again, memories are found by their words. Then they get their vectors.
    """

    @property
    def name(self) -> str:
        """The name of the model. It is stored with every vector. Vectors of different names are never compared."""
        ...

    @property
    def dim(self) -> int:
        """The number of dimensions of a vector. Raises EmbedderError if the model cannot be loaded."""
        ...

    @property
    def fast(self) -> bool:
        """Whether a text takes well under 1 ms. A fast embedder runs in `add`, a slow one in the background."""
        ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, [len(texts), dim]; zeros for a text without meaning to the model.

        Raises:
            EmbedderError: The model cannot be loaded, or fails on a text.
        """
        ...

    def embed_query(self, query: str) -> NDArray[np.float32]:
        """Return the unit vector, [dim], of a query. Some models embed queries differently. Raises EmbedderError."""
        ...


def make_embedder(spec: object, *, threads: int = 1) -> Embedder | None:
    """Make the embedder that `spec` describes. Nothing is loaded yet.

    Args:
        spec: "auto" (the shipped models, a static one and a transformer), "static" (the static one alone), "none" or
            None, the name of a fastembed model, a folder with a model, a function from a list of texts to rows of
            numbers, or an object with the attributes of `Embedder`.
        threads: The number of threads that embed memories with the transformer of "auto".

    Returns:
        The embedder; None for search by words alone.

    Raises:
        InputError: `spec` is none of these, or it is async.
    """
    if spec is None or spec == "none":
        return None
    if isinstance(spec, str):
        return _named(spec, threads)
    if isinstance(spec, type):
        raise InputError(f"the embedder is the class {spec.__name__}; give an instance of it")
    if hasattr(type(spec), "embed") or "embed" in getattr(spec, "__dict__", {}):
        return _of_object(spec)
    if callable(spec):
        _refuse_async(spec, spec)
        return UserEmbedder(_function_name(spec), spec)
    raise InputError(
        f"the embedder has the type {type(spec).__name__}; give a name, a function or an object with embed()"
    )


def _named(spec: str, threads: int) -> Embedder:
    from memcrdt.search.embedders import static, transformer
    from memcrdt.search.embedders.fastembedder import FOLDER_PREFIX, FastEmbedder, FolderEmbedder

    if spec == "auto":
        return transformer.AutoEmbedder(threads)
    if spec in ("static", static.NAME):
        return static.StaticEmbedder()
    if spec == transformer.NAME:
        return transformer.TransformerEmbedder(threads)
    folder = Path(spec.removeprefix(FOLDER_PREFIX).rpartition("#")[0] or spec.removeprefix(FOLDER_PREFIX))
    if spec.startswith(FOLDER_PREFIX) or folder.expanduser().is_dir():
        return FolderEmbedder(folder)
    if re.fullmatch(r"[\w.-]+/[\w.-]+", spec):
        return FastEmbedder(spec)
    raise InputError(
        f"the embedder {spec!r} is not known; use auto, static, none, a model that `memcrdt model list` names, or a"
        " folder"
    )


def _of_object(spec: Any) -> UserEmbedder:
    if missing := [name for name in _NEEDED if not hasattr(spec, name)]:
        raise InputError(
            f"the embedder of the type {type(spec).__name__} has no {' and no '.join(missing)}; it needs"
            f" {', '.join(_NEEDED)}, or give a function"
        )
    if not isinstance(spec.name, str) or not spec.name:
        raise InputError(f"the name of the embedder is {spec.name!r}; give a text that identifies the model")
    _refuse_async(spec, spec.embed, spec.embed_query)
    return UserEmbedder(spec.name, spec.embed, spec.embed_query, fast=bool(spec.fast))


def _function_name(function: object) -> str:
    named = getattr(function, "func", function)  # of functools.partial
    module = getattr(named, "__module__", "")
    return f"function:{module}.{getattr(named, '__qualname__', type(named).__qualname__)}"


def _refuse_async(spec: object, *functions: Any) -> None:
    """Raise InputError if any of the functions of `spec` is known to be async before it is called."""
    for function in functions:
        if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
            raise InputError(f"the embedder {_function_name(spec)} {_NOT_ASYNC}")


class UserEmbedder:
    """An Embedder over a user's function or object.

    Every exception becomes an EmbedderError, and any result other than rows of numbers is refused.
    """

    def __init__(
        self,
        name: str,
        embed: Callable[[list[str]], Any],
        embed_query: Callable[[str], Any] | None = None,
        *,
        fast: bool = False,
    ) -> None:
        self.name = name
        self.fast = fast
        self._embed = embed
        self._embed_query = embed_query
        self._dim: int | None = None

    @property
    def dim(self) -> int:
        """The number of dimensions of a vector, known after a first text. Raises EmbedderError."""
        if self._dim is None:
            self._dim = self.embed(["dimensions"]).shape[1]
        return self._dim

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, [len(texts), dim]. Raises EmbedderError."""
        return unit_rows(self._call(self._embed, list(texts), len(texts)), len(texts), self.name)

    def embed_query(self, query: str) -> NDArray[np.float32]:
        """Return the unit vector, [dim], of a query. Raises EmbedderError."""
        if self._embed_query is None:
            vector: NDArray[np.float32] = self.embed([query])[0]
        else:
            vector = unit_rows([self._call(self._embed_query, query, 1)], 1, self.name)[0]
        return vector

    def _call(self, function: Callable[[Any], Any], argument: object, count: int) -> Any:
        try:
            given = function(argument)
        except Exception as exc:  # a user's function may raise anything
            reason = str(exc) or type(exc).__name__
            raise EmbedderError(f"the embedder {self.name} failed on a batch of {count}: {reason}") from exc
        if isinstance(given, Awaitable):
            if isinstance(given, Coroutine):
                given.close()  # otherwise Python warns that it was never awaited
            raise EmbedderError(f"the embedder {self.name} {_NOT_ASYNC}")
        return given
