"""Run one phase of a comparison of stores, in a process of its own, and print its figures as a line of JSON.

    python benchmarks/store_phase.py bulk|open|add|cold|search SYSTEM FOLDER --memories N --calls N

`python -m benchmarks compare` and `scale` start these processes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from corpus import questions, sentences
from stores import BATCH, LIMIT, SYSTEMS, embedder

OPENINGS = 5
TOLERANCE = 1e-5  # of a cosine: vectors this near to the tenth are as good


def bulk(system: str, folder: Path, memories: int, calls: int) -> dict[str, float]:
    """Fill an empty store, in batches."""
    texts = list(sentences(memories))
    with SYSTEMS[system].opened(folder) as store:
        store.add(["the first one loads the embedder"])
        begun = time.perf_counter()
        for start in range(0, memories, BATCH):
            store.add(texts[start : start + BATCH])
        return {"bulk_per_s": memories / (time.perf_counter() - begun)}


def opening(system: str, folder: Path, memories: int, calls: int) -> dict[str, float]:
    """Open a filled store, in a process that has opened another one and so has loaded the library."""
    with tempfile.TemporaryDirectory() as empty, SYSTEMS[system].opened(Path(empty)):
        pass
    taken = []
    for _ in range(OPENINGS):
        begun = time.perf_counter()
        with SYSTEMS[system].opened(folder):
            taken.append(time.perf_counter() - begun)
    return {"open_ms": statistics.median(taken) * 1e3}


def add(system: str, folder: Path, memories: int, calls: int) -> dict[str, float]:
    """Add texts one by one."""
    texts = list(sentences(calls, seed=9))
    with SYSTEMS[system].opened(folder) as store:
        store.add(["the first one of this process loads the embedder"])
        taken = [_seconds(store.add, [text]) for text in texts]
    return _summary("add", taken)


def cold(system: str, folder: Path, memories: int, calls: int) -> dict[str, float]:
    """Search once. The parent measures until this returns."""
    if system == "embedder":
        embedder().embed_query("what do we know about the audit log?")
        return {}
    with SYSTEMS[system].opened(folder) as store:
        found = store.search("what do we know about the audit log?")
        print(json.dumps({"hits": len(found)}), flush=True)
        return {}


def search(system: str, folder: Path, memories: int, calls: int) -> dict[str, float]:
    """Ask questions, and measure the share of the exact nearest vectors among the answers."""
    asked = list(questions(calls))
    with SYSTEMS[system].opened(folder) as store:
        store.search("the first search loads what is needed")
        answers: list[list[str]] = []
        taken = [_seconds(lambda query: answers.append(store.search(query)), query) for query in asked]
    peak = _peak_bytes()
    return {**_summary("search", taken), "recall": _recall(asked, answers, memories), **peak}


def _recall(asked: Sequence[str], answers: Sequence[Sequence[str]], memories: int) -> float:
    """Return the mean share of answers that are as near as the exact LIMIT nearest, by cosine of all vectors."""
    import numpy as np

    model = embedder()
    vectors = model.embed(list(sentences(memories)))
    shares = []
    for query, answer in zip(asked, answers, strict=True):
        wanted = model.embed_query(query)
        least = np.sort(vectors @ wanted)[-min(LIMIT, memories)] - TOLERANCE
        near = model.embed(answer) @ wanted >= least if answer else np.zeros(0)
        shares.append(float(near.sum()) / LIMIT)
    return sum(shares) / len(shares)


def _seconds(call: Callable[[Any], object], argument: object) -> float:
    begun = time.perf_counter()
    call(argument)
    return time.perf_counter() - begun


def _summary(name: str, seconds: Sequence[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    at = {"p50": len(ordered) // 2, "p95": int(len(ordered) * 0.95)}
    return {f"{name}_{label}_ms": ordered[place] * 1e3 for label, place in at.items()}


def _peak_bytes() -> dict[str, float]:
    """Return the most memory of this process, where the platform tells it."""
    try:
        import resource
    except ImportError:
        return {}
    unit = 1 if sys.platform == "darwin" else 1024
    return {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6}


PHASES = {"bulk": bulk, "open": opening, "add": add, "cold": cold, "search": search}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("phase", choices=PHASES)
    parser.add_argument("system", choices=(*SYSTEMS, "embedder"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--memories", type=int, required=True)
    parser.add_argument("--calls", type=int, required=True)
    asked = parser.parse_args()
    print(json.dumps(PHASES[asked.phase](asked.system, asked.folder, asked.memories, asked.calls)), flush=True)


if __name__ == "__main__":
    main()
