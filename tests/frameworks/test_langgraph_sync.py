"""The LangGraph store on two machines that sync: any operations on both, and what is left afterwards."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("langgraph.store.base", reason="the extra memcrdt[langgraph] is not installed")

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from memcrdt.frameworks.langgraph import MemcrdtStore
from memcrdt.testing import Clock, exchange, temporary

PLACES = [(("a",), "k"), (("a", "b"), "k"), (("a", "b"), "l")]
VALUES = st.sampled_from([{"n": 1}, {"n": 2}]) | st.fixed_dictionaries(
    {"text": st.sampled_from(["tea", "coffee", "neither tea nor coffee"]), "n": st.integers(0, 3)}
)


class Side:
    """What one machine has: for each item the life it is in, and its value.

    An item begins a new life when it is put after a deletion. A deletion ends the same life on every machine.
    """

    def __init__(self) -> None:
        self.ended: dict[Any, set[int]] = {place: set() for place in PLACES}
        self.values: dict[Any, dict[str, Any] | None] = dict.fromkeys(PLACES)
        self.touched: set[Any] = set()

    def life(self, place: Any) -> int:
        return next(life for life in range(100) if life not in self.ended[place])


class TwoMachines(RuleBasedStateMachine):
    """Two stores, and a model that says which values may be left after a sync."""

    @initialize()
    def begin(self) -> None:
        clock = Clock()
        self.opened = [temporary(clock=clock), temporary(clock=clock)]
        self.memories = [each.__enter__() for each in self.opened]
        self.stores = [MemcrdtStore(memory) for memory in self.memories]
        self.sides = [Side(), Side()]

    def teardown(self) -> None:
        for each in getattr(self, "opened", ()):
            each.__exit__(None, None, None)

    @rule(on=st.integers(0, 1), place=st.sampled_from(PLACES), value=VALUES)
    def put(self, on: int, place: Any, value: dict[str, Any]) -> None:
        self.stores[on].put(*place, value)
        self.sides[on].values[place] = value
        self.sides[on].touched.add(place)

    @rule(on=st.integers(0, 1), place=st.sampled_from(PLACES))
    def delete(self, on: int, place: Any) -> None:
        self.stores[on].delete(*place)
        side = self.sides[on]
        if side.values[place] is not None:
            side.ended[place].add(side.life(place))
        side.values[place] = None

    @rule()
    def sync(self) -> None:
        exchange(*self.memories)
        left, right = self.stores
        assert left.search(()) == right.search(())
        assert left.list_namespaces() == right.list_namespaces()
        for place in PLACES:
            self._check(place)

    def _check(self, place: Any) -> None:
        lives = [side.life(place) for side in self.sides]
        ended = set.union(*(side.ended[place] for side in self.sides))
        mine = [
            side
            for side, life in zip(self.sides, lives, strict=True)
            if side.values[place] is not None and life not in ended
        ]
        latest = max((side.life(place) for side in mine), default=None)
        mine = [side for side in mine if side.life(place) == latest]
        written = [side.values[place] for side in mine if place in side.touched] or [
            side.values[place] for side in mine
        ]
        item = self.stores[0].get(*place)
        assert (item.value if item else None) in (written or [None])
        if len(written) > 1 and all("text" in value for value in written):
            rivals = [each.value["text"] for each in self.stores[0].conflicts(*place)] or [item.value["text"]]
            assert {value["text"] for value in written} == set(rivals)
        for side in self.sides:
            side.ended[place] = set(ended)
            side.values[place] = item.value if item else None
            side.touched.discard(place)


def test_two_machines_agree_on_what_was_put() -> None:
    """An item has a value that was put, as a whole, and the text of the other is in `conflicts`."""
    run_state_machine_as_test(TwoMachines, settings=settings(max_examples=40, stateful_step_count=25, deadline=None))
