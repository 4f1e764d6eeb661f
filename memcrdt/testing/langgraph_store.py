"""The contract of a LangGraph store: a test class to inherit from, and a random test against `InMemoryStore`.

It needs langgraph and hypothesis. LangGraph itself has no such suite.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from langgraph.store.base import (
    BaseStore,
    GetOp,
    InvalidNamespaceError,
    Item,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchOp,
)
from langgraph.store.memory import InMemoryStore

OpenStore: TypeAlias = Callable[[], BaseStore]
Place: TypeAlias = tuple[tuple[str, ...], str]  # namespace and key

EVERYTHING: Final = 10_000  # more items than a test puts

_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(["tea", "Deploys are on Tuesdays", "a\u0301", "\N{FAMILY}", "a.b", "$gt", "<memory>"]),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=8), inside, max_size=3),
    max_leaves=8,
)
VALUES: Final = st.dictionaries(st.sampled_from(["text", "content", "color", "n", ""]), _JSON, max_size=4)
NAMESPACES: Final = st.sampled_from([("a",), ("a", "b"), ("a", "b", "c"), ("ab",), ("b", "a"), ("#", "é/ *")])
KEYS: Final = st.sampled_from(["k", "1", "K", "a key", "k/é", "long " * 400])
PREFIXES: Final = st.sampled_from([(), ("a",), ("a", "b"), ("b",), ("#",), ("a", "b", "c", "d")])
FILTERS: Final = st.sampled_from(
    [
        {"color": "red"},
        {"color": {"$ne": "red"}},
        {"n": {"$gte": 2}, "color": "red"},
        {"n": {"$gt": 1, "$lte": 3}},
        {"n": {"$lt": 2.5}},
        {"n": {"$eq": 2}},
        {"more": {"deep": [1, {"$gt": 1}]}},
        {"missing": None},
    ]
)
_FILTERED = st.fixed_dictionaries(
    {
        "n": st.integers(0, 4) | st.sampled_from([1.5, "2"]),
        "color": st.sampled_from(["red", "blue", None]),
        "more": st.sampled_from([{"deep": [1, 2]}, {"deep": [1, 1], "other": 1}, {"deep": []}, "text"]),
    }
)


class LangGraphStoreAcceptance:
    """The tests. Inherit from the class, and give it a fixture `open_store`, which returns a new, empty store.

    Attributes:
        examples: The number of random histories to compare.

    Example:
        class TestOurStore(LangGraphStoreAcceptance):
            @pytest.fixture
            def open_store(self):
                return OurStore
    """

    examples: int = 20

    @pytest.fixture(name="store")
    def _store(self, open_store: OpenStore) -> BaseStore:
        return open_store()

    def test_an_item_comes_back_as_it_was_put(self, store: BaseStore) -> None:
        """With its place, and with the times of its first and its last put."""
        began = datetime.now(UTC)
        store.put(("users", "ada"), "drink", {"text": "Ada prefers tea", "n": 1, "list": [1.5, None, {"a": True}]})
        item = store.get(("users", "ada"), "drink")
        assert isinstance(item, Item)
        assert (item.namespace, item.key) == (("users", "ada"), "drink")
        assert item.value == {"text": "Ada prefers tea", "n": 1, "list": [1.5, None, {"a": True}]}
        assert began.replace(microsecond=0) <= item.created_at <= item.updated_at
        assert store.get(("users",), "drink") is None
        assert store.get(("users", "ada"), "other") is None

    def test_a_put_replaces_the_whole_value(self, store: BaseStore) -> None:
        """Nothing of the former value is left."""
        store.put(("a",), "k", {"text": "one", "color": "red"})
        store.put(("a",), "k", {"text": "two"})
        item = store.get(("a",), "k")
        assert item is not None
        assert item.value == {"text": "two"}
        assert [item.value for item in store.search(())] == [{"text": "two"}]

    def test_a_deleted_item_is_gone(self, store: BaseStore) -> None:
        """It may be put again. Deleting an item that is not there is no error."""
        store.delete(("a",), "k")
        store.put(("a",), "k", {"text": "one"})
        store.delete(("a",), "k")
        assert store.get(("a",), "k") is None
        assert store.search(("a",)) == []
        store.put(("a",), "k", {"text": "two"})
        assert [item.value for item in store.search(("a",))] == [{"text": "two"}]

    def test_a_namespace_is_a_list_of_labels(self, store: BaseStore) -> None:
        """A prefix ends between labels."""
        for namespace in (("a",), ("a", "b"), ("ab",), ("b", "a")):
            store.put(namespace, "k", {"text": "one"})
        found = {
            prefix: {item.namespace for item in store.search(prefix)} for prefix in ((), ("a",), ("b",), ("a", "b"))
        }
        assert found[()] == {("a",), ("a", "b"), ("ab",), ("b", "a")}
        assert (found["a",], found["b",], found["a", "b"]) == ({("a",), ("a", "b")}, {("b", "a")}, {("a", "b")})

    @pytest.mark.parametrize("label", ["", "a.b", 5], ids=repr)
    def test_a_wrong_label_is_refused_in_a_batch_too(self, store: BaseStore, label: Any) -> None:
        """batch() is called without the checks of put() and get()."""
        rules = (MatchCondition("prefix", (label,)),)
        ops = GetOp((label,), "k"), PutOp((label,), "k", {}), SearchOp((label,)), ListNamespacesOp(rules)
        for op in ops:
            with pytest.raises(InvalidNamespaceError):
                store.batch([PutOp(("a",), "k", {"text": "one"}), op])
        assert store.get(("a",), "k") is None

    def test_a_batch_reads_before_it_writes(self, store: BaseStore) -> None:
        """Of several puts of one item, the last one wins. Each result is in the place of its operation."""
        store.put(("a",), "k", {"text": "old"})
        results = store.batch(
            [
                PutOp(("a",), "k", {"text": "new"}),
                GetOp(("a",), "k"),
                PutOp(("a",), "k", None),
                SearchOp(("a",)),
                PutOp(("a",), "k", {"text": "newest"}),
                PutOp(("b",), "k", {"text": "gone"}),
                PutOp(("b",), "k", None),
                ListNamespacesOp(),
            ]
        )
        assert results[1].value == {"text": "old"}
        assert [item.value for item in results[3]] == [{"text": "old"}]
        assert [results[place] for place in (0, 2, 4, 5, 6)] == [None] * 5
        assert results[7] == [("a",)]
        item = store.get(("a",), "k")
        assert item is not None
        assert (item.value, store.get(("b",), "k")) == ({"text": "newest"}, None)
        assert store.batch([]) == []

    def test_all_pages_together_have_every_item_once(self, store: BaseStore) -> None:
        """With a query and without."""
        store.batch([PutOp(("a",), str(n), {"text": f"note {n} about tea", "n": n % 2}) for n in range(53)])
        for query in (None, "tea"):
            pages = [store.search(("a",), query=query, limit=10, offset=start) for start in range(0, 70, 10)]
            assert [len(page) for page in pages] == [10, 10, 10, 10, 10, 3, 0]
            assert {item.key for page in pages for item in page} == {str(n) for n in range(53)}
        assert len(store.search(("a",), filter={"n": 1}, limit=20, offset=20)) == 6
        assert store.search(("a",), limit=0) == []

    def test_namespaces_are_listed(self, store: BaseStore) -> None:
        """By prefix, by suffix, with wildcards, and cut to a depth."""
        for namespace in (("a", "b", "c"), ("a", "b", "d", "e"), ("a", "x", "c"), ("f", "c")):
            store.put(namespace, "k", {"text": "one"})
        assert store.list_namespaces() == [("a", "b", "c"), ("a", "b", "d", "e"), ("a", "x", "c"), ("f", "c")]
        assert store.list_namespaces(prefix=("a", "b")) == [("a", "b", "c"), ("a", "b", "d", "e")]
        assert store.list_namespaces(prefix=("a", "*", "c")) == [("a", "b", "c"), ("a", "x", "c")]
        assert store.list_namespaces(suffix=("*", "c"), prefix=("a",)) == [("a", "b", "c"), ("a", "x", "c")]
        assert store.list_namespaces(max_depth=2) == [("a", "b"), ("a", "x"), ("f", "c")]
        assert store.list_namespaces(max_depth=1, limit=1, offset=1) == [("f",)]

    def test_an_item_that_is_not_indexed_is_still_there(self, store: BaseStore) -> None:
        """get() and search() return it."""
        store.put(("a",), "k", {"text": "one"}, index=False)
        store.put(("a",), "l", {"text": "two", "title": "three"}, index=["title"])
        assert {item.key for item in store.search(("a",))} == {"k", "l"}
        assert {item.key for item in store.search(("a",), query="three")} == {"k", "l"}

    async def test_the_awaitable_methods_do_the_same(self, store: BaseStore) -> None:
        """On the same items."""
        await store.aput(("a",), "k", {"text": "one"})
        item = await store.aget(("a",), "k")
        assert item is not None
        assert (item.value, store.get(("a",), "k")) == ({"text": "one"}, item)
        assert await store.asearch(("a",), filter={"text": "one"}) == store.search(("a",), filter={"text": "one"})
        assert await store.alist_namespaces() == [("a",)]
        await store.adelete(("a",), "k")
        assert store.search(()) == []

    def test_random_histories_are_those_of_the_store_in_memory(self, open_store: OpenStore) -> None:
        """Any operations in any order, alone and in batches."""

        class Machine(StoreMachine):
            def open_store(self) -> BaseStore:
                return open_store()

        run_state_machine_as_test(
            Machine, settings=settings(max_examples=self.examples, stateful_step_count=20, deadline=None)
        )


class StoreMachine(RuleBasedStateMachine):
    """Random operations on a store and on `InMemoryStore`. The answers are equal, apart from times and order."""

    def open_store(self) -> BaseStore:
        """Return a new, empty store."""
        raise NotImplementedError

    @initialize()
    def begin(self) -> None:
        """Open both stores."""
        self.store = self.open_store()
        self.model = InMemoryStore()
        self.places: set[Place] = set()

    @rule(namespace=NAMESPACES, key=KEYS, value=VALUES | _FILTERED, index=st.sampled_from([None, False, ["text"]]))
    def put(self, namespace: tuple[str, ...], key: str, value: dict[str, Any], index: Any) -> None:
        """Put an item."""
        for store in (self.store, self.model):
            store.put(namespace, key, value, index=index)
        self.places.add((namespace, key))

    @rule(namespace=NAMESPACES, key=KEYS)
    def delete(self, namespace: tuple[str, ...], key: str) -> None:
        """Delete an item, which may not be there."""
        for store in (self.store, self.model):
            store.delete(namespace, key)
        self.places.discard((namespace, key))

    @rule(puts=st.lists(st.tuples(NAMESPACES, KEYS, st.none() | VALUES), max_size=4), place=st.integers(0, 4))
    def batch(self, puts: list[tuple[tuple[str, ...], str, dict[str, Any] | None]], place: int) -> None:
        """Put and delete several items, with a read between them."""
        ops: list[Any] = [PutOp(namespace, key, value) for namespace, key, value in puts]
        if puts:
            ops.insert(place, GetOp(puts[0][0], puts[0][1]))
        ours, theirs = self.store.batch(ops), self.model.batch(ops)
        assert [each and each.value for each in ours] == [each and each.value for each in theirs]
        for namespace, key, value in puts:
            (self.places.discard if value is None else self.places.add)((namespace, key))

    @rule(prefix=PREFIXES, wanted=st.none() | FILTERS, limit=st.integers(0, 5), offset=st.integers(0, 3))
    def search(self, prefix: tuple[str, ...], wanted: dict[str, Any] | None, limit: int, offset: int) -> None:
        """Compare all that a search finds, and the size of a page."""
        try:
            theirs = self.model.search(prefix, filter=wanted, limit=EVERYTHING)
        except (TypeError, ValueError):  # InMemoryStore compares with float(), whatever the value is
            return
        assert _shown(self.store.search(prefix, filter=wanted, limit=EVERYTHING)) == _shown(theirs)
        page = self.store.search(prefix, filter=wanted, limit=limit, offset=offset)
        assert len(page) == len(theirs[offset : offset + limit])

    @rule(prefix=PREFIXES, query=st.sampled_from(["tea", "deploys on tuesdays", "  ", "\N{FAMILY} $gt"]))
    def rank(self, prefix: tuple[str, ...], query: str) -> None:
        """A query orders the items, and leaves none out."""
        ours = self.store.search(prefix, query=query, limit=EVERYTHING)
        assert _shown(ours) == _shown(self.model.search(prefix, query=query, limit=EVERYTHING))

    @rule(prefix=PREFIXES, suffix=PREFIXES, depth=st.none() | st.integers(1, 3))
    def list(self, prefix: tuple[str, ...], suffix: tuple[str, ...], depth: int | None) -> None:
        """Compare the namespaces that have items. InMemoryStore also lists those that had some."""
        given: Any = {"prefix": prefix or None, "suffix": suffix or None}
        used = {namespace for namespace, _ in self.places}
        theirs = used & set(self.model.list_namespaces(**given, limit=EVERYTHING))
        expected = sorted({namespace[:depth] for namespace in theirs})
        assert self.store.list_namespaces(**given, max_depth=depth, limit=EVERYTHING) == expected
        assert self.store.list_namespaces(**given, max_depth=depth, limit=1, offset=1) == expected[1:2]

    @invariant()
    def items_are_equal(self) -> None:
        """Every item has the same value in both stores."""
        for namespace, key in self.places:
            ours, theirs = self.store.get(namespace, key), self.model.get(namespace, key)
            assert ours is not None
            assert theirs is not None
            assert _shown([ours]) == _shown([theirs])


def _shown(items: list[Any]) -> list[Any]:
    """Return items without their times, in one order."""
    return sorted(((item.namespace, item.key, repr(item.value)) for item in items), key=str)
