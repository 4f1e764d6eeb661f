"""The contract of a LangGraph store whose items expire: a random test against LangGraph's `SqliteStore`.

It needs langgraph, langgraph-checkpoint-sqlite and hypothesis.
"""

from __future__ import annotations

import datetime
import sqlite3
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final, TypeAlias
from unittest.mock import patch

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from langgraph.store.base import BaseStore, Item, TTLConfig

from memcrdt.testing.memories import Clock

OpenTtlStore: TypeAlias = Callable[[Clock, TTLConfig], BaseStore]
Place: TypeAlias = tuple[tuple[str, ...], str]  # namespace and key

CONFIG: Final[TTLConfig] = {"refresh_on_read": True, "omit_expired": False}  # SqliteStore returns what has expired
PLACES: Final = st.sampled_from([(("a",), "k"), (("a", "b"), "k"), (("b",), "l")])


class LangGraphTtlAcceptance:
    """The test. Inherit from the class, and give it a fixture `open_ttl_store`.

    The fixture returns a function that takes a clock and a `TTLConfig`, and returns a new, empty store.

    Attributes:
        examples: The number of random histories to compare.

    Example:
        class TestTtlOfOurStore(LangGraphTtlAcceptance):
            @pytest.fixture
            def open_ttl_store(self):
                return lambda clock, ttl: OurStore(clock=clock, ttl=ttl)
    """

    examples: int = 20

    @pytest.mark.filterwarnings("ignore:The default datetime adapter:DeprecationWarning")
    def test_items_live_as_long_as_in_the_store_of_langgraph(self, open_ttl_store: OpenTtlStore) -> None:
        """With refreshes by get and search, and sweeps."""

        class Machine(TtlMachine):
            def open_store(self, clock: Clock, ttl: TTLConfig) -> BaseStore:
                return open_ttl_store(clock, ttl)

        run_state_machine_as_test(
            Machine, settings=settings(max_examples=self.examples, stateful_step_count=25, deadline=None)
        )


class TtlMachine(RuleBasedStateMachine):
    """Puts, reads and the passing of time, on a store and on `SqliteStore` with the same clock.

    TTLs are odd numbers of minutes and time passes by even ones, so nothing expires at the very moment of a read.
    """

    def open_store(self, clock: Clock, ttl: TTLConfig) -> BaseStore:
        """Return a new, empty store."""
        raise NotImplementedError

    @initialize()
    def begin(self) -> None:
        """Open both stores."""
        from langgraph.store.sqlite import SqliteStore

        self.clock = Clock()
        moment = SimpleNamespace(now=lambda zone: datetime.datetime.fromtimestamp(self.clock.now // 1000, zone))
        shim = SimpleNamespace(datetime=moment, timezone=datetime.timezone, timedelta=datetime.timedelta)
        self.patch = patch("langgraph.store.sqlite.base.datetime", shim)
        self.patch.start()
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.create_function("current_timestamp", 0, self._now)
        self.model = SqliteStore(self.connection, ttl=CONFIG)
        self.model.setup()
        self.number = 0
        self.store = self.open_store(self.clock, CONFIG)

    def _now(self) -> str:
        return datetime.datetime.fromtimestamp(self.clock.now // 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")

    def teardown(self) -> None:
        """Give SqliteStore its own clock again."""
        if hasattr(self, "connection"):
            self.patch.stop()
            self.connection.close()

    @rule(place=PLACES, ttl=st.sampled_from([None, 7, 15]))
    def put(self, place: Place, ttl: float | None) -> None:
        """Put an item."""
        self.number += 1
        for store in (self.store, self.model):
            store.put(*place, {"n": self.number}, ttl=ttl)

    @rule(place=PLACES, refresh=st.booleans())
    def get(self, place: Place, refresh: bool) -> None:
        """Read an item, which may refresh it."""
        ours, theirs = (store.get(*place, refresh_ttl=refresh) for store in (self.store, self.model))
        assert _shown([ours]) == _shown([theirs])

    @rule(refresh=st.booleans(), prefix=st.sampled_from([(), ("a",)]))
    def search(self, refresh: bool, prefix: tuple[str, ...]) -> None:
        """Search, which may refresh what is found."""
        ours, theirs = (store.search(prefix, refresh_ttl=refresh) for store in (self.store, self.model))
        assert _shown(ours) == _shown(theirs)

    @rule(steps=st.integers(1, 6))
    def wait(self, steps: int) -> None:
        """Let time pass."""
        self.clock.advance(minutes=2 * steps)

    @rule()
    def sweep(self) -> None:
        """Delete what has expired."""
        ours: Any = self.store  # BaseStore has no sweep_ttl
        assert ours.sweep_ttl() == self.model.sweep_ttl()

    @invariant()
    def the_same_items_are_there(self) -> None:
        """The items and their namespaces are equal."""
        if hasattr(self, "store"):
            assert _shown(self.store.search((), refresh_ttl=False)) == _shown(self.model.search((), refresh_ttl=False))
            assert self.store.list_namespaces() == self.model.list_namespaces()


def _shown(items: list[Any]) -> list[tuple[tuple[str, ...], str, int]]:
    """Return the items that are there, in one order."""
    return sorted((item.namespace, item.key, item.value["n"]) for item in items if isinstance(item, Item))
