"""The memory folder of Claude Code: topic files and the index."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from memcrdt.mirror.claude_code import ClaudeCodeFormat, has_line, with_line, without_line
from memcrdt.mirror.notes import Note, Remembered
from memcrdt.testing.memories import Clock, exchange
from tests.mirror.world import Machine

FORMAT = ClaudeCodeFormat()
ID = "01K9XQ3V7M2ZC4T8N6B5R1D0PE"
TOPIC = b"""---
name: testing-style
description: The user wants real databases in tests
metadata:
  node_type: memory
  type: feedback
  originSessionId: 0f3c
---

Mocks hid a broken migration.

**How to apply:** start PostgreSQL.
"""
INDEX = b"""# Memory

- [Testing](testing.md): real databases
Ada owns the release.
- [Deploys](deploys.md): Tuesdays

Ask before pushing.
"""


def remembered(note: Note) -> Remembered:
    return Remembered(id=ID, note=note, path=None, heads=(ID,))


def test_a_topic_file_becomes_its_description_and_body() -> None:
    note = FORMAT.read("testing.md", TOPIC).note
    assert note is not None
    assert note.text.startswith("The user wants real databases in tests\n\nMocks hid")
    assert (note.kind, note.metadata) == ("feedback", {"title": "testing-style"})
    assert FORMAT.write("testing.md", remembered(note), TOPIC, None) == TOPIC


def test_an_edit_keeps_the_description_and_the_fields_of_claude_code() -> None:
    note = FORMAT.read("testing.md", TOPIC).note
    assert note is not None
    edited = remembered(replace(note, text=note.text.replace("PostgreSQL", "MariaDB"), kind="project"))
    written = FORMAT.write("testing.md", edited, TOPIC, None)
    assert written == TOPIC.replace(b"PostgreSQL", b"MariaDB").replace(b"type: feedback", b"type: project")


def test_a_memory_of_an_agent_becomes_a_topic_file_that_reads_back() -> None:
    for text in ("Deploys go out on Tuesdays", "Deploys\n\nOn Tuesdays", "# Deploys\n\n" + "on Tuesdays " * 40):
        memory = remembered(Note(text=text.strip(), kind="project"))
        written = FORMAT.write(FORMAT.name_for(memory), memory, None, None)
        assert FORMAT.read("x.md", written).note == Note(
            text=text.strip(),
            kind="project",
            metadata={"title": written.split(b"name: ")[1].split(b"\n")[0].decode().strip('"')},
        )


def test_the_prose_of_the_index_is_a_memory_and_its_lines_stay_in_place() -> None:
    note = FORMAT.read("MEMORY.md", INDEX).note
    assert note is not None
    assert note.text == "# Memory\n\nAda owns the release.\n\nAsk before pushing."
    edited = remembered(Note(text=note.text.replace("Ada", "Bob") + "\nAlways."))
    written = FORMAT.write("MEMORY.md", edited, INDEX, None)
    assert written == INDEX.replace(b"Ada", b"Bob") + b"Always.\n"
    assert FORMAT.read("MEMORY.md", b"# Memory\n\n- [A](a.md)\n").note is None


def test_lines_of_the_index_are_added_changed_and_removed() -> None:
    topic = b"---\nname: New\ndescription: About [new] things\n---\nBody\n"
    added = with_line(INDEX, "new.md", topic)
    assert b"- [Deploys](deploys.md): Tuesdays\n- [New](new.md): About new things\n\nAsk" in added
    assert without_line(added, "new.md") == INDEX
    assert with_line(added, "new.md", topic.replace(b"About", b"On")) == added.replace(b"About", b"On")
    assert not has_line(INDEX, "new.md")
    assert with_line(None, "new.md", topic) == b"- [New](new.md): About new things\n"


def test_the_memory_of_claude_code_reaches_another_machine_and_comes_back(tmp_path: Path) -> None:
    """The story: two laptops, one project, and what Claude Code learns on one is there on the other."""
    clock = Clock()
    a, b = (Machine(tmp_path, device, clock, "claude-code") for device in "AB")
    a.write("testing.md", TOPIC.decode())
    a.write("MEMORY.md", "- [Testing](testing.md): real databases\n")
    a.run()
    exchange(a.memory, b.memory)
    b.run()
    assert "Mocks hid a broken migration." in b.read("testing.md")
    assert b.read("MEMORY.md") == "- [testing-style](testing.md): The user wants real databases in tests\n"

    b.write("testing.md", b.read("testing.md").replace("PostgreSQL", "MariaDB"))
    b.run()
    exchange(a.memory, b.memory)
    a.run()
    assert a.read("testing.md") == TOPIC.decode().replace("PostgreSQL", "MariaDB")
    assert has_line(a.read("MEMORY.md").encode(), "testing.md")
    assert not a.run().actions
