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
from memcrdt.memory.offline import home_of
from memcrdt.model.device_ids import device_id
from memcrdt.node.change_signal import StoreChangeSignal
from memcrdt.node.lock import ServeLock
from memcrdt.store.membership.peers import Peers

DEVICE = device_id(bytes(32))
_NEVER_S = 3_600.0
_ACCEPT = "import sys, memcrdt\nwith memcrdt.open(sys.argv[1], embedder=None) as memory: memory.accept('%s')"
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
    monkeypatch.setattr("memcrdt.node.change_signal.LOOPBACK", {socket.AF_INET: "192.0.2.1"})
    async with StoreChangeSignal(memory.store) as change_signal:
        assert change_signal.port is None
        signaled = asyncio.create_task(change_signal.changed())
        await asyncio.to_thread(memory.add, "here")
        async with asyncio.timeout(10):
            await signaled


async def _run(command: str, memory: Memory) -> None:
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", command, str(memory.home)], check=True)


async def test_a_change_of_the_peers_by_another_process_sends_a_datagram(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without polling: an idle process looks seldom, and a revocation has to take effect at once."""
    monkeypatch.setattr("memcrdt.node.change_signal.SIGNALED_POLL_S", _NEVER_S)
    lock = ServeLock(home_of(memory))
    try:
        async with StoreChangeSignal(memory.store, is_noted=True) as change_signal:
            lock.write(None, signal_port=change_signal.port)
            signaled = asyncio.create_task(change_signal.changed())
            await _run(_ACCEPT % DEVICE, memory)
            async with asyncio.timeout(10):
                await signaled
    finally:
        lock.release()


async def test_writes_of_this_process_are_signaled_without_polling(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also writes that are no commits of memories."""
    monkeypatch.setattr("memcrdt.node.change_signal.SIGNALED_POLL_S", _NEVER_S)
    async with StoreChangeSignal(memory.store, is_noted=True) as change_signal:
        signaled = asyncio.create_task(change_signal.changed())
        await asyncio.to_thread(Peers(memory.store).accept, DEVICE)
        async with asyncio.timeout(10):
            await signaled


async def test_a_port_that_is_not_noted_gets_no_datagrams_and_is_not_waited_for(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listener for Yjs clients has no note of its own, so it looks often."""
    monkeypatch.setattr("memcrdt.node.change_signal.SIGNALED_POLL_S", _NEVER_S)
    async with StoreChangeSignal(memory.store) as change_signal:
        signaled = asyncio.create_task(change_signal.changed())
        await _run(_ADD, memory)
        async with asyncio.timeout(10):
            await signaled


def test_every_write_is_told_once(memory: Memory) -> None:
    """A commit of memories to the subscribers of commits, any other write to those of writes, none to former ones."""
    told: list[str] = []
    memory.store.subscribe(lambda _: told.append("commit"))
    end = memory.store.on_write(lambda: told.append("write"))
    memory.add("a")
    assert told == ["commit"]
    memory.store.commit(lambda _: None)
    assert told == ["commit", "write"]
    Peers(memory.store).accept(DEVICE)
    assert {*told[2:]} == {"write"}
    count = len(told)
    end()
    memory.store.commit(lambda _: None)
    assert len(told) == count
