"""Memories of several devices in one process, without keys and without a network: what tests of the facade use."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

from memcrdt.config import Config
from memcrdt.memory.memory import Memory
from memcrdt.memory.sync import Look, Serving
from memcrdt.model.values import from_ms
from memcrdt.node.store_replica import StoreReplica
from memcrdt.search import SearchIndex, make_embedder
from memcrdt.search.searcher import Searcher
from memcrdt.store.incarnation import StoreOptions
from memcrdt.store.store import Store
from memcrdt.testing.faults import UNSYNCED


class Clock:
    """Milliseconds that pass only when they are asked for, one each time, or when `pass_` says so."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000

    def __call__(self) -> int:
        self.now += 1
        return self.now

    def pass_(self, **time: float) -> None:
        self.now += round(timedelta(**time).total_seconds() * 1000)

    def time(self, **later: float) -> datetime:
        """Now, or so much later."""
        return from_ms(self.now) + timedelta(**later)


class NoNetwork:
    """A Network that is never there."""

    def __init__(self, _: Memory) -> None: ...

    def start(self, **options: Any) -> None: ...

    def asking(self, timeout_s: float | None, peers: list[str] | None) -> AbstractContextManager[Look]:
        return nullcontext(lambda: False)

    def stop(self) -> None: ...

    def serving(self) -> Serving | None: ...

    def address(self, text: str) -> str:
        return text


def open_memory(home: Path, device: str, clock: Clock, *, embedder: str | None = None, **settings: Any) -> Memory:
    """The memory of a device that is named by a letter. Its commits are not synced to the disk."""
    index = SearchIndex(make_embedder(embedder))
    store = Store(home, device * 52, index, StoreOptions(clock=clock, vfs=UNSYNCED.name))
    return Memory(home, store, NoNetwork, searcher=Searcher(store, index), config=Config(**settings))


def exchange(*memories: Memory) -> None:
    """Brings the space `personal` of several memories to the same state, as sync does. Raises AssertionError."""
    for _ in memories:
        for ours, theirs in permutations(memories, 2):
            pull(ours, theirs)
    assert len({memory.space("personal").digest() for memory in memories}) == 1


def pull(ours: Memory, theirs: Memory) -> None:
    """Takes what `theirs` has of `personal` and `ours` lacks. Raises AssertionError if any of it is not applied."""
    here, there = StoreReplica(ours.store), StoreReplica(theirs.store)
    known, space = ours.space("personal").id(), theirs.space("personal").id()
    for shard in there.digests(space):
        diff = there.diff(space, shard, here.state_vector(known, shard))
        assert here.apply(known, shard, diff.update, theirs.store.device).status == "applied"
