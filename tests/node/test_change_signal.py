"""Noticing that a store has changed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import memcrdt
from memcrdt.memory.memory import Memory
from memcrdt.node.change_signal import StoreChangeSignal
from memcrdt.store.membership.peers import Peers

_ADD = "import sys, memcrdt\nwith memcrdt.open(sys.argv[1], embedder=None) as memory: memory.add('elsewhere')"


@pytest.fixture(name="memory")
def _memory(tmp_path: Path) -> Iterator[Memory]:
    with memcrdt.open(tmp_path, embedder=None) as memory:
        yield memory


async def test_it_rings_for_a_commit_of_this_process(memory: Memory) -> None:
    """Made in another thread, while the loop waits."""
    async with StoreChangeSignal(memory.store) as change_signal:
        ringing = asyncio.create_task(change_signal.changed())
        await asyncio.to_thread(memory.add, "here")
        async with asyncio.timeout(10):
            await ringing


async def test_it_rings_for_a_commit_of_another_process(memory: Memory) -> None:
    """Nobody tells us: the file does."""
    async with StoreChangeSignal(memory.store) as change_signal:
        ringing = asyncio.create_task(change_signal.changed())
        command = [sys.executable, "-c", _ADD, str(memory.home)]
        await asyncio.to_thread(subprocess.run, command, check=True)
        async with asyncio.timeout(10):
            await ringing


async def test_it_rings_for_a_change_of_the_peers(memory: Memory) -> None:
    """Which is no commit of memories, so that no subscriber hears of it."""
    async with StoreChangeSignal(memory.store) as change_signal:
        ringing = asyncio.create_task(change_signal.changed())
        await asyncio.to_thread(Peers(memory.store).accept, "B" * 52)
        async with asyncio.timeout(10):
            await ringing


async def test_it_rings_for_what_came_between_two_calls_and_only_once(memory: Memory) -> None:
    """Two commits before the call are one ring, and then it is silent until the next."""
    async with StoreChangeSignal(memory.store) as change_signal:
        memory.add("one")
        memory.add("two")
        async with asyncio.timeout(10):
            await change_signal.changed()
        ringing = asyncio.create_task(change_signal.changed())
        for _ in range(5):
            await asyncio.sleep(0)
        assert not ringing.done()
        memory.add("three")
        async with asyncio.timeout(10):
            await ringing


async def test_it_keeps_no_read_transaction_open(memory: Memory) -> None:
    """Else nothing that was forgotten could be scrubbed while the network runs."""
    added = memory.add("to be forgotten")
    async with StoreChangeSignal(memory.store):
        assert memory.forget(added).status == "done"
