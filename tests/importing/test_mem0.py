"""Memories of mem0 as JSON, and plain text. The files are written by hand, from the description of the format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from memcrdt.memory.memory import Memory

TEA = {
    "id": "5c3f",
    "memory": "Ada likes green tea",
    "hash": "abc",
    "metadata": {"place": "Bern"},
    "categories": ["food"],
    "created_at": "2025-03-04T10:00:00-08:00",
    "updated_at": "2025-03-05T10:00:00-08:00",
    "user_id": "ada",
}


@pytest.mark.parametrize(
    "wrap", [lambda given: given, *(lambda given, n=n: {"x": 1, n: given} for n in ("results", "data"))]
)
def test_memories_come_with_their_times_and_owners(memory: Memory, tmp_path: Path, wrap: Any) -> None:
    """Whether the file is a list or an object with a list."""
    file = tmp_path / "mem0.json"
    file.write_text(json.dumps(wrap([TEA, {"text": "no id"}, {"id": "x"}, 5, {"memory": "\\ud800", "id": "\\ud800"}])))
    report = memory.import_from("mem0", file)
    assert (report.added, report.refused) == (3, 2)
    (tea,) = (each for each in memory.list() if "tea" in each.text)
    assert (tea.tags, tea.metadata) == (("food",), {"user_id": "ada", "place": "Bern"})
    assert tea.created_at.isoformat() == "2025-03-04T18:00:00+00:00"
    assert (tea.source, tea.trust) == ("mem0", "imported")
    assert memory.import_from("mem0", file).known == 3


def test_what_no_memory_can_hold_is_refused_and_raises_nothing(memory: Memory, tmp_path: Path) -> None:
    """Half a pair of surrogates, deep metadata, odd times."""
    deep: Any = 1
    for _ in range(400):
        deep = [deep]
    file = tmp_path / "mem0.json"
    odd = [{"memory": "\ud800"}, {"memory": "a", "id": "\ud800"}, {"memory": "b", "metadata": {"x": deep, "\ud800": 1}}]
    odd += [{"memory": "c", "created_at": 1e300, "updated_at": "soon", "categories": [5, ""]}]
    file.write_text(json.dumps([*odd, TEA]))
    report = memory.import_from("mem0", file)
    assert report.added + report.refused == 5
    assert {"Ada likes green tea", "c"} <= {each.text for each in memory.list()}


@pytest.mark.parametrize(
    ("text", "memories"),
    [
        ("Ada likes tea.\nMax does not.\n", {"Ada likes tea.", "Max does not."}),
        ("Ada likes\ntea.\n \n\n\nMax does not.", {"Ada likes\ntea.", "Max does not."}),
    ],
    ids=["lines", "paragraphs"],
)
def test_a_text_becomes_memories(memory: Memory, tmp_path: Path, text: str, memories: set[str]) -> None:
    """Another item between them leaves them as they are."""
    file = tmp_path / "list.txt"
    file.write_text(text)
    memory.import_from("text", file)
    assert {each.text for each in memory.list()} == memories
    between = "\n\n" if "\n \n" in text else "\n"
    file.write_text(f"New.{between}{text}")
    report = memory.import_from("text", file)
    assert (report.added, report.known) == (1, 2)
