"""Homes of earlier versions, brought to the newest schema."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import apsw
import numpy as np
import pytest

import memcrdt
from memcrdt.search.embedders.static import StaticEmbedder
from memcrdt.search.words import names_apart

TEXTS = ("Deploys go out on Tuesdays", "The cat sleeps on the sofa", "Ana's birthday is in May")


def test_vectors_of_an_earlier_version_become_shorter(tmp_path: Path) -> None:
    """Float32 becomes int16 when the home is opened. Searches find the same, with the same scores."""
    with memcrdt.open(tmp_path, embedder="static") as memory:
        memory.add_many(TEXTS)
        before = [(hit.memory.text, hit.score) for hit in memory.search("where does the kitten nap?")]
    with closing(apsw.Connection(str(tmp_path / "memories.db"))) as db:
        now = [row[0] for row in db.execute("SELECT embedding FROM vectors ORDER BY vector")]
        _take_back(db)
    with memcrdt.open(tmp_path, embedder="static") as memory:
        with memory.store.reading() as reading:
            assert [row[0] for row in reading.execute("SELECT embedding FROM vectors ORDER BY vector")] == now
        assert [(hit.memory.text, hit.score) for hit in memory.search("where does the kitten nap?")] == before
        assert memory.doctor().problems == ()


@pytest.mark.parametrize("damaged", [b"abc", bytes(1_024), b"\xff" * 1_024, b""])
def test_a_damaged_vector_keeps_no_home_closed(tmp_path: Path, damaged: bytes) -> None:
    """It stays as it is. Its memory is found by its words, and the others as before."""
    with memcrdt.open(tmp_path, embedder="static") as memory:
        memory.add_many(TEXTS)
    with closing(apsw.Connection(str(tmp_path / "memories.db"))) as db:
        _take_back(db)
        db.execute("UPDATE vectors SET embedding = ? WHERE vector = 2", (damaged,))
    with memcrdt.open(tmp_path, embedder="static") as memory:
        assert [memory.search(query)[0].memory.text for query in ("cat sofa", "when do we deploy?")] == [
            "The cat sleeps on the sofa",
            "Deploys go out on Tuesdays",
        ]


def _take_back(db: apsw.Connection) -> None:
    """Make a store of schema 16, whose vectors are float32."""
    floats = StaticEmbedder().embed([names_apart(text) for text in TEXTS])
    with db:
        for vector, numbers in enumerate(floats.astype(np.float32), start=1):
            db.execute("UPDATE vectors SET embedding = ? WHERE vector = ?", (numbers.tobytes(), vector))
        db.execute("ALTER TABLE models DROP COLUMN element_bytes")
        db.execute("PRAGMA user_version = 16")
