"""The state of forgetting, through Memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import memcrdt
from memcrdt.errors import InputError, NotFoundError
from memcrdt.memory.memory import Memory

PHONE = "B" * 51 + "A"


@pytest.fixture(name="memory")
def _memory(tmp_path: Path) -> Iterator[Memory]:
    with memcrdt.open(tmp_path / "home", embedder=None) as memory:
        memory.accept(PHONE, name="phone")
        yield memory


def test_each_device_has_to_confirm(memory: Memory) -> None:
    """It shows how many memories it has not confirmed, for one memory or all."""
    first, second, kept = (memory.add(text) for text in ("one", "two", "three"))
    memory.forget([first, second])
    status = memory.forget_status()
    assert (status.forgotten, status.status) == (2, "done")
    assert [(each.device, each.name, each.left, each.seen_at) for each in status.devices] == [(PHONE, "phone", 2, None)]
    one = memory.forget_status(first)
    assert (one.forgotten, one.devices[0].left) == (1, 1)
    with pytest.raises(InputError, match="is not forgotten"):
        memory.forget_status([first, kept])
    with pytest.raises(NotFoundError, match="there is no memory"):
        memory.forget_status("01J9Z6C3V7M2Q8R4T0Y5W1X3AB")


def test_a_space_that_nobody_shares_awaits_nobody(memory: Memory) -> None:
    """Without forgotten memories, every device has confirmed."""
    assert [each.left for each in memory.forget_status().devices] == [0]
    mine = memory.add("only here", space="local")
    memory.forget(mine)
    assert memory.forget_status(mine).devices == ()
