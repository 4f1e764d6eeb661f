"""Measure the cost of the search index when adding: with the index and without, within one run.

    python benchmarks/indexing.py [--memories 4000] [--adds 200] [--rounds 5]

"No index" means neither full text nor vectors. The rounds of the three kinds take turns, each in a store of its own, so
that other work on the machine affects all alike. The best rounds are compared, because they waited least for that work.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from corpus import sentences
from figures import machine

import memcrdt
from memcrdt.store.indexer import NoIndex

KINDS = ("no index", "full text", "full text and static vectors")


def opened(home: Path, kind: str) -> memcrdt.Memory:
    memory = memcrdt.open(home, embedder="static" if kind == KINDS[2] else None)
    if kind == KINDS[0]:
        memory.store.indexer = NoIndex()
    return memory


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return the elapsed and the processor seconds of `work`, all threads together."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def one_round(kind: str, bulk: list[str], single: list[str]) -> dict[str, tuple[float, float]]:
    """Return the elapsed and processor seconds per memory, in bulk and one by one."""
    with tempfile.TemporaryDirectory() as home, opened(Path(home), kind) as memory:
        memory.add_many(["the first memories load", "the libraries"])
        added = timed(lambda: memory.add_many(bulk, tags=["bench"]))
        one_by_one = timed(lambda: [memory.add(text, tags=["bench"]) for text in single])
    return {
        "in bulk": (added[0] / len(bulk), added[1] / len(bulk)),
        "one by one": (one_by_one[0] / len(single), one_by_one[1] / len(single)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--memories", type=int, default=4_000, help="memories to add in one call")
    parser.add_argument(
        "--adds", type=int, default=200, help="memories to add one by one, each durable before the next"
    )
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    print(machine())
    texts = list(sentences(asked.memories + asked.adds))
    taken = defaultdict(list)
    for _ in range(asked.rounds):
        for kind in KINDS:
            for way, seconds in one_round(kind, texts[: asked.memories], texts[asked.memories :]).items():
                taken[way, kind].append(seconds)
    for way in ("in bulk", "one by one"):
        base = [min(column) for column in zip(*taken[way, KINDS[0]], strict=True)]
        for kind in KINDS:
            wall, cpu = (min(column) for column in zip(*taken[way, kind], strict=True))
            print(
                f"{way:<12}{kind:<30}{wall * 1e6:>7.0f} us ({wall / base[0]:.2f} times)"
                f"{cpu * 1e6:>8.0f} us of the processor ({cpu / base[1]:.2f} times)"
            )


if __name__ == "__main__":
    main()
