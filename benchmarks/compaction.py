"""Measure how much a store grows by changes, and how much compaction shrinks it.

    python benchmarks/compaction.py [--changes 100000]

It makes the same number of changes to 1,000 memories, once of attributes and tags and once of texts. Then it compacts
the store and compares it with a fresh one of the same contents. A thread of the process reads all the time, and
another process reads during compaction.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from corpus import sentences
from figures import machine

import memcrdt
from memcrdt.model import limits
from memcrdt.model.requests import UpdateRequest, check_update
from memcrdt.store import changes
from memcrdt.store.store import in_file
from memcrdt.store.transaction import Transaction

MEMORIES = 1_000
TOGETHER = 500  # changes in one commit
PAUSE_S = 0.001  # between two reads of the thread

Change = Callable[[Transaction, str, int], None]


def attributes(transaction: Transaction, memory_id: str, turn: int) -> None:
    """Overwrite the importance, or add or remove a tag."""
    given = (
        {"importance": turn % 97 / 97},
        {"add_tags": ["t1"]},
        {"importance": turn % 89 / 89},
        {"remove_tags": ["t1"]},
    )[turn // MEMORIES % 4]
    changes.update(UpdateRequest(memory_id, check_update(given, transaction.stamp.at)), transaction)


def texts(transaction: Transaction, memory_id: str, turn: int) -> None:
    edit = check_update({"text": f"{memory_id}, version {turn}"}, transaction.stamp.at)
    changes.update(UpdateRequest(memory_id, edit), transaction)


def changed(memory: memcrdt.Memory, ids: list[str], change: Change, count: int) -> None:
    for start in range(0, count, TOGETHER):
        turns = range(start, min(start + TOGETHER, count))

        def plan(transaction: Transaction, turns: range = turns) -> None:
            for turn in turns:
                change(transaction, ids[turn % MEMORIES], turn)

        memory.store.commit(plan)


def read(home: str, started: Event, stopped: Event, longest_s: Connection) -> None:
    """List in another process without a pause, and send the longest time of one list."""
    longest = 0.0
    with memcrdt.open(home, embedder=None) as memory:
        memory.list(limit=10)
        started.set()
        while not stopped.is_set():
            begun = time.perf_counter()
            memory.list(limit=10)
            longest = max(longest, time.perf_counter() - begun)
    longest_s.send(longest)


@contextmanager
def reader(home: Path) -> Iterator[Connection]:
    """Let another process read. After the block, the pipe has the longest time of one read."""
    context = get_context("spawn")
    started, stopped, (ours, theirs) = context.Event(), context.Event(), context.Pipe()
    process = context.Process(target=read, args=(str(home), started, stopped, theirs))
    process.start()
    started.wait()
    yield ours
    stopped.set()
    process.join()


@contextmanager
def thread(memory: memcrdt.Memory) -> Iterator[list[float]]:
    """Let a thread of this process read, and yield the seconds of each read.

    Each time is the smaller of wall clock and this process's CPU time. So work of other programs does not count, but
    work of other threads of this process does, while pycrdt blocks them.
    """
    stopped, waits = threading.Event(), [0.0]

    def reading() -> None:
        while not stopped.wait(PAUSE_S):
            wall, cpu = time.perf_counter(), time.process_time()
            memory.list(limit=10)
            waits.append(min(time.perf_counter() - wall, time.process_time() - cpu))

    running = threading.Thread(target=reading)
    running.start()
    yield waits
    stopped.set()
    running.join()


def measure(root: Path, name: str, change: Change, count: int) -> None:
    with memcrdt.open(root / name, embedder=None) as memory:
        ids = memory.add_many(list(sentences(MEMORIES)), tags=["t0"])
        begun = time.perf_counter()
        with thread(memory) as while_changing:
            changed(memory, ids, change, count)
        spent = time.perf_counter() - begun
        grown = in_file(memory.store).path.stat().st_size
        with reader(root / name) as longest_s, thread(memory) as while_folding:
            begun = time.perf_counter()
            memory.compact()
            folding = time.perf_counter() - begun
        with memory.store.reading() as db:
            kept = int(db.execute("SELECT count(*) FROM revisions").get)
    retained = min(count // MEMORIES, limits.REVISIONS - 1) if change is texts else 0
    with memcrdt.open(root / f"{name} fresh", embedder=None) as fresh:
        ids = fresh.add_many(list(sentences(MEMORIES)), tags=["t0"])
        changed(fresh, ids, change, (retained or 4) * MEMORIES)
        fresh.compact()
    # The stores are closed: while a reader is open, freed space stays in the file.
    size, least = ((root / each / "memories.db").stat().st_size for each in (name, f"{name} fresh"))
    pruned = count - retained * MEMORIES if change is texts else 0
    allowed = 1.6 * least + 100 * pruned
    print(f"{name}: {count:,} changes in {spent:.0f} s, {kept:,} revisions kept")
    print(
        f"  grown {grown / 1e6:.2f} MB, compacted in {folding:.2f} s to {size / 1e6:.2f} MB; fresh {least / 1e6:.2f} MB"
    )
    print(f"  {size / allowed:.2f} of the allowed size")
    waits = {
        "in a thread, during the changes": max(while_changing),
        "in a thread, during compaction": max(while_folding),
        "in another process, during compaction": longest_s.recv(),
    }
    for where, longest in waits.items():
        print(f"  the longest read {where}: {longest * 1e3:.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=100_000)
    asked = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        for name, change in (("attributes and tags", attributes), ("texts", texts)):
            measure(Path(folder), name, change, asked.changes)


if __name__ == "__main__":
    main()
