"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from memcrdt.config import Config
from memcrdt.finding import Finder
from memcrdt.memory import Memory
from memcrdt.model.values import from_ms
from memcrdt.net.replica import StoreReplica
from memcrdt.search import SearchIndex, make_embedder
from memcrdt.store.marks import STATE_VARIABLE
from memcrdt.store.store import Store, StoreOptions
from memcrdt.testing.faults import UnsyncedVfs

# Machines under load are slow now and then: what a test finds must not depend on that.
settings.register_profile("memcrdt", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("memcrdt")


@pytest.fixture(scope="session", autouse=True)
def _state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test, nor any process that it starts, writes to the platform's own folders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, STATE_VARIABLE, str(tmp_path_factory.mktemp("state")))
        yield


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

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def serving(self) -> None: ...


_UNSYNCED = UnsyncedVfs("memcrdt-tests")  # no power is cut here, and it is quicker so
OpenMemory = Callable[..., Memory]


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="open_memory")
def _open_memory(tmp_path: Path, clock: Clock) -> Iterator[OpenMemory]:
    """Opens the memories of devices by their letter, all with one clock; without an embedder, unless one is given."""
    with ExitStack() as opened:

        def make(device: str = "A", *, embedder: str | None = None, **settings: Any) -> Memory:
            index = SearchIndex(make_embedder(embedder))
            home = tmp_path / device
            store = Store(home, device * 52, index, StoreOptions(clock=clock, vfs=_UNSYNCED.name))
            return opened.enter_context(
                Memory(home, store, NoNetwork, finder=Finder(store, index), config=Config(**settings))
            )

        yield make


@pytest.fixture(name="memory")
def _memory(open_memory: OpenMemory) -> Memory:
    """The memory of a device of its own."""
    return open_memory()


Exchange = Callable[..., None]


@pytest.fixture(name="exchange")
def _exchange() -> Exchange:
    """Brings the space `personal` of several memories to the same state, as sync does."""

    def exchange(*memories: Memory) -> None:
        for _ in memories:
            for ours, theirs in permutations(memories, 2):
                _pull(ours, theirs)
        assert len({memory.space("personal").digest() for memory in memories}) == 1

    return exchange


def _pull(ours: Memory, theirs: Memory) -> None:
    here, there = StoreReplica(ours.store), StoreReplica(theirs.store)
    known, space = ours.space("personal").id(), theirs.space("personal").id()
    for shard in there.digests(space):
        diff = there.diff(space, shard, here.state_vector(known, shard))
        assert here.apply(known, shard, diff.update, theirs.store.device).status == "applied"
