"""Measure an import: memories a second beside those of add_many() in the same run, and the memory that it takes.

python benchmarks/importing.py [--from mem0|markdown] [--items 100000] [--profile]
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from corpus import sentences
from figures import machine

import memcrdt
from memcrdt.model import limits

BATCH = 10_000


def resident() -> int:
    """Return the bytes of memory that this process has, or 0 where that is unknown."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    except OSError:
        return 0


@contextmanager
def peak_of() -> Iterator[list[int]]:
    """Lend a list that has the most memory beyond that of the beginning, in bytes, at the end."""
    before, ended, most = resident(), threading.Event(), [0]

    def watch() -> None:
        while not ended.wait(0.05):
            most[0] = max(most[0], resident() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield most
    finally:
        ended.set()
        watcher.join()


def timed(what: str, count: int, work: Callable[[], object]) -> float:
    """Print what a piece of work takes, and return its seconds of processor, which other work hardly changes."""
    begun, used = time.perf_counter(), time.process_time()
    with peak_of() as peak:
        work()
    taken, used = time.perf_counter() - begun, time.process_time() - used
    print(
        f"{what:<32} {count / taken:>7,.0f} a second, {count / used:>7,.0f} a second of processor,"
        f" at most {peak[0] / limits.MIB:>4.0f} MiB more",
        flush=True,
    )
    return used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--from", dest="source", choices=MAKERS, default="mem0")
    parser.add_argument("--profile", action="store_true", help="show where an import spends its time")
    given = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        file = MAKERS[given.source](root, given.items)
        profile = cProfile.Profile()
        with memcrdt.open(root / "imported") as memory:
            memory.add("the first one loads the embedder")
            if given.profile:
                profile.enable()
            taken = timed("import", given.items, lambda: memory.import_from(given.source, file))
            profile.disable()
            timed("second import, nothing new", given.items, lambda: memory.import_from(given.source, file))
        with memcrdt.open(root / "bare") as memory:
            memory.add("the first one loads the embedder")
            texts = list(sentences(given.items))
            metadata = {"place": "Bern", "user_id": "ada"}
            bare = timed("add_many() of texts and metadata", given.items, lambda: add(memory, texts, metadata))
        print(f"an import takes {taken / bare:.2f} times the processor of add_many()")
        if given.profile:
            pstats.Stats(profile).sort_stats("cumulative").print_stats(45)


def make_mem0(root: Path, count: int) -> Path:
    file = root / "mem0.json"
    with file.open("w", encoding="utf-8") as target:
        target.write('{"results": [')
        for number, text in enumerate(sentences(count)):
            item = {"id": f"m{number}", "memory": text, "metadata": {"place": "Bern"}, "user_id": "ada"}
            item |= {"created_at": "2025-03-04T10:00:00Z", "updated_at": "2025-03-05T10:00:00Z"}
            target.write(", " * (number > 0) + json.dumps(item))
        target.write("]}")
    return file


def make_markdown(root: Path, count: int) -> Path:
    """Make a folder of notes with a front matter, a tag and a link, 500 in each subfolder."""
    for number, text in enumerate(sentences(count)):
        folder = root / "notes" / str(number // 500)
        folder.mkdir(parents=True, exist_ok=True)
        fields = f"title: Note {number}\ntags: [trains, work]\ncreated: 2025-03-04"
        note = f"---\n{fields}\n---\n{text} #travel\n\nSee [[Note 1]].\n"
        (folder / f"{number}.md").write_text(note, encoding="utf-8")
    return root / "notes"


MAKERS = {"mem0": make_mem0, "markdown": make_markdown}


def add(memory: memcrdt.Memory, texts: list[str], metadata: dict[str, str]) -> None:
    for first in range(0, len(texts), BATCH):
        memory.add_many({"text": text, "metadata": metadata, "source": "x"} for text in texts[first : first + BATCH])


if __name__ == "__main__":
    main()
