"""Homes of earlier versions, brought to the newest schema."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import apsw
import numpy as np
import pytest

import memcrdt
from memcrdt.search.embedders.embedder import UserEmbedder
from memcrdt.search.embedders.static import StaticEmbedder
from memcrdt.search.words import names_apart

_EMBEDDINGS = "SELECT embedding FROM vectors ORDER BY vector"
TEXTS = ("Deploys go out on Tuesdays", "The cat sleeps on the sofa", "Ana's birthday is in May")


def test_vectors_of_an_earlier_version_become_shorter(tmp_path: Path) -> None:
    """Float32 becomes int16 when the home is opened. Searches find the same, with the same scores."""
    with memcrdt.open(tmp_path, embedder="static") as memory:
        memory.add_many(TEXTS)
        before = [(hit.memory.text, hit.score) for hit in memory.search("where does the kitten nap?")]
    with closing(apsw.Connection(str(tmp_path / "memories.db"))) as db:
        now = db.execute(_EMBEDDINGS).fetchall()
        _take_back(db)
        assert {len(embedding) for (embedding,) in db.execute(_EMBEDDINGS)} == {1_024}
    with memcrdt.open(tmp_path, embedder="static") as memory:
        with memory.store.reading() as reading:
            assert reading.execute(_EMBEDDINGS).fetchall() == now
        assert [(hit.memory.text, hit.score) for hit in memory.search("where does the kitten nap?")] == before
        assert memory.doctor().problems == ()


def test_vectors_of_other_models_and_their_numbers_stay(tmp_path: Path) -> None:
    """Float32 of another embedder is copied as it is, and the number of a deleted vector is not used again."""
    static = StaticEmbedder()
    other = UserEmbedder("another", static.embed, static.embed_query, fast=True)
    with memcrdt.open(tmp_path, embedder=other) as memory:
        memory.add_many(TEXTS)
        before = [(hit.memory.text, hit.score) for hit in memory.search("where does the kitten nap?")]
        memory.forget(memory.add("a text that goes again"))
    with closing(apsw.Connection(str(tmp_path / "memories.db"))) as db:
        _take_back(db)
        kept = db.execute(_EMBEDDINGS).fetchall()
    with memcrdt.open(tmp_path, embedder=other) as memory:
        assert [(hit.memory.text, hit.score) for hit in memory.search("where does the kitten nap?")] == before
        memory.add("one more")
        with memory.store.reading() as reading:
            assert reading.execute(_EMBEDDINGS).fetchall()[: len(TEXTS)] == kept
            assert reading.execute("SELECT max(vector) FROM vectors").get == len(TEXTS) + 2


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
