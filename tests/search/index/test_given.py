"""Vectors that callers computed: they replace the embedder if they come from the model of the store."""

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
    """An embedder that records its texts. Every text has the same vector."""

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


def test_given_vectors_replace_the_embedder(asked: Memory, model: Model) -> None:
    """This holds for texts and queries, with a fast or a slow embedder. Nothing waits, and lengths do not matter."""
    asked.add("one", vector=EAST)
    asked.add_many([{"text": "two", "vector": [0, 5, 0]}, {"text": "three", "vector": np.array(WEST, np.float32)}])
    assert _texts(asked.search("zzz", vector=[0, 1e300, 0]))[0] == "two"
    assert _texts(asked.similar(vector=(9, 1, 0)))[0] == "one"
    assert asked.status().search.waiting == 0
    assert not {"one", "two", "three", "zzz"} & set(model.texts)


def test_texts_without_a_given_vector_are_embedded(asked: Memory, model: Model) -> None:
    """They may be in the same call, and are embedded at once or in the background."""
    asked.add_many([{"text": "given", "vector": EAST}, "embedded"])
    waits = not model.fast
    assert (asked.status().search.waiting == 0) or waits
    assert "given" not in model.texts
    assert ("embedded" in model.texts) or waits


def test_an_update_accepts_a_vector_for_the_new_text(asked: Memory) -> None:
    """The old vector is deleted. A vector without a new text is refused."""
    added, other = asked.add_many([{"text": "one", "vector": EAST}, {"text": "other", "vector": NORTH}])
    asked.update(added, text="two", vector=WEST)
    assert _texts(asked.similar(vector=WEST))[0] == "two"
    asked.update_many([{"id": other, "text": "another", "vector": EAST}])
    assert _texts(asked.similar(vector=EAST))[0] == "another"
    with pytest.raises(InputError, match="give the text with it"):
        asked.update(added, vector=EAST)


def test_the_vector_of_a_long_text_counts_for_every_passage(asked: Memory) -> None:
    """The words of the query decide which passage is shown."""
    asked.add("the beginning " + "and so on " * 300 + " the quince is at the end", vector=EAST)
    (hit,) = asked.search("quince", vector=EAST)
    assert hit.passage is not None
    assert "quince" in hit.passage


def test_an_import_accepts_vectors(asked: Memory, model: Model) -> None:
    """A vector of a wrong length ends the import, because it must come from another model."""
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
def test_an_invalid_vector_is_refused(asked: Memory, vector: Any) -> None:
    """Nothing is written, even before the store has any vector."""
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


def test_vectors_are_refused_without_an_embedder(memory: Memory) -> None:
    """The model of the vectors is unknown then."""
    memory.add("one")
    for ask in (lambda: memory.add("two", vector=EAST), lambda: memory.search("one", vector=EAST)):
        with pytest.raises(InputError, match="without an embedder"):
            ask()
    assert memory.count() == 1


def test_a_vector_of_a_model_that_is_not_searched_is_refused(open_memory: OpenMemory) -> None:
    """Vectors of two models cannot be compared. The error names the model of the store."""
    one = open_memory(embedder=Model("first"))
    one.add("one", vector=EAST)
    with one.store.writing() as db:
        registry.use(db, "second")  # like another process that opens the store with this model
    with pytest.raises(InputError, match="first, but the store works with second"):
        one.add("two", vector=EAST)
    assert one.count() == 1
    assert _texts(one.similar(vector=EAST)) == ["one"]  # the first model is used until all memories have new vectors


def test_similar_needs_an_id_or_a_vector(asked: Memory) -> None:
    """Both or neither are refused."""
    added = asked.add("one", vector=EAST)
    for given in ({}, {"id": added, "vector": EAST}):
        with pytest.raises(InputError, match="either an id or a vector"):
            asked.similar(given.get("id"), vector=given.get("vector"))


def test_an_empty_store_has_no_similar_memories(asked: Memory) -> None:
    """This is not an error."""
    assert asked.search("one", vector=EAST) == asked.similar(vector=EAST) == []


def test_as_of_accepts_a_vector(asked: Memory, model: Model, clock: Any) -> None:
    """A fast embedder embeds the texts of that time."""
    added = asked.add("old words", vector=EAST)
    clock.advance(seconds=5)
    then = clock.time()
    clock.advance(seconds=5)
    asked.update(added, text="new", vector=NORTH)
    assert _texts(asked.search("old words", vector=(0, 0, 1), as_of=then)) == ["old words"]
    assert "old words" not in model.texts or model.fast


def test_scoped_and_async_memories_accept_vectors(tmp_path: Path) -> None:
    """They have the same argument."""

    async def asked() -> None:
        async with memcrdt.open_async(tmp_path, embedder=Model()) as memory:
            acme = memory.scoped(project="acme")
            await acme.add("one", vector=EAST)
            assert _texts(await acme.search("zzz", vector=EAST)) == ["one"]
            assert _texts(await memory.similar(vector=EAST)) == ["one"]

    asyncio.run(asked())
