"""The contract of a LangGraph store on two machines that sync: any operations on both, and what is left afterwards.

It needs langgraph and hypothesis. The contract is ours: LangGraph has no store that syncs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from langgraph.store.base import BaseStore, Item, PutOp

from memcrdt.testing.memories import Clock

Place: TypeAlias = tuple[tuple[str, ...], str]  # namespace and key
Value: TypeAlias = dict[str, Any]
Put: TypeAlias = tuple[Value, set[float | None]]  # a value, and the TTLs that it may have

PLACES: Final[tuple[Place, ...]] = ((("a",), "k"), (("a", "b"), "k"))
VALUES: Final = st.sampled_from([{"n": 1}, {"n": 2}]) | st.fixed_dictionaries(
    {"text": st.sampled_from(["tea", "coffee", "neither tea nor coffee"]), "n": st.integers(0, 3)}
)
TTLS: Final = st.sampled_from([None, None, 10.0])


class SyncedStores(Protocol):
    """Two stores on two machines.

    Attributes:
        stores: The stores, which are empty at first.
    """

    stores: tuple[BaseStore, BaseStore]

    def sync(self) -> None:
        """Bring both to the same state."""

    def conflicts(self, namespace: tuple[str, ...], key: str) -> list[Item]:
        """Return the rival versions of an item after a sync."""

    def close(self) -> None:
        """Free them."""


OpenSyncedStores: TypeAlias = Callable[[Clock, int], SyncedStores]


class LangGraphSyncAcceptance:
    """The test. Inherit from the class, and give it a fixture `open_synced_stores`.

    The fixture returns a function that takes a clock and the seed of all chance, and returns a new pair of stores.

    Attributes:
        examples: The number of random histories to play.

    Example:
        class TestSyncOfOurStore(LangGraphSyncAcceptance):
            @pytest.fixture
            def open_synced_stores(self):
                return OurPair
    """

    examples: int = 20

    @pytest.fixture(name="machine")
    def _machine(self, open_synced_stores: OpenSyncedStores) -> type[SyncMachine]:
        class Machine(SyncMachine):
            def open_stores(self, clock: Clock, seed: int) -> SyncedStores:
                return open_synced_stores(clock, seed)

        return Machine

    def test_two_machines_agree_on_what_was_put(self, machine: type[SyncMachine]) -> None:
        """An item has a value that was put, as a whole, and the text of the other is in `conflicts`."""
        run_state_machine_as_test(
            machine, settings=settings(max_examples=self.examples, stateful_step_count=25, deadline=None)
        )


class _Side:
    """What one machine has: for each item the life it is in, and what was put.

    An item begins a new life when it is put after a deletion. A deletion ends the same life on every machine.
    """

    def __init__(self) -> None:
        self.ended: dict[Place, set[int]] = {place: set() for place in PLACES}
        self.has: dict[Place, Put | None] = dict.fromkeys(PLACES)
        self.said: dict[Place, list[Value]] = {place: [] for place in PLACES}  # since the last sync

    def life(self, place: Place) -> int:
        """Return the number of the life in which the item is, or would be put."""
        return next(life for life in range(len(self.ended[place]) + 1) if life not in self.ended[place])

    def put(self, place: Place, value: Value, ttl: float | None) -> None:
        """Note a put."""
        self.has[place] = value, {ttl}
        self.said[place].append(value)

    def delete(self, place: Place) -> None:
        """Note a deletion."""
        if self.has[place] is not None:
            self.ended[place].add(self.life(place))
        self.has[place] = None
        self.said[place].clear()


class SyncMachine(RuleBasedStateMachine):
    """Random operations on two stores, and a model that says which values may be left after a sync.

    If both machines put an item with different TTLs, it has either of them, whichever value is left.
    """

    def open_stores(self, clock: Clock, seed: int) -> SyncedStores:
        """Return a new pair of stores."""
        raise NotImplementedError

    @initialize(seed=st.integers(0, 1_000))
    def begin(self, seed: int) -> None:
        """Open the stores."""
        self.clock = Clock()
        self.pair = self.open_stores(self.clock, seed)
        self.sides = [_Side(), _Side()]
        self.base: dict[Place, Value | None] = dict.fromkeys(PLACES)

    def teardown(self) -> None:
        """Free the stores."""
        if hasattr(self, "pair"):
            self.pair.close()

    @rule(on=st.integers(0, 1), place=st.sampled_from(PLACES), value=VALUES, ttl=TTLS)
    def put(self, on: int, place: Place, value: Value, ttl: float | None) -> None:
        """Put an item on one machine."""
        self.pair.stores[on].put(*place, value, ttl=ttl)
        self.sides[on].put(place, value, ttl)

    @rule(on=st.integers(0, 1), place=st.sampled_from(PLACES))
    def delete(self, on: int, place: Place) -> None:
        """Delete an item, which may not be there, on one machine."""
        self.pair.stores[on].delete(*place)
        self.sides[on].delete(place)

    @rule(on=st.integers(0, 1), ops=st.lists(st.tuples(st.sampled_from(PLACES), st.none() | VALUES, TTLS), max_size=4))
    def batch(self, on: int, ops: list[tuple[Place, Value | None, float | None]]) -> None:
        """Put and delete several items at once on one machine. The last operation on an item counts."""
        self.pair.stores[on].batch([PutOp(*place, value, ttl=ttl) for place, value, ttl in ops])
        for place, (value, ttl) in {place: (value, ttl) for place, value, ttl in ops}.items():
            if value is None:
                self.sides[on].delete(place)
            else:
                self.sides[on].put(place, value, ttl)

    @rule()
    def sync(self) -> None:
        """Sync, and compare both stores with the model."""
        self._sync()
        for place in PLACES:
            self._check(place)

    @rule()
    def expire(self) -> None:
        """Sync, and let every TTL pass. An item that has none is still there, on both machines."""
        self.sync()
        self.clock.advance(days=1)
        left: Any = self.pair.stores[0]  # BaseStore has no sweep_ttl
        left.sweep_ttl()
        self._sync()
        for place in PLACES:
            has = self.sides[0].has[place]
            lasts = self.pair.stores[1].get(*place) is not None
            assert lasts in ({ttl is None for ttl in has[1]} if has else {False})
            if has and lasts:
                self._note(place, self.sides[0].ended[place], (has[0], {None}))
            else:
                self.base[place] = None
                for side in self.sides:
                    side.delete(place)

    def _sync(self) -> None:
        self.pair.sync()
        left, right = self.pair.stores
        assert left.search(()) == right.search(())
        assert left.list_namespaces() == right.list_namespaces()

    def _check(self, place: Place) -> None:
        ended = set.union(*(side.ended[place] for side in self.sides))
        alive = [side for side in self.sides if side.has[place] and side.life(place) not in ended]
        latest = max((side.life(place) for side in alive), default=None)
        alive = [side for side in alive if side.life(place) == latest]
        written = [side for side in alive if side.said[place]] or alive
        item = self.pair.stores[0].get(*place)
        value = item.value if item else None
        may_be = [put for side in written if (put := side.has[place])]
        possible: list[Value | None] = [put[0] for put in may_be] or [None]
        assert value in possible
        if value is not None and len(written) > 1:
            self._check_rivals(place, value, written)
        ttls = set[float | None]().union(*(put[1] for put in may_be))
        self._note(place, ended, None if value is None else (value, ttls))

    def _check_rivals(self, place: Place, value: Value, written: list[_Side]) -> None:
        """The text of each machine is there, unless it is that of before, or the other one put and replaced it, too."""
        conflicts = [each.value for each in self.pair.conflicts(*place)]
        there = {_text(value)} | {_text(each) for each in conflicts} | {each.get("text") for each in conflicts}
        for side, other in (written, reversed(written)):
            known = {_text(self.base[place]), *map(_text, other.said[place])}
            put = side.has[place]
            assert _text(put[0] if put else None) in there | known

    def _note(self, place: Place, ended: set[int], put: Put | None) -> None:
        """Note that both machines have the same."""
        self.base[place] = put[0] if put else None
        for side in self.sides:
            side.ended[place] = set(ended)
            side.has[place] = put
            side.said[place].clear()


def _text(value: Value | None) -> str | None:
    return None if value is None else value["text"] if "text" in value else json.dumps(value)
