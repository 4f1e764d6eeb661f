"""Values under keys, for frameworks that keep bytes."""

from __future__ import annotations

import pytest

from memcrdt.errors import InputError, NotFoundError
from memcrdt.frameworks.values import Values
from memcrdt.memory.memory import Memory
from memcrdt.testing import exchange
from tests.conftest import OpenMemory


def test_values_come_back_as_they_were_put(memory: Memory) -> None:
    """Of any form and length, under any key."""
    values = Values(memory, scope="agent/settings")
    given = {"text": b"hello", "bytes": b"\xff\x00", "empty": b"", "long": b"\xfe" * 200_000}
    values.put(given)
    assert values.get(["text", "bytes", "empty", "long", "none"]) == [
        b"hello",
        b"\xff\x00",
        b"",
        b"\xfe" * 200_000,
        None,
    ]
    assert sorted(values.keys()) == ["bytes", "empty", "long", "text"]
    assert list(values.keys("te")) == ["text"]
    values.delete(["long", "none"])
    assert values.get(["long"]) == [None]
    values.clear()
    assert memory.count() == 0


async def test_each_method_has_an_awaitable_twin(memory: Memory) -> None:
    """It runs in a thread."""
    values = Values(memory, scope="agent/settings", space="local")
    await values.aput({"k": b"v"})
    assert await values.aget(["k"]) == [b"v"]
    await values.adelete(["k"])
    await values.aclear()
    assert await values.aget(["k"]) == [None]


def test_a_value_is_there_when_all_of_it_has_arrived(open_memory: OpenMemory) -> None:
    """On two machines one value wins as a whole."""
    memories = [open_memory(device) for device in "AB"]
    ours, theirs = (Values(memory, scope="agent/settings") for memory in memories)
    ours.put({"k": b"\xff" * 150_000})
    theirs.put({"k": b"\xfe" * 150_000})
    exchange(*memories)
    assert ours.get(["k"]) == theirs.get(["k"])
    assert ours.get(["k"])[0] in (b"\xff" * 150_000, b"\xfe" * 150_000)


def test_a_wrong_place_or_ttl_is_refused(memory: Memory) -> None:
    """At once, and not with the first value."""
    with pytest.raises(InputError):
        Values(memory, scope="nowhere")
    with pytest.raises(NotFoundError):
        Values(memory, scope="global", space="unknown")
    with pytest.raises(InputError):
        Values(memory, scope="global", ttl=0)
