"""How long a store gets by being changed, and what compaction makes of it.

    python benchmarks/compaction.py [--changes 100000]

The same number of changes is made to 1,000 memories, once of attributes and tags and once of texts; then the store is
compacted, while another process reads, and compared with a fresh one that holds the same.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
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
from memcrdt.model.requests import Changes, check_update
from memcrdt.store import changes
from memcrdt.store.transaction import Transaction

MEMORIES = 1_000
TOGETHER = 500  # changes in one commit

Change = Callable[[Transaction, str, int], None]


def attributes(transaction: Transaction, memory_id: str, turn: int) -> None:
    """One overwrite: of the importance, or of a tag, which comes and goes."""
    given = (
        Changes(importance=turn % 97 / 97),
        Changes(add_tags=["t1"]),
        Changes(importance=turn % 89 / 89),
        Changes(remove_tags=["t1"]),
    )[turn // MEMORIES % 4]
    changes.update(memory_id, check_update(given), None, transaction)


def texts(transaction: Transaction, memory_id: str, turn: int) -> None:
    changes.update(
        memory_id, check_update(Changes(text=f"{memory_id} as it was told at turn {turn}")), None, transaction
    )


def changed(memory: memcrdt.Memory, ids: list[str], change: Change, count: int) -> None:
    for start in range(0, count, TOGETHER):
        turns = range(start, min(start + TOGETHER, count))

        def plan(transaction: Transaction, turns: range = turns) -> None:
            for turn in turns:
                change(transaction, ids[turn % MEMORIES], turn)

        memory.store.commit(plan)


def read(home: str, started: Event, stopped: Event, longest_s: Connection) -> None:
    """Another process, which lists without a pause, and sends the longest that one list took."""
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
    """While another process reads; then the longest that one read took can be received."""
    context = get_context("spawn")
    started, stopped, (ours, theirs) = context.Event(), context.Event(), context.Pipe()
    process = context.Process(target=read, args=(str(home), started, stopped, theirs))
    process.start()
    started.wait()
    yield ours
    stopped.set()
    process.join()


def measure(root: Path, name: str, change: Change, count: int) -> None:
    with memcrdt.open(root / name, embedder=None) as memory:
        ids = memory.add_many(list(sentences(MEMORIES)), tags=["t0"])
        begun = time.perf_counter()
        changed(memory, ids, change, count)
        spent = time.perf_counter() - begun
        grown = memory.store.path.stat().st_size
        with reader(root / name) as longest_s:
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
    # Closed: while somebody reads, what was given back stays in the file.
    size, least = ((root / each / "memories.db").stat().st_size for each in (name, f"{name} fresh"))
    pruned = count - retained * MEMORIES if change is texts else 0
    allowed = 1.6 * least + 100 * pruned
    print(f"{name}: {count:,} changes in {spent:.0f} s, {kept:,} revisions kept")
    print(
        f"  grown {grown / 1e6:.2f} MB, compacted in {folding:.2f} s to {size / 1e6:.2f} MB; fresh {least / 1e6:.2f} MB"
    )
    print(f"  {size / allowed:.2f} of what is allowed; the longest read took {longest_s.recv() * 1e3:.1f} ms")


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
