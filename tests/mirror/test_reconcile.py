"""The comparison of both sides: no action takes anything from a side that it did not agree with."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from memcrdt.mirror.notes import Agreed, File, Note, Remembered, digest_of
from memcrdt.mirror.reconcile import (
    AddMemory,
    Agree,
    ChangeMemory,
    DeleteFile,
    Forget,
    MoveFile,
    Report,
    Sides,
    WriteFile,
    agreement,
    change_of,
    reconcile,
)

PATHS = ("a.md", "b.md", "c.md")
IDS = ("01K9XQ3V7M2ZC4T8N6B5R1D0PA", "01K9XQ3V7M2ZC4T8N6B5R1D0PB", "01K9XQ3V7M2ZC4T8N6B5R1D0PC")
TEXTS = st.sampled_from(["one", "two", "three"])


def file_of(path: str, text: str | None, memory_id: str | None = None, problem: str | None = None) -> File:
    note = None if text is None or problem else Note(text=text)
    return File(path=path, digest=digest_of([text, problem]), note=note, id=memory_id, problem=problem)


def memory_of(memory_id: str, text: str, path: str | None = None) -> Remembered:
    return Remembered(id=memory_id, note=Note(text=text), path=path, heads=(memory_id,))


@st.composite
def any_sides(draw: st.DrawFn) -> Sides:
    files = {
        path: file_of(
            path,
            draw(st.none() | TEXTS),
            draw(st.none() | st.sampled_from(IDS)),
            draw(st.sampled_from([None, None, "odd"])),
        )
        for path in draw(st.sets(st.sampled_from(PATHS)))
    }
    memories = {
        each: memory_of(each, draw(TEXTS), draw(st.none() | st.sampled_from(PATHS)))
        for each in draw(st.sets(st.sampled_from(IDS)))
    }
    agreed: dict[str, Agreed] = {}
    for each, path in zip(draw(st.permutations(IDS)), PATHS, strict=True):
        if draw(st.booleans()):
            known = agreement(file_of(path, draw(TEXTS)), memory_of(each, draw(TEXTS)))
            agreed[each] = replace(known, left=draw(st.sampled_from(["", "", "file", "memory", "unagreed", "both"])))
    absent = {
        each: draw(st.sampled_from(["forgotten", "elsewhere", "unknown"])) for each in IDS if each not in memories
    }
    return Sides(
        agreed=agreed,
        files=files,
        memories=memories,
        absent=absent,  # type: ignore[arg-type]  # the values are those
        unsettled=draw(st.sets(st.sampled_from(PATHS), max_size=1)),
        deletes=draw(st.booleans()),
    )


@given(sides=any_sides())
def test_nothing_is_taken_from_a_side_that_is_not_as_agreed(sides: Sides) -> None:
    for action in reconcile(sides):
        match action:
            case DeleteFile(file=file, agreed=agreed):
                assert sides.deletes
                assert agreed.left in ("", "memory")
                assert file.digest == agreed.file
                assert action.agreed.id not in sides.memories
            case Forget(memory=memory, agreed=agreed):
                assert sides.deletes
                assert memory.digest == agreed.memory
            case WriteFile(memory=memory, file=file, agreed=agreed) if file is not None:
                is_agreed = agreed is not None and file.digest == agreed.file
                assert is_agreed or file.note is None or file.note.text == memory.note.text
            case AddMemory(file=file):
                assert file.note is not None
                assert sides.absent.get(file.id or "") not in ("forgotten", "elsewhere")
            case ChangeMemory(memory=memory, agreed=None) as change:
                assert change_of(change).base == ()
                assert not change_of(change).remove_tags


@given(sides=any_sides())
def test_what_may_be_about_to_change_is_left_alone(sides: Sides) -> None:
    for action in reconcile(sides):
        file = getattr(action, "file", None)
        if file is not None and not isinstance(action, Report):
            assert file.path not in sides.unsettled


@given(sides=any_sides())
def test_no_file_and_no_memory_is_used_twice(sides: Sides) -> None:
    kinds = (AddMemory, ChangeMemory, WriteFile, MoveFile, DeleteFile)
    paths = [each.file.path for each in reconcile(sides) if isinstance(each, kinds) and each.file is not None]
    assert len(paths) == len(set(paths))


@given(sides=any_sides())
def test_both_sides_equal_and_agreed_is_rest(sides: Sides) -> None:
    files = {path: file_of(path, file.note.text) for path, file in sides.files.items() if file.note is not None}
    memories = {
        each: memory_of(each, file.note.text, file.path)
        for each, file in zip(IDS, files.values(), strict=False)
        if file.note
    }
    agreed = {each: agreement(file, memories[each]) for each, file in zip(IDS, files.values(), strict=False)}
    rest = replace(sides, files=files, memories=memories, agreed=agreed, absent={}, unsettled=frozenset())
    assert reconcile(rest) == []
    again = reconcile(replace(rest, agreed={}))  # the agreements are lost
    assert all(isinstance(action, (WriteFile, Agree)) for action in again)
