"""A store of views and indexes only, made from the schema."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from memcrdt.model.filters import check_filters
from memcrdt.search import ScoredMemory, SearchIndex, SearchOptions, make_embedder, search
from memcrdt.search.query.syntax import read_query
from memcrdt.search.query.terms import query_terms
from memcrdt.store import migrations
from memcrdt.store.indexer import IndexRow, NewText
from memcrdt.store.vector_forms import load_vector_functions

NOW = 1_800_000_000_000


class Shelf:
    """Memories in a SQLite file, written as the store's commit writes them."""

    def __init__(self, path: Path, embedder: Any = "static") -> None:
        self.path = path
        self.db = apsw.Connection(str(path))
        load_vector_functions(self.db)
        self.db.execute("PRAGMA journal_mode = WAL; PRAGMA secure_delete = ON").fetchall()
        for script in migrations.scripts().values():
            self.db.execute(script)
        self.db.execute(
            "INSERT INTO spaces(space, id, name, creator, nonce, created_at) VALUES(1,'s','personal','d',x'00',0)"
        )
        self.index = SearchIndex(make_embedder(embedder))
        self.rows: dict[int, IndexRow] = {}

    def add(self, text: str, **columns: Any) -> int:
        return self.add_many([{"text": text, **columns}])[0]

    def add_many(self, items: list[dict[str, Any]]) -> list[int]:
        prepared = self.index.prepare([NewText(item["text"], item.get("kind")) for item in items])
        with self.db:
            self._log()
            rows = [self._insert(item) for item in items]
            self.index.replace(self.db, [], rows, prepared)
        self.index.committed()
        return [row.memory for row in rows]

    def change(self, memory: int, text: str) -> None:
        before = self.rows[memory]
        after = before._replace(text=text)
        with self.db:
            self.db.execute("UPDATE memories SET text = ? WHERE memory = ?", (text, memory))
            self.index.replace(self.db, [before], [after], self.index.prepare([after]))
        self.rows[memory] = after

    def remove(self, memory: int) -> None:
        with self.db:
            self._log()
            self.db.execute("DELETE FROM memories WHERE memory = ?", (memory,))
            self.index.replace(self.db, [self.rows.pop(memory)], [], None)

    def search(
        self, query: str, *, limit: int = 10, filters: dict[str, Any] | None = None, **options: Any
    ) -> list[ScoredMemory]:
        wanted = SearchOptions(now=NOW, limit=limit, **options)
        terms = query_terms(self.db, read_query(query))
        return search(self.db, self.index, terms, check_filters(filters or {}), wanted)

    def found(self, query: str, **options: Any) -> list[str]:
        return [self.rows[hit.memory].text for hit in self.search(query, **options)]

    def _log(self) -> None:
        """Add a row to the log, as every change does."""
        self.db.execute("INSERT INTO updates(shard, bytes, checksum, origin, at) VALUES(1, x'', x'', 'local', 0)")

    def _insert(self, item: dict[str, Any]) -> IndexRow:
        given = dict(item)
        tags, metadata = given.pop("tags", ()), given.pop("metadata", {})
        number = len(self.rows) + 1
        values = {
            "memory": number, "space": 1, "id": f"{number:026d}", "revision": "", "conflicted": 0, "scope": "global",
            "created_at": number * 1000, "updated_at": number * 1000, "pinned": 0, "device": "d", "ignored": 0,
            "fingerprint": 0, "born_seq": 0, "seq": 0, "author": None, "kind": None, **given,
        }  # fmt: skip
        values["category"] = values["scope"].partition("/")[0]
        self.db.execute(
            f"INSERT INTO memories({', '.join(values)}) VALUES({', '.join('?' * len(values))})", tuple(values.values())
        )
        for tag in tags:
            self.db.execute("INSERT INTO tags VALUES(?, ?)", (number, tag))
        for key, (value, amount) in metadata.items():
            self.db.execute("INSERT INTO metadata VALUES(?, ?, ?, ?)", (number, key, value, amount))
        row = IndexRow(number, values["text"], values["scope"], values["created_at"], values["author"], values["kind"])
        self.rows[number] = row
        return row


@pytest.fixture
def new_shelf() -> Iterator[Callable[..., Shelf]]:
    """Make shelves, and close them at the end."""
    made: list[Shelf] = []

    def make(path: Path, **options: Any) -> Shelf:
        made.append(Shelf(path, **options))
        return made[-1]

    yield make
    for shelf in made:
        shelf.db.close()


@pytest.fixture
def shelf(tmp_path: Path, new_shelf: Callable[..., Shelf]) -> Shelf:
    return new_shelf(tmp_path / "shelf.db")
