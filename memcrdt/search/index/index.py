"""The indexes of a store: full text and vectors, written in the commit that writes the views.

The tables belong to search (schema/0002.sql). The store lends its connection through the Indexer protocol.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from memcrdt.errors import EmbedderError
from memcrdt.model.values import Vector
from memcrdt.search import folding
from memcrdt.search.embedders.embedder import Embedder
from memcrdt.search.embedders.watched import WatchedEmbedder, WatchedEmbedders
from memcrdt.search.index import passages, registry
from memcrdt.search.index.candidate_index import CandidateIndex
from memcrdt.search.index.filter_masks import FilterMasks
from memcrdt.search.index.given import check_embedder, passage_vectors
from memcrdt.search.index.registry import IndexedModel
from memcrdt.search.words import names_apart, searchable
from memcrdt.store import views
from memcrdt.store.indexer import IndexRow, SqlConnection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TextVectors: TypeAlias = "dict[str, NDArray[np.float32]]"  # the vectors of each text's passages, [windows, dim]

_BATCH: Final = 1_024  # passages embedded at once
_ADD_WORDS = "INSERT INTO fulltext(rowid, words) VALUES(?, ?)"
_REMOVE_WORDS = "INSERT INTO fulltext(fulltext, rowid, words) VALUES('delete', ?, ?)"
# With secure-delete, FTS5 erases each word of each passage at once: 0.6 ms a passage. Without it, a passage takes
# 0.02 ms, and the words go with later merges of the whole index: 2 ms for each thousand memories. The setting is part
# of the file, so it also says that merges are due.
_ERASE = "INSERT INTO fulltext(fulltext, rank) VALUES('secure-delete', ?)"
_ERASES_AT_ONCE = "SELECT v FROM fulltext_config WHERE k = 'secure-delete'"
_ERASED_AT_ONCE = 128  # passages in one commit: 0.08 s
_MERGE = "INSERT INTO fulltext(fulltext, rank) VALUES('merge', ?)"  # a negative number of pages merges everything
_MERGED_PAGES = 100  # in the first transaction: about 0.02 s
_MERGE_CHANGES = 2  # with fewer, the merge had nothing to do (FTS5's documentation of `merge`)
_COUNT = "UPDATE indexed SET passages = passages + ?"
_ADD_VECTOR = "INSERT INTO vectors(vector, model, passage, embedding) VALUES(?, ?, ?, ?)"
_ADD_CODE = "INSERT INTO codes(vector, model, passage, code) VALUES(?, ?, ?, ?)"
_REMOVE_CODES = "DELETE FROM codes WHERE vector IN (SELECT vector FROM vectors WHERE passage BETWEEN ? AND ?)"
_REMOVE_VECTORS = "DELETE FROM vectors WHERE passage BETWEEN ? AND ?"
_WITHOUT_CODE = """
SELECT count(*) FROM vectors LEFT JOIN codes USING(vector) WHERE code IS NULL OR length(code) != ?"""
_QUEUE = "INSERT OR IGNORE INTO waiting(memory) VALUES(?)"
UNQUEUE: Final = "DELETE FROM waiting WHERE memory = ?"
_FOLDED = "SELECT folding FROM indexed"
_NOTE_FOLDING = "UPDATE indexed SET folding = ?"
_CLEAR_WORDS = """
INSERT INTO fulltext(fulltext) VALUES('delete-all');
UPDATE indexed SET passages = 0"""
_PAGE: Final = 1_024  # memories whose words are read at once
_CLEAR = """
INSERT INTO fulltext(fulltext) VALUES('delete-all');
UPDATE indexed SET passages = 0;
DELETE FROM vectors; DELETE FROM codes; DELETE FROM waiting"""
_NEXT_VECTOR = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'vectors'), 0)"


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
    """

    def __init__(self, embedder: Embedder | None) -> None:
        self.embedders = WatchedEmbedders(embedder)
        self.on_waiting: Callable[[], None] = lambda: None  # called after a commit that leaves memories to embed
        self.filter_masks = FilterMasks()
        self._pages_to_merge = _MERGED_PAGES
        self._left_waiting = False
        self._queued_last = False
        self._lock = threading.Lock()
        self._candidates: CandidateIndex | None = None
        self._checked: set[int] = set()  # the models whose embedder knows the width of the stored vectors

    def prepare(self, texts: Sequence[str], given: Mapping[str, Vector] | None = None) -> PreparedVectors | None:
        """Embed texts before the write lock is taken, if the embedder is fast. Otherwise `replace` will queue them.

        Texts with a given vector are not embedded. Raises InputError for given vectors without an embedder.
        """
        own = check_embedder(self.embedders.own) if given else self.embedders.own
        if own is None or not (own.fast or given):
            return None
        known = given or {}
        try:
            vectors = embed_texts(own, [text for text in texts if text not in known]) if own.fast else {}
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
        before = {_content(row) for row in removed}
        after = {_content(row) for row in added}
        gone = [row for row in removed if _content(row) not in after]
        new = [row for row in added if _content(row) not in before]
        passages_gone = self._remove(db, gone)
        words = [pair for row in new for pair in _words(row)]
        db.executemany(_ADD_WORDS, words)
        db.execute(_COUNT, (len(words) - passages_gone,))
        if new and self._ensure_model(db):
            self._add_vectors(db, new, prepared)

    def erase_removed(self, db: SqlConnection) -> bool:
        """Merge the words of removed rows out of full text, some pages at a time. Return whether there are more.

        One call both ends the merge and sees its end. Over two transactions, each commit in between would give the
        second one something to merge, and another committer could keep that up for ever.
        """
        if db.execute(_ERASES_AT_ONCE).get:
            return False
        if _merge(db, self._pages_to_merge) and _merge(db, self._pages_to_merge):
            self._pages_to_merge *= 2  # a commit in between makes the merge begin again: it must still come to an end
            return True
        self._pages_to_merge = _MERGED_PAGES
        db.execute(_ERASE, (1,))
        return False

    def is_folded(self, db: SqlConnection) -> bool:
        """Return whether the words of full text are folded by the rules of this version."""
        return bool(db.execute(_FOLDED).get == folding.VERSION)

    def fold_again(self, db: SqlConnection) -> None:
        """Write full text again, unless it is folded by the rules of this version. Vectors stay."""
        if self.is_folded(db):
            return
        db.execute(_CLEAR_WORDS)
        last = -1
        while rows := views.index_rows(db, last, _PAGE):
            words = [pair for row in rows for pair in _words(row)]
            db.executemany(_ADD_WORDS, words)
            db.execute(_COUNT, (len(words),))
            last = rows[-1].memory
        db.execute(_NOTE_FOLDING, (folding.VERSION,))

    def committed(self) -> None:
        """Wake the worker if the last commit left memories to embed. Copies in memory refresh at the next search."""
        if self._left_waiting:
            self._left_waiting = False
            self.on_waiting()

    def clear(self, db: SqlConnection) -> None:
        """Empty the indexes, before they are rebuilt through `replace`."""
        db.execute(_CLEAR)

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
            embedder.width = registry.dimensions(db, model.model) or embedder.width
            self._checked.add(model.model)
        return embedder

    def candidates(self, model: int) -> CandidateIndex:
        """Return the codes in memory of a model."""
        with self._lock:
            if self._candidates is None or self._candidates.model != model:
                self._candidates = CandidateIndex(model)
            return self._candidates

    def _ensure_model(self, db: SqlConnection) -> bool:
        """Give a store without a model the model of our own embedder. Return whether the store has a model now."""
        if registry.target(db) is None and self.embedders.own is not None:
            registry.use(db, self.embedders.own.name)
            self._left_waiting = True  # the memories added before there was a model
        return registry.target(db) is not None

    def _remove(self, db: SqlConnection, rows: Sequence[IndexRow]) -> int:
        words = [pair for row in rows for pair in _words(row)]
        if len(words) > _ERASED_AT_ONCE:
            db.execute(_ERASE, (0,))
        db.executemany(_REMOVE_WORDS, words)
        spans = [passages.number_range(row.memory) for row in rows]
        db.executemany(_REMOVE_CODES, spans)
        db.executemany(_REMOVE_VECTORS, spans)
        db.executemany(UNQUEUE, ((row.memory,) for row in rows))
        return len(words)

    def _add_given(
        self, db: SqlConnection, target: IndexedModel, rows: Sequence[IndexRow], given: Mapping[str, Vector]
    ) -> list[IndexRow]:
        """Write given vectors, and return the rows that have no given vector. Raises InputError."""
        embedded = passage_vectors(db, target, check_embedder(self.embedders.own), rows, given)
        write_vectors(db, target.model, embedded)
        db.executemany(UNQUEUE, ((memory,) for memory, _ in embedded))
        return [row for row in rows if row.text not in given]

    def _add_vectors(self, db: SqlConnection, every: Sequence[IndexRow], prepared: PreparedVectors | None) -> None:
        """Write vectors of the models whose embedder is fast, and queue the memories for a slow or failing one."""
        target = registry.target(db)
        others = every
        if target is not None and prepared is not None and prepared.given:
            others = self._add_given(db, target, every, prepared.given)
        for model in registry.in_use(db).values():
            rows = others if model == target else every
            if not rows:
                continue
            vectors = self._vectors(db, model, rows, prepared)
            if vectors is not None:
                write_vectors(db, model.model, [(row.memory, vectors[row.text]) for row in rows])
            if model == target:
                db.executemany(_QUEUE if vectors is None else UNQUEUE, ((row.memory,) for row in rows))
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


def embed_texts(embedder: Embedder, texts: Sequence[str]) -> TextVectors:
    """Return the vectors of the passages of each text. Raises EmbedderError."""
    import numpy as np

    split = {text: passages.split(text) for text in texts}
    every = (names_apart(passage) for windows in split.values() for passage in windows)
    embedded: TextVectors = {}
    vectors = [embedder.embed(batch) for batch in iter(lambda: list(islice(every, _BATCH)), [])]
    rows, start = (np.concatenate(vectors) if vectors else np.empty((0, 0), np.float32)), 0
    for text, windows in split.items():
        embedded[text] = rows[start : start + len(windows)]
        start += len(windows)
    return embedded


def write_vectors(db: SqlConnection, model: int, embedded: Sequence[tuple[int, NDArray[np.float32]]]) -> None:
    """Write the vectors of the passages of each memory, [windows, dim], and their codes."""
    import numpy as np

    from memcrdt.search.index import binary_codes

    if not embedded:
        return
    every = np.concatenate([vectors for _, vectors in embedded])
    known = every.any(axis=1)  # a text without any known token has no direction, and gets no row
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


def _merge(db: SqlConnection, pages: int) -> bool:
    """Merge up to this many pages of full text. Return whether there was anything to merge."""
    before = db.total_changes()
    db.execute(_MERGE, (-pages,))
    return db.total_changes() - before >= _MERGE_CHANGES


def _content(row: IndexRow) -> tuple[int, str, str | None]:
    return row.memory, row.text, row.author


def _words(row: IndexRow) -> list[tuple[int, str]]:
    """Return the number and the words of each passage. The author is a word of the first passage."""
    windows = [searchable(window) for window in passages.split(row.text)]
    if row.author:
        windows[0] = f"{searchable(row.author)}: {windows[0]}"
    return [(passages.number(row.memory, n), words) for n, words in enumerate(windows)]
