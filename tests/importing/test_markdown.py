"""Folders of Markdown files. The files are written by hand, from the descriptions of basic-memory and Obsidian."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memcrdt.errors import InputError
from memcrdt.importing.front_matter import read_front_matter
from memcrdt.importing.rows import cut, sections
from memcrdt.memory.memory import Memory
from memcrdt.model import limits

ADA = """---
title: Ada
type: person
permalink: people/ada
tags: [team, tea]
created: 2025-03-04T10:00:00+00:00
modified: 2025-03-05T10:00:00+00:00
level: 3
---

- [drink] likes green tea #favourite (since 2020)
- works_with [[Max|Max M.]]
"""
SECRET = "ghp_" + "aB3dE5fG7h" * 3 + "iJ9kL1"


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """A folder of notes, with files that are none."""
    folder = tmp_path / "notes"
    for name, text in {
        "people/Ada.md": ADA,
        "Plan.md": "# Plan\n\nShip on Friday. #release\n\n```sh\n#no_tag\n```\n",
        ".obsidian/app.md": "settings",
        ".trash/old.md": "gone",
        "empty.md": "---\ntitle: Nothing\n---\n",
        "picture.png": "x",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    return folder


def _by_title(memory: Memory) -> dict[Any, Any]:
    return {each.metadata["title"]: each for each in memory.list()}


def test_each_note_becomes_a_memory(memory: Memory, notes: Path) -> None:
    """With the fields of its front matter. Hidden folders and empty notes are left out."""
    report = memory.import_from("markdown", notes)
    assert (report.added, report.refused) == (2, 0)
    ada, plan = _by_title(memory)["Ada"], _by_title(memory)["Plan"]
    assert ada.text.startswith("# Ada\n\n- [drink] likes green tea")
    assert (ada.kind, set(ada.tags)) == ("person", {"team", "tea", "favourite"})
    assert (ada.source, ada.trust) == ("markdown", "imported")
    assert (ada.created_at.isoformat(), ada.updated_at.isoformat()) == (
        "2025-03-04T10:00:00+00:00",
        "2025-03-05T10:00:00+00:00",
    )
    assert ada.metadata == {"path": "notes/people/Ada.md", "title": "Ada", "links_to": ["Max"], "level": 3}
    assert (plan.text.count("Plan"), plan.tags) == (1, ("release",))


def test_links_and_tags_of_obsidian(memory: Memory, tmp_path: Path) -> None:
    """A link to a heading or a block names the note. Embedded files, tasks and headings are neither links nor tags."""
    body = "# Head\n- [ ] open\n- [x] done #food/tea\n[[Max#Work]] [[Plan^b1|the plan]] ![[boat.png]] issue#7 #7 ^b2\n"
    (tmp_path / "Ada.md").write_bytes(("\ufeff---\ntype: person\n---\n" + body).replace("\n", "\r\n").encode())
    memory.import_from("markdown", tmp_path / "Ada.md")
    (ada,) = memory.list()
    assert (ada.kind, ada.tags, ada.metadata["links_to"]) == ("person", ("food/tea",), ["Max", "Plan"])
    assert ada.text == f"# Ada\n\n{body.strip()}"


def test_a_second_import_adds_nothing(memory: Memory, notes: Path) -> None:
    """A note that has changed updates its memory, also after a move, if it has a permalink."""
    memory.import_from("markdown", notes)
    assert memory.import_from("markdown", notes).known == 2
    (notes / "people" / "Ada.md").rename(notes / "Ada L.md")
    (notes / "Ada L.md").write_text(ADA.replace("green", "black"), "utf-8")
    assert memory.import_from("markdown", notes).updated == 1
    assert "black tea" in _by_title(memory)["Ada"].text


def test_two_devices_give_each_note_the_same_id(open_memory: Callable[..., Memory], notes: Path) -> None:
    """So after they meet there is one of each."""
    ids = []
    for memory in (open_memory("A"), open_memory("B")):
        memory.import_from("markdown", notes)
        ids.append({each.id for each in memory.list()})
    assert ids[0] == ids[1]


def test_a_dry_run_counts_and_adds_nothing(memory: Memory, notes: Path) -> None:
    """The counts are those of the import."""
    assert memory.import_from("markdown", notes, dry_run=True).added == 2
    assert not memory.list()


def test_a_forgotten_note_stays_forgotten(memory: Memory, notes: Path) -> None:
    """Unless the caller asks for it again."""
    memory.import_from("markdown", notes)
    memory.forget(_by_title(memory)["Ada"].id)
    assert memory.import_from("markdown", notes).forgotten == 1
    assert memory.import_from("markdown", notes, again=True).added == 1


def test_refused_notes_are_named(memory: Memory, notes: Path, tmp_path: Path) -> None:
    """A secret, a file that is no text, and a link, which may lead out of the folder."""
    (notes / "a.md").write_text(SECRET)
    (notes / "b.md").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "outside.md").write_text("not in the folder")
    (notes / "c.md").symlink_to(tmp_path / "outside.md")
    report = memory.import_from("markdown", notes)
    assert report.added == 2
    assert [each.name for each in report.refusals] == ["notes/a.md", "notes/b.md", "notes/c.md"]
    assert "UTF-8" in report.refusals[1].reason


def test_a_long_note_becomes_a_memory_for_each_heading(memory: Memory, notes: Path) -> None:
    """A section that is too long is cut at its paragraphs. Nothing is lost."""
    long = "".join(f"paragraph {number} {'word ' * 20}\n\n" for number in range(1_000))
    (notes / "Long.md").write_text(f"# One\n\nshort\n\n# Two\n\n{long}", "utf-8")
    memory.import_from("markdown", notes)
    parts = sorted((each for each in memory.list() if "part" in each.metadata), key=lambda each: each.metadata["part"])
    assert [each.metadata["part"] for each in parts] == [[1, 3], [2, 3], [3, 3]]
    assert parts[0].text == "# Long\n\n# One\n\nshort"
    assert "".join("".join(each.text.split()) for each in parts).endswith("".join(f"# Two\n\n{long}".split()))
    assert memory.import_from("markdown", notes).known == 5


@pytest.mark.parametrize(
    "text", ["a" * 200, "é" * 150, "line\n" * 50, "x y\n\n" * 40], ids=["word", "bytes", "lines", "paragraphs"]
)
def test_a_cut_loses_nothing_and_fits(text: str) -> None:
    """Whatever the text is made of."""
    parts = cut(text, 64)
    assert "".join(parts) == text
    assert all(0 < len(part.encode()) <= 64 for part in parts)


def test_a_heading_in_code_is_none() -> None:
    """It is a comment."""
    assert sections("# A\n```\n# b\n```\n# C\n") == ["# A\n```\n# b\n```\n", "# C\n"]


@pytest.mark.parametrize(
    "block",
    [
        "a: [b",
        "just a text",
        "x: &x [a, b]\n" + "".join(f"y{n}: &y{n} [*{'x' if n == 0 else f'y{n - 1}'}, *x, *x]\n" for n in range(30)),
        "a: &a [*a]",
        "[" * 5_000,
        "a: \x07",
        "a: !!python/object/apply:os.system [echo]\nb: [" + "{" * 900,
        "? [a, b]\n: c",
        "# a comment",
    ],
    ids=["broken", "text", "bomb", "circle", "deep", "control", "code", "list as a name", "comment"],
)
def test_a_front_matter_that_is_not_understood_stays_in_the_text(block: str) -> None:
    """Nothing of it is run or expanded."""
    text = f"---\n{block}\n---\nbody"
    assert read_front_matter(text) == ({}, text)


def test_values_of_the_front_matter_keep_their_meaning() -> None:
    """`no` is not false, and a version is no number."""
    fields, body = read_front_matter("---\na: no\nb: 1.10.2\nc: 5\nd: true\ne: 2025-01-01\nf:\n---\nbody")
    assert (fields, body) == ({"a": "no", "b": "1.10.2", "c": 5, "d": True, "e": "2025-01-01", "f": ""}, "body")


def test_what_exceeds_a_limit_is_left_out(memory: Memory, notes: Path) -> None:
    """The text is what counts."""
    many = ", ".join(f"t{number}" for number in range(limits.TAGS + 9))
    (notes / "Big.md").write_text(
        f"---\ntype: {'k' * 300}\ntags: [{many}]\nbig: {'x' * limits.METADATA_BYTES}\n---\nstays", "utf-8"
    )
    assert memory.import_from("markdown", notes).refused == 0
    big = _by_title(memory)["Big"]
    assert (big.kind, len(big.tags), "big" in big.metadata) == (None, limits.TAGS, False)


def test_a_source_or_place_that_is_not_there(memory: Memory, tmp_path: Path) -> None:
    """The error names what there is."""
    with pytest.raises(InputError, match="the sources are markdown, claude-code"):
        memory.import_from("paper", tmp_path)
    with pytest.raises(InputError, match="name the file or folder"):
        memory.import_from("markdown")
    with pytest.raises(InputError, match="nowhere"):
        memory.import_from("markdown", tmp_path / "nowhere")
