"""The LangGraph store: the contract of all stores, and what only this one has."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("langgraph.store.base", reason="the extra memcrdt[langgraph] is not installed")

from langgraph.store.base import BaseStore, Op, PutOp, Result, validate_op_namespace
from langgraph.store.memory import InMemoryStore

import memcrdt
from memcrdt import config
from memcrdt.errors import InputError, NotFoundError, SecretError
from memcrdt.frameworks import langgraph_memories
from memcrdt.frameworks.langgraph import MemcrdtStore
from memcrdt.memory.memory import Memory
from memcrdt.model import limits
from memcrdt.search.embedders import reranker
from memcrdt.testing import exchange, temporary
from memcrdt.testing.langgraph_store import LangGraphStoreAcceptance
from tests.cross_encoders import write_cross_encoder

OpenMemory = Callable[..., Memory]


@pytest.fixture(name="open_store")
def _open_store() -> Iterator[Callable[[], BaseStore]]:
    with ExitStack() as opened:
        yield lambda: MemcrdtStore(opened.enter_context(temporary()))


@pytest.fixture(name="store")
def _store(memory: Memory) -> MemcrdtStore:
    return MemcrdtStore(memory)


class TestMemcrdtStore(LangGraphStoreAcceptance):
    """Our store."""


class _Checked(InMemoryStore):
    """LangGraph's own store, with the checks that `batch` leaves out, and without namespaces that are empty."""

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        asked = list(ops)
        for op in asked:
            validate_op_namespace(op)
        for namespace in [namespace for namespace, inside in self._data.items() if not inside]:
            del self._data[namespace]
        return super().batch(asked)

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        return self.batch(ops)


class TestInMemoryStore(LangGraphStoreAcceptance):
    """The suite accepts LangGraph's own store."""

    @pytest.fixture(name="open_store")
    def _open_store(self) -> Callable[[], BaseStore]:
        return _Checked


def test_an_item_is_a_readable_memory(store: MemcrdtStore, memory: Memory) -> None:
    """Its longest string is the text. Namespaces are tags, so other faces can filter by them."""
    store.put(("users", "ada"), "m1", {"kind": "Memory", "content": {"content": "Ada prefers tea", "n": 1}})
    (record,) = memory.list(all_tags=["ns:users"])
    assert (record.text, record.kind, record.scope) == ("Ada prefers tea\n\nMemory", "langgraph", "global")
    assert record.tags == ("ns:users", "ns:users.ada", "ns:users.ada.")


def test_a_correction_by_another_face_is_the_value(store: MemcrdtStore, memory: Memory) -> None:
    """In the place where the text was; of a value without a text, all of it."""
    store.put(("text",), "k", {"title": "Drinks", "text": "Ada prefers tea, not coffee"})
    store.put(("json",), "k", {"count": 1})
    store.put(("broken",), "k", {"count": 1})
    corrected = {"text": "Ada prefers coffee\n\nDrinks", "json": '{"count": 2}', "broken": "no JSON"}
    for label, text in corrected.items():
        memory.update(memory.list(all_tags=[f"ns:{label}."])[0].id, text=text)
    assert {item.namespace[0]: item.value for item in store.search(())} == {
        "text": {"title": "Drinks", "text": "Ada prefers coffee"},
        "json": {"count": 2},
        "broken": {"text": "no JSON"},
    }


def test_an_item_without_its_tags_is_still_there(store: MemcrdtStore, memory: Memory) -> None:
    """Another face may replace them. Only searches below a namespace need them, until the next put."""
    store.put(("a", "b"), "k", {"text": "one"})
    memory.update(memory.list()[0].id, tags=["drinks"])
    item = store.get(("a", "b"), "k")
    assert item is not None
    assert (item.value, store.search(("a",)), len(store.search(()))) == ({"text": "one"}, [], 1)
    store.put(("a", "b"), "k", {"text": "two"})
    assert [each.value for each in store.search(("a",))] == [{"text": "two"}]


def test_a_query_finds_by_the_indexed_fields(store: MemcrdtStore) -> None:
    """Those of the put, or of the store. What matches comes first, and the rest has no score."""
    store.put(("a",), "1", {"title": "Invoices", "text": "sent as PDF"})
    store.put(("a",), "2", {"title": "Deploys", "text": "mention invoices only in passing"}, index=["title"])
    store.put(("a",), "3", {"title": "Invoices", "text": "hidden"}, index=False)
    found = store.search(("a",), query="invoices")
    assert [(item.key, item.score is not None) for item in found] == [("1", True), ("3", False), ("2", False)]
    lists = {"notes": [{"text": "tea"}, {"text": "a longer note on coffee"}], "n": 7}
    store.put(("b",), "1", lists, index=["notes[*].text", "n"])
    for query in ("tea", "coffee", "7"):
        (item,) = store.search(("b",), query=query)
        assert (item.value, item.score is not None) == (lists, True)


def test_a_query_finds_by_meaning() -> None:
    """With the embedder of the memory."""
    with temporary(embedder="static") as memory:
        store = MemcrdtStore(memory)
        store.put(("a",), "1", {"text": "Ada prefers tea to coffee"})
        for number, text in enumerate(
            ("The bus leaves at nine", "Invoices are sent as PDF", "Deploys are on Tuesdays")
        ):
            store.put(("a",), f"other {number}", {"text": text})
        (first, *_) = store.search(("a",), query="which hot beverage does she drink?")
        assert (first.key, first.score is not None) == ("1", True)


def test_deep_pages_go_on_where_a_ranking_ends(store: MemcrdtStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page has the same items whether the ranking before it was short, long or at its end."""
    monkeypatch.setattr(langgraph_memories, "SHORT", 4)
    monkeypatch.setattr(limits, "RESULTS", 9)
    store.batch([PutOp(("a",), str(n), {"text": "tea " * (1 + n % 5) + f"note {n}"}) for n in range(14)])
    everything = store.search(("a",), query="tea", limit=100)
    assert len({item.key for item in everything}) == len(everything) == 14
    assert [item.score is not None for item in everything] == [True] * 9 + [False] * 5
    pages = [store.search(("a",), query="tea", limit=3, offset=start) for start in range(0, 15, 3)]
    assert [item.key for page in pages for item in page] == [item.key for item in everything]


def test_pages_agree_where_a_reranker_is_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it prefers comes first, and all pages together have every item once: no deadline cuts its work."""
    config.change(tmp_path / "home", "reranker", str(write_cross_encoder(tmp_path / "reranker")))
    seconds = itertools.count()
    monkeypatch.setattr(reranker, "time", SimpleNamespace(monotonic=lambda: next(seconds) / 10))
    with memcrdt.open(tmp_path / "home", embedder=None) as memory:
        store = MemcrdtStore(memory)
        texts = [f"the ship sails at dawn {n}" for n in range(20)] + ["a kitten may sail with us"]
        store.batch([PutOp(("ships",), str(n), {"text": text}) for n, text in enumerate(texts)])
        query = "when does the ship sail"
        pages = [store.search(("ships",), query=query, limit=5, offset=first) for first in range(0, 25, 5)]
        found = [item.value["text"] for page in pages for item in page]
        assert found[0] == texts[-1]
        assert sorted(found) == sorted(texts)
        assert found == [item.value["text"] for item in store.search(("ships",), query=query, limit=25)]


def test_the_store_has_fields_of_its_own(memory: Memory) -> None:
    """For puts that name none."""
    store = MemcrdtStore(memory, fields=["title"])
    store.put(("a",), "1", {"title": "Invoices", "text": "a longer text about tea"})
    assert memory.list()[0].text == "Invoices"
    assert store.search((), query="tea")[0].score is None
    assert store.search((), query="invoices")[0].score is not None


def test_a_large_value_is_the_text_as_a_whole(store: MemcrdtStore, memory: Memory) -> None:
    """Up to 64 KiB. A larger one is refused with its place, and nothing of the batch is put."""
    value = {"lines": [f"line {n} of a file" for n in range(900)], "n": 1.0}
    store.put(("a",), "k", value)
    item = store.get(("a",), "k")
    assert item is not None
    assert item.value == value
    assert json.loads(memory.list()[0].text) == value
    long = {"content": "x" * 64_000, "title": "t" * 1_500}
    store.put(("a",), "long", long)
    item = store.get(("a",), "long")
    assert item is not None
    assert item.value == long
    told = r"the value of 'big' in a\.b has 70,\d+ bytes as JSON; an item has at most 65,536"
    with pytest.raises(InputError, match=told):
        store.batch([PutOp(("a", "b"), "small", {"text": "x"}), PutOp(("a", "b"), "big", {"text": "x" * 70_000})])
    assert store.search(("a", "b")) == []


@pytest.mark.parametrize("value", [{"a": {1}}, {"a": object()}, {"a": b"bytes"}], ids=["set", "object", "bytes"])
def test_a_value_that_is_not_json_is_refused(store: MemcrdtStore, value: dict[str, Any]) -> None:
    """With its place."""
    with pytest.raises(InputError, match="the value of 'k' in a is not JSON"):
        store.put(("a",), "k", value)


def test_wrong_operations_are_refused(store: MemcrdtStore, memory: Memory) -> None:
    """In words of the store."""
    store.put(("a",), "k", {"n": 1})
    with pytest.raises(InputError, match=r"a filter has no operator '\$in'"):
        store.search((), filter={"n": {"$in": [1]}})
    with pytest.raises(InputError, match="the limit is -1 and the offset 0"):
        store.search((), limit=-1)
    with pytest.raises(InputError, match="has no operation str"):
        store.batch(["get"])
    with pytest.raises(InputError, match=r"has 64 labels; 1 to 63 are allowed"):
        store.put(tuple("abcdefgh" * 8), "k", {"n": 1})
    for ttl in (0, -1, float("nan"), float("inf"), 1e300, "1", True):
        with pytest.raises(InputError, match=r"the ttl of 'k' in a is .*; give minutes"):
            store.put(("a",), "k", {"n": 1}, ttl=ttl)
    with pytest.raises(SecretError):
        store.put(("a",), "k", {"text": "AKIA" + "Z7Q2M4X3K3T6W5RA"})
    MemcrdtStore(memory, allow_secret=True).put(("a",), "k", {"text": "AKIA" + "Z7Q2M4X3K3T6W5RA"})
    for wrong in ({"space": "unknown"}, {"scope": "unknown"}):
        with pytest.raises((InputError, NotFoundError)):
            MemcrdtStore(memory, **wrong)


def test_a_filter_orders_texts_and_no_other_types(store: MemcrdtStore) -> None:
    """InMemoryStore raises for what is not a number."""
    for key, day in (("1", "2026-01-01"), ("2", "2026-02-01"), ("3", None), ("4", [1]), ("5", float("nan"))):
        store.put(("a",), key, {"day": day})
    assert [item.key for item in store.search((), filter={"day": {"$gt": "2026-01-15"}})] == ["2"]
    assert [item.key for item in store.search((), filter={"day": {"$lte": "2026-01-15"}})] == ["1"]
    assert store.search((), filter={"day": {"$gt": 5}}) == []


def test_long_labels_and_keys_have_no_limit_of_a_tag(store: MemcrdtStore) -> None:
    """A namespace that is too long for a tag is found and listed as well."""
    namespace = ("users", "x" * 200, "#")
    store.put(namespace, "k" * 3_000, {"text": "one"})
    for prefix in ((), namespace[:1], namespace[:2], namespace):
        assert [(item.namespace, item.key) for item in store.search(prefix)] == [(namespace, "k" * 3_000)]
    assert store.list_namespaces() == [namespace]


def test_scopes_and_spaces_separate_stores(memory: Memory) -> None:
    """The same item in each of them is another one."""
    stores = [MemcrdtStore(memory, **each) for each in ({}, {"scope": "project/acme"}, {"space": "local"})]
    for number, store in enumerate(stores):
        store.put(("a",), "k", {"text": f"of store {number}"})
    assert [store.search(())[0].value["text"] for store in stores] == ["of store 0", "of store 1", "of store 2"]
    stores[0].delete(("a",), "k")
    assert [len(store.search(())) for store in stores] == [0, 1, 1]


def test_memories_that_are_no_items_are_left_alone(store: MemcrdtStore, memory: Memory) -> None:
    """Whatever another device writes into the metadata of one."""
    store.put(("a",), "k", {"text": "one"})
    (record,) = memory.list()
    memory.add("a note", tags=["ns:a"])
    item = json.loads(record.metadata["item"])
    wrong = [
        None,
        5,
        "{",
        "[]",
        "[" * 4_000,
        json.dumps([*item[:3], ["x", 9], *item[4:]]),
        json.dumps([[], *item[1:]]),
        json.dumps([item[0], 5, *item[2:]]),
        json.dumps([*item[:5], "1", *item[6:]]),
        json.dumps([*item[:2], [], *item[3:]]),
        json.dumps([item[0], item[1], item[2], item[3], 7, *item[5:]]),
        json.dumps([*item[:5], 1e300, *item[6:]]),
        json.dumps([*item[:6], -1, *item[7:]]),
        json.dumps([*item[:6], 1e400, *item[7:]]),
    ]
    for said in wrong:
        memory.update(record.id, metadata={"item": said})
        assert store.search(()) == []
        assert store.get(("a",), "k") is None
    store.put(("a",), "k", {"text": "two"})
    assert [found.value for found in store.search(())] == [{"text": "two"}]


def test_both_values_of_a_conflict_are_there(open_memory: OpenMemory) -> None:
    """The item has one of them as it was put, and `conflicts` has both. The next put settles it."""
    memories = [open_memory(device) for device in "AB"]
    ours, theirs = stores = [MemcrdtStore(memory) for memory in memories]
    ours.put(("a",), "k", {"text": "before", "by": "both"})
    exchange(*memories)
    ours.put(("a",), "k", {"text": "Ada prefers tea", "n": 1})
    theirs.put(("a",), "k", {"text": "Ada prefers coffee", "n": 2})
    exchange(*memories)
    shown = [store.search(())[0].value for store in stores]
    assert shown[0] == shown[1]
    assert shown[0] in ({"text": "Ada prefers tea", "n": 1}, {"text": "Ada prefers coffee", "n": 2})
    assert ours.get(("a",), "k") == theirs.get(("a",), "k")
    assert {item.value["text"] for item in ours.conflicts(("a",), "k")} == {"Ada prefers tea", "Ada prefers coffee"}
    assert shown[0] in [item.value for item in ours.conflicts(("a",), "k")]
    ours.put(("a",), "k", {"text": "Ada prefers both"})
    exchange(*memories)
    assert theirs.conflicts(("a",), "k") == []
    assert theirs.search(())[0].value == {"text": "Ada prefers both"}
    with pytest.raises(NotFoundError, match="there is no item 'l' in a"):
        ours.conflicts(("a",), "l")


def test_a_put_of_the_text_of_before_competes_too(open_memory: OpenMemory) -> None:
    """Whichever of the two values is left, it is left as a whole, and the other text is there."""
    memories = [open_memory(device) for device in "AB"]
    stores = [MemcrdtStore(memory) for memory in memories]
    for key in map(str, range(12)):  # chance decides which value is left
        stores[0].put(("a",), key, {"text": "Ada prefers tea", "n": 0})
    exchange(*memories)
    values = ({"text": "Ada prefers tea", "n": 1}, {"text": "Ada prefers coffee", "n": 2})
    for store, value in zip(stores, values, strict=True):
        for key in map(str, range(12)):
            store.put(("a",), key, value)
    exchange(*memories)
    for item in stores[0].search((), limit=100):
        assert item.value in values
        if item.value == values[0]:
            texts = {each.value["text"] for each in stores[0].conflicts(("a",), item.key)}
            assert texts == {"Ada prefers tea", "Ada prefers coffee"}


def test_a_correction_meets_a_put(open_memory: OpenMemory) -> None:
    """Both were made apart: the value is the corrected one, or that of the put."""
    memories = [open_memory(device) for device in "AB"]
    stores = [MemcrdtStore(memory) for memory in memories]
    stores[0].put(("a",), "k", {"text": "Ada prefers tea", "n": 1})
    exchange(*memories)
    memories[0].update(memories[0].list()[0].id, text="Ada prefers coffee", author="a person")
    stores[1].put(("a",), "k", {"text": "Ada prefers water", "n": 2})
    exchange(*memories)
    (item,) = stores[0].search(())
    assert item.value in ({"text": "Ada prefers coffee", "n": 1}, {"text": "Ada prefers water", "n": 2})
    texts = {each.value["text"] for each in stores[1].conflicts(("a",), "k")}
    assert texts == {"Ada prefers coffee", "Ada prefers water"}


async def test_it_takes_an_async_memory_and_keeps_the_loop_free(tmp_path: Any) -> None:
    """Calls run in threads: the loop goes on while one waits for the write lock."""
    (tmp_path / "config.toml").write_text('embedder = "none"\n', encoding="utf-8")
    async with memcrdt.open_async(tmp_path) as memory:
        store = MemcrdtStore(memory)
        entered, leave = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def hold(_: object) -> None:
            loop.call_soon_threadsafe(entered.set)
            asyncio.run_coroutine_threadsafe(leave.wait(), loop).result(timeout=60)

        holding = asyncio.create_task(asyncio.to_thread(memory.memory.store.commit, hold))
        await entered.wait()
        putting = asyncio.create_task(store.aput(("a",), "k", {"text": "one"}))
        assert await store.aget(("a",), "k") is None
        assert not putting.done()
        leave.set()
        await asyncio.gather(holding, putting)
        assert [item.value for item in await store.asearch(())] == [{"text": "one"}]
