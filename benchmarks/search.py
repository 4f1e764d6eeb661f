"""Measure the search: latency, cold start, memory and the share of exact neighbours, by number of memories.

    python benchmarks/search.py --memories 100000 [--home FOLDER]

Each memory has about 20 English words, drawn by Zipf's law from the shipped tokenizer's vocabulary, which is in the
order of frequency. Every hundredth is in the scope project/rare, and a single memory has the tag "single". A query is
six words of a random memory. With --home the store is kept and used again.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import resources
from itertools import islice
from typing import Any, cast

import memcrdt
from memcrdt.memory.memory import Memory

QUERIES = 300
BATCH = 10_000
COLD = """
import time; start = time.perf_counter()
import memcrdt, sys
with memcrdt.open(sys.argv[1]) as memory:
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
                "scope": "project/rare" if n % 100 == 0 else "project/all",
                "tags": ["single"] if n == 4321 else [],
            }
            for n, text in enumerate(batch, here + added)
        )
        added += len(batch)
    return added / (time.perf_counter() - started)


def measure(search: Callable[[str], Any], queries: list[str]) -> str:
    for query in queries[:10]:
        search(query)
    seconds = []
    for query in queries[10:]:
        started = time.perf_counter()
        search(query)
        seconds.append(1e3 * (time.perf_counter() - started))
    seconds.sort()
    return f"p50 {seconds[len(seconds) // 2]:7.2f} ms   p95 {seconds[int(len(seconds) * 0.95)]:7.2f} ms"


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
        model = registry.in_use(db)["current"]
        embedder = index.embedders.get(model.name)
        assert embedder is not None
        rows = db.execute("SELECT passage, embedding FROM vectors WHERE model = ?", (model.model,)).fetchall()
        passages = np.array([row[0] for row in rows])
        vectors = np.frombuffer(b"".join(cast(bytes, row[1]) for row in rows), np.float32).reshape(len(rows), -1)
        for text in queries:
            query = QueryVector(embedder.embed_query(text), model.model, 0.0)
            exact = passages[np.argpartition(-(vectors @ query.vector), 10)[:10]]
            near = nearest(db, query, index.candidates(model.model), None)
            found += len(set(exact.tolist()) & set(near.passages[np.argsort(-near.scores)[:10]].tolist()))
    return found / (10 * len(queries))


def cold(home: str, query: str, runs: int = 5) -> str:
    """Return the time of the first answer of a fresh process, imports included, and its peak memory."""
    taken = []
    for _ in range(runs):
        done = subprocess.run([sys.executable, "-c", COLD, home, query], check=True, capture_output=True, text=True)
        taken.append(tuple(map(float, done.stdout.split())))
    seconds, megabytes = sorted(taken)[runs // 2]
    return f"{seconds:.2f} s, peak {megabytes:.0f} MB"


def run(home: str, count: int) -> None:
    with memcrdt.open(home) as memory:
        print(f"{count:,} memories; added {build(memory, count):,.0f}/s")
        rng = random.Random(2)
        sample = list(islice(texts(seed=1), min(count, 50_000)))
        queries = [" ".join(rng.sample(rng.choice(sample).split(), 6)) for _ in range(QUERIES)]
        print(f"hybrid                  {measure(memory.search, queries)}")
        print(f"one of all by tag       {measure(lambda q: memory.search(q, tags=['single']), queries)}")
        print(f"one in a hundred        {measure(lambda q: memory.search(q, scope='project/rare'), queries)}")
        print(f"nearly all by scope     {measure(lambda q: memory.search(q, scope='project/all'), queries)}")
        if count <= 200_000:
            print(f"vectors: {recall(memory, queries[:100]):.4f} of the exact ten nearest")
    print(f"cold start: {cold(home, queries[0])}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--memories", type=int, default=10_000)
    parser.add_argument("--home", help="a folder for the store; a temporary one by default")
    arguments = parser.parse_args()
    if arguments.home:
        run(arguments.home, arguments.memories)
    else:
        with tempfile.TemporaryDirectory() as home:
            run(home, arguments.memories)


if __name__ == "__main__":
    main()
