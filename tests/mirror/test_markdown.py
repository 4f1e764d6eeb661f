"""Files of Markdown: what a file says, and how a memory is written into it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcrdt.mirror.markdown import MarkdownFormat
from memcrdt.mirror.names import folded, is_safe, plain_name
from memcrdt.mirror.notes import Note, Remembered, Rival
from memcrdt.mirror.reconcile import agreement
from memcrdt.mirror.text_file import FILE_BYTES, has_marks
from memcrdt.model import limits

FORMAT = MarkdownFormat()
ID = "01K9XQ3V7M2ZC4T8N6B5R1D0PE"


def remembered(text: str, **fields: Any) -> Remembered:
    return Remembered(id=ID, note=Note(text=text, **fields), path=None, heads=(ID,))


def as_remembered(note: Note) -> Remembered:
    return Remembered(id=ID, note=note, path=None, heads=(ID,))


def read(data: bytes, path: str = "Ada.md") -> Note:
    note = FORMAT.read(path, data).note
    assert note is not None
    return note


def test_a_note_of_a_person_has_its_title_in_the_text() -> None:
    """The title of a note is often only in the name of the file, and has to be found."""
    assert read(b"Phone 555-1234\n").text == "# Ada\n\nPhone 555-1234"
    assert read(b"# A person\nPhone\n").text == "# A person\nPhone"
    assert read(b"---\ntitle: Ada L.\n---\nPhone\n").text == "# Ada L.\n\nPhone"


def test_an_edit_of_the_memory_changes_only_its_lines() -> None:
    """Comments, unknown fields, their order, and the ends of lines stay as the user wrote them."""
    old = (
        b"---\r\n# my notes\r\nstatus: draft   # soon\r\ntags:\r\n  - a\r\n  - b\r\naliases: [Lady]\r\n---\r\n\r\n\r\n"
        b"Phone 555\r\n\r\n"
    )
    note = read(old)
    assert (note.tags, note.metadata) == (("a", "b"), {"status": "draft", "aliases": ["Lady"]})
    memory = as_remembered(replace(note, text="# Ada\n\nPhone 556"))
    agreed = agreement(FORMAT.read("Ada.md", old), as_remembered(note))
    assert FORMAT.write("Ada.md", memory, old, agreed) == old.replace(b"555", b"556")

    tagged = as_remembered(replace(note, tags=("a", "c")))
    assert FORMAT.write("Ada.md", tagged, old, agreed) == old.replace(b"tags:\r\n  - a\r\n  - b", b"tags: [a, c]")
    freed = as_remembered(replace(note, metadata={"aliases": ["Lady"]}))
    assert FORMAT.write("Ada.md", freed, old, agreed) == old.replace(b"status: draft   # soon\r\n", b"")


def test_without_an_agreement_nothing_is_removed_from_a_file() -> None:
    old = b"---\ntags: [a]\nstatus: draft\n---\nText\n"
    written = FORMAT.write("Ada.md", remembered("# Ada\n\nText", tags=("b",)), old, None)
    assert written == b"---\ntags: [a, b]\nstatus: draft\n---\nText\n"


def test_a_new_file_names_its_memory_and_reads_back() -> None:
    memory = remembered(
        "Deploys: Tuesdays\n\nAsk Ada", kind="fact", tags=("x y", "1"), metadata={"n": 1, "deep": {"a": [None]}}
    )
    written = FORMAT.write("a.md", memory, None, None)
    assert written.startswith(b"---\nmemcrdt: 01K9XQ3V7M2ZC4T8N6B5R1D0PE\ntype: fact\ntags: [")
    file = FORMAT.read("a.md", written)
    assert file.id == ID
    assert file.note is not None
    assert (file.note.text, file.note.kind, file.note.tags) == (memory.note.text, "fact", ("x y", "1"))
    assert FORMAT.write("a.md", memory, written, None) == written


def test_competing_texts_stand_between_marks() -> None:
    memory = replace(remembered("One"), rivals=(Rival("Two", "2026-02-03 04:05 UTC by Ada"),))
    written = FORMAT.write("a.md", memory, None, None)
    file = FORMAT.read("a.md", written)
    assert file.note is None
    assert file.problem is not None
    assert (
        written.decode().index("One")
        < written.decode().index("2026-02-03 04:05 UTC by Ada")
        < written.decode().index("Two")
    )
    settled = FORMAT.write("a.md", remembered("One"), written, None)
    assert not has_marks(settled.decode())
    assert FORMAT.read("a.md", settled).note == Note(text="One")


@pytest.mark.parametrize("data", [b"\xff\xfe", b"a\0b", b"x" * (FILE_BYTES + 1), b"x" * (limits.TEXT_BYTES + 1)])
def test_a_file_that_is_no_text_or_too_large_has_a_problem(data: bytes) -> None:
    file = FORMAT.read("a.md", data)
    assert file.note is None
    assert file.problem


@given(
    data=st.one_of(
        st.binary(max_size=200),
        st.text(max_size=200).map(str.encode),
        st.text("-:#[]{}&*!|>'\"%@`\n a1", max_size=80).map(lambda each: f"---\n{each}\n---\nText".encode()),
    )
)
def test_reading_any_file_raises_nothing(data: bytes) -> None:
    FORMAT.read("a.md", data)


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1, max_size=60)


@given(
    text=TEXTS.filter(str.strip),
    tags=st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=10), max_size=3),
    metadata=st.dictionaries(
        st.sampled_from(["status", "due", "a b"]), TEXTS | st.integers(-9, 9) | st.booleans(), max_size=3
    ),
)
def test_a_file_shows_the_text_and_writing_it_again_changes_nothing(
    text: str, tags: list[str], metadata: dict[str, Any]
) -> None:
    memory = remembered(text, tags=tuple(tags), metadata=metadata)
    written = FORMAT.write("a.md", memory, None, None)
    file = FORMAT.read("a.md", written)
    if file.problem is None:
        assert file.note is not None
        assert file.note.text == text.strip()
    again = FORMAT.write("a.md", memory, written, None)
    assert FORMAT.write("a.md", memory, again, None) == again


@pytest.mark.parametrize(
    "title", ["", "..", "CON", "nul.md", "a/b\\c:d*e?", "  .hidden", "x" * 500, "[[x]]#^", "é" * 90, "\u202egpj"]
)
def test_any_title_makes_a_name_for_every_platform(title: str) -> None:
    assert is_safe(f"{plain_name(title)}.md", (".md",))


@pytest.mark.parametrize(
    "path",
    [
        "../a.md",
        "/a.md",
        "a//b.md",
        "C:a.md",
        "a\\b.md",
        ".git/a.md",
        "aux/a.md",
        "a.txt",
        "a .md/ b.md",
        "x.md\n",
        "",
        7,
        "a/" * 20 + "a.md",
    ],
)
def test_a_path_from_another_device_cannot_leave_the_folder(path: object) -> None:
    assert not is_safe(path, (".md",))


def test_names_are_compared_as_the_strictest_file_system_does() -> None:
    assert folded("Cafe\u0301.MD") == folded("CAF\u00c9.md")
