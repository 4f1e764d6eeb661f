"""The import of a database that Chroma itself writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from memcrdt.memory.memory import Memory

chromadb = pytest.importorskip("chromadb", reason="chromadb is not installed; see tests/frameworks/__main__.py")


def test_a_collection_is_imported_while_chroma_has_it_open(memory: Memory, tmp_path: Path) -> None:
    """With every change so far, and again after more of them."""
    client = chromadb.PersistentClient(str(tmp_path / "chroma"))
    notes = client.create_collection("notes", embedding_function=None)
    vector = [0.1, 0.2, 0.3]
    texts = [f"Note {number}" for number in range(2_500)]
    names = [f"n{number}" for number in range(len(texts))]
    notes.add(ids=names, embeddings=[vector] * len(texts), documents=texts, metadatas=[{"a": 1}] * len(texts))
    notes.update(ids=["n0"], embeddings=[vector], documents=["Changed"])
    notes.delete(ids=["n1"])
    assert memory.import_from("chroma", tmp_path / "chroma").added == len(texts) - 1
    assert {"Changed", "Note 2"} <= {each.text for each in memory.iterate()}
    assert "Note 1" not in {each.text for each in memory.iterate()}
    notes.upsert(ids=["n2", "new"], embeddings=[vector] * 2, documents=["Changed too", "New"])
    report = memory.import_from("chroma", tmp_path / "chroma")
    assert (report.added, report.updated) == (1, 1)
    assert notes.count() == len(texts)
