"""Items with a TTL: against LangGraph's SqliteStore, and what a read may write."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

pytest.importorskip("langgraph.store.base", reason="the extra memcrdt[langgraph] is not installed")
pytest.importorskip("langgraph.store.sqlite", reason="langgraph-checkpoint-sqlite is not installed")

from langgraph.store.base import BaseStore

import memcrdt
from memcrdt.frameworks.langgraph import MemcrdtStore
from memcrdt.memory.memory import Memory
from memcrdt.testing import Clock, temporary
from memcrdt.testing.langgraph_ttl import LangGraphTtlAcceptance

OpenMemory = Callable[..., Memory]


@pytest.fixture(name="open_ttl_store")
def _open_ttl_store() -> Iterator[Callable[..., BaseStore]]:
    with ExitStack() as opened:
        yield lambda clock, ttl: MemcrdtStore(opened.enter_context(temporary(clock=clock)), ttl=ttl)


class TestTtl(LangGraphTtlAcceptance):
    """Our store against SqliteStore."""

    examples = 30


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
        MemcrdtStore(memory).put(("a",), "k", {"text": "one"}, ttl=0.05)
    with memcrdt.open(tmp_path, read_only=True) as memory:
        while memory.count():  # until it has expired, which is after a tenth of the TTL
            time.sleep(0.05)
        store = MemcrdtStore(memory, ttl={"omit_expired": False})
        assert store.get(("a",), "k") is not None
        assert memory.count() == 0
