"""Compare the search of a hub with that of a laptop that has the same memories: the results, and the times.

    python benchmarks/hub_search.py --postgres DSN [--memories 10000] [--spaces 50] [--queries 500]
    python benchmarks/hub_search.py --postgres DSN --data locomo10.json

The database must be empty. It gets the memories as a hub does: the updates of each shard. Without --data they are those
of benchmarks/search.py, spread over the spaces, and a query is six words of one of them. With --data, a space has the
turns of a conversation of LoCoMo, and a query is one of its questions. Every second query searches one space only. Both
stores take each query in turn.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg
from figures import machine, p50_p95
from retrieval import turns
from search import texts

import memcrdt
from memcrdt.hub.search import search_index
from memcrdt.hub.store import PostgresStore
from memcrdt.memory.memory import Memory
from memcrdt.model.filters import check_filters
from memcrdt.model.records import Hit
from memcrdt.node.store_replica import StoreReplica
from memcrdt.search import SearchOptions, make_embedder
from memcrdt.search.searcher import Searcher
from memcrdt.store.spaces import Genesis, add_space

HUB = "H" * 52
BATCH = 5_000
WARM_UP = 10

_SPACES = "SELECT name, id, creator, nonce FROM spaces WHERE name NOT IN ('local', 'personal')"

Query = tuple[str, str]  # a question, and a space that may have the answer


def drawn(memory: Memory, arguments: argparse.Namespace) -> Iterator[Query]:
    """Fill the spaces with memories of random words, and yield the queries."""
    rng, source = random.Random(2), texts(seed=1)
    sample: list[Query] = []
    for number in range(arguments.spaces):
        name = memory.space(f"team {number}").create().name
        left = arguments.memories // arguments.spaces
        while left:
            batch = list(islice(source, min(BATCH, left)))
            memory.add_many(batch, space=name)
            sample += [(text, name) for text in batch[:50]]
            left -= len(batch)
    for _ in range(arguments.queries):
        text, name = rng.choice(sample)
        yield " ".join(rng.sample(text.split(), 6)), name


def of_locomo(memory: Memory, arguments: argparse.Namespace) -> Iterator[Query]:
    """Fill a space for each conversation, and yield some of the questions."""
    asked: list[Query] = []
    for number, each in enumerate(json.loads(arguments.data.read_text("utf-8"))):
        name = memory.space(f"talk {number}").create().name
        items = [{**item, "scope": f"{item['scope']}_{number}"} for _, item in turns(each["conversation"])]
        memory.add_many(items, space=name)
        asked += [(qa["question"], name) for qa in each["qa"]]
    yield from random.Random(2).sample(asked, min(arguments.queries, len(asked)))


def copied(memory: Memory, store: PostgresStore) -> float:
    """Bring all memories of a laptop into a hub. Return the seconds."""
    ours, theirs = StoreReplica(store), StoreReplica(memory.store)
    with memory.store.reading() as db:
        spaces: list[Any] = db.execute(_SPACES).fetchall()
    started = time.perf_counter()
    for name, space, creator, nonce in spaces:
        with store.writing() as db:
            add_space(db, name, Genesis(creator, nonce), store.now_ms())
        for shard in theirs.digests(space):
            ours.apply(space, shard, theirs.diff(space, shard, {}).update, memory.store.device)
    return time.perf_counter() - started


def differing(found: list[Hit], wanted: list[Hit]) -> str:
    """Return in which way two results differ."""
    one, other = ([hit.memory.id for hit in hits] for hits in (found, wanted))
    if one == other:
        return "the same ten in the same order"
    if set(one) == set(other):
        return "the same ten in another order"
    return f"{len(set(other) - set(one))} of the ten differ"


def compare(memory: Memory, hub: Searcher, queries: list[Query]) -> None:
    """Print how the results differ, and the times."""
    seconds: dict[str, list[float]] = {}
    kinds: Counter[str] = Counter()
    for number, (query, space) in enumerate(queries):
        only: dict[str, Any] = {"space": space} if number % 2 else {}
        started = time.perf_counter()
        wanted = memory.search(query, **only)
        between = time.perf_counter()
        options = SearchOptions(now=memory.store.now_ms())
        found = hub.search(query, check_filters(only), options)
        ended = time.perf_counter()
        kinds[differing(found, wanted)] += 1
        if number >= WARM_UP:
            where = "one space" if only else "all spaces"
            seconds.setdefault(f"laptop, {where}", []).append(between - started)
            seconds.setdefault(f"hub, {where}", []).append(ended - between)
    for kind, count in kinds.most_common():
        print(f"{kind:<40} {count:>5} of {len(queries)}  {100 * count / len(queries):.1f} %")
    for name, taken in sorted(seconds.items()):
        print(f"{name:<40} p50 / p95 {p50_p95(taken)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--postgres", required=True, metavar="DSN", help="the address of an empty database")
    parser.add_argument("--memories", type=int, default=10_000)
    parser.add_argument("--spaces", type=int, default=50)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--data", type=Path, help="a file of LoCoMo")
    arguments = parser.parse_args()
    index = search_index(make_embedder("static"))
    store = PostgresStore(arguments.postgres, HUB, indexer=index)
    with tempfile.TemporaryDirectory() as home, memcrdt.open(home, embedder="static") as memory:
        queries = list((of_locomo if arguments.data else drawn)(memory, arguments))
        count = memory.count()
        taken = copied(memory, store)
        with psycopg.connect(arguments.postgres, autocommit=True) as raw:
            version = raw.execute("SHOW server_version").fetchone()
            raw.execute("VACUUM ANALYZE")
        print(f"{machine()}, PostgreSQL {version and version[0]}")
        print(f"{count:,} memories; the hub took {count / taken:,.0f}/s")
        compare(memory, Searcher(store, index), queries)
    store.close()


if __name__ == "__main__":
    main()
