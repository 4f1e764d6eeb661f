"""Memories of mem0 as JSON, of OpenMemory and Letta, and plain text. The files are written by hand."""

from __future__ import annotations

import json
import zipfile
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
    "wrap",
    [lambda given: given, *(lambda given, n=n: {"x": 1, n: given} for n in ("results", "records", "memories", "data"))],
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


def test_hidden_memories_of_openmemory_are_left_out(memory: Memory, tmp_path: Path) -> None:
    """Archived and deleted ones. No state hides nothing. The other lists of its export are not memories."""
    states = ("active", "paused", "archived", "deleted")
    memories = [{"id": state, "content": f"It is {state}", "state": state, "created_at": None} for state in states]
    memories.append({**memories[0], "id": "x", "deleted_at": "2025-01-01T00:00:00"})
    memories.append({**memories[0], "id": "null", "content": "It has none", "state": None})
    memories += [{**memories[0], "id": "odd", "state": odd} for odd in ("asleep", ["active"])]
    document = {"user": {"id": "ada"}, "apps": [{"name": "x"}], "memories": memories, "status_history": [{"id": 1}]}
    with zipfile.ZipFile(tmp_path / "openmemory.zip", "w") as members:
        members.writestr("memories.json", json.dumps(document))
        members.writestr("memories.jsonl.gz", b"x")
    report = memory.import_from("mem0", tmp_path / "openmemory.zip")
    assert (report.added, report.refused) == (3, 2)
    assert "'asleep' of a memory is unknown" in report.refusals[0].reason
    assert {each.text for each in memory.list()} == {"It is active", "It is paused", "It has none"}


BLOCKS = """\
---
id: a-1
created_at: 2025-03-04T10:00:00Z
type: anti_patterns
confidence: 0.75
branch: fix: [#7]
files: src/a.py, src/b.py
categories: anti_patterns, style
---
Ada likes green tea

---
not: a block
---
Still the first one.

---
type: task_learnings
id: a-2
files:
categories:
---

---
id: a-3
---
Max lives in Bern
"""


def test_the_markdown_of_the_plugin(memory: Memory, tmp_path: Path) -> None:
    """A memory for each block with a text, in a file or a folder. JSON of the same memories has the same keys."""
    file = tmp_path / "mem0-export-2025-03-04.md"
    file.write_text(BLOCKS)
    (tmp_path / "notes.md").write_text("# Other notes")
    for place in (file, tmp_path):
        report = memory.import_from("mem0", place)
        assert (report.added + report.known, report.refused) == (2, 0)
    (tea,) = (each for each in memory.list() if "tea" in each.text)
    assert tea.text == "Ada likes green tea\n\n---\nnot: a block\n---\nStill the first one."
    assert (set(tea.tags), tea.created_at.isoformat()) == ({"anti_patterns", "style"}, "2025-03-04T10:00:00+00:00")
    assert tea.metadata == {
        "type": "anti_patterns",
        "confidence": "0.75",
        "branch": "fix: [#7]",
        "files": ["src/a.py", "src/b.py"],
    }
    (tmp_path / "mem0.json").write_text(json.dumps([{"id": "a-3", "memory": "Max lives in Bern"}]))
    assert memory.import_from("mem0", tmp_path / "mem0.json").known == 1


def test_markdown_that_is_no_export_of_mem0_is_refused(memory: Memory, tmp_path: Path) -> None:
    """With its name. What stands before the first block is refused, too."""
    for text, added in (("# Notes\n", 0), ("# Notes\n" + BLOCKS, 2)):
        (tmp_path / "x.md").write_text(text)
        report = memory.import_from("mem0", tmp_path / "x.md")
        assert (report.added, [each.name for each in report.refusals]) == (added, [f"{tmp_path.name}/x.md"])


def test_a_long_block_without_an_end_is_refused(memory: Memory, tmp_path: Path) -> None:
    """In a time that grows with its length, and not with the square of it, which would be half an hour."""
    (tmp_path / "x.md").write_text("---\n" + "id: 1\n" * 300_000)
    report = memory.import_from("mem0", tmp_path / "x.md")
    assert (report.added, report.refused) == (0, 1)


def test_blocks_of_an_agent_file_become_memories(memory: Memory, tmp_path: Path) -> None:
    """Its messages and tools are not read."""
    blocks = [{"id": "block-0", "label": "human", "value": "Ada likes tea."}, {"id": "block-1", "label": "persona"}]
    agent = {"agents": [{"messages": [{"text": "hi"}]}], "blocks": blocks, "tools": [{"env": {"KEY": "x"}}]}
    (tmp_path / "scout.af").write_text(json.dumps(agent))
    for place in (tmp_path / "scout.af", tmp_path):
        assert memory.import_from("letta", place).refused == 1
    (found,) = memory.list()
    assert (found.text, found.kind) == ("# human\n\nAda likes tea.", "human")


def test_the_export_of_mcp_memory_service(memory: Memory, tmp_path: Path) -> None:
    """With its kinds, tags and times, which are seconds."""
    tea = {"content": "Ada likes tea", "content_hash": "h1", "tags": ["food", "ada"], "memory_type": "preference"}
    tea |= {"created_at": 1741082400.5, "updated_at": 1741082401, "metadata": {"place": "Bern"}}
    document = {"export_metadata": {"total": 3}, "memories": [tea, {"content": "b", "tags": "x, y"}, {"tags": []}]}
    file = tmp_path / "export.json"
    file.write_text(json.dumps(document))
    report = memory.import_from("mcp-memory-service", file)
    assert (report.added, report.refused) == (2, 1)
    (found,) = (each for each in memory.list() if "tea" in each.text)
    assert (found.kind, set(found.tags), found.metadata) == ("preference", {"food", "ada"}, {"place": "Bern"})
    assert found.created_at.isoformat() == "2025-03-04T10:00:00.500000+00:00"
    assert memory.import_from("mcp-memory-service", file).known == 2
