"""Measure a mirror of a folder of Markdown notes: the first pass, a look at a folder where nothing changed, and a pass.

    python benchmarks/mirror.py --notes 1000

Times are of the processor: the first pass also waits for the disk, once for each note.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import median

import memcrdt

sys.path.insert(0, str(Path(__file__).parent))
from corpus import sentences

RUNS = 7


def fill(folder: Path, count: int) -> None:
    """Write notes of five sentences that have been there for a while."""
    folder.mkdir()
    words = sentences(5 * count)
    for number in range(count):
        note = folder / f"note {number}.md"
        text = "\n".join(islice(words, 5))
        note.write_text(f"---\ntags: [a, b{number % 7}]\nstatus: draft\n---\n\n{text}\n", encoding="utf-8")
        os.utime(note, (time.time() - 60,) * 2)


def spent(work: Callable[[], object]) -> float:
    """Return the processor time of a call in milliseconds."""
    began = time.process_time()
    work()
    return 1_000 * (time.process_time() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--notes", type=int, default=1_000)
    count = parser.parse_args().notes
    with tempfile.TemporaryDirectory() as place, memcrdt.open(Path(place) / "home", embedder=None) as memory:
        folder = Path(place) / "notes"
        fill(folder, count)
        print(f"first pass: {spent(lambda: memory.mirrors.add('markdown', folder, serving=False)):,.0f} ms")
        mirror = memory.mirrors.runs.open(memory.mirrors.list()[0])
        mirror.run()
        print(f"look at a folder without changes: {median(spent(mirror.run) for _ in range(RUNS)):,.0f} ms")

        def changed() -> None:
            mirror.memories_changed()
            mirror.run()

        print(f"pass after a change of memories: {median(spent(changed) for _ in range(RUNS)):,.0f} ms")


if __name__ == "__main__":
    main()
