"""The LangGraph store on two machines that sync: any operations on both, and what is left afterwards."""

from __future__ import annotations

from random import Random

import pytest

pytest.importorskip("langgraph.store.base", reason="the extra memcrdt[langgraph] is not installed")

from langgraph.store.base import Item

from memcrdt.config import Config
from memcrdt.frameworks.langgraph import MemcrdtStore
from memcrdt.memory.memory import Memory
from memcrdt.memory.offline import Offline
from memcrdt.search import SearchIndex, make_embedder
from memcrdt.search.searcher import Searcher
from memcrdt.store.incarnation import StoreOptions
from memcrdt.store.location import MemoryLocation
from memcrdt.store.store import Store
from memcrdt.testing import Clock, exchange
from memcrdt.testing.langgraph_sync import LangGraphSyncAcceptance, OpenSyncedStores


def _opened(device: str, clock: Clock, random: Random) -> Memory:
    """Return a memory in which nothing is left to chance."""
    index = SearchIndex(make_embedder(None))
    store = Store(MemoryLocation(), device * 52, index, StoreOptions(clock=clock, random=random.randbytes))
    return Memory(None, store, Offline, pairing=Offline, searcher=Searcher(store, index), config=Config())


class _Pair:
    """Two memories without a network."""

    def __init__(self, clock: Clock, seed: int) -> None:
        random = Random(seed)
        self._memories = [_opened(device, clock, random) for device in "AB"]
        self.stores = MemcrdtStore(self._memories[0]), MemcrdtStore(self._memories[1])

    def sync(self) -> None:
        exchange(*self._memories)

    def conflicts(self, namespace: tuple[str, ...], key: str) -> list[Item]:
        return self.stores[0].conflicts(namespace, key)

    def close(self) -> None:
        for memory in self._memories:
            memory.close()


class TestSync(LangGraphSyncAcceptance):
    """Our store on two machines."""

    examples = 25

    @pytest.fixture
    def open_synced_stores(self) -> OpenSyncedStores:
        """Return the class of a pair."""
        return _Pair
