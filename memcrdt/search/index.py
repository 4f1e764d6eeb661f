"""The indexes of the store: full text and vectors, written in the commit that writes the views."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

from memcrdt.search import passages
from memcrdt.search.coarse import Coarse
from memcrdt.search.embedder import Embedder
from memcrdt.search.words import searchable
from memcrdt.store.indexer import Connection, IndexRow, Prepared

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
_NEXT_VECTOR = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'vectors'), 0)"


class SearchIndex:
    """The store's Indexer. With no embedder, full text is all there is."""

    def __init__(self, embedder: Embedder | None) -> None:
        self.embedder = embedder
        self._lock = threading.Lock()
        self._coarse: Coarse | None = None

    def prepare(self, texts: Sequence[str]) -> Prepared:
        """Vectors by text, with an embedder that is fast; else what `replace` queues."""
        if self.embedder is None or not self.embedder.fast:
            return {}
        return embed_texts(self.embedder, texts)

    def replace(
        self, db: Connection, removed: Sequence[IndexRow], added: Sequence[IndexRow], prepared: Prepared
    ) -> None:
        """As the Protocol says. What differs only in what is not indexed is left alone."""
        before = {_content(row) for row in removed}
        after = {_content(row) for row in added}
        gone = [row for row in removed if _content(row) not in after]
        new = [row for row in added if _content(row) not in before]
        removed_passages = self._remove(db, gone)
        words = [pair for row in new for pair in _words(row)]
        db.executemany(_ADD_WORDS, words)
        db.execute(_COUNT, (len(words) - removed_passages,))
        if self.embedder is not None:
            self._add_vectors(db, self.embedder, new, prepared or {})

    def committed(self) -> None:
        """Nothing to do: copies in memory follow the tables at the next search."""

    def clear(self, db: Connection) -> None:
        db.execute("INSERT INTO fulltext(fulltext) VALUES('delete-all')")
        db.execute("UPDATE indexed SET passages = 0")
        db.execute("DELETE FROM vectors; DELETE FROM codes; DELETE FROM waiting")

    def coarse(self, model: int) -> Coarse:
        """The codes in memory of a model."""
        with self._lock:
            if self._coarse is None or self._coarse.model != model:
                self._coarse = Coarse(model)
            return self._coarse

    def _remove(self, db: Connection, rows: Sequence[IndexRow]) -> int:
        words = [pair for row in rows for pair in _words(row)]
        db.executemany(_REMOVE_WORDS, words)
        spans = [passages.span(row.memory) for row in rows]
        db.executemany(_REMOVE_CODES, spans)
        db.executemany(_REMOVE_VECTORS, spans)
        db.executemany("DELETE FROM waiting WHERE memory = ?", ((row.memory,) for row in rows))
        return len(words)

    def _add_vectors(self, db: Connection, embedder: Embedder, rows: Sequence[IndexRow], given: Embedded) -> None:
        if embedder.fast:  # what a peer sent, or a merge brought back, was not there to be prepared
            missing = [row.text for row in rows if row.text not in given]
            given = {**given, **embed_texts(embedder, missing)} if missing else given
        ready = [row for row in rows if row.text in given]
        db.executemany(
            "INSERT OR IGNORE INTO waiting(memory) VALUES(?)", ((r.memory,) for r in rows if r.text not in given)
        )
        if ready:
            write_vectors(db, use_model(db, embedder), [(row.memory, given[row.text]) for row in ready])


def embed_texts(embedder: Embedder, texts: Sequence[str]) -> Embedded:
    """The vectors of the passages of each text."""
    split = {text: passages.split(text) for text in texts}
    every = (passage for windows in split.values() for passage in windows)
    embedded: Embedded = {}
    import numpy as np

    vectors = [embedder.embed(batch) for batch in iter(lambda: list(islice(every, _BATCH)), [])]
    rows, start = (np.concatenate(vectors) if vectors else np.empty((0, 0), np.float32)), 0
    for text, windows in split.items():
        embedded[text] = rows[start : start + len(windows)]
        start += len(windows)
    return embedded


def use_model(db: Connection, embedder: Embedder) -> int:
    """The number of the embedder's model in this store, made known if it is new."""
    found = db.execute("SELECT model FROM models WHERE name = ?", (embedder.name,)).fetchone()
    if found is None:
        db.execute("INSERT INTO models(name, dim, state) VALUES(?, ?, 'current')", (embedder.name, embedder.dim))
        return db.last_insert_rowid()
    return int(found[0])


def write_vectors(db: Connection, model: int, embedded: Sequence[tuple[int, NDArray[np.float32]]]) -> None:
    """Puts the vectors of each memory's passages, [windows, dim], into the tables."""
    import numpy as np

    from memcrdt.search import codes

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
        ((v, model, p, c.tobytes()) for v, p, c in zip(ids, numbers.tolist(), codes.encode(vectors), strict=True)),
    )


def _content(row: IndexRow) -> tuple[int, str, str | None]:
    return row.memory, row.text, row.author


def _words(row: IndexRow) -> list[tuple[int, str]]:
    """Number and words of each passage; who said it is a word of the first."""
    windows = [searchable(window) for window in passages.split(row.text)]
    if row.author:
        windows[0] = f"{searchable(row.author)}: {windows[0]}"
    return [(passages.number(row.memory, n), words) for n, words in enumerate(windows)]
