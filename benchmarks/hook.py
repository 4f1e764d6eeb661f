"""Measure what a coding agent waits for: the whole process of `memcrdt hook`, by event, in a store of many memories.

    python benchmarks/hook.py --memories 100000 [--home FOLDER]

The memories are those of benchmarks/corpus.py: every word of a prompt is in about one of twelve memories, which is hard
for a search by words. A third of them is in scopes that the hook reads. The time of a bare Python process is the floor.
With --home the store is kept and used again.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import memcrdt

sys.path.insert(0, str(Path(__file__).parent))
from corpus import questions, sentences
from figures import installed_environment

RUNS = 40
PROJECT = "app"
EVENTS = ("SessionStart", "UserPromptSubmit", "Stop")
_SCOPES = ("global", "project/other", "project/other")


def fill(home: str, count: int) -> None:
    """Add memories until there are `count`. Every hundredth is in the project; some are pinned or decisions."""
    with memcrdt.open(home, embedder=None) as memory:
        here = memory.count()
        items = (
            {
                "text": text,
                "scope": f"project/{PROJECT}" if n % 100 == 0 else _SCOPES[n % 3],
                "pinned": n % 1_000 == 0,
                "kind": "decision" if n % 500 == 0 else None,
            }
            for n, text in islice(enumerate(sentences(count)), here, None)
        )
        while batch := list(islice(items, 10_000)):
            memory.add_many(batch)


def run(command: list[str], home: str) -> tuple[list[float], list[float]]:
    """Return the elapsed and the processor time of each run, in ms."""
    environment = {**installed_environment(), "MEMCRDT_HOME": home, "MEMCRDT_PROJECT": PROJECT}
    elapsed, used = [], []
    for prompt in questions(RUNS):
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(
            command, input=json.dumps({"prompt": prompt}).encode(), env=environment, check=True, capture_output=True
        )
        elapsed.append(1e3 * (time.perf_counter() - started))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used.append(1e3 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
    return sorted(elapsed), sorted(used)


def report(name: str, command: list[str], home: str) -> None:
    elapsed, used = run(command, home)
    print(
        f"{name:18} p50 {elapsed[RUNS // 2]:4.0f} ms   p95 {elapsed[int(RUNS * 0.95)]:4.0f} ms"
        f"   processor {used[RUNS // 2]:4.0f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--memories", type=int, default=100_000)
    parser.add_argument("--home", help="a folder for the store; a temporary one by default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        home = arguments.home or temporary
        fill(home, arguments.memories)
        report("(bare Python)", [sys.executable, "-c", "pass"], home)
        for event in EVENTS:
            report(event, [sys.executable, "-m", "memcrdt", "hook", event], home)


if __name__ == "__main__":
    main()
