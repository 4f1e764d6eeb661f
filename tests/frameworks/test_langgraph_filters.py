"""A filter of a LangGraph store finds by SQL what it would find by reading every item."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("langgraph.store.base", reason="the extra memcrdt[langgraph] is not installed")

from hypothesis import example, given, settings
from hypothesis import strategies as st
from langgraph.store.base import PutOp

from memcrdt.errors import InputError
from memcrdt.frameworks import langgraph_items
from memcrdt.frameworks.langgraph import MemcrdtStore
from memcrdt.frameworks.langgraph_filters import matches
from memcrdt.frameworks.langgraph_items import StoredItem
from memcrdt.memory.memory import Memory
from memcrdt.model.records import MemoryRecord
from memcrdt.testing import exchange, temporary

_NAMES = st.sampled_from(["a", "b", "text", "", 'q"', "é", "b.c", "long" * 50])
_SCALARS = st.sampled_from(
    [
        *(None, True, False, 0, 1, -1, 2, 1.0, 0.5, 2**53, 2**53 + 1, 2**70, 2**70 + 1, 1e300, float("inf")),
        *("", "a", "ab", "b", "A", "1", "2", "10", "nan", "inf", "true", "null", "2026-01-01", "2026-02-01"),
        *("é", "e\u0301", "\uffff", "😀", "a\0b", "\ud800", "a\n\nb", '{"a": 1}', "x" * 300),
    ]
)
_VALUES = st.dictionaries(
    _NAMES,
    st.recursive(
        _SCALARS,
        lambda inside: st.lists(inside, max_size=2) | st.dictionaries(_NAMES, inside, max_size=2),
        max_leaves=4,
    ),
    max_size=3,
)
_OPERATORS = st.dictionaries(
    st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"]), _SCALARS, min_size=1, max_size=2
)
_FILTERS = st.dictionaries(
    _NAMES,
    st.recursive(
        _SCALARS | _OPERATORS,
        lambda inside: st.dictionaries(_NAMES, inside, max_size=2) | st.lists(inside, max_size=2),
        max_leaves=3,
    ),
    min_size=1,
    max_size=2,
)
_rounds = itertools.count()


@pytest.fixture(name="opened", scope="module")
def _opened() -> Iterator[MemcrdtStore]:
    with temporary(embedder=None) as memory:
        yield MemcrdtStore(memory)


@given(values=st.lists(_VALUES, max_size=5), wanted=st.lists(_FILTERS, min_size=1, max_size=6))
@example(values=[{"a": 2**70 + 1}, {"a": "a\0b"}], wanted=[{"a": {"$ne": 2**70}}, {"a": {"$ne": "a"}}])
@example(values=[{"text": "a", "b": "b"}, {"text": "ab"}], wanted=[{"text": {"$lt": "ab"}}, {"text": {"$eq": "a"}}])
@example(values=[{"n": 1}, {"n": True}, {"n": "1"}], wanted=[{"n": 1}, {"n": {"$ne": True}}, {"n": {"$gte": "1"}}])
@settings(max_examples=150, deadline=None)
def test_a_filter_finds_what_reading_every_item_finds(
    opened: MemcrdtStore, values: list[dict[str, Any]], wanted: list[dict[str, Any]]
) -> None:
    """All operators, on values of all types, in the text of a memory and beside it."""
    namespace = (f"round {next(_rounds)}",)
    opened.batch([PutOp(namespace, str(n), value) for n, value in enumerate(values)])
    for each in wanted:
        found = {item.key for item in opened.search(namespace, filter=each, limit=10)}
        assert found == {str(n) for n, value in enumerate(values) if matches(value, each)}


def test_a_filter_finds_corrected_and_conflicted_items(open_memory: Callable[..., Memory]) -> None:
    """What the value is then depends on the history of the text."""
    memories = [open_memory(device) for device in "AB"]
    stores = [MemcrdtStore(memory) for memory in memories]
    stores[0].put(("a",), "corrected", {"color": "red"})
    stores[0].put(("a",), "rivals", {"color": "before", "n": 0})
    exchange(*memories)
    memories[0].update(memories[0].list(contains="red")[0].id, text="a corrected color")
    for number, store in enumerate(stores, start=1):
        store.put(("a",), "rivals", {"color": f"of device {number}", "n": number})
    exchange(*memories)
    for store in stores:
        for item in store.search(("a",)):
            for name, value in item.value.items():
                assert [each.key for each in store.search(("a",), filter={name: value})] == [item.key]
        assert store.search(("a",), filter={"color": "red"}) == []


def test_a_filter_reads_only_what_may_satisfy_it(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a query and without. 100,000 items would take seconds."""
    store = MemcrdtStore(memory)
    store.batch([PutOp(("a",), str(n), {"text": f"tea {n}", "n": n, "more": {"deep": n}}) for n in range(50)])
    read: list[object] = []
    original = langgraph_items.read

    def counted(record: MemoryRecord, text: str | None = None) -> StoredItem | None:
        read.append(record)
        return original(record, text)

    monkeypatch.setattr(langgraph_items, "read", counted)
    for wanted in ({"n": {"$gt": 48}}, {"n": 49}, {"more": {"deep": {"$gte": 49}}}, {"text": "tea 49"}):
        for query in (None, "tea"):
            read.clear()
            assert [item.key for item in store.search(("a",), filter=wanted, query=query)] == ["49"]
            assert len(read) == 1
    with pytest.raises(InputError, match=r"a filter has no operator '\$in'"):
        store.search(("nothing",), filter={"n": {"$in": [1]}})
