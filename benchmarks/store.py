"""Measure the store under load and by size: adding alone and beside others, opening, loading, folding, bytes, memory.

python benchmarks/store.py [--sizes 1000 10000 100000] [--adds 300]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from functools import partial
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from corpus import sentences
from figures import machine, p50_p95

import memcrdt
from memcrdt.model import limits
from memcrdt.node.store_replica import StoreReplica
from memcrdt.store import compaction, log
from memcrdt.store.store import in_file

BATCH = 10_000
OPENINGS = 15
RIVALS = 4

# Runs in its own process: the time of opening beyond the imports, and the memory that an open store takes.
OPENING = """
import sys, time
import memcrdt, memcrdt._open, memcrdt.memory.memory, memcrdt.node.node
import memcrdt.search.index.index, memcrdt.search.embedders.static
import memcrdt.net.identity, apsw, numpy
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 if sys.platform == "linux" else 0
before = resident()
begun = time.perf_counter()
memory = memcrdt.open(sys.argv[1], embedder="static")
print(time.perf_counter() - begun, resident() - before)
memory.close()
"""


def timed_adds(memory: memcrdt.Memory, texts: list[str]) -> list[float]:
    taken = []
    for text in texts:
        begun = time.perf_counter()
        memory.add(text, tags=["bench"])
        taken.append(time.perf_counter() - begun)
    return taken


def rival(home: str, number: int, texts: list[str]) -> None:
    """Add as fast as possible, in another process."""
    with memcrdt.open(home, embedder="static") as memory:
        timed_adds(memory, [f"{number}: {text}" for text in texts])


def adding(root: Path, adds: int) -> None:
    texts = list(sentences(2 * adds))
    with memcrdt.open(root / "adding", embedder="static") as memory:
        memory.add("the first one loads the embedder")
        print(f"durable add alone, p50 / p95            {p50_p95(timed_adds(memory, texts[:adds]))}")
        work = partial(rival, str(root / "adding"), texts=texts)
        rivals = [get_context("spawn").Process(target=work, args=(number,)) for number in range(RIVALS)]
        for each in rivals:
            each.start()
        while memory.stats().memories < adds + 1 + RIVALS * 5:
            time.sleep(0.01)
        taken = timed_adds(memory, texts[adds:])
        busy = sum(each.is_alive() for each in rivals)
        print(f"durable add with {busy} others busy, p50 / p95  {p50_p95(taken)}")
        for each in rivals:
            each.join()


def sized(root: Path, size: int) -> None:
    home = root / str(size)
    texts = list(sentences(size))
    with memcrdt.open(home, embedder="static") as memory:
        begun = time.perf_counter()
        for start in range(0, size, BATCH):
            memory.add_many(texts[start : start + BATCH], tags=["bench"])
        spent = time.perf_counter() - begun
    length = (home / "memories.db").stat().st_size
    print(f"\n{size:,} memories\n  added in batches of {BATCH:,}            {size / spent:,.0f} a second")
    print(f"  file                                 {length / 1e6:.1f} MB, {length / size:,.0f} bytes a memory")
    opening(home)
    loading(home)


def opening(home: Path) -> None:
    found = [
        subprocess.run(
            [sys.executable, "-c", OPENING, str(home)], capture_output=True, text=True, check=True
        ).stdout.split()
        for _ in range(OPENINGS)
    ]
    print(f"  open beyond imports, p50 / p95       {p50_p95([float(taken) for taken, _ in found])}")
    print(f"  memory of an open store              {int(found[-1][1]) / 1e6:.1f} MB")


def loading(home: Path) -> None:
    """Measure loading the document of one full shard, and folding everything."""
    with memcrdt.open(home, embedder="static") as memory:
        begun = time.perf_counter()
        with memory.store.documents() as (db, documents):
            documents.current(db, log.shard_row(db, 1))
        print(f"  first shard loaded                   {(time.perf_counter() - begun) * 1e3:.1f} ms")
        begun = time.perf_counter()
        compaction.compact(in_file(memory.store))
        print(f"  everything folded                    {time.perf_counter() - begun:.2f} s")


def applying(root: Path, shards: int = 16) -> None:
    """Measure applying full shards from a peer, one update each."""
    with (
        memcrdt.open(root / "theirs", embedder="static") as theirs,
        memcrdt.open(root / "ours", embedder="static") as ours,
    ):
        theirs.add_many(list(sentences(limits.SHARD_BIRTHS * shards)), tags=["bench"])
        ours.add("the first one loads the embedder", space="local")
        source, target = StoreReplica(theirs.store), StoreReplica(ours.store)
        from_space, to_space = theirs.space("personal").id(), ours.space("personal").id()
        taken = []
        for shard in range(shards):
            update = source.diff(from_space, shard, {}).update
            begun = time.perf_counter()
            assert target.apply(to_space, shard, update, theirs.store.device).status == "applied"
            taken.append(time.perf_counter() - begun)
        print(f"a full shard applied, p50 / p95         {p50_p95(taken)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[1_000, 10_000, 100_000])
    parser.add_argument("--adds", type=int, default=300)
    asked = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        adding(Path(folder), asked.adds)
        applying(Path(folder))
        for size in asked.sizes:
            sized(Path(folder), size)


if __name__ == "__main__":
    main()
