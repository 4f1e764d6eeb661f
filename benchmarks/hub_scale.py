"""Measure the search of a hub with many memories: latency, and where it goes.

    python benchmarks/hub_scale.py --postgres DSN [--memories 1000000] [--spaces 50] [--queries 300] [--profile]

An empty database is filled first, and one that is filled is only searched. Only the views and the indexes are written,
by the functions that a commit calls: no log and no documents, which a search never reads. So this says nothing about
how fast a hub takes memories (benchmarks/hub_search.py does). The memories are those of benchmarks/search.py, spread
over the spaces, and a query is six words of one of them. --profile prints the statements, and the functions of Python,
that take most of the time.
"""

from __future__ import annotations

import argparse
import cProfile
import hashlib
import pstats
import random
import resource
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import psycopg
from figures import machine, p50_p95
from search import texts

from memcrdt.hub import connection
from memcrdt.hub.connection import PostgresConnection
from memcrdt.hub.search import search_index
from memcrdt.hub.store import PostgresStore
from memcrdt.model.filters import check_filters
from memcrdt.model.ids import next_ulid
from memcrdt.model.projection import LiveMemory, RevisionState, State
from memcrdt.search import SearchIndex, SearchOptions, make_embedder
from memcrdt.search.searcher import Searcher
from memcrdt.store import views
from memcrdt.store.spaces import Genesis, add_space

HUB = "H" * 52
BATCH = 20_000
WARM_UP = 10
START_MS = 1_700_000_000_000
EVERY_MS = 30_000  # between two memories: a million in a year

_INDEXES = """
SELECT indexname, indexdef FROM pg_indexes
WHERE schemaname = current_schema() AND tablename IN ('memories', 'passages') AND indexdef NOT LIKE '%UNIQUE%'"""


def drawn(first: int, items: Sequence[str]) -> Iterator[LiveMemory]:
    """Yield memories with these texts. Ids follow from the number."""
    for number, text in enumerate(items, first):
        at = START_MS + number * EVERY_MS
        memory_id = next_ulid(None, at, hashlib.blake2b(b"%d" % number, digest_size=10).digest())
        born = RevisionState(revision=memory_id, text=text, at=at, by=None, device=HUB, base=(), head=True)
        yield LiveMemory(
            id=memory_id,
            salt=b"",
            shown=born,
            scope="global",
            kind=None,
            created_at=at,
            updated_at=at,
            author=None,
            device=HUB,
            source=None,
            tags=(),
            metadata={},
            links=(),
            attributes={},
            superseded_at=None,
            revisions=(born,),
            ignored=0,
        )


@contextmanager
def indexed_afterwards(store: PostgresStore) -> Iterator[None]:
    """Build the secondary indexes after the block: that takes a fraction of the time of adding to them."""
    with store.writing() as db:
        indexes: list[Any] = db.execute(_INDEXES).fetchall()
        for name, _ in indexes:
            db.execute(f"DROP INDEX {name}")
    yield
    with store.writing() as db:
        for _, definition in indexes:
            db.execute(definition)


def fill(store: PostgresStore, index: SearchIndex, arguments: argparse.Namespace) -> None:
    """Write the views and the indexes of the memories."""
    source, started, per_space = texts(seed=1), time.perf_counter(), arguments.memories // arguments.spaces
    with indexed_afterwards(store):
        for number in range(arguments.spaces):
            with store.writing() as db:
                space = add_space(db, f"team {number}", Genesis(HUB, b"%016d" % number), store.now_ms())
            for first in range(number * per_space, (number + 1) * per_space, BATCH):
                batch = list(islice(source, min(BATCH, (number + 1) * per_space - first)))
                states: list[tuple[int, str, State]] = [(space, each.id, each) for each in drawn(first, batch)]
                with store.writing() as db:
                    added = views.write(db, states, 1).added
                    index.replace(db, [], added, index.prepare(added))
            print(f"{(number + 1) * per_space:,} after {time.perf_counter() - started:,.0f} s", flush=True)
    with psycopg.connect(arguments.postgres, autocommit=True) as raw:
        raw.execute("VACUUM ANALYZE")
    print(f"filled in {time.perf_counter() - started:,.0f} s")


def queries(arguments: argparse.Namespace) -> list[tuple[str, str]]:
    """Return six words of a memory each, and the space of the memory."""
    rng, per_space = random.Random(2), arguments.memories // arguments.spaces
    sample = list(islice(texts(seed=1), min(per_space, 50_000)))
    return [(" ".join(rng.sample(rng.choice(sample).split(), 6)), "team 0") for _ in range(arguments.queries)]


def measure(searcher: Searcher, store: PostgresStore, asked: list[tuple[str, str]]) -> None:
    """Print the times, in all spaces and in one."""
    seconds: dict[str, list[float]] = {"all spaces": [], "one space": []}
    for number, (query, space) in enumerate(asked):
        for where, only in (("all spaces", {}), ("one space", {"space": space})):
            started = time.perf_counter()
            hits = searcher.search(query, check_filters(only), SearchOptions(now=store.now_ms()))
            assert hits, query
            if number >= WARM_UP:
                seconds[where].append(time.perf_counter() - started)
    for where, taken in seconds.items():
        print(f"{where:<20} p50 / p95 {p50_p95(taken)}")


class Statements:
    """The time that each statement takes, and its rows."""

    def __init__(self) -> None:
        self.taken: dict[str, list[float]] = {}

    @contextmanager
    def counting(self) -> Iterator[None]:
        execute = PostgresConnection.execute

        def timed(db: PostgresConnection, statements: str, bindings: Any = None) -> connection.Rows:
            started = time.perf_counter()
            rows = execute(db, statements, bindings)
            self.taken.setdefault(" ".join(statements.split())[:110], []).append(time.perf_counter() - started)
            return rows

        PostgresConnection.execute = timed  # type: ignore[assignment, method-assign]
        try:
            yield
        finally:
            PostgresConnection.execute = execute  # type: ignore[method-assign]


def profile(searcher: Searcher, store: PostgresStore, asked: list[tuple[str, str]]) -> None:
    """Print the statements and the functions that take most of the time of searches in all spaces."""
    statements, profiler, started = Statements(), cProfile.Profile(), time.perf_counter()
    with statements.counting():
        for query, _ in asked:
            searcher.search(query, check_filters({}), SearchOptions(now=store.now_ms()))
    every = time.perf_counter() - started
    print(f"{1e3 * every / len(asked):.1f} ms a search, on average; of these, in statements:")
    for sql, taken in sorted(statements.taken.items(), key=lambda each: -sum(each[1])):
        print(f"{1e3 * sum(taken) / len(asked):8.2f} ms  {len(taken) / len(asked):5.1f} times  {sql}")
    with profiler:
        for query, _ in asked:
            searcher.search(query, check_filters({}), SearchOptions(now=store.now_ms()))
    pstats.Stats(profiler).sort_stats("tottime").print_stats(20)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--postgres", required=True, metavar="DSN", help="the address of the database")
    parser.add_argument("--memories", type=int, default=1_000_000)
    parser.add_argument("--spaces", type=int, default=50)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    index = search_index(make_embedder("static"))
    store = PostgresStore(arguments.postgres, HUB, indexer=index)
    with store.reading() as db:
        is_empty = not db.execute("SELECT count(*) FROM memories").get
    if is_empty:
        fill(store, index, arguments)
    searcher, asked = Searcher(store, index), queries(arguments)
    started = time.perf_counter()
    searcher.search(asked[0][0], check_filters({}), SearchOptions(now=store.now_ms()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{machine()}; {store.size() / 1e9:.1f} GB in PostgreSQL")
    print(f"first search of a process {time.perf_counter() - started:.1f} s, peak {peak:.0f} MB")
    measure(searcher, store, asked)
    if arguments.profile:
        profile(searcher, store, asked[:100])
    store.close()


if __name__ == "__main__":
    main()
