"""Memories of devices that are paired."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import memcrdt
from memcrdt.memory.memory import Memory


@pytest.fixture(name="make_memory")
def _make_memory(tmp_path: Path) -> Iterator[Callable[[str], Memory]]:
    memories: list[Memory] = []

    def make(name: str) -> Memory:
        memories.append(memcrdt.open(tmp_path / name, embedder=None, device_name=name))
        return memories[-1]

    yield make
    for memory in memories:
        memory.close()


@pytest.fixture(name="two")
def _two(make_memory: Callable[[str], Memory]) -> tuple[Memory, Memory]:
    """Return a laptop that shows a code, and a desktop on which it is typed."""
    return make_memory("laptop"), make_memory("desktop")
