"""The tools of memcrdt.testing for tests of agents."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from memcrdt import testing
from memcrdt.errors import InputError, NotFoundError

ROOT = Path(__file__).parents[2]


def test_the_example_of_the_documentation() -> None:
    """It runs as printed there."""
    page = (ROOT / "docs/guides/testing.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, object] = {}
    exec(code, names)
    tests = [value for name, value in names.items() if name.startswith("test_")]
    assert len(tests) == 3
    for test in tests:
        test()


@pytest.mark.parametrize("wrong", ["x", 5, object()])
def test_wrong_types_are_named(wrong: Any) -> None:
    """By the class of the argument."""
    named = type(wrong).__name__
    with pytest.raises(InputError, match=f"clock is an? {named}"):
        testing.temporary(clock=wrong)
    with pytest.raises(InputError, match=f"given an? {named}"):
        testing.exchange(wrong, wrong)


def test_a_clock_is_set_and_advanced() -> None:
    """Each reading advances it by a millisecond."""
    clock = testing.Clock("2030-01-01T00:00:00Z")
    assert clock() + 1 == clock()
    clock.set(datetime(2031, 1, 1, tzinfo=UTC))
    clock.advance(days=1, hours=1)
    assert clock.time() == datetime(2031, 1, 2, 1, tzinfo=UTC)
    assert clock.time(minutes=5) - clock.time() == timedelta(minutes=5)
    with pytest.raises(InputError, match="clock"):
        testing.Clock("yesterday")


def test_the_clock_is_that_of_the_memory() -> None:
    """It sets the times of writes and the expiry. Without a clock, the memory uses the system clock."""
    clock = testing.Clock("2030-01-01T00:00:00Z")
    with testing.temporary(clock=clock, device_name="laptop") as memory:
        added = memory.add("for an hour", expires_at=clock.time(hours=1))
        assert memory.get(added).created_at.year == 2030
        clock.advance(hours=2)
        assert list(memory.list()) == []
        assert memory.config.device_name == "laptop"
    with testing.temporary() as memory:
        assert abs(memory.get(memory.add("now")).created_at - datetime.now(UTC)) < timedelta(minutes=5)


async def test_it_is_awaitable() -> None:
    """`async with` returns an AsyncMemory, which exchange() accepts too."""
    async with testing.temporary() as memory:
        await memory.add("from a task")
        with testing.temporary() as other:
            testing.exchange(memory, other)
            assert [record.text for record in other.list()] == ["from a task"]


def test_an_embedder_is_used_if_one_is_given() -> None:
    """Any kind that open() accepts. Without an embedder there are no vectors."""
    with testing.temporary() as memory:
        assert memory.status().search.model is None
    with testing.temporary(embedder=lambda texts: [[float(len(text)), 1.0] for text in texts]) as memory:
        memory.add("a fact")
        assert memory.status().search.model is not None


def test_memories_written_apart_are_merged() -> None:
    """In every space that all of them have, in any order."""
    with testing.temporary() as a, testing.temporary() as b, testing.temporary() as c:
        for memory in (a, b, c):
            memory.space("club").create()
        shared = a.add("the first text")
        testing.exchange(a, b, c)
        a.update(shared, text="said by a")
        b.update(shared, text="said by b")
        c.add("in the club", space="club")
        testing.exchange(c, b, a)
        assert {revision.text for revision in c.conflicts(shared)} == {"said by a", "said by b"}
        assert list(a.list(space="club")) == []
        testing.exchange(a, c, space="club")
        assert [record.text for record in a.list(space="club")] == ["in the club"]
        with pytest.raises(NotFoundError, match="nowhere"):
            testing.exchange(a, b, space="nowhere")
