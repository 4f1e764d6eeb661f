"""Memories and spaces by the beginning of their id or name."""

from __future__ import annotations

import pytest

from memcrdt.errors import InputError, NotFoundError
from memcrdt.memory.memory import Memory

FIRST, SECOND = "01ARZ3NDEKTSV4RRFFQ69G5FAA", "01ARZ3NDEKTSV4RRFFQ69G5FAB"
UNKNOWN = "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"


def test_the_beginning_of_an_id_is_completed(memory: Memory) -> None:
    """In either case. A whole id need not exist, and a forgotten memory still has its id."""
    memory.add("one", id=FIRST)
    assert memory.find_id(FIRST[:4].lower()) == memory.find_id(f" {FIRST[:25]} ") == FIRST
    assert memory.find_id(UNKNOWN) == UNKNOWN
    memory.forget(FIRST)
    assert memory.find_id(FIRST[:8]) == FIRST
    with pytest.raises(NotFoundError, match="begins with 7ZZZ"):
        memory.find_id("7zzz")


def test_several_ids_are_listed_with_their_texts(memory: Memory) -> None:
    """The caller chooses, and a living memory goes before forgotten ones."""
    for memory_id, text in ((FIRST, "one\nwith a second line"), (SECOND, "two")):
        memory.add(text, id=memory_id)
    with pytest.raises(InputError) as said:
        memory.find_id(FIRST[:10])
    assert f"{FIRST} (one with a second line), {SECOND} (two); give more" in str(said.value)
    memory.forget(FIRST)
    assert memory.find_id(FIRST[:10]) == SECOND


@pytest.mark.parametrize("text", ["", "01A", "nonsense!", "01ARZ3NDU", "x" * 30, 7, None])
def test_what_begins_no_id_is_refused(memory: Memory, text: object) -> None:
    """Too short, with letters that no id has, or no text."""
    with pytest.raises(InputError, match="id"):
        memory.find_id(text)  # type: ignore[arg-type]


def test_the_beginning_of_a_space_is_completed(memory: Memory) -> None:
    """A whole name goes before a longer one, and too few characters name nothing."""
    for name in ("team", "teamwork", "tea"):
        memory.space(name).create()
    assert [memory.find_space(name) for name in ("team", "teamw", "tea", "pers")] == [
        "team", "teamwork", "tea", "personal",
    ]  # fmt: skip
    memory.space("teamwear").create()
    with pytest.raises(InputError, match="teamwork, teamwear"):
        memory.find_space("teamw")
    for name in ("te", "nowhere"):
        with pytest.raises(NotFoundError, match="the spaces are"):
            memory.find_space(name)
