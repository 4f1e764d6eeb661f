"""Measure the delay of the change feed, and for how long AsyncMemory stops the event loop.

python benchmarks/responsive.py
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from corpus import sentences
from figures import machine, p50_p95

import memcrdt
from memcrdt.model.requests import UpdateRequest, check_update
from memcrdt.store import changes
from memcrdt.store.transaction import Transaction

CHANGES = 200
PAUSE_S = 0.03  # between two changes, so that each has to be detected separately
TICK_S = 0.001
MEMORIES = 1_000  # in four shards
TEXTS = 64  # of each memory, in the shards with full retained history: 16,000 registers and 5 MB each

_WRITER = """
import sys, time, memcrdt
with memcrdt.open(sys.argv[1], embedder=None) as memory:
    for n in range(int(sys.argv[2])):
        time.sleep(float(sys.argv[3]))
        print(memory.add(f"fact {n}"), time.time_ns(), flush=True)
"""


def feed(home: Path) -> tuple[list[float], list[float]]:
    """Return the seconds from the end of an add to the subscriber, for this and for another process."""
    with memcrdt.open(home, embedder=None) as memory, memory.changes() as changes:
        own = []
        for n in range(CHANGES):
            memory.add(f"own {n}")
            start = time.perf_counter()
            changes.get()
            own.append(time.perf_counter() - start)
        command = [sys.executable, "-c", _WRITER, str(home), str(CHANGES), str(PAUSE_S)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            heard = {}
            for _ in range(CHANGES):
                change = changes.get()
                assert change is not None
                heard[change.id] = time.time_ns()
            assert writer.stdout is not None
            lines = [line.split() for line in writer.stdout]
        return own, [max(0, heard[memory_id] - int(at)) / 1e9 for memory_id, at in lines]


async def heartbeat(work: Callable[[], Awaitable[object]]) -> float:
    """Return the longest time, in seconds, for which the loop did not run during `work`.

    Each time is the smaller of wall clock and this process's CPU time, so work of other programs does not count.
    """
    longest, done = 0.0, False

    async def beat() -> None:
        nonlocal longest
        wall, cpu = time.perf_counter(), time.process_time()
        while not done:
            await asyncio.sleep(TICK_S)
            passed = min(time.perf_counter() - wall - TICK_S, time.process_time() - cpu)
            longest, wall, cpu = max(longest, passed), time.perf_counter(), time.process_time()

    beating = asyncio.create_task(beat())
    await asyncio.sleep(0.05)
    await work()
    done = True
    await beating
    return longest


async def blocking(home: Path) -> dict[str, float]:
    """Return the longest gap of each kind of call. The first use loads libraries and is measured separately."""
    texts = list(sentences(2 * MEMORIES))
    found: dict[str, float] = {}
    async with memcrdt.open_async(home) as memory:
        found["nothing"] = await heartbeat(lambda: asyncio.sleep(1))
        found["the first add"] = await heartbeat(lambda: memory.add("the first"))
        found["the first search"] = await heartbeat(lambda: memory.search("a question about deploys"))
        found["the first status"] = await heartbeat(memory.status)
        await memory.add_many(texts[MEMORIES:])
        found[f"add_many of {MEMORIES}"] = await heartbeat(lambda: memory.add_many(texts[:MEMORIES]))
        ids = [record.id for record in await memory.list(limit=100)]

        async def each(call: Callable[[str], Awaitable[object]]) -> None:
            for memory_id in ids:
                await call(memory_id)

        found["add"] = await heartbeat(lambda: each(lambda i: memory.add(f"as for {i}")))
        found["update"] = await heartbeat(lambda: each(lambda i: memory.update(i, add_tags=["t"])))
        found["get"] = await heartbeat(lambda: each(memory.get))
        found["search"] = await heartbeat(lambda: each(lambda i: memory.search("a question about deploys")))
        found["status"] = await heartbeat(memory.status)
        found["compact"] = await heartbeat(memory.compact)
        found["forget"] = await heartbeat(lambda: each(memory.forget))
    async with memcrdt.open_async(home) as memory:
        found["the first write to a shard"] = await heartbeat(lambda: memory.add("after opening"))
    return found


def _with_history(home: Path) -> str:
    """Fill shards with memories that have the maximum number of kept texts. Return the id of one."""
    texts = list(sentences(MEMORIES))
    with memcrdt.open(home, embedder=None) as memory:
        ids = memory.add_many(texts)
        for turn in range(TEXTS - 1):

            def plan(transaction: Transaction, turn: int = turn) -> None:
                for place, memory_id in enumerate(ids):
                    edit = check_update({"text": texts[(place + turn) % MEMORIES]}, transaction.stamp.at)
                    changes.update(UpdateRequest(memory_id, edit), transaction)

            memory.store.commit(plan)
    return ids[0]


async def blocking_with_history(home: Path) -> dict[str, float]:
    """Return the longest gap of each kind of call on shards of 5 MB."""
    memory_id = await asyncio.to_thread(_with_history, home)
    found: dict[str, float] = {}
    async with memcrdt.open_async(home, embedder=None) as memory:
        found["loading"] = await heartbeat(lambda: memory.update(memory_id, text="and then"))
        found["update"] = await heartbeat(lambda: memory.update(memory_id, text="and again"))
        found["digest"] = await heartbeat(memory.space("personal").digest)
        found["folding"] = await heartbeat(memory.compact)
        found["closing"] = await heartbeat(memory.close)
    return found


def main() -> None:
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        own, others = feed(Path(folder) / "feed")
        print(f"change to subscriber, this process: {p50_p95(own)}")
        print(f"change to subscriber, other process: {p50_p95(others)}, at most {max(others) * 1e3:.1f} ms")
        for name, longest in asyncio.run(blocking(Path(folder) / "async")).items():
            print(f"longest gap of the event loop, {name}: {longest * 1e3:.1f} ms")
        for name, longest in asyncio.run(blocking_with_history(Path(folder) / "history")).items():
            print(
                f"longest gap of the event loop, {TEXTS} texts of {MEMORIES} memories, {name}: {longest * 1e3:.1f} ms"
            )


if __name__ == "__main__":
    main()
