"""A second import of a source, after the source, the memory or both have changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memcrdt.memory.memory import Memory
from memcrdt.testing.memories import exchange


@pytest.fixture(name="note")
def _note(tmp_path: Path) -> Path:
    file = tmp_path / "notes" / "Plan.md"
    file.parent.mkdir()
    _write(file, "Ship on Friday.")
    return file


def _write(note: Path, text: str) -> None:
    note.write_text(f"# Plan\n\n{text}")


def _import(memory: Memory, note: Path, **options: Any) -> dict[str, int]:
    """Import, after a dry run that says the same. Return the counts that are not 0."""
    said = [memory.import_from("markdown", note.parent, dry_run=dry, **options).to_dict() for dry in (True, False)]
    found = [
        {name: count for name, count in each.items() if count and name not in ("dry_run", "refusals")} for each in said
    ]
    assert found[0] == found[1]
    return found[1]


def _only(memory: Memory) -> Any:
    (found,) = memory.list()
    return found


def test_an_edit_stays_if_the_source_has_not_changed(memory: Memory, note: Path) -> None:
    """Also an edit of everything beside the text, and also after many imports."""
    _import(memory, note)
    old = _only(memory).id
    memory.update(old, text="Ship on Monday.", trust="mine", scope="project/acme", add_tags=["own"], author="ada")
    for _ in range(2):
        assert _import(memory, note) == {"known": 1}
    found = memory.get(old)
    assert (found.text, found.trust, found.scope, found.tags) == ("Ship on Monday.", "mine", "project/acme", ("own",))
    assert len(memory.history(old)) == 2


def test_a_memory_that_was_superseded_stays_hidden(memory: Memory, note: Path) -> None:
    """An import is no reason to show it again."""
    _import(memory, note)
    old = _only(memory).id
    new = memory.add("Never ship.")
    memory.update(old, superseded_by=new)
    assert _import(memory, note) == {"known": 1}
    assert _only(memory).id == new


def test_a_source_that_has_changed_updates_its_memory(memory: Memory, note: Path) -> None:
    """Again and again, and also back to an earlier text."""
    _import(memory, note)
    for text in ("Ship on Monday.", "Ship on Sunday.", "Ship on Friday."):
        _write(note, text)
        assert _import(memory, note) == {"updated": 1}
        assert _only(memory).text == f"# Plan\n\n{text}"
        assert _import(memory, note) == {"known": 1}
    assert memory.history(_only(memory).id)[-1].by == "markdown"


def test_if_both_have_changed_both_texts_stay(memory: Memory, note: Path) -> None:
    """As an ordinary conflict. Another import changes nothing, before it is settled and after."""
    _import(memory, note)
    memory_id = _only(memory).id
    memory.update(memory_id, text="Ship on Monday.")
    _write(note, "Ship on Sunday.")
    assert _import(memory, note) == {"conflicting": 1}
    texts = {"Ship on Monday.", "# Plan\n\nShip on Sunday."}
    assert {each.text for each in memory.conflicts(memory_id)} == texts
    assert _import(memory, note) == {"known": 1}
    assert {each.text for each in memory.conflicts(memory_id)} == texts
    memory.update(memory_id, text="Ship on Sunday or Monday.")
    assert _import(memory, note) == {"known": 1}
    assert (_only(memory).text, _only(memory).conflicted) == ("Ship on Sunday or Monday.", False)
    _write(note, "Ship on Tuesday.")
    assert _import(memory, note) == {"conflicting": 1}
    assert len(memory.conflicts(memory_id)) == 2


def test_a_source_that_says_what_was_edited_makes_no_conflict(memory: Memory, note: Path) -> None:
    """Somebody made the same edit in both."""
    _import(memory, note)
    memory.update(_only(memory).id, text="# Plan\n\nShip on Sunday.")
    _write(note, "Ship on Sunday.")
    assert _import(memory, note) == {"known": 1}
    assert not _only(memory).conflicted


def test_an_edit_on_one_device_and_an_import_on_the_other_keep_both(
    open_memory: Callable[..., Memory], note: Path
) -> None:
    """The other device learns of the edit after its import."""
    ours, theirs = open_memory("A"), open_memory("B")
    _import(ours, note)
    exchange(ours, theirs)
    memory_id = _only(ours).id
    ours.update(memory_id, text="Ship on Monday.")
    _write(note, "Ship on Sunday.")
    assert _import(theirs, note) == {"updated": 1}
    exchange(ours, theirs)
    for memory in (ours, theirs):
        assert len(memory.conflicts(memory_id)) == 2
        assert _import(memory, note) == {"known": 1}
        assert len(memory.conflicts(memory_id)) == 2


def test_the_name_that_the_user_gives_to_a_source_does_not_matter(memory: Memory, note: Path) -> None:
    """One import has another `source` and author than the next."""
    _import(memory, note, source="my vault", author="ada")
    _write(note, "Ship on Monday.")
    assert _import(memory, note, source="my vault", author="ada") == {"updated": 1}
    _write(note, "Ship on Sunday.")
    assert _import(memory, note) == {"updated": 1}


def test_two_devices_import_the_same_change(open_memory: Callable[..., Memory], note: Path) -> None:
    """Before they meet. The memory has the text twice, until the next import settles that."""
    ours, theirs = open_memory("A"), open_memory("B")
    _import(ours, note)
    exchange(ours, theirs)
    _write(note, "Ship on Sunday.")
    for memory in (ours, theirs):
        assert _import(memory, note) == {"updated": 1}
    exchange(ours, theirs)
    assert {each.text for each in ours.conflicts(_only(ours).id)} == {"# Plan\n\nShip on Sunday."}
    assert _import(ours, note) == {"known": 1}
    exchange(ours, theirs)
    assert (_only(ours).conflicted, _only(theirs).conflicted) == (False, False)


def test_a_line_with_a_key_still_replaces(memory: Memory, tmp_path: Path) -> None:
    """In JSON Lines the caller says what the memory shall be."""
    file = tmp_path / "in.jsonl"
    file.write_text('{"text": "one", "key": "k"}\n')
    memory.import_(file)
    memory.update(_only(memory).id, text="mine")
    assert memory.import_(file).updated == 1
    assert _only(memory).text == "one"
