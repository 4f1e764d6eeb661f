"""Vectors that callers computed: they are used instead of the embedder, if they are of the model of the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import memcrdt
from memcrdt.errors import InputError
from memcrdt.memory.memory import Memory
from memcrdt.model import limits
from memcrdt.search.index import registry

OpenMemory = Callable[..., Memory]
EAST, NORTH, WEST = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0)


class Model:
    """An embedder that counts what it is asked: every text points upwards."""

    dim = 3

    def __init__(self, name: str = "model", fast: bool = True) -> None:
        self.name, self.fast = name, fast
        self.texts: list[str] = []

    def embed(self, texts: Sequence[str]) -> Any:
        self.texts += texts
        return np.array([[0, 0, 1]] * len(texts), np.float32)

    def embed_query(self, query: str) -> Any:
        return self.embed([query])[0]


@pytest.fixture(name="model", params=[True, False], ids=["fast", "slow"])
def _model(request: pytest.FixtureRequest) -> Model:
    return Model(fast=request.param)


@pytest.fixture(name="asked")
def _asked(open_memory: OpenMemory, model: Model) -> Memory:
    return open_memory(embedder=model)


def _texts(hits: list[memcrdt.Hit]) -> list[str]:
    return [hit.memory.text for hit in hits]


def test_given_vectors_take_the_place_of_the_embedder(asked: Memory, model: Model) -> None:
    """For texts and queries, fast embedder or slow; nothing waits, and lengths don't matter."""
    asked.add("one", vector=EAST)
    asked.add_many([{"text": "two", "vector": [0, 5, 0]}, {"text": "three", "vector": np.array(WEST, np.float32)}])
    assert _texts(asked.search("zzz", vector=[0, 1e300, 0]))[0] == "two"
    assert _texts(asked.similar(vector=(9, 1, 0)))[0] == "one"
    assert asked.status().search.waiting == 0
    assert not {"one", "two", "three", "zzz"} & set(model.texts)


def test_what_has_no_vector_is_embedded_as_ever(asked: Memory, model: Model) -> None:
    """In the same call, at once or in the background."""
    asked.add_many([{"text": "given", "vector": EAST}, "embedded"])
    waits = not model.fast
    assert (asked.status().search.waiting == 0) or waits
    assert "given" not in model.texts
    assert ("embedded" in model.texts) or waits


def test_an_update_takes_the_vector_of_the_new_text(asked: Memory) -> None:
    """The old one is gone; without a new text there is none."""
    added, other = asked.add_many([{"text": "one", "vector": EAST}, {"text": "other", "vector": NORTH}])
    asked.update(added, text="two", vector=WEST)
    assert _texts(asked.similar(vector=WEST))[0] == "two"
    asked.update_many([{"id": other, "text": "another", "vector": EAST}])
    assert _texts(asked.similar(vector=EAST))[0] == "another"
    with pytest.raises(InputError, match="give the text with it"):
        asked.update(added, vector=EAST)


def test_the_vector_of_a_long_text_stands_for_all_of_it(asked: Memory) -> None:
    """The words of the query say which passage is shown."""
    asked.add("the beginning " + "and so on " * 300 + " the quince is at the end", vector=EAST)
    (hit,) = asked.search("quince", vector=EAST)
    assert hit.passage is not None
    assert "quince" in hit.passage


def test_an_import_takes_vectors(asked: Memory, model: Model) -> None:
    """A line with one of a wrong length ends it: whoever computed them used another model."""
    assert asked.import_(BytesIO(b'{"text": "one", "vector": [1, 0, 0]}\n'), format="jsonl").added == 1
    assert "one" not in model.texts
    assert _texts(asked.similar(vector=EAST)) == ["one"]
    with pytest.raises(InputError, match="2 dimensions"):
        asked.import_(BytesIO(b'{"text": "two", "vector": [1, 0]}\n'), format="jsonl")
    assert asked.count() == 1


@pytest.mark.parametrize(
    "vector",
    [
        [1.0, 0.0],
        [1.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0],
        [],
        [1.0, float("nan"), 0.0],
        [1.0, float("inf"), 0.0],
        ["1", "0", "0"],
        [True, False, False],
        [[1.0], [0.0, 1.0], [0.0]],
        "100",
        {"0": 1.0},
        5,
        [1.0] * (limits.VECTOR_DIMENSIONS + 1),
    ],
    ids=lambda vector: str(vector)[:20],
)
def test_what_is_no_vector_of_the_model_is_refused(asked: Memory, vector: Any) -> None:
    """And nothing is written; before the store has any vector, too."""
    with pytest.raises(InputError, match="vector"):
        asked.add("one", vector=vector)
    assert asked.count() == 0
    asked.add("one", vector=EAST)
    with pytest.raises(InputError, match="vector"):
        asked.add("two", vector=vector)
    for ask in (lambda: asked.search("one", vector=vector), lambda: asked.similar(vector=vector)):
        with pytest.raises(InputError, match="vector"):
            ask()
    assert asked.count() == 1


def test_without_an_embedder_nobody_knows_the_model(memory: Memory) -> None:
    """So that no vector is taken."""
    memory.add("one")
    for ask in (lambda: memory.add("two", vector=EAST), lambda: memory.search("one", vector=EAST)):
        with pytest.raises(InputError, match="without an embedder"):
            ask()
    assert memory.count() == 1


def test_a_vector_of_a_model_that_is_not_searched_is_refused(open_memory: OpenMemory) -> None:
    """Vectors of two models can't be compared: the store says which it works with."""
    one = open_memory(embedder=Model("first"))
    one.add("one", vector=EAST)
    with one.store.writing() as db:
        registry.use(db, "second")  # as another process does that opens it with this model
    with pytest.raises(InputError, match="first, but the store works with second"):
        one.add("two", vector=EAST)
    assert one.count() == 1
    assert _texts(one.similar(vector=EAST)) == ["one"]  # until all is embedded again, the first one is searched


def test_similar_takes_an_id_or_a_vector(asked: Memory) -> None:
    """One of the two."""
    added = asked.add("one", vector=EAST)
    for given in ({}, {"id": added, "vector": EAST}):
        with pytest.raises(InputError, match="one of the two"):
            asked.similar(given.get("id"), vector=given.get("vector"))


def test_an_empty_store_has_nothing_near(asked: Memory) -> None:
    """And no error: nothing is embedded yet."""
    assert asked.search("one", vector=EAST) == asked.similar(vector=EAST) == []


def test_an_earlier_state_is_searched_with_the_vector_too(asked: Memory, model: Model, clock: Any) -> None:
    """The texts of that time are embedded by a fast embedder, as ever."""
    added = asked.add("old words", vector=EAST)
    clock.advance(seconds=5)
    then = clock.time()
    clock.advance(seconds=5)
    asked.update(added, text="new", vector=NORTH)
    assert _texts(asked.search("old words", vector=(0, 0, 1), as_of=then)) == ["old words"]
    assert "old words" not in model.texts or model.fast


def test_a_scoped_and_an_async_memory_take_vectors(tmp_path: Path) -> None:
    """With the same argument."""

    async def asked() -> None:
        async with memcrdt.open_async(tmp_path, embedder=Model()) as memory:
            acme = memory.scoped(project="acme")
            await acme.add("one", vector=EAST)
            assert _texts(await acme.search("zzz", vector=EAST)) == ["one"]
            assert _texts(await memory.similar(vector=EAST)) == ["one"]

    asyncio.run(asked())
