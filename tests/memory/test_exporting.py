"""Exports in every form. An import of each gives back the same memories."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import memcrdt
from memcrdt.errors import InputError, StoreError
from memcrdt.importing import notes
from memcrdt.memory.memory import Memory
from memcrdt.testing.memories import exchange

ODD = [
    "yes",
    "1.50",
    "null",
    "# a",
    "a: b",
    "'q' \"q\"",
    "grün",
    "- x",
    "[a]",
    "~",
    "\x85\u2028\x7f",
    "🌱\t",
    "{",
    "&a",
]
ULID = "01JDXK5V3N8QZJ4W2R7T9YB6CM"
NAMES = st.text(min_size=1, max_size=8).filter(str.strip)
FORMS = ("jsonl", "markdown", "mem0", "server-memory")


def _content(path: Path) -> dict[str, str]:
    """Return what an export wrote, by the names of files in a folder."""
    files = path.iterdir() if path.is_dir() else [path]
    return {str(file.relative_to(path)): file.read_text("utf-8") for file in files}


def _fill(memory: Memory, clock: Any) -> None:
    """Add memories with every field, and texts that are hard to write."""
    first = memory.add("Deploys go out on Tuesdays", tags=["release"], scope="project/acme/conversation/one")
    odd = {"zero": 0, "texts": ODD, "big": 1e300, "deep": {"a": [None, True, {"b": "true"}]}, "memcrdt": "mine"}
    everything = memory.add(
        "---\n\n# Title\n\n```\ncode\n```\n- item\n\n ends with space \n\n",
        tags=ODD, metadata=odd, kind="12", author="no", source="https://example.org/a?b=c&d=e", trust="high: yes",
        importance=0.25, pinned=True, expires_at=clock.time(days=9), created_at=clock.time(days=-3),
    )  # fmt: skip
    memory.link(everything, "related: to", first)
    memory.update(first, superseded_by=everything)
    clock.advance(hours=1)
    memory.update(everything, importance=0.5)
    memory.add("Ada\n- likes tea\n  a lot", kind="person", metadata={"entity": "Ada"}, source="server-memory")
    memory.add("Ada knows Max", kind="relation", metadata={"relation": ["Ada", "knows", "Max"]})
    memory.add("no longer the graph's", metadata={"entity": "Ada"}, scope="agent/scout")


def _bring(memory: Memory, form: str, path: Path) -> Any:
    return memory.import_(path, format=form)


@pytest.mark.parametrize("form", FORMS)
def test_an_import_of_an_export_has_equal_content(
    open_memory: Callable[..., Memory], tmp_path: Path, clock: Any, form: str
) -> None:
    """A second export of the copy is the same, byte for byte, and so is every field of the memories."""
    ours, theirs = open_memory("A"), open_memory("B")
    _fill(ours, clock)
    first, second = (tmp_path / f"{name}.jsonl" for name in ("first", "second"))
    assert ours.export(first, format=form) == 5
    clock.advance(days=1)
    report = _bring(theirs, form, first)
    assert (report.added, report.refused) == (5, 0)
    assert theirs.export(second, format=form) == 5
    assert _content(second) == _content(first)
    assert _bring(theirs, form, first).known == 5
    for before in ours.iterate(include=["expired", "superseded"]):
        after = theirs.get(before.id)
        times = ("updated_at",) if form == "jsonl" else ()  # jsonl has this time only with its history
        assert _without(before, *times) == _without(after, *times)


@pytest.mark.parametrize("form", FORMS)
def test_an_import_of_an_export_joins_the_memories_that_it_came_from(
    open_memory: Callable[..., Memory], tmp_path: Path, clock: Any, form: str
) -> None:
    """Digests of stores that have not met differ: they cover who wrote what, and when. After a sync they are equal."""
    ours, theirs = open_memory("A"), open_memory("B")
    _fill(ours, clock)
    before = _said(ours)
    ours.export(tmp_path / "exported", format=form)
    assert _bring(theirs, form, tmp_path / "exported").added == 5
    assert ours.space("personal").digest() != theirs.space("personal").digest()
    exchange(ours, theirs)
    assert ours.space("personal").digest() == theirs.space("personal").digest()
    assert _said(ours) == _said(theirs) == before


def _said(memory: Memory) -> list[dict[str, Any]]:
    """Return what the memories say, without who said it last and when."""
    records = memory.iterate(include=["expired", "superseded"])
    return sorted((_without(each, "updated_at") for each in records), key=lambda each: each["id"])


@pytest.mark.parametrize("form", FORMS[1:])
def test_a_file_of_another_program_does_not_say_how_far_to_trust_it(
    open_memory: Callable[..., Memory], tmp_path: Path, form: str
) -> None:
    """Somebody may have written it for this import. Everything else comes back."""
    path = tmp_path / "exported"
    ours = open_memory("A")
    memory_id = ours.add("Ada likes tea", trust="user", tags=["food"])
    ours.export(path, format=form)
    theirs = open_memory("B")
    assert theirs.import_from(form, path).added == 1
    assert (theirs.get(memory_id).trust, theirs.get(memory_id).tags) == ("imported", ("food",))


def _without(record: memcrdt.MemoryRecord, *names: str) -> dict[str, Any]:
    return {name: value for name, value in record.to_dict().items() if name not in ("device", "revision", *names)}


@settings(max_examples=100, deadline=None)
@given(
    st.text(min_size=1, max_size=20).filter(str.strip),
    st.lists(NAMES, max_size=4),
    st.dictionaries(NAMES, st.text(max_size=12) | st.booleans() | st.floats(allow_nan=False, allow_infinity=False)),
)
def test_a_note_says_any_text(text: str, tags: list[str], metadata: dict[str, Any]) -> None:
    """YAML has many ways to read a value. A note has one."""
    now = datetime(2026, 2, 3, tzinfo=UTC)
    record = memcrdt.MemoryRecord(
        id=ULID, text=text, space="personal", scope="global", category="global", kind=(tags or [None])[0],
        tags=tuple(tags), metadata=metadata, links=(), created_at=now, updated_at=now, expires_at=None, pinned=False,
        importance=None, author=None, device="", source=None, trust=None, superseded_by=None, imported_from=None,
        conflicted=False, revision=ULID,
    )  # fmt: skip
    read = notes.read_note(notes.note(record))
    assert read is not None
    assert (read["text"], read.get("metadata", {})) == (record.text, record.metadata)
    assert (tuple(read.get("tags", ())), read.get("kind")) == (record.tags, record.kind)


def test_a_folder_of_notes_is_friendly_to_git(memory: Memory, tmp_path: Path) -> None:
    """A changed text stays in its file, an unchanged file is not written, and other files stay as they are."""
    folder = tmp_path / "notes"
    first, second = memory.add_many(["Deploys go out on Tuesdays", "Ask Max"])
    assert memory.export(folder, format="markdown") == 2
    names = {name.partition("-")[0]: name for name in _content(folder)}
    assert names.keys() == {"Deploys go out on Tuesdays", "Ask Max"}
    (folder / "README.md").write_text("mine")
    stood = (folder / names["Ask Max"]).stat()
    memory.update(first, text="Deploys go out on Wednesdays")
    assert memory.export(folder, format="markdown") == 2
    assert _content(folder).keys() == {*names.values(), "README.md"}
    assert "Wednesdays" in _content(folder)[names["Deploys go out on Tuesdays"]]
    now = (folder / names["Ask Max"]).stat()
    assert (now.st_ino, now.st_mtime_ns) == (stood.st_ino, stood.st_mtime_ns)
    if os.name != "nt":
        assert (folder.stat().st_mode & 0o777, now.st_mode & 0o777) == (0o700, 0o600)
    memory.forget(second)


def test_a_field_that_somebody_added_to_a_note_becomes_metadata(
    open_memory: Callable[..., Memory], tmp_path: Path
) -> None:
    """As Obsidian adds aliases. A wrong value is refused with its name."""
    memory = open_memory("A")
    memory_id = memory.add("one", metadata={"a": 1})
    memory.export(tmp_path / "notes", format="markdown")
    (file,) = (tmp_path / "notes").iterdir()
    text = file.read_text("utf-8")
    file.write_text(text.replace("\nspace:", "\naliases: [x, 5]\nspace:").replace("\n", "\r\n"), "utf-8")
    other = open_memory("B")
    assert other.import_(tmp_path / "notes", format="markdown").added == 1
    assert other.get(memory_id).metadata == {"a": 1, "aliases": ["x", 5]}
    file.write_text(text.replace("\nspace:", "\nimportance: high\nspace:"), "utf-8")
    (refusal,) = open_memory("C").import_from("markdown", tmp_path / "notes").refusals
    assert "importance" in refusal.reason


def test_no_note_takes_the_place_of_another_file(memory: Memory, tmp_path: Path) -> None:
    """Also not that of another memory whose id ends in the same way."""
    (same,) = memory.add_many(["Ask Max"])
    record = memory.get(same)
    name = notes.note_name(record)
    other = "0" * 16 + same[16:]
    (tmp_path / name).write_text(f"---\nmemcrdt: {other}\n---\n\nanother\n")
    memory.export(tmp_path, format="markdown")
    assert (tmp_path / notes.note_name(record, whole_id=True)).exists()
    (tmp_path / notes.note_name(record, whole_id=True)).write_text("mine")
    with pytest.raises(InputError, match="name another folder"):
        memory.export(tmp_path, format="markdown")
    assert (tmp_path / notes.note_name(record, whole_id=True)).read_text() == "mine"


def test_other_programs_find_what_they_know(memory: Memory, tmp_path: Path) -> None:
    """mem0 and server-memory read their own fields."""
    memory.add("Ada likes tea", tags=["food"], scope="agent/scout", metadata={"place": "Bern"})
    ada = {"type": "entity", "name": "Ada", "entityType": "person", "observations": ["a", "b"]}
    (tmp_path / "in.jsonl").write_text(json.dumps(ada))
    memory.import_(tmp_path / "in.jsonl", format="server-memory")
    memory.export(tmp_path / "mem0.json", format="mem0")
    tea, _ = json.loads((tmp_path / "mem0.json").read_text())["results"]
    assert (tea["memory"], tea["agent_id"], tea["categories"]) == ("Ada likes tea", "scout", ["food"])
    assert tea["metadata"]["place"] == "Bern"
    memory.export(tmp_path / "memory.json", format="server-memory")
    lines = [json.loads(line) for line in (tmp_path / "memory.json").read_text().splitlines()]
    assert [(each["type"], each["entityType"], each["observations"]) for each in lines] == [
        ("entity", "memory", ["Ada likes tea"]),
        ("entity", "person", ["a", "b"]),
    ]
    assert lines[0]["name"].startswith("Ada likes tea (")
    assert lines[1]["name"] == "Ada"


def test_an_empty_export_is_one_of_its_form(memory: Memory, tmp_path: Path) -> None:
    """An import of it brings nothing, and refuses nothing."""
    for form in FORMS:
        assert memory.export(tmp_path / f"{form}.jsonl", format=form) == 0
        report = _bring(memory, form, tmp_path / f"{form}.jsonl")
        assert (report.added, report.refused) == (0, 0)


def test_what_a_form_has_no_place_for_is_refused(memory: Memory, tmp_path: Path) -> None:
    """Histories, and a stream for a folder."""
    memory.add("one")
    with pytest.raises(InputError, match="no place for earlier texts"):
        memory.export(tmp_path / "a", format="mem0", history=True)
    for call in (memory.export, memory.import_):
        with pytest.raises(InputError, match="folder"):
            call(io.BytesIO(), format="markdown")
    with pytest.raises(InputError, match="folder of the store"):
        memory.export(memory.home or "", format="markdown")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        memory.export(tmp_path / "file", format="markdown")
