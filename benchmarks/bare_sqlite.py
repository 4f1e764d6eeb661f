"""A store with hybrid search as anybody would write it on APSW: FTS5, sqlite-vec, and reciprocal rank fusion of both.

It is the floor of comparisons: commits are durable (WAL, synchronous=FULL), and nothing else is promised.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import apsw
import sqlite_vec

from memcrdt.memory.memory import Memory
from memcrdt.search import SearchIndex
from memcrdt.search.embedders.embedder import Embedder
from memcrdt.search.index import registry
from memcrdt.search.index.passages import PER_MEMORY
from memcrdt.search.words import names_apart
from memcrdt.store.sql import SqlConnection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LIMIT = 10
DEPTH = 100  # rows of each of the two rankings that are fused
K = 60  # of reciprocal rank fusion (Cormack and others, 2009)
_SOURCE = f"SELECT memory * {PER_MEMORY}, text FROM memories ORDER BY memory"
_FUSED = f"""
WITH words AS (SELECT rowid, row_number() OVER (ORDER BY rank) place FROM
       (SELECT rowid, rank FROM texts WHERE texts MATCH ? ORDER BY rank LIMIT {DEPTH})),
     meaning AS (SELECT rowid, row_number() OVER (ORDER BY distance) place FROM
       (SELECT rowid, distance FROM vectors WHERE embedding MATCH ? AND k = {DEPTH})),
     fused AS (SELECT rowid, sum(1.0 / ({K} + place)) score FROM
       (SELECT * FROM words UNION ALL SELECT * FROM meaning) GROUP BY rowid ORDER BY score DESC LIMIT {LIMIT})
SELECT f.score, t.text FROM fused f JOIN texts t ON t.rowid = f.rowid ORDER BY f.score DESC"""


class BareSqlite:
    """A file with texts and their vectors.

    Args:
        path: The file. It is made if it is missing.
        embedder: It makes the vectors of texts and queries.
    """

    def __init__(self, path: Path, embedder: Embedder) -> None:
        self.embedder = embedder
        self.db = apsw.Connection(str(path))
        self.db.enable_load_extension(True)
        self.db.load_extension(sqlite_vec.loadable_path())
        self.db.set_busy_timeout(5_000)
        self.db.execute("PRAGMA journal_mode = wal; PRAGMA synchronous = full")
        if not self.db.execute("PRAGMA user_version").get:
            with self.db:
                self.db.execute("CREATE VIRTUAL TABLE texts USING fts5(text, tokenize = 'porter unicode61')")
                self.db.execute(f"CREATE VIRTUAL TABLE vectors USING vec0(embedding float[{embedder.dim}])")
                self.db.execute("PRAGMA user_version = 1")

    def __enter__(self) -> BareSqlite:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.db.close()

    def add(self, texts: Sequence[str]) -> None:
        """Embed and add texts in one durable commit."""
        first = int(self.db.execute("SELECT coalesce(max(rowid), 0) + 1 FROM texts").get)
        vectors = self.embedder.embed(texts)
        rows = zip(range(first, first + len(texts)), texts, vectors, strict=True)
        self.insert((row, text, vector.tobytes()) for row, text, vector in rows)

    def insert(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Add rows of a number, a text and the bytes of its vector in one durable commit."""
        with self.db:
            for row, text, vector in rows:
                self.db.execute("INSERT INTO texts(rowid, text) VALUES(?, ?)", (row, text))
                self.db.execute("INSERT INTO vectors(rowid, embedding) VALUES(?, ?)", (row, vector))

    def search(self, query: str) -> list[tuple[float, str]]:
        """Return the scores and texts of the best memories."""
        words = " OR ".join(f'"{word}"' for word in re.findall(r"\w+", query))
        vector = self.embedder.embed_query(query).tobytes()
        return [(float(score), str(text)) for score, text in self.db.execute(_FUSED, (words, vector))]


def embedded(db: SqlConnection, embedder: Embedder) -> Iterator[tuple[int, str, NDArray[np.float32]]]:
    """Yield the passage, text and vector of each memory. The vectors are not rounded as those of the store are.

    Args:
        db: A connection of the store of a memory. Each text has one passage.
        embedder: It makes the vectors.
    """
    rows = db.execute(_SOURCE).fetchall()
    vectors = embedder.embed([names_apart(text) for _, text in rows])
    for (number, text), vector in zip(rows, vectors, strict=True):
        yield number, text, vector


def copy_of(memory: Memory, path: Path) -> BareSqlite:
    """Return a bare store with the texts of a memory, and their vectors. Its file is filled once.

    Args:
        memory: A memory with vectors of one model. Each text has one passage.
        path: The file.
    """
    index = memory.store.indexer
    assert isinstance(index, SearchIndex)
    with memory.store.reading() as source:
        model = registry.in_use(source).current
        assert model is not None
        embedder = index.embedders.get(model.name)
        assert embedder is not None
        bare = BareSqlite(path, embedder)
        if not bare.db.execute("SELECT count(*) FROM vectors").get:
            bare.insert((number, text, vector.tobytes()) for number, text, vector in embedded(source, embedder))
    return bare
