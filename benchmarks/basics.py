"""Measure everyday use: adding, searching, and the time until another machine has a memory.

    python benchmarks/basics.py [--memories 10000] [--adds 200]

The other machine is another process with its own home, reached over loopback.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from corpus import questions, sentences
from figures import machine, p50_p95

import memcrdt
from memcrdt.store.membership.peers import Peers

LOOPBACK = "127.0.0.1"


def adding(memory: memcrdt.Memory, texts: list[str], adds: int) -> None:
    """Add some texts one by one, each durable before the next, then the rest in one call."""
    memory.add("the first one loads the embedder")
    taken = []
    for text in texts[:adds]:
        begun = time.perf_counter()
        memory.add(text, scope="project/bench", tags=["bench"])
        taken.append(time.perf_counter() - begun)
    print(f"durable add, p50 / p95          {p50_p95(taken)}  ({1 / (sum(taken) / adds):,.0f} a second)")
    begun = time.perf_counter()
    memory.add_many(texts[adds:], scope="project/bench", tags=["bench"])
    spent = time.perf_counter() - begun
    print(f"bulk add of {len(texts) - adds:,}            {(len(texts) - adds) / spent:,.0f} a second")


def searching(memory: memcrdt.Memory, count: int) -> None:
    memory.search("the first search reads the vectors")
    taken = []
    for question in questions(count):
        begun = time.perf_counter()
        found = memory.search(question, limit=10)
        taken.append(time.perf_counter() - begun)
        assert len(found) == 10
    print(f"search, p50 / p95               {p50_p95(taken)}")


def other_machine(home: str, pipe: Connection) -> None:
    """Run the other process: pair, serve, and report when it finds each text that it receives."""
    with memcrdt.open(home, embedder="static") as memory:
        pipe.send(memory.store.device)
        Peers(memory.store).accept(pipe.recv())
        asyncio.run(_serve(memory, pipe))


async def _serve(memory: memcrdt.Memory, pipe: Connection) -> None:
    async with memcrdt.Node(memory, host=LOOPBACK, port=0) as node:
        pipe.send(node.port)
        while (asked := await asyncio.to_thread(pipe.recv)) is not None:
            kind, wanted = asked
            hit = _count if kind == "count" else _hit
            while not hit(memory, wanted):  # noqa: ASYNC110 - the time until a search finds it is measured
                await asyncio.sleep(0.0005)
            pipe.send(time.monotonic())


def _count(memory: memcrdt.Memory, wanted: int) -> bool:
    with memory.store.reading() as db:
        return bool(db.execute("SELECT count(*) >= ? FROM memories", (wanted,)).get)


def _hit(memory: memcrdt.Memory, wanted: str) -> bool:
    found = memory.search(wanted, limit=1)
    return bool(found) and found[0].memory.text == wanted


async def syncing(memory: memcrdt.Memory, home: str, adds: int) -> None:
    """Send everything to an empty machine, then single memories as they are added."""
    context = get_context("spawn")
    pipe, theirs = context.Pipe()
    process = context.Process(target=other_machine, args=(home, theirs), daemon=True)
    process.start()
    device = await asyncio.to_thread(pipe.recv)
    Peers(memory.store).accept(device)
    pipe.send(memory.store.device)
    port = await asyncio.to_thread(pipe.recv)
    held = memory.status().spaces[0].memories
    async with memcrdt.Node(memory, host=LOOPBACK, port=0) as node:
        pipe.send(("count", held))
        begun = time.monotonic()
        await node.connect(f"{LOOPBACK}:{port}")
        done = await asyncio.to_thread(pipe.recv)
        print(f"{held:,} memories to an empty machine   {done - begun:.2f} s, durable and searchable there")
        taken = []
        for number in range(adds):
            text = f"Probe {number}: the lamp in room {number * 7} was replaced by the caretaker"
            pipe.send(("hit", text))
            await asyncio.sleep(0.01)  # the other side has begun to search
            begun = time.monotonic()
            await asyncio.to_thread(memory.add, text)
            taken.append(await asyncio.to_thread(pipe.recv) - begun)
        print(f"add here to hit there, p50 / p95  {p50_p95(taken)}")
        pipe.send(None)
        await asyncio.to_thread(process.join, 20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memories", type=int, default=10_000)
    parser.add_argument("--adds", type=int, default=200)
    asked = parser.parse_args()
    print(machine())
    texts = list(sentences(asked.memories))
    with tempfile.TemporaryDirectory() as folder, memcrdt.open(Path(folder) / "here", embedder="static") as memory:
        adding(memory, texts, asked.adds)
        searching(memory, asked.adds)
        asyncio.run(syncing(memory, str(Path(folder) / "there"), asked.adds))


if __name__ == "__main__":
    main()
