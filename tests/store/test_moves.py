"""A memory that two devices move to the same space."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memcrdt.testing.memories import exchange

if TYPE_CHECKING:
    from tests.store.conftest import Home


def test_two_devices_that_move_a_memory_make_one(homes: list[Home]) -> None:
    """Even before they meet: the id in the other space is the same on each."""
    here, there = (home.memory for home in homes[:2])
    for memory in (here, there):
        memory.space("team").create()
    added = here.add("Deploys go out on Tuesdays", space="team", tags=["release"])
    exchange(here, there, space="team")
    assert here.move(added, space="personal") == there.move(added, space="personal")
    exchange(here, there)
    exchange(here, there, space="team")
    (moved,) = there.list(space="personal")
    assert (moved.text, moved.tags, moved.conflicted) == ("Deploys go out on Tuesdays", ("release",), False)
    assert there.list(space="team").items == ()
