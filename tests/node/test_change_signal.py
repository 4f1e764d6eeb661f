"""The signal that a store has changed."""

from __future__ import annotations

import asyncio
import socket
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


async def test_a_commit_of_this_process_is_signaled(memory: Memory) -> None:
    """A commit in another thread, while the event loop waits."""
    async with StoreChangeSignal(memory.store) as change_signal:
        signaled = asyncio.create_task(change_signal.changed())
        await asyncio.to_thread(memory.add, "here")
        async with asyncio.timeout(10):
            await signaled


async def test_a_commit_of_another_process_is_signaled(memory: Memory) -> None:
    """Without a datagram, by the version number of the file."""
    async with StoreChangeSignal(memory.store) as change_signal:
        signaled = asyncio.create_task(change_signal.changed())
        command = [sys.executable, "-c", _ADD, str(memory.home)]
        await asyncio.to_thread(subprocess.run, command, check=True)
        async with asyncio.timeout(10):
            await signaled


async def test_a_change_of_the_peers_is_signaled(memory: Memory) -> None:
    """It is not a commit of memories, so subscribers of the store do not see it."""
    async with StoreChangeSignal(memory.store) as change_signal:
        signaled = asyncio.create_task(change_signal.changed())
        await asyncio.to_thread(Peers(memory.store).accept, "B" * 52)
        async with asyncio.timeout(10):
            await signaled


async def test_changes_between_two_calls_are_signaled_once(memory: Memory) -> None:
    """Two commits before the call give one signal, and the next call waits."""
    async with StoreChangeSignal(memory.store) as change_signal:
        memory.add("one")
        memory.add("two")
        async with asyncio.timeout(10):
            await change_signal.changed()
        signaled = asyncio.create_task(change_signal.changed())
        for _ in range(5):
            await asyncio.sleep(0)
        assert not signaled.done()
        memory.add("three")
        async with asyncio.timeout(10):
            await signaled


async def test_it_keeps_no_read_transaction_open(memory: Memory) -> None:
    """Otherwise forgotten text could not be scrubbed while the network runs."""
    added = memory.add("to be forgotten")
    async with StoreChangeSignal(memory.store):
        assert memory.forget(added).status == "done"


async def test_signals_need_no_loopback_address(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine may have only IPv6, or no loopback address at all. Polling detects the changes then."""
    monkeypatch.setattr("memcrdt.node.change_signal._LOOPBACK", {socket.AF_INET: "192.0.2.1"})
    async with StoreChangeSignal(memory.store) as change_signal:
        assert change_signal.port is None
        signaled = asyncio.create_task(change_signal.changed())
        await asyncio.to_thread(memory.add, "here")
        async with asyncio.timeout(10):
            await signaled
