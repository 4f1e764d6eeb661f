"""What an error about an id says: moved, and where to, forgotten, or never here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from memcrdt.errors import NotFoundError
from memcrdt.memory.memory import Memory
from memcrdt.testing.memories import exchange

OpenMemory = Callable[..., Memory]
UNKNOWN = "01ARZ3NDEKTSV4RRFFQ69G5FAV"

CALLS: dict[str, Callable[[Memory, str], Any]] = {
    "get": lambda memory, each: memory.get(each),
    "update": lambda memory, each: memory.update(each, text="x"),
    "history": lambda memory, each: memory.history(each),
    "related": lambda memory, each: memory.related(each),
    "similar": lambda memory, each: memory.similar(each),
    "link": lambda memory, each: memory.link(each, "of", each),
    "move": lambda memory, each: memory.move(each, space="personal"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_an_error_says_what_became_of_the_memory(memory: Memory, call: Callable[[Memory, str], Any]) -> None:
    """The same in every call with an id."""
    memory.space("team").create()
    memory.space("archive").create()
    moved, twice, gone, forgotten = memory.add_many(["one", "two", "three", "four"])
    now = memory.move(moved, space="team")
    later = memory.move(memory.move(twice, space="team"), space="archive")
    memory.forget([forgotten, memory.move(gone, space="team")])
    for memory_id, words in (
        (moved, f"moved to the space 'team'; its id is now {now}"),
        (twice, f"moved to the space 'archive'; its id is now {later}"),
        (gone, "moved to the space 'team' and forgotten there"),
        (forgotten, "was forgotten; nothing of it is left"),
        (UNKNOWN, "no memory .* here, and never was"),
    ):
        with pytest.raises(NotFoundError, match=words):
            call(memory, memory_id)


def test_a_memory_moves_there_and_back(memory: Memory) -> None:
    """Each time under a new id, and the first one still leads to the last."""
    memory.space("team").create()
    ids = [memory.add("one")]
    for space in ("team", "personal", "team"):
        ids.append(memory.move(ids[-1], space=space))
    assert len(set(ids)) == 4
    with pytest.raises(NotFoundError, match=ids[-1]):
        memory.get(ids[0])


def test_a_device_without_the_other_space_learns_nothing_about_it(open_memory: OpenMemory) -> None:
    """Only that the memory is gone."""
    here, there = open_memory("A"), open_memory("B")
    added = here.add("one")
    exchange(here, there)
    here.space("team").create()
    moved = here.move(added, space="team")
    exchange(here, there)
    with pytest.raises(NotFoundError, match="was forgotten") as said:
        there.get(added)
    assert "team" not in str(said.value)
    with pytest.raises(NotFoundError, match=moved):
        here.get(added)
