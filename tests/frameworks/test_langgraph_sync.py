"""The LangGraph store on two machines that sync: any operations on both, and what is left afterwards."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

pytest.importorskip("langgraph.store.base", reason="the extra memcrdt[langgraph] is not installed")

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

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

PLACES = [(("a",), "k"), (("a", "b"), "k")]
VALUES = st.sampled_from([{"n": 1}, {"n": 2}]) | st.fixed_dictionaries(
    {"text": st.sampled_from(["tea", "coffee", "neither tea nor coffee"]), "n": st.integers(0, 3)}
)


def _opened(device: str, clock: Clock, random: Random) -> Memory:
    """Return a memory in which nothing is left to chance."""
    index = SearchIndex(make_embedder(None))
    store = Store(MemoryLocation(), device * 52, index, StoreOptions(clock=clock, random=random.randbytes))
    return Memory(None, store, Offline, pairing=Offline, searcher=Searcher(store, index), config=Config())


def _text(value: dict[str, Any] | None) -> str | None:
    return None if value is None else value["text"] if "text" in value else json.dumps(value)


class Side:
    """What one machine has: for each item the life it is in, and its value.

    An item begins a new life when it is put after a deletion. A deletion ends the same life on every machine.
    """

    def __init__(self) -> None:
        self.ended: dict[Any, set[int]] = {place: set() for place in PLACES}
        self.values: dict[Any, dict[str, Any] | None] = dict.fromkeys(PLACES)
        self.said: dict[Any, list[dict[str, Any]]] = {place: [] for place in PLACES}  # since the last sync

    def life(self, place: Any) -> int:
        return next(life for life in range(100) if life not in self.ended[place])


class TwoMachines(RuleBasedStateMachine):
    """Two stores, and a model that says which values may be left after a sync."""

    @initialize(seed=st.integers(0, 1_000))
    def begin(self, seed: int) -> None:
        clock, random = Clock(), Random(seed)
        self.memories = [_opened(device, clock, random) for device in "AB"]
        self.stores = [MemcrdtStore(memory) for memory in self.memories]
        self.sides = [Side(), Side()]
        self.base: dict[Any, dict[str, Any] | None] = dict.fromkeys(PLACES)

    def teardown(self) -> None:
        for memory in getattr(self, "memories", ()):
            memory.close()

    @rule(on=st.integers(0, 1), place=st.sampled_from(PLACES), value=VALUES)
    def put(self, on: int, place: Any, value: dict[str, Any]) -> None:
        self.stores[on].put(*place, value)
        self.sides[on].values[place] = value
        self.sides[on].said[place].append(value)

    @rule(on=st.integers(0, 1), place=st.sampled_from(PLACES))
    def delete(self, on: int, place: Any) -> None:
        self.stores[on].delete(*place)
        side = self.sides[on]
        if side.values[place] is not None:
            side.ended[place].add(side.life(place))
        side.values[place] = None
        side.said[place].clear()

    @rule()
    def sync(self) -> None:
        exchange(*self.memories)
        left, right = self.stores
        assert left.search(()) == right.search(())
        assert left.list_namespaces() == right.list_namespaces()
        for place in PLACES:
            self._check(place)

    def _check(self, place: Any) -> None:
        ended = set.union(*(side.ended[place] for side in self.sides))
        alive = [side for side in self.sides if side.values[place] and side.life(place) not in ended]
        latest = max((side.life(place) for side in alive), default=None)
        alive = [side for side in alive if side.life(place) == latest]
        written = [side for side in alive if side.said[place]] or alive
        item = self.stores[0].get(*place)
        assert (item.value if item else None) in ([side.values[place] for side in written] or [None])
        if item and len(written) > 1:
            self._check_rivals(place, item.value, written)
        for side in self.sides:
            side.ended[place] = set(ended)
            side.values[place] = item.value if item else None
            side.said[place].clear()
        self.base[place] = item.value if item else None

    def _check_rivals(self, place: Any, value: dict[str, Any], written: list[Side]) -> None:
        """The text of each machine is there, unless it is that of before, or the other one put and replaced it, too."""
        conflicts = [each.value for each in self.stores[0].conflicts(*place)]
        there = {_text(value)} | {_text(each) for each in conflicts} | {each.get("text") for each in conflicts}
        for side, other in (written, reversed(written)):
            known = {_text(self.base[place]), *map(_text, other.said[place])}
            text = _text(side.values[place])
            assert text in there | known


def test_two_machines_agree_on_what_was_put() -> None:
    """An item has a value that was put, as a whole, and the text of the other is in `conflicts`."""
    run_state_machine_as_test(TwoMachines, settings=settings(max_examples=25, stateful_step_count=25, deadline=None))
