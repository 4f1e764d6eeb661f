"""The indexes of search in PostgreSQL.

Vectors, their codes and the models are in the same tables as in a file. Full text is the stems of each passage in a
`tsvector`, and the number of passages with each stem. The stems are those of SQLite's tokenizer, so words have the same
idf as on a laptop with the same memories. PostgreSQL's own stemmers and `ts_rank`, which knows no idf, have no part in
it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain

from memcrdt.search.embedders.embedder import Embedder
from memcrdt.search.embedders.reranker import Reranker
from memcrdt.search.index.full_text import STEM_CHARS, PassageWords, stems
from memcrdt.search.index.index import SearchIndex
from memcrdt.store.sql import SqlConnection

_ADD = "INSERT INTO passages VALUES(?, array_to_tsvector(ARRAY(SELECT value FROM json_each(?))))"
_COUNT = """
INSERT INTO vocabulary AS v SELECT value, count(*) FROM json_each(?) GROUP BY value ORDER BY value
ON CONFLICT (term) DO UPDATE SET doc = v.doc + excluded.doc"""
_REMOVE = "DELETE FROM passages WHERE passage = ?"
_DISCOUNT = """
UPDATE vocabulary SET doc = doc - fewer.passages
FROM (SELECT value, count(*) AS passages FROM json_each(?) GROUP BY value) fewer WHERE term = fewer.value"""
_FORGET_TERMS = "DELETE FROM vocabulary WHERE doc <= 0 AND term IN (SELECT value FROM json_each(?))"


def search_index(embedder: Embedder | None, reranker: Reranker | None = None) -> SearchIndex:
    """Return the indexes of search for a PostgresStore.

    Args:
        embedder: The embedding model; None to search by words alone.
        reranker: The cross-encoder of searches that ask for it.

    Example:
        >>> index = search_index(make_embedder("static"))  # doctest: +SKIP
        >>> store = PostgresStore(dsn, device, indexer=index)  # doctest: +SKIP
        >>> hits = Searcher(store, index).search("when do we ship?", filters, options)  # doctest: +SKIP
    """
    return SearchIndex(embedder, reranker, PostgresFullText())


class PostgresFullText:
    """Writes full text in PostgreSQL: see memcrdt.search.index.full_text.FullText."""

    def add(self, db: SqlConnection, words: Sequence[PassageWords]) -> None:
        """Add passages."""
        if not words:
            return
        found = [(passage, _stems(db, text)) for passage, text in words]
        db.executemany(_ADD, [(passage, json.dumps(each)) for passage, each in found])
        db.execute(_COUNT, (_together(found),))

    def remove(self, db: SqlConnection, words: Sequence[PassageWords]) -> None:
        """Remove passages. Their words are those with which they were added."""
        if not words:
            return
        found = [(passage, _stems(db, text)) for passage, text in words]
        every = _together(found)
        db.executemany(_REMOVE, [(passage,) for passage, _ in found])
        db.execute(_DISCOUNT, (every,))
        db.execute(_FORGET_TERMS, (every,))

    def erase_removed(self, db: SqlConnection) -> bool:
        """Return False: PostgreSQL vacuums what was removed."""
        return False

    def clear(self, db: SqlConnection) -> None:
        """Remove all passages."""
        db.execute("DELETE FROM passages")
        db.execute("DELETE FROM vocabulary")


def _stems(db: SqlConnection, text: str) -> list[str]:
    return sorted({stem[:STEM_CHARS] for stem in stems(db, text)})


def _together(found: Sequence[tuple[int, list[str]]]) -> str:
    return json.dumps(list(chain.from_iterable(each for _, each in found)))
