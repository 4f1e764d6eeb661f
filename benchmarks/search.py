"""Measure the search: latency, cold start, memory and the share of exact neighbours, by number of memories.

    python benchmarks/search.py --memories 100000 [--home FOLDER] [--queries FILE] [--profile]

Each memory has about 20 English words, drawn by Zipf's law from the shipped tokenizer's vocabulary, which is in the
order of frequency. Every hundredth is in the scope project/rare, one of twenty in project/part, and a single memory has
the tag "single". A query is six words of a random memory, or a line of the file. With --home the store is kept and used
again. --profile prints the functions that take most of the time.

The baseline is a search that anybody would write with the same SQLite, FTS5, sqlite-vec and embedder
(bare_sqlite.py), in the same process. Both searches take each query in turn, so the ratio holds on a busy machine.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any

from bare_sqlite import copy_of, embedded
from figures import installed_environment

import memcrdt
from memcrdt.memory.memory import Memory

QUERIES = 300
BATCH = 10_000
COLD = """
import time; start = time.perf_counter()
import memcrdt, sys
with memcrdt.open(sys.argv[1], embedder="static") as memory:
    memory.search(sys.argv[2])
    took = time.perf_counter() - start
    with open("/proc/self/status") as status:
        grown = [line.split()[1] for line in status if line.startswith("VmHWM")]
    print(took, int(grown[0]) / 1024)
"""


def vocabulary() -> list[str]:
    """Return English words, the frequent ones first."""
    path = resources.files("memcrdt.search") / "models/static-minilm-256/tokenizer.json"
    tokens = json.loads(path.read_text("utf-8"))["model"]["vocab"]
    return [token for token in tokens if token.isascii() and token.isalpha() and len(token) > 1]


def texts(seed: int) -> Iterator[str]:
    rng = random.Random(seed)
    words = vocabulary()
    weights = [1 / (rank + 10) for rank in range(len(words))]
    while True:
        drawn = iter(rng.choices(words, weights, k=30 * BATCH))
        while len(text := list(islice(drawn, rng.randint(12, 28)))) >= 12:
            yield " ".join(text)


def build(memory: Memory, count: int) -> float:
    """Add memories until there are `count`; return the memories added per second."""
    source = texts(seed=1)
    started, added = time.perf_counter(), 0
    with memory.store.reading() as db:
        here = int(db.execute("SELECT count(*) FROM memories").get)
    for _ in range(here):
        next(source)
    while here + added < count:
        batch = list(islice(source, min(BATCH, count - here - added)))
        memory.add_many(
            {
                "text": text,
                "scope": "project/rare" if n % 100 == 0 else "project/part" if n % 20 == 1 else "project/all",
                "tags": ["single"] if n == 4321 else [],
            }
            for n, text in enumerate(batch, here + added)
        )
        added += len(batch)
    return added / (time.perf_counter() - started)


def measure(search: Callable[[str], Any], queries: list[str]) -> str:
    return _figures(_timed([search], queries)[0])


def compare(memory: Memory, home: str, queries: list[str]) -> None:
    """Print the times of our search, the same in one scope of twenty, and the bare baseline, and their ratios."""
    with copy_of(memory, Path(home, "bare.db")) as bare:
        narrow = partial(memory.search, scope="project/part")
        ours, narrowed, theirs = _timed([memory.search, narrow, bare.search], queries)
    print(f"hybrid                  {_figures(ours)}")
    print(f"one in twenty by scope  {_figures(narrowed)}   {_ratio(narrowed, ours):.2f} of all")
    print(f"bare SQLite with RRF    {_figures(theirs)}   hybrid takes {_ratio(ours, theirs):.2f} of it")


def _timed(searches: list[Callable[[str], Any]], queries: list[str]) -> list[list[float]]:
    """Return the milliseconds of each search for each query, in the order of the queries. They take turns."""
    for query in queries[:10]:
        for search in searches:
            search(query)
    taken: list[list[float]] = [[] for _ in searches]
    for query in queries[10:]:
        for search, milliseconds in zip(searches, taken, strict=True):
            started = time.perf_counter()
            search(query)
            milliseconds.append(1e3 * (time.perf_counter() - started))
    return taken


def _figures(milliseconds: list[float]) -> str:
    ordered = sorted(milliseconds)
    return f"p50 {statistics.median(ordered):7.2f} ms   p95 {ordered[int(len(ordered) * 0.95)]:7.2f} ms"


def _ratio(one: list[float], other: list[float]) -> float:
    return statistics.median(one) / statistics.median(other)


def profile(memory: Memory, queries: list[str]) -> None:
    profiler = cProfile.Profile()
    with profiler:
        for query in queries:
            memory.search(query)
    print(f"profile of {len(queries)} queries")
    pstats.Stats(profiler).sort_stats("tottime").print_stats(30)


def recall(memory: Memory, queries: list[str]) -> float:
    """Return the share of the ten nearest vectors that the vector part of the search finds."""
    import numpy as np

    from memcrdt.search.index import registry
    from memcrdt.search.index.index import SearchIndex
    from memcrdt.search.query.vectors import QueryVector, nearest

    index = memory.store.indexer
    assert isinstance(index, SearchIndex)
    found = 0
    with memory.store.reading() as db:
        model = registry.in_use(db).current
        assert model is not None
        embedder = index.embedders.get(model.name)
        assert embedder is not None
        passages, _, vectors = map(np.array, zip(*embedded(db, embedder), strict=True))
        for text in queries:
            query = QueryVector(embedder.embed_query(text), model, 0.0)
            exact = passages[np.argpartition(-(vectors @ query.vector), 10)[:10]]
            near = nearest(db, query, index.candidates(model.model), None, np.empty(0, np.int64)).cosines
            found += len(set(exact.tolist()) & set(near.passages[np.argsort(-near.scores)[:10]].tolist()))
    return found / (10 * len(queries))


def cold(home: str, query: str, runs: int = 5) -> str:
    """Return the time of the first answer of a fresh process, imports included, and its peak memory."""
    taken = []
    for _ in range(runs):
        asked = [sys.executable, "-c", COLD, home, query]
        done = subprocess.run(asked, check=True, capture_output=True, text=True, env=installed_environment())
        taken.append(tuple(map(float, done.stdout.split())))
    seconds, megabytes = sorted(taken)[runs // 2]
    return f"{seconds:.2f} s, peak {megabytes:.0f} MB"


def command(home: str, query: str, *options: str, runs: int = 5) -> str:
    """Return the time of `memcrdt search` as a whole process, elapsed and of the processor. The first is left out."""
    asked = [sys.executable, "-m", "memcrdt", "--home", home, "search", *options, query]
    elapsed, used = [], []
    for _ in range(runs + 1):
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(asked, check=True, capture_output=True, env=installed_environment())
        elapsed.append(time.perf_counter() - started)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return f"{statistics.median(elapsed[1:]):.2f} s, of the processor {statistics.median(used[1:]):.2f} s"


def run(home: str, arguments: argparse.Namespace) -> None:
    count = arguments.memories
    with memcrdt.open(home, embedder="static") as memory:
        print(f"{count:,} memories; added {build(memory, count):,.0f}/s")
        queries = read_queries(arguments.queries) if arguments.queries else drawn_queries(count)
        compare(memory, home, queries)
        print(f"one of all by tag       {measure(lambda q: memory.search(q, tags=['single']), queries)}")
        print(f"one in a hundred        {measure(lambda q: memory.search(q, scope='project/rare'), queries)}")
        print(f"nearly all by scope     {measure(lambda q: memory.search(q, scope='project/all'), queries)}")
        if count <= 200_000:
            print(f"vectors: {recall(memory, queries[:100]):.4f} of the exact ten nearest")
        if arguments.profile:
            profile(memory, queries)
    print(f"cold start: {cold(home, queries[0])}")
    print(f"memcrdt search --fast: {command(home, queries[0], '--fast')}")
    print(f"memcrdt search: {command(home, queries[0])}")


def drawn_queries(count: int) -> list[str]:
    """Return queries of six words of a random memory."""
    rng = random.Random(2)
    sample = list(islice(texts(seed=1), min(count, 50_000)))
    return [" ".join(rng.sample(rng.choice(sample).split(), 6)) for _ in range(QUERIES)]


def read_queries(path: Path) -> list[str]:
    """Return the lines of a file that are not empty."""
    queries = [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
    if len(queries) <= 10:
        raise SystemExit(f"{path} has {len(queries)} queries; at least 11 are needed, because ten warm up")
    return queries


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--memories", type=int, default=10_000)
    parser.add_argument("--home", help="a folder for the store; a temporary one by default")
    parser.add_argument("--queries", type=Path, metavar="FILE", help="queries, one a line")
    parser.add_argument("--profile", action="store_true", help="also print the functions that take most of the time")
    arguments = parser.parse_args()
    if arguments.home:
        run(arguments.home, arguments)
    else:
        with tempfile.TemporaryDirectory() as home:
            run(home, arguments)


if __name__ == "__main__":
    main()
