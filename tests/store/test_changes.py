"""Tests of plans that change memories: limits on growth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from memcrdt.errors import InputError
from memcrdt.memory.memory import Memory
from memcrdt.model import limits
from memcrdt.testing.memories import exchange

OpenMemory = Callable[..., Memory]


class TestMoreThanAMemoryTakes:
    """Two disconnected devices each fill one memory. Together they exceed its limits."""

    @pytest.fixture(name="overfull")
    def _overfull(self, open_memory: OpenMemory) -> tuple[Memory, str]:
        memories = open_memory("A"), open_memory("B")
        added = memories[0].add("text", scope="project/old", key="k")
        exchange(*memories)
        for memory, name in zip(memories, "ab", strict=True):
            memory.update(
                added,
                add_tags=[f"{name}{n}" for n in range(limits.TAGS)],
                metadata={f"{name}{n}": "x" * 100 for n in range(limits.METADATA_KEYS)},
            )
            for n in range(limits.LINKS):
                memory.link(added, f"{name}{n}", added)
        exchange(*memories)
        return memories[0], added

    def test_it_can_still_be_changed(self, overfull: tuple[Memory, str]) -> None:
        """Its text, attributes, scope and metadata can change, and it can move to another space with everything."""
        memory, added = overfull
        before = memory.get(added)
        assert [len(part) for part in (before.tags, before.metadata, before.links)] == [128, 128, 128]
        assert memory.update(added, text="new", pinned=True).text == "new"
        assert memory.rename_scope("project/old", "project/new") == 1
        assert memory.add("newer", scope="project/old", key="k") == added
        moved = memory.get(memory.move(added, space="local"))
        assert (moved.text, moved.scope) == ("newer", "project/old")
        assert (moved.tags, moved.metadata, moved.links) == (before.tags, before.metadata, before.links)

    def test_it_can_be_made_smaller(self, overfull: tuple[Memory, str]) -> None:
        """Items can be removed one at a time, down to the limits."""
        memory, added = overfull
        assert len(memory.update(added, remove_tags=["a1"], metadata={"a1": None}).tags) == 127
        memory.unlink(added, "a1", added)
        now = memory.update(added, remove_tags=["a2"], add_tags=["other"], metadata={"a2": None, "other": "short"})
        assert [len(part) for part in (now.tags, now.metadata, now.links)] == [127, 127, 127]

    @pytest.mark.parametrize(
        "more",
        [{"add_tags": ["more"]}, {"metadata": {"more": 1}}, {"metadata": {"a1": "x" * 200}}],
        ids=["tags", "keys", "bytes"],
    )
    def test_it_cannot_grow(self, overfull: tuple[Memory, str], more: Any) -> None:
        """Every part over its limit is refused."""
        memory, added = overfull
        before = memory.get(added)
        with pytest.raises(InputError, match="the maximum is"):
            memory.update(added, **more)
        with pytest.raises(InputError, match="links"):
            memory.link(added, "more", added)
        assert memory.get(added) == before


def test_a_link_that_is_there_needs_no_room(memory: Memory) -> None:
    """Adding an existing link or tag changes nothing, so it is never refused."""
    one, two = memory.add_many(["one", "two"])
    for n in range(limits.LINKS):
        memory.link(one, f"rel {n}", two)
    memory.link(one, "rel 0", two)
    assert len(memory.get(one).links) == limits.LINKS
