"""The embedders of this process, and the failures of each.

A failing embedder must not lose a memory or block an answer. Its callers catch EmbedderError and continue: `add` queues
the text, the worker tries again later, and `search` uses the words alone. This module records the failures for all
callers: the first failure of each embedder is logged as a warning, later ones are counted for `status()`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from memcrdt.errors import EmbedderError, InputError
from memcrdt.search.embedders.calibration import UNKNOWN, unrelated_cosine
from memcrdt.search.embedders.embedder import Embedder, make_embedder
from memcrdt.search.embedders.transformer import TransformerEmbedder
from memcrdt.store import meta
from memcrdt.store.sql import SqlConnection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger("memcrdt.search")

_UNRELATED: Final = "unrelated "  # followed by the model's name: the key in `meta`
_told: set[str] = set()  # the names of the embedders whose first failure was logged by this process
_told_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class EmbedderFailure:
    """Why an embedder fails, and how many calls in a row have failed."""

    error: EmbedderError
    count: int

    def __str__(self) -> str:
        return str(self.error) if self.count == 1 else f"{self.error} (failed {self.count:,} times)"


class WatchedEmbedder:
    """An embedder that records its failures, and refuses vectors with another number of dimensions than before.

    Attributes:
        width: The number of dimensions that every vector must have; None until it is known.
        text_failure: Why the last texts could not be embedded; None if they could.
        query_failure: Why the last query could not be embedded; None if it could.
    """

    def __init__(self, embedder: Embedder) -> None:
        self.name = embedder.name
        self.fast = embedder.fast
        self.width: int | None = None
        self.text_failure: EmbedderFailure | None = None
        self.query_failure: EmbedderFailure | None = None
        self._embedder = embedder
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None  # for queries

    @property
    def dim(self) -> int:
        """The number of dimensions of a vector. Raises EmbedderError."""
        return self._embedder.dim

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, [len(texts), dim]. Raises EmbedderError."""
        try:
            rows = self._embedder.embed(texts)
            if len(texts):
                self._check(rows.shape[1])
        except EmbedderError as exc:
            self.text_failure = self._noted(exc, self.text_failure)
            raise
        self.text_failure = None
        return rows

    def embed_query(self, query: str) -> NDArray[np.float32]:
        """Return the unit vector, [dim], of a query. Raises EmbedderError."""
        try:
            vector = self._embedder.embed_query(query)
            self._check(len(vector))
        except EmbedderError as exc:
            self.query_failure = self._noted(exc, self.query_failure)
            raise
        self.query_failure = None
        return vector

    def begin_query(self, query: str) -> Callable[[], NDArray[np.float32]]:
        """Begin to embed a query in a thread. The returned function waits for the result of embed_query()."""
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(thread_name_prefix="memcrdt-query")
        try:
            return self._pool.submit(self.embed_query, query).result
        except RuntimeError:  # Python is ending, or close() was called: the caller does it itself
            return partial(self.embed_query, query)

    def close(self) -> None:
        """End the threads of the embedder, if it has any."""
        with self._lock:
            pool = self._pool
        if pool is not None:
            pool.shutdown()
        if isinstance(self._embedder, TransformerEmbedder):
            self._embedder.close()

    def _check(self, width: int) -> None:
        with self._lock:
            expected = self.width = self.width or width
        if width != expected:
            raise EmbedderError(
                f"the embedder {self.name} returned vectors of {width} numbers, but its other vectors have {expected};"
                " if this is another model, give it another name, and all memories are embedded again"
            )

    def _noted(self, error: EmbedderError, before: EmbedderFailure | None) -> EmbedderFailure:
        with _told_lock:
            is_first = self.name not in _told
            _told.add(self.name)
        if is_first:
            log.warning("%s; until this works again, searches use words alone, and status() counts the failures", error)
        return EmbedderFailure(error, before.count + 1 if before else 1)


class WatchedEmbedders:
    """The embedders of this process by the names of their models, made when they are first needed.

    Attributes:
        own: The embedder that the memory was opened with.
        second: The transformer that works beside it; None unless `own` is the embedder `auto`.
    """

    def __init__(self, own: Embedder | None) -> None:
        self.own = WatchedEmbedder(own) if own else None
        self.second: TransformerEmbedder | None = None
        self._lock = threading.Lock()
        self._made: dict[str, WatchedEmbedder | None] = {own.name: self.own} if own else {}
        self._unrelated: dict[str, float] = {}
        self.use_second(getattr(own, "second", None))

    def use_second(self, second: TransformerEmbedder | None) -> None:
        """Replace the transformer."""
        former, self.second = self.second, second
        with self._lock:
            if second is not None:
                self._made[second.name] = WatchedEmbedder(second)
        if former is not None and former is not second:
            former.close()

    def close(self) -> None:
        """End the threads of the embedders."""
        with self._lock:
            made = [embedder for embedder in self._made.values() if embedder]
        for embedder in made:
            embedder.close()

    def get(self, name: str) -> WatchedEmbedder | None:
        """Return the embedder of the model `name`; None if it is not known here, like a function of another process."""
        with self._lock:
            if name not in self._made:
                self._made[name] = _made(name)
            return self._made[name]

    def unrelated(self, db: SqlConnection, name: str) -> float:
        """Return the mean cosine of unrelated texts in a model; of a slow model, the value that the worker stored."""
        if name not in self._unrelated:
            embedder = self.get(name)
            if embedder is not None and embedder.fast:
                try:
                    self._unrelated[name] = unrelated_cosine(embedder)
                except EmbedderError:  # recorded; the default is used until the embedder works
                    return UNKNOWN
            elif noted := meta.read(db, _UNRELATED + name):
                self._unrelated[name] = float(noted)
        return self._unrelated.get(name, UNKNOWN)

    def problem(self, names: Iterable[str], *, waiting: bool) -> EmbedderFailure | None:
        """Return why texts or queries cannot be embedded at present; None if they can.

        Args:
            names: The models in use.
            waiting: Whether any memory waits for its vector. If not, an old failure on texts no longer matters.
        """
        with self._lock:
            made = [embedder for name in names if (embedder := self._made.get(name))]
        failures = ((embedder.query_failure, embedder.text_failure if waiting else None) for embedder in made)
        return next((failure for pair in failures for failure in pair if failure), None)


def note_unrelated(db: SqlConnection, name: str, cosine: float) -> None:
    """Store the mean cosine of unrelated texts in a slow model, so that no search has to compute it."""
    meta.write(db, _UNRELATED + name, str(cosine))


def _made(name: str) -> WatchedEmbedder | None:
    try:
        embedder = make_embedder(name)
    except InputError:
        return None
    return WatchedEmbedder(embedder) if embedder else None
