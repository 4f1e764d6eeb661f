"""Measure for how long awaitable calls stop an event loop, with 100,000 memories.

python benchmarks/heartbeat.py [--memories 100000] [--repeat 5] [--home FOLDER] [--freeze] [CALL…]

It needs memcrdt[langgraph,langchain]. Beside each figure stand two of the same run: the loop alone, and beside a thread
that computes all the time, as any Python program may have one. A home that is named is filled once and used again.

Python's garbage collector now and then looks through all objects of a program, and no thread runs meanwhile. These
runs are counted. With --freeze, the program has called gc.freeze() before, so that they leave out what it has loaded.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from corpus import questions, sentences
from figures import machine
from langgraph.store.base import PutOp
from responsive import heartbeat

import memcrdt
from memcrdt import AsyncMemory
from memcrdt.frameworks.files import FileTree
from memcrdt.frameworks.history import History
from memcrdt.frameworks.langchain import MemcrdtByteStore, MemcrdtVectorStore
from memcrdt.frameworks.langgraph import MemcrdtStore
from memcrdt.frameworks.recall import Recall
from memcrdt.frameworks.services import service_over

Call = Callable[[], Awaitable[object]]

USERS = 1_000  # namespaces
BATCH = 500  # items that are put at once
SPUN_S = 2.0


def fill(home: Path, memories: int) -> None:
    """Put items of a LangGraph store, each in the namespace of a user, until a home has this many memories."""
    with memcrdt.open(home) as memory:
        store, texts = MemcrdtStore(memory), list(sentences(memories))
        for start in range(memory.count(), memories, BATCH):
            store.batch(puts(texts[start : start + BATCH], start))


def puts(texts: list[str], first: int) -> list[PutOp]:
    """Return the operations that put some texts. One item in a thousand is red."""
    return [
        PutOp(("users", f"user {n % USERS}"), str(n), {"text": text, "n": n, "color": "blue" if n % 1_000 else "red"})
        for n, text in enumerate(texts, first)
    ]


def calls(memory: AsyncMemory, folder: Path) -> Iterator[tuple[str, Call]]:
    """Yield the calls, each with a name."""
    asked, texts, round_of = iter(questions(100_000)), list(sentences(1_000, seed=3)), iter(range(1_000_000))
    store, vectors, values = (
        MemcrdtStore(memory),
        MemcrdtVectorStore(memory, scope="agent/library"),
        MemcrdtByteStore(memory),
    )
    recall, files = Recall(service_over(memory)), FileTree(service_over(memory), root="notes")
    history = History(memory, "support-7", kind="session")

    async def all_of() -> None:
        async for _ in memory.iterate():
            pass

    async def forget_many() -> None:
        await memory.add_many(texts, scope="agent/short-lived")
        await memory.forget(scope="agent/short-lived")

    async def import_many() -> None:
        await memory.export(folder / "out.jsonl", scope="agent/library")
        await memory.import_(folder / "out.jsonl", scope=f"agent/copy {next(round_of)}")

    def several(count: int) -> Call:
        return lambda: asyncio.gather(*(memory.search(next(asked)) for _ in range(count)))

    yield "AsyncMemory.search", several(1)
    yield "AsyncMemory.search, 8 at once", several(8)
    yield "AsyncMemory.list of 1,000", lambda: memory.list(limit=1_000)
    yield "AsyncMemory.list of 1,000, 8 at once", lambda: asyncio.gather(*(memory.list(limit=1_000) for _ in range(8)))
    yield "AsyncMemory.iterate, all", all_of
    yield "AsyncMemory.tags", memory.tags
    yield "AsyncMemory.stats", memory.stats
    yield "AsyncMemory.add_many of 1,000", lambda: memory.add_many([f"{text} {next(round_of)}" for text in texts])
    yield "AsyncMemory.forget of 1,000 by filter", forget_many
    yield "AsyncMemory.export, all", lambda: memory.export(folder / "all.jsonl")
    yield "AsyncMemory.import_ of 1,000", import_many
    yield "LangGraph asearch, query", lambda: store.asearch(("users",), query=next(asked))
    yield "LangGraph asearch, filter", lambda: store.asearch(("users",), filter={"color": "red", "n": {"$gt": 500}})
    yield "LangGraph asearch, filter without matches", lambda: store.asearch(("users",), filter={"n": {"$lt": 0}})
    yield "LangGraph alist_namespaces", lambda: store.alist_namespaces(limit=10_000)
    yield "LangGraph abatch of 500 puts", lambda: store.abatch(puts(texts[:BATCH], 0))
    yield "LangChain aadd_texts of 1,000", lambda: vectors.aadd_texts(texts, ids=[str(n) for n in range(1_000)])
    yield "LangChain asimilarity_search", lambda: vectors.asimilarity_search(next(asked), k=100)
    yield "LangChain amset of 4 MiB", lambda: values.amset([("key", bytes(range(256)) * 16_384)])
    yield "Recall.aprompt", lambda: recall.aprompt(next(asked))
    yield "FileTree.awrite of 64 KiB", lambda: files.awrite(f"page {next(round_of)}", "word " * 13_000)
    yield "History.aadd of 1,000", lambda: history.aadd({"text": text} for text in texts)
    yield "History.aitems", history.aitems


async def spun() -> None:
    """Let a thread compute for a while."""

    def spin() -> None:
        end = time.perf_counter() + SPUN_S
        while time.perf_counter() < end:
            pass

    await asyncio.to_thread(spin)


class FullCollections:
    """Counts the runs of the garbage collector that look through all objects."""

    def __init__(self) -> None:
        self.took: list[float] = []
        self._began = 0.0
        gc.callbacks.append(self._note)

    def _note(self, phase: str, info: dict[str, int]) -> None:
        if info["generation"] < 2:
            return
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self.took.append(time.perf_counter() - self._began)


async def measure(home: Path, folder: Path, given: argparse.Namespace) -> None:
    """Print the longest gaps of each call, the first of which loads what it needs and is left out."""
    collections = FullCollections()
    async with memcrdt.open_async(home) as memory:
        baselines: list[tuple[str, Call]] = [
            ("the loop alone", lambda: asyncio.sleep(1)),
            ("beside a thread that computes", spun),
        ]
        for name, call in [*baselines, *calls(memory, folder)]:
            if given.calls and not any(each in name for each in given.calls):
                continue
            await call()
            if given.freeze:
                gc.freeze()
            collections.took.clear()
            started = time.perf_counter()
            gaps = [await heartbeat(call) for _ in range(given.repeat)]
            took = (time.perf_counter() - started) / given.repeat
            print(
                f"{name:45} median {statistics.median(gaps) * 1e3:6.1f} ms  max {max(gaps) * 1e3:6.1f} ms"
                f"  (call {took:.2f} s; {len(collections.took)} full collections,"
                f" at most {max(collections.took, default=0) * 1e3:.0f} ms)",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memories", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--freeze", action="store_true", help="call gc.freeze() before each measurement")
    parser.add_argument("calls", nargs="*", metavar="CALL", help="only calls whose name has this text")
    given = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        home = given.home or Path(folder) / "home"
        fill(home, given.memories)
        asyncio.run(measure(home, Path(folder), given))


if __name__ == "__main__":
    main()
