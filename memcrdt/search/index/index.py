"""The indexes of a store: full text and vectors, written in the commit that writes the views.

The tables belong to search (schema/0002.sql). The store lends its connection through the Indexer protocol.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from memcrdt.errors import EmbedderError
from memcrdt.model.values import Vector
from memcrdt.search import folding
from memcrdt.search.embedders.embedder import Embedder
from memcrdt.search.embedders.reranker import Reranker
from memcrdt.search.embedders.watched import WatchedEmbedder, WatchedEmbedders
from memcrdt.search.index import passages, registry
from memcrdt.search.index.candidate_index import CandidateIndex
from memcrdt.search.index.filter_masks import FilterMasks
from memcrdt.search.index.full_text import Fts5, FullText, PassageWords
from memcrdt.search.index.given import check_embedder, passage_vectors
from memcrdt.search.index.registry import IndexedModel
from memcrdt.search.words import names_apart, searchable
from memcrdt.store import views
from memcrdt.store.indexer import Indexable, IndexRow, is_searched
from memcrdt.store.sql import SqlConnection
from memcrdt.store.vector_forms import stored

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TextVectors: TypeAlias = "dict[str, NDArray[np.float32]]"  # the vectors of each text's passages, [windows, dim]

_BATCH: Final = 1_024  # passages that a fast embedder embeds at once
_SLOW_BATCH: Final = 16  # and a slow one, which a program that ends waits for: under a second with a transformer
_COUNT = "UPDATE indexed SET passages = passages + ?"
_ADD_VECTOR = "INSERT INTO vectors(vector, model, passage, embedding) VALUES(?, ?, ?, ?)"
_ADD_CODE = "INSERT INTO codes(vector, model, passage, code) VALUES(?, ?, ?, ?)"
_REMOVE_CODES = "DELETE FROM codes WHERE vector IN (SELECT vector FROM vectors WHERE passage BETWEEN ? AND ?)"
_REMOVE_VECTORS = "DELETE FROM vectors WHERE passage BETWEEN ? AND ?"
_WITHOUT_CODE = """
SELECT count(*) FROM vectors LEFT JOIN codes USING(vector) WHERE code IS NULL OR length(code) != ?"""
_QUEUE = "INSERT INTO waiting(memory, model) VALUES(?, ?) ON CONFLICT DO NOTHING"
UNQUEUE: Final = "DELETE FROM waiting WHERE memory = ? AND model = ?"
_UNQUEUE_ALL = "DELETE FROM waiting WHERE memory = ?"
_FOLDED = "SELECT folding FROM indexed"
_NOTE_FOLDING = "UPDATE indexed SET folding = ?"
_COUNT_NONE = "UPDATE indexed SET passages = 0"
_PAGE: Final = 1_024  # memories whose words are read at once
_CLEAR_VECTORS = ("DELETE FROM vectors", "DELETE FROM codes", "DELETE FROM waiting")
_LAST_VECTOR = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'vectors'), 0)"
# SQLite notes it itself, and PostgreSQL does not.
_NOTE_LAST = "UPDATE sqlite_sequence SET seq = ? WHERE name = 'vectors'"


class PreparedVectors(NamedTuple):
    """Vectors of texts that were embedded before the write lock was taken, and the name of their model.

    `vectors` is None when the embedder failed.
    """

    name: str
    vectors: TextVectors | None
    given: Mapping[str, Vector] = MappingProxyType({})  # by text, from callers


class SearchIndex:
    """The Indexer of a store.

    Args:
        embedder: Its model becomes the model of a store that has no model yet. From then on, the registry decides. With
            None, only full text is searched.
        reranker: The cross-encoder of searches that ask for it.
        full_text: Writes the words, for another database than SQLite.
    """

    def __init__(
        self, embedder: Embedder | None, reranker: Reranker | None = None, full_text: FullText | None = None
    ) -> None:
        self.embedders = WatchedEmbedders(embedder)
        self.reranker = reranker
        self.on_waiting: Callable[[], None] = lambda: None  # called after a commit that leaves memories to embed
        self.filter_masks = FilterMasks()
        self._full_text = full_text or Fts5()
        self._left_waiting = False
        self._queued_last = False
        self._lock = threading.Lock()
        self._candidates: dict[int, CandidateIndex] = {}
        self._checked: set[int] = set()  # the models whose embedder knows the width of the stored vectors

    def prepare(self, texts: Sequence[Indexable], given: Mapping[str, Vector] | None = None) -> PreparedVectors | None:
        """Embed texts before the write lock is taken, if the embedder is fast. Otherwise `replace` will queue them.

        Texts with a given vector are not embedded. Raises InputError for given vectors without an embedder.
        """
        own = check_embedder(self.embedders.own) if given else self.embedders.own
        if own is None or not (own.fast or given):
            return None
        known = given or {}
        wanted = [each.text for each in texts if is_searched(each) and each.text not in known]
        try:
            vectors = embed_texts(own, wanted) if own.fast else {}
        except EmbedderError:
            return PreparedVectors(own.name, None, known)
        return PreparedVectors(own.name, vectors, known)

    def replace(
        self,
        db: SqlConnection,
        removed: Sequence[IndexRow],
        added: Sequence[IndexRow],
        prepared: PreparedVectors | None,
    ) -> None:
        """Remove rows and add rows. Rows whose indexed fields are equal stay as they are."""
        before = {_content(row): row for row in removed if is_searched(row)}
        after = {_content(row): row for row in added if is_searched(row)}
        gone = [row for content, row in before.items() if content not in after]
        new = [row for content, row in after.items() if content not in before]
        passages_gone = self._remove(db, gone)
        words = [pair for row in new for pair in _words(row)]
        self._full_text.add(db, words)
        db.execute(_COUNT, (len(words) - passages_gone,))
        if new and self._ensure_model(db):
            self._add_vectors(db, new, prepared)

    def erase_removed(self, db: SqlConnection) -> bool:
        """Erase bytes that the words of removed rows left, for a short time. Return whether there are more."""
        return self._full_text.erase_removed(db)

    def is_folded(self, db: SqlConnection) -> bool:
        """Return whether the words of full text are folded by the rules of this version."""
        return bool(db.execute(_FOLDED).get == folding.VERSION)

    def fold_again(self, db: SqlConnection) -> None:
        """Write full text again, unless it is folded by the rules of this version. Vectors of found memories stay."""
        if self.is_folded(db):
            return
        self._clear_words(db)
        last = -1
        while rows := views.index_rows(db, last, _PAGE):
            words = [pair for row in rows if is_searched(row) for pair in _words(row)]
            self._full_text.add(db, words)
            db.execute(_COUNT, (len(words),))
            self._remove_vectors(db, [row for row in rows if not is_searched(row)])
            last = rows[-1].memory
        db.execute(_NOTE_FOLDING, (folding.VERSION,))

    def committed(self) -> None:
        """Wake the worker if the last commit left memories to embed. Copies in memory refresh at the next search."""
        if self._left_waiting:
            self._left_waiting = False
            self.on_waiting()

    def clear(self, db: SqlConnection) -> None:
        """Empty the indexes, before they are rebuilt through `replace`."""
        self._clear_words(db)
        for statement in _CLEAR_VECTORS:
            db.execute(statement)

    def _clear_words(self, db: SqlConnection) -> None:
        self._full_text.clear(db)
        db.execute(_COUNT_NONE)

    def problems(self, db: SqlConnection) -> Iterator[str]:
        """Yield the problems of the indexes: searches cannot find vectors without a code of the right length."""
        from memcrdt.search.index import binary_codes

        count = db.execute(_WITHOUT_CODE, (binary_codes.BYTES,)).get
        if count:
            yield f"the index has no code of {binary_codes.BYTES} bytes for {count:,} vectors"

    def embedder(self, db: SqlConnection, model: IndexedModel) -> WatchedEmbedder | None:
        """Return the embedder of a model; None if it is not known here, like a function of another process.

        From then on, the embedder refuses vectors that cannot be compared with the stored ones.
        """
        embedder = self.embedders.get(model.name)
        if embedder is not None and model.model not in self._checked:
            embedder.width = registry.dimensions(db, model) or embedder.width
            self._checked.add(model.model)
        return embedder

    def candidates(self, model: int) -> CandidateIndex:
        """Return the codes in memory of a model."""
        with self._lock:
            if model not in self._candidates:
                self._candidates[model] = CandidateIndex(model)
            return self._candidates[model]

    def keep_candidates(self, models: Iterable[int]) -> None:
        """Free the codes of all other models."""
        with self._lock:
            for model in self._candidates.keys() - set(models):
                del self._candidates[model]

    def _ensure_model(self, db: SqlConnection) -> bool:
        """Give a store without a model the models of our own embedder. Return whether the store has a model now."""
        if registry.in_use(db).target is None and self.embedders.own is not None:
            registry.use(db, self.embedders.own.name)
            if self.embedders.second is not None:
                registry.use_second(db, self.embedders.second.name)
            self._left_waiting = True  # the memories added before there was a model
        return registry.in_use(db).target is not None

    def _remove(self, db: SqlConnection, rows: Sequence[IndexRow]) -> int:
        words = [pair for row in rows for pair in _words(row)]
        self._full_text.remove(db, words)
        self._remove_vectors(db, rows)
        return len(words)

    def _remove_vectors(self, db: SqlConnection, rows: Sequence[IndexRow]) -> None:
        spans = [passages.number_range(row.memory) for row in rows]
        db.executemany(_REMOVE_CODES, spans)
        db.executemany(_REMOVE_VECTORS, spans)
        db.executemany(_UNQUEUE_ALL, ((row.memory,) for row in rows))

    def _add_given(
        self, db: SqlConnection, target: IndexedModel, rows: Sequence[IndexRow], given: Mapping[str, Vector]
    ) -> list[IndexRow]:
        """Write given vectors, and return the rows that have no given vector. Raises InputError."""
        embedded = passage_vectors(db, target, check_embedder(self.embedders.own), rows, given)
        write_vectors(db, target, embedded)
        db.executemany(UNQUEUE, ((memory, target.model) for memory, _ in embedded))
        return [row for row in rows if row.text not in given]

    def _add_vectors(self, db: SqlConnection, every: Sequence[IndexRow], prepared: PreparedVectors | None) -> None:
        """Write vectors of the models whose embedder is fast, and queue the memories for a slow or failing one."""
        models = registry.in_use(db)
        target, others = models.target, every
        if target is not None and prepared is not None and prepared.given:
            others = self._add_given(db, target, every, prepared.given)
        for model in filter(None, models):
            rows = others if model == target else every
            if not rows:
                continue
            vectors = self._vectors(db, model, rows, prepared)
            if vectors is not None:
                write_vectors(db, model, [(row.memory, vectors[row.text]) for row in rows])
            db.executemany(_QUEUE if vectors is None else UNQUEUE, ((row.memory, model.model) for row in rows))
            if model == target:  # the worker looks after the second model in its own time
                # An embedder that works again also wakes the worker for the memories that it failed on.
                self._left_waiting |= vectors is None or self._queued_last
                self._queued_last = vectors is None

    def _vectors(
        self, db: SqlConnection, model: IndexedModel, rows: Sequence[IndexRow], prepared: PreparedVectors | None
    ) -> TextVectors | None:
        """Return the vectors of the rows' texts; None if the embedder is slow or fails."""
        embedder = self.embedder(db, model)
        if embedder is None or not embedder.fast:
            return None
        given: TextVectors = {}
        if prepared is not None and prepared.name == model.name:
            if prepared.vectors is None:
                return None
            given = {text: vectors for text, vectors in prepared.vectors.items() if vectors.shape[1] == embedder.width}
        # Texts that a peer sent or that a merge restored could not be prepared.
        missing = [row.text for row in rows if row.text not in given]
        try:
            return {**given, **embed_texts(embedder, missing)} if missing else given
        except EmbedderError:
            return None


def embed_texts(embedder: Embedder, texts: Sequence[str], is_ended: Callable[[], bool] = lambda: False) -> TextVectors:
    """Return the vectors of the passages of each text.

    Raises:
        EmbedderError: The embedder fails, or `is_ended` returned True, which is asked between two batches of passages.
    """
    import numpy as np

    size = _BATCH if embedder.fast else _SLOW_BATCH

    split = {text: passages.split(text) for text in texts}
    every = (names_apart(passage) for windows in split.values() for passage in windows)
    embedded: TextVectors = {}
    vectors = []
    while batch := list(islice(every, size)):
        if is_ended():
            raise EmbedderError("the memory was closed while it embedded")
        vectors.append(embedder.embed(batch))
    rows, start = (np.concatenate(vectors) if vectors else np.empty((0, 0), np.float32)), 0
    for text, windows in split.items():
        embedded[text] = rows[start : start + len(windows)]
        start += len(windows)
    return embedded


def write_vectors(db: SqlConnection, model: IndexedModel, embedded: Sequence[tuple[int, NDArray[np.float32]]]) -> None:
    """Write the vectors of the passages of each memory, [windows, dim], and their codes."""
    import numpy as np

    from memcrdt.search.index import binary_codes

    if not embedded:
        return
    every = np.concatenate([vectors for _, vectors in embedded])
    known = every.any(axis=1)  # a text without any known token has no direction, and gets no row
    vectors = every[known]
    numbers = np.array([passages.number(memory, n) for memory, windows in embedded for n in range(len(windows))])[known]
    first = int(db.execute(_LAST_VECTOR).get) + 1
    ids = range(first, first + len(vectors))
    db.executemany(
        _ADD_VECTOR,
        (
            (v, model.model, p, vector.tobytes())
            for v, p, vector in zip(ids, numbers.tolist(), stored(vectors, model.element_bytes), strict=True)
        ),
    )
    db.executemany(
        _ADD_CODE,
        (
            (v, model.model, p, c.tobytes())
            for v, p, c in zip(ids, numbers.tolist(), binary_codes.encode(vectors), strict=True)
        ),
    )
    db.execute(_NOTE_LAST, (first + len(vectors) - 1,))


def _content(row: IndexRow) -> tuple[int, str, str | None]:
    return row.memory, row.text, row.author


def _words(row: IndexRow) -> list[PassageWords]:
    """Return the number and the words of each passage. The author is a word of the first passage."""
    windows = [searchable(window) for window in passages.split(row.text)]
    if row.author:
        windows[0] = f"{searchable(row.author)}: {windows[0]}"
    return [(passages.number(row.memory, n), words) for n, words in enumerate(windows)]
