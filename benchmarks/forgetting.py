"""Measure how long it takes to forget many long memories by a filter, and how long another process waits meanwhile.

    python benchmarks/forgetting.py [--memories 400] [--runs 3]

Each run forgets them twice: with nobody else in the store, and beside a process that adds all the time. Work of the
machine affects wall times, so each line has the processor time, and the time of a fixed loop beside it.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parent))

from figures import machine

import memcrdt
from memcrdt.memory.memory import Memory
from memcrdt.store.database import Database

BYTES = 30_000  # of a text
PAUSE_S = 0.02  # between two adds of the other process
WORDS = (
    "error",
    "retry",
    "queue",
    "worker",
    "node",
    "disk",
    "sync",
    "index",
    "cache",
    "token",
    "user",
    "page",
    "search",
)


def log_of_a_program(rng: random.Random) -> str:
    """Return a text of 30 KB. Some words have a number."""
    words = (rng.choice(WORDS) + (str(rng.randrange(10**6)) if rng.random() < 0.15 else "") for _ in range(BYTES // 6))
    return " ".join(words)[:BYTES]


def fixed_loop_s() -> float:
    """Return the time that a loop takes, 0.1 s on an idle machine."""
    start = time.perf_counter()
    sum(number * number for number in range(1_500_000))
    return time.perf_counter() - start


@contextmanager
def holds() -> Iterator[list[tuple[float, float]]]:
    """Gather how long each transaction has the write lock: elapsed, and in processor time, in seconds."""
    found: list[tuple[float, float]] = []
    exclusive = Database._exclusive

    @contextmanager
    def timed(self: Database, doing: str, *, is_synced: bool = True) -> Iterator[Any]:
        with exclusive(self, doing, is_synced=is_synced) as db:
            start, used = time.perf_counter(), time.thread_time()
            yield db
        found.append((time.perf_counter() - start, time.thread_time() - used))

    with patch.object(Database, "_exclusive", timed):
        yield found


def add_all_the_time(home: Path, parent: Connection) -> None:
    """Add memories until the parent says something. Answer with the longest time of an add."""
    longest_s = 0.0
    with memcrdt.open(home) as memory:
        parent.send("ready")
        while not parent.poll(PAUSE_S):
            start = time.perf_counter()
            memory.add(f"meanwhile {start}")
            longest_s = max(longest_s, time.perf_counter() - start)
    parent.send(longest_s)


def forget(memory: Memory, count: int, seed: int, *, beside: bool) -> tuple[float, ...]:
    """Return in seconds: the wall time, the processor time, the longest hold of both kinds, and the longest wait."""
    rng, waited_s = random.Random(seed), 0.0
    memory.add_many([{"text": log_of_a_program(rng), "tags": ["bulk"]} for _ in range(count)])
    here, there = get_context("spawn").Pipe()
    other = get_context("spawn").Process(target=add_all_the_time, args=(memory.home, there), daemon=True)
    if beside:
        other.start()
        here.recv()
    with holds() as held:
        start, used = time.perf_counter(), time.process_time()
        assert memory.forget(tags=["bulk"]).count == count
        took_s, used_s = time.perf_counter() - start, time.process_time() - used
    if beside:
        here.send(None)
        waited_s = here.recv()
        other.join()
    return took_s, used_s, *map(max, zip(*held, strict=True)), waited_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memories", type=int, default=400)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    print(machine())
    for beside in (False, True):
        rows = []
        for run in range(given.runs):
            with tempfile.TemporaryDirectory() as folder, memcrdt.open(Path(folder)) as memory:
                loop_s = fixed_loop_s()
                rows.append((*forget(memory, given.memories, run, beside=beside), loop_s))
        took, used, held, held_used, waited, loop = (statistics.median(column) for column in zip(*rows, strict=True))
        print(
            f"{given.memories} of {BYTES // 1000} KB forgotten {'beside an adding process' if beside else 'alone'}:"
            f" {took:.2f} s, {used:.2f} s of processor; longest hold of the lock {held * 1e3:.0f} ms,"
            f" {held_used * 1e3:.0f} ms of processor;"
            f" longest add of the other process {waited:.2f} s; the fixed loop took {loop * 1e3:.0f} ms"
            f" (medians of {given.runs})",
            flush=True,
        )


if __name__ == "__main__":
    main()
