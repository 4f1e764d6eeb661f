"""Files of other programs may hold anything. An import refuses it, and raises nothing."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from memcrdt.importing import sources
from memcrdt.memory.memory import Memory
from tests.importing.test_conversations import CHAT, MEMORIES, PROJECT, TALK
from tests.importing.test_mem0 import TEA

ULID = "01JDXK5V3N8QZJ4W2R7T9YB6CM"
NOTE = f"---\nmemcrdt: {ULID}\n".encode()
JSON_FILES: dict[str, list[Any]] = {
    "mem0": [TEA, {"memory": "x", "metadata": {"memcrdt": {"id": ULID, "tags": ["a"], "links": [["a", ULID]]}}}],
    "mcp-memory-service": [{"content": "x", "tags": ["a"], "metadata": {"a": 1}, "memory_type": "b", "created_at": 5}],
    "claude": [*MEMORIES, PROJECT, TALK],
    "chatgpt": [CHAT],
    "server-memory": [
        {"type": "entity", "name": "Ada", "entityType": "person", "observations": ["likes tea"]},
        {"from_id": "Ada", "to_id": "Max", "relation_type": "knows"},
    ],
    "letta": [{"id": "block-0", "label": "human", "value": "Ada likes tea."}],
}
ODD: list[Any] = [
    None,
    True,
    -1,
    1e300,
    10**30,
    "",
    "\ud800",
    "\x00",
    "x" * 100_000,
    [],
    {},
    [[]],
    {"": {"": 1}},
    [None],
]


def _mutated(value: Any, rng: random.Random) -> Any:
    """Return the value with some of its parts replaced."""
    if rng.random() < 0.08:
        return rng.choice(ODD)
    if isinstance(value, dict):
        return {name: _mutated(each, rng) for name, each in value.items()}
    return [_mutated(each, rng) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("source", JSON_FILES)
def test_a_json_file_of_any_form_is_imported_or_refused(memory: Memory, tmp_path: Path, source: str) -> None:
    """Whatever its values are."""
    rng = random.Random(source)
    file = tmp_path / "file.json"
    file.write_text(json.dumps([_mutated(each, rng) for _ in range(150) for each in JSON_FILES[source]]))
    report = memory.import_from(source, file, dry_run=True)
    assert report.refused > 0
    assert report.added > 0


@pytest.mark.parametrize("source", [name for name in sources.NAMES if name != "jsonl"])
def test_bytes_of_any_form_are_refused(memory: Memory, tmp_path: Path, source: str) -> None:
    """Also halves of front matter, of JSON, and of zip files."""
    rng = random.Random(source)
    file = tmp_path / "file.md"
    for start in (
        b"",
        b"---\n",
        b"[{",
        b'{"memories": [',
        b"PK\x03\x04",
        NOTE,
        b"PK\x05\x06" + bytes(18),
    ):
        file.write_bytes(start + rng.randbytes(200))
        memory.import_from(source, file, dry_run=True)
        file.write_text(start.decode() + "".join(rng.choices("[]{}&*!:-#` \n\"'ab1", k=400)))
        memory.import_from(source, file, dry_run=True)


def test_exported_lines_of_any_form_are_imported_or_refused(memory: Memory, tmp_path: Path) -> None:
    """Of server-memory, and notes."""
    rng = random.Random(1)
    fields = {"id": ULID, "tags": ["a"], "metadata": {"entity": "Ada", "relation": ["a", "b", "c"]}, "pinned": True}
    line = {"type": "entity", "name": "Ada", "observations": ["a"], "from": "a", "to": "b", "memcrdt": fields}
    (tmp_path / "memory.jsonl").write_text("".join(json.dumps(_mutated(line, rng)) + "\n" for _ in range(300)))
    report = memory.import_from("server-memory", tmp_path / "memory.jsonl", dry_run=True)
    assert report.refused > 0
    (tmp_path / "notes").mkdir()
    for number in range(200):
        odd = "\n".join(f"{name}: {json.dumps(_mutated(value, rng))}" for name, value in fields.items())
        (tmp_path / "notes" / f"{number}.md").write_text(
            f"---\nmemcrdt: {ULID}\n{odd}\nimportance: {number}\n---\n\nx\n"
        )
    report = memory.import_from("markdown", tmp_path / "notes", dry_run=True)
    assert report.refused > 0


def test_names_that_are_not_utf_8_can_be_printed(memory: Memory, tmp_path: Path) -> None:
    """Those of files, and those of items."""
    try:
        (tmp_path / os.fsdecode(b"\xff.md")).write_text("Ada likes tea.")
    except OSError:
        pytest.skip("this file system has no such names")
    assert memory.import_from("markdown", tmp_path).added == 1
    (found,) = memory.list()
    assert found.metadata["path"].endswith(r"/\udcff.md")
    (tmp_path / "a.json").write_text(json.dumps([{"id": "\ud800", "memory": ""}, {"id": "\ud800", "memory": "x"}]))
    (refusal,) = memory.import_from("mem0", tmp_path / "a.json").refusals
    assert refusal.name == r"a.json: \ud800"
