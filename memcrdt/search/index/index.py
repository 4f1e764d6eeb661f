"""The indexes of the store: full text and vectors, written in the commit that writes the views."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from memcrdt.errors import EmbedderError
from memcrdt.search.embedders.embedder import Embedder
from memcrdt.search.index import passages, registry
from memcrdt.search.index.candidate_index import Coarse
from memcrdt.search.index.filter_masks import Visibility
from memcrdt.search.index.registry import Embedders
from memcrdt.search.words import searchable
from memcrdt.store.indexer import Connection, IndexRow

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Embedded: TypeAlias = "dict[str, NDArray[np.float32]]"  # the vectors of each text's passages

_BATCH = 1_024  # passages embedded at once
_ADD_WORDS = "INSERT INTO fulltext(rowid, words) VALUES(?, ?)"
_REMOVE_WORDS = "INSERT INTO fulltext(fulltext, rowid, words) VALUES('delete', ?, ?)"
_COUNT = "UPDATE indexed SET passages = passages + ?"
_ADD_VECTOR = "INSERT INTO vectors(vector, model, passage, embedding) VALUES(?, ?, ?, ?)"
_ADD_CODE = "INSERT INTO codes(vector, model, passage, code) VALUES(?, ?, ?, ?)"
_REMOVE_CODES = "DELETE FROM codes WHERE vector IN (SELECT vector FROM vectors WHERE passage BETWEEN ? AND ?)"
_REMOVE_VECTORS = "DELETE FROM vectors WHERE passage BETWEEN ? AND ?"
_WITHOUT_CODE = """
SELECT count(*) FROM vectors LEFT JOIN codes USING(vector) WHERE code IS NULL OR length(code) != ?"""
_QUEUE = "INSERT OR IGNORE INTO waiting(memory) VALUES(?)"
_NEXT_VECTOR = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'vectors'), 0)"


class Prepared(NamedTuple):
    """Vectors of texts that were embedded ahead, and the name of their model."""

    name: str
    embedded: Embedded


class SearchIndex:
    """The store's Indexer. With no embedder, full text is all there is.

    `embedder` is what a store without vectors is begun with; from then on the store says which model it is of.
    """

    def __init__(self, embedder: Embedder | None) -> None:
        self.embedders = Embedders(embedder)
        self.on_waiting: Callable[[], None] = lambda: None  # called after a commit that left something to embed
        self.visibility = Visibility()
        self.error: EmbedderError | None = None  # why a query could not be embedded
        self._left_waiting = False
        self._lock = threading.Lock()
        self._coarse: Coarse | None = None

    def prepare(self, texts: Sequence[str]) -> Prepared | None:
        """Vectors by text, with an embedder that is fast; else nothing, and `replace` queues."""
        own = self.embedders.own
        return Prepared(own.name, embed_texts(own, texts)) if own is not None and own.fast else None

    def replace(
        self, db: Connection, removed: Sequence[IndexRow], added: Sequence[IndexRow], prepared: Prepared | None
    ) -> None:
        """As the Protocol says. What differs only in what is not indexed is left alone."""
        before = {_content(row) for row in removed}
        after = {_content(row) for row in added}
        gone = [row for row in removed if _content(row) not in after]
        new = [row for row in added if _content(row) not in before]
        passages_gone = self._remove(db, gone)
        words = [pair for row in new for pair in _words(row)]
        db.executemany(_ADD_WORDS, words)
        db.execute(_COUNT, (len(words) - passages_gone,))
        if new and self._begin(db):
            self._add_vectors(db, new, prepared)

    def committed(self) -> None:
        """Copies in memory follow the tables at the next search; only the worker has to be told."""
        if self._left_waiting:
            self._left_waiting = False
            self.on_waiting()

    def clear(self, db: Connection) -> None:
        db.execute("INSERT INTO fulltext(fulltext) VALUES('delete-all')")
        db.execute("UPDATE indexed SET passages = 0")
        db.execute("DELETE FROM vectors; DELETE FROM codes; DELETE FROM waiting")

    def problems(self, db: Connection) -> Iterator[str]:
        """Vectors without a code that can be compared: none would be found."""
        from memcrdt.search.index import binary_codes

        count = db.execute(_WITHOUT_CODE, (binary_codes.BYTES,)).get
        if count:
            yield f"the index has no code of {binary_codes.BYTES} bytes for {count:,} vectors"

    def coarse(self, model: int) -> Coarse:
        """The codes in memory of a model."""
        with self._lock:
            if self._coarse is None or self._coarse.model != model:
                self._coarse = Coarse(model)
            return self._coarse

    def _begin(self, db: Connection) -> bool:
        """Makes our own model that of a store that has none; whether the store has one now."""
        if registry.target(db) is None and self.embedders.own is not None:
            registry.use(db, self.embedders.own.name)
            self._left_waiting = True  # what was added before there was a model
        return registry.target(db) is not None

    def _remove(self, db: Connection, rows: Sequence[IndexRow]) -> int:
        words = [pair for row in rows for pair in _words(row)]
        db.executemany(_REMOVE_WORDS, words)
        spans = [passages.span(row.memory) for row in rows]
        db.executemany(_REMOVE_CODES, spans)
        db.executemany(_REMOVE_VECTORS, spans)
        db.executemany("DELETE FROM waiting WHERE memory = ?", ((row.memory,) for row in rows))
        return len(words)

    def _add_vectors(self, db: Connection, rows: Sequence[IndexRow], prepared: Prepared | None) -> None:
        """Writes vectors of the models whose embedder is fast, and queues for the other one that is worked towards."""
        target = registry.target(db)
        for model in registry.in_use(db).values():
            embedder = self.embedders.get(model.name)
            if embedder is not None and embedder.fast:
                given = prepared.embedded if prepared and prepared.name == model.name else {}
                missing = [row.text for row in rows if row.text not in given]
                # What a peer sent, or a merge brought back, was not there to be prepared.
                given = {**given, **embed_texts(embedder, missing)} if missing else given
                write_vectors(db, model.model, [(row.memory, given[row.text]) for row in rows])
                if model == target:
                    db.executemany("DELETE FROM waiting WHERE memory = ?", ((row.memory,) for row in rows))
            elif model == target:
                db.executemany(_QUEUE, ((row.memory,) for row in rows))
                self._left_waiting = True


def embed_texts(embedder: Embedder, texts: Sequence[str]) -> Embedded:
    """The vectors of the passages of each text."""
    import numpy as np

    split = {text: passages.split(text) for text in texts}
    every = (passage for windows in split.values() for passage in windows)
    embedded: Embedded = {}
    vectors = [embedder.embed(batch) for batch in iter(lambda: list(islice(every, _BATCH)), [])]
    rows, start = (np.concatenate(vectors) if vectors else np.empty((0, 0), np.float32)), 0
    for text, windows in split.items():
        embedded[text] = rows[start : start + len(windows)]
        start += len(windows)
    return embedded


def write_vectors(db: Connection, model: int, embedded: Sequence[tuple[int, NDArray[np.float32]]]) -> None:
    """Puts the vectors of each memory's passages, [windows, dim], into the tables."""
    import numpy as np

    from memcrdt.search.index import binary_codes

    if not embedded:
        return
    every = np.concatenate([vectors for _, vectors in embedded])
    known = every.any(axis=1)  # a text without any known token has no direction, and no row
    vectors = every[known]
    numbers = np.array([passages.number(memory, n) for memory, windows in embedded for n in range(len(windows))])[known]
    first = int(db.execute(_NEXT_VECTOR).get) + 1
    ids = range(first, first + len(vectors))
    db.executemany(
        _ADD_VECTOR,
        ((v, model, p, vector.tobytes()) for v, p, vector in zip(ids, numbers.tolist(), vectors, strict=True)),
    )
    db.executemany(
        _ADD_CODE,
        (
            (v, model, p, c.tobytes())
            for v, p, c in zip(ids, numbers.tolist(), binary_codes.encode(vectors), strict=True)
        ),
    )


def _content(row: IndexRow) -> tuple[int, str, str | None]:
    return row.memory, row.text, row.author


def _words(row: IndexRow) -> list[tuple[int, str]]:
    """Number and words of each passage; who said it is a word of the first."""
    windows = [searchable(window) for window in passages.split(row.text)]
    if row.author:
        windows[0] = f"{searchable(row.author)}: {windows[0]}"
    return [(passages.number(row.memory, n), words) for n, words in enumerate(windows)]
