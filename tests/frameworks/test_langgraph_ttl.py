"""Items with a TTL: against LangGraph's SqliteStore, and what a read may write."""

from __future__ import annotations

import datetime
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("langgraph.store.base", reason="the extra memcrdt[langgraph] is not installed")

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

import memcrdt
from memcrdt.frameworks.langgraph import MemcrdtStore
from memcrdt.memory.memory import Memory
from memcrdt.testing import Clock, temporary

OpenMemory = Callable[..., Memory]
PLACES = [(("a",), "k"), (("a", "b"), "k"), (("b",), "l")]


def _shown(items: list[Any]) -> list[Any]:
    return sorted((item.namespace, item.key, item.value["n"]) for item in items)


class TtlMachine(RuleBasedStateMachine):
    """Puts, reads and the passing of time, on our store and on SqliteStore with the same clock.

    TTLs are odd numbers of minutes and time passes by even ones, so nothing expires at the very moment of a read.
    """

    @initialize()
    def begin(self) -> None:
        from langgraph.store.sqlite import SqliteStore
        from langgraph.store.sqlite import base as module

        self.clock = Clock()
        self.patch = pytest.MonkeyPatch()
        moment = SimpleNamespace(now=lambda zone: datetime.datetime.fromtimestamp(self.clock.now // 1000, zone))
        shim = SimpleNamespace(datetime=moment, timezone=datetime.timezone, timedelta=datetime.timedelta)
        self.patch.setattr(module, "datetime", shim)
        config: Any = {"refresh_on_read": True, "omit_expired": False}
        self.opened = temporary(clock=self.clock)
        self.store = MemcrdtStore(self.opened.__enter__(), ttl=config)
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.create_function("current_timestamp", 0, self._now)
        self.model = SqliteStore(self.connection, ttl=config)
        self.model.setup()
        self.number = 0

    def _now(self) -> str:
        return datetime.datetime.fromtimestamp(self.clock.now // 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")

    def teardown(self) -> None:
        if hasattr(self, "patch"):
            self.patch.undo()
            self.connection.close()
            self.opened.__exit__(None, None, None)

    @rule(place=st.sampled_from(PLACES), ttl=st.sampled_from([None, 7, 15]))
    def put(self, place: tuple[tuple[str, ...], str], ttl: float | None) -> None:
        self.number += 1
        for store in (self.store, self.model):
            store.put(*place, {"n": self.number}, ttl=ttl)

    @rule(place=st.sampled_from(PLACES), refresh=st.booleans())
    def get(self, place: tuple[tuple[str, ...], str], refresh: bool) -> None:
        ours, theirs = (store.get(*place, refresh_ttl=refresh) for store in (self.store, self.model))
        assert _shown([each for each in [ours] if each]) == _shown([each for each in [theirs] if each])

    @rule(refresh=st.booleans(), prefix=st.sampled_from([(), ("a",)]))
    def search(self, refresh: bool, prefix: tuple[str, ...]) -> None:
        ours, theirs = (store.search(prefix, refresh_ttl=refresh) for store in (self.store, self.model))
        assert _shown(ours) == _shown(theirs)

    @rule(steps=st.integers(1, 6))
    def wait(self, steps: int) -> None:
        self.clock.advance(minutes=2 * steps)

    @rule()
    def sweep(self) -> None:
        assert self.store.sweep_ttl() == self.model.sweep_ttl()

    @invariant()
    def the_same_items_are_there(self) -> None:
        if hasattr(self, "store"):
            assert _shown(self.store.search((), refresh_ttl=False)) == _shown(self.model.search((), refresh_ttl=False))
            assert self.store.list_namespaces() == self.model.list_namespaces()


@pytest.mark.filterwarnings("ignore:The default datetime adapter:DeprecationWarning")
def test_items_live_as_long_as_in_the_store_of_langgraph() -> None:
    """With refreshes by get and search, and sweeps."""
    pytest.importorskip("langgraph.store.sqlite", reason="langgraph-checkpoint-sqlite is not installed")
    run_state_machine_as_test(TtlMachine, settings=settings(max_examples=30, stateful_step_count=25, deadline=None))


def test_an_expired_item_is_not_returned(open_memory: OpenMemory, clock: Clock) -> None:
    """By get, search and list, unless the store is told so. The sweep deletes it for all."""
    memory = open_memory()
    store = MemcrdtStore(memory, ttl={"default_ttl": 10})
    keeping = MemcrdtStore(memory, ttl={"default_ttl": 10, "omit_expired": False})
    store.put(("a",), "k", {"text": "one"})
    store.put(("b",), "k", {"text": "two"}, ttl=None)
    clock.advance(minutes=11)
    assert store.get(("a",), "k") is None
    assert [item.namespace for item in store.search((), query="one")] == [("b",)]
    assert store.list_namespaces() == [("b",)]
    assert keeping.list_namespaces() == [("a",), ("b",)]
    assert keeping.get(("a",), "k", refresh_ttl=False) is not None
    assert [store.sweep_ttl(), store.sweep_ttl()] == [1, 0]
    assert keeping.get(("a",), "k") is None


def test_an_expired_item_may_be_put_again(open_memory: OpenMemory, clock: Clock) -> None:
    """With another TTL, or none."""
    memory = open_memory()
    store = MemcrdtStore(memory)
    store.put(("a",), "k", {"text": "one"}, ttl=1)
    clock.advance(minutes=2)
    store.put(("a",), "k", {"text": "two"})
    clock.advance(days=300)
    item = store.get(("a",), "k")
    assert item is not None
    assert item.value == {"text": "two"}


def test_a_read_refreshes_at_most_once_in_a_tenth_of_the_ttl(open_memory: OpenMemory, clock: Clock) -> None:
    """Each refresh is a change that is synced. It does not change the time of the item."""
    memory = open_memory()
    store = MemcrdtStore(memory, ttl={"default_ttl": 100})
    store.put(("a",), "k", {"text": "one"})
    put = store.get(("a",), "k")
    (record,) = memory.list()
    for minutes, refreshed in ((9, False), (2, True), (9, False), (2, True)):
        clock.advance(minutes=minutes)
        before = memory.get(record.id).expires_at
        assert store.search(())[0].updated_at == put.updated_at
        assert (memory.get(record.id).expires_at != before) is refreshed
    clock.advance(minutes=50)
    before = memory.get(record.id).expires_at
    assert store.get(("a",), "k", refresh_ttl=False) == put
    assert memory.get(record.id).expires_at == before


def test_a_store_that_may_only_read_refreshes_nothing(tmp_path: Path) -> None:
    """The read succeeds."""
    (tmp_path / "config.toml").write_text('embedder = "none"\n', encoding="utf-8")
    with memcrdt.open(tmp_path) as memory:
        MemcrdtStore(memory).put(("a",), "k", {"text": "one"}, ttl=0.001)
    with memcrdt.open(tmp_path, read_only=True) as memory:
        while memory.count():  # until it has expired, which is after a tenth of the TTL
            pass
        store = MemcrdtStore(memory, ttl={"omit_expired": False})
        assert store.get(("a",), "k") is not None
        assert memory.count() == 0
