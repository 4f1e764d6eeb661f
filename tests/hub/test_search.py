"""Search in PostgreSQL: the tests of search in a file, over a hub."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from memcrdt.hub import migrations
from memcrdt.hub.connection import PostgresConnection, configure
from memcrdt.hub.search import search_index
from memcrdt.search import make_embedder
from memcrdt.store.indexer import IndexRow
from tests.postgres import Server
from tests.search.conftest import Shelf
from tests.search.query.test_engine import *  # noqa: F403 - each test runs here, too, with the fixtures below

pytestmark = pytest.mark.xdist_group("postgres")


class _Connection(PostgresConnection):
    """A connection whose block is a transaction, as those of apsw."""

    def __enter__(self) -> None:
        self.raw.execute("BEGIN")

    def __exit__(self, kind: object, *_: object) -> None:
        self.raw.execute("COMMIT" if kind is None else "ROLLBACK")

    def close(self) -> None:
        self.raw.close()


class HubShelf(Shelf):
    """A shelf in PostgreSQL."""

    def __init__(self, dsn: str, embedder: Any = "static") -> None:
        raw = psycopg.connect(dsn, autocommit=True)
        configure(raw)
        migrations.migrate(raw)
        self.db: Any = _Connection(raw)
        self.db.execute(
            "INSERT INTO spaces(space, id, name, creator, nonce, created_at) VALUES(1,'s','personal','d','',0)"
        )
        self.index = search_index(make_embedder(embedder))
        self.rows: dict[int, IndexRow] = {}

    def _log(self) -> None:
        self.db.execute("UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'updates'")


@pytest.fixture(name="new_shelf")
def _new_shelf(server: Server) -> Iterator[Callable[..., Shelf]]:
    made: list[Shelf] = []

    def make(_: Path, **options: Any) -> Shelf:
        made.append(HubShelf(server.make_schema(), **options))
        return made[-1]

    yield make
    for shelf in made:
        shelf.db.close()


@pytest.fixture(name="shelf")
def _shelf(tmp_path: Path, new_shelf: Callable[..., Shelf]) -> Shelf:
    return new_shelf(tmp_path)
