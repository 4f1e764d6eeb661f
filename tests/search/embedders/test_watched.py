"""A failing embedder: no text is lost, words answer, one warning is logged, and it recovers automatically."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import memcrdt
from memcrdt.errors import EmbedderError, InputError
from memcrdt.memory.memory import Memory
from memcrdt.search.embedders.embedder import make_embedder
from memcrdt.search.embedders.watched import WatchedEmbedder
from memcrdt.search.index.index import SearchIndex
from memcrdt.search.index.worker import EmbeddingWorker

DIMENSIONS = "abcdefgh"


def letters(text: str) -> list[float]:
    return [1.0 + text.lower().count(letter) for letter in DIMENSIONS]


class Model:
    """An embedder whose results can be spoilt. add() calls a fast embedder."""

    def __init__(self, name: str, *, fast: bool) -> None:
        self.name = name
        self.fast = fast
        self.dim = len(DIMENSIONS)
        self.spoil: Callable[[list[list[float]]], Any] | None = None

    def embed(self, texts: Sequence[str]) -> Any:
        rows = [letters(text) for text in texts]
        return self.spoil(rows) if self.spoil else rows

    def embed_query(self, query: str) -> Any:
        return self.embed([query])[0]


def on_strike(rows: object) -> None:
    raise RuntimeError("the model is on strike")


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


def waiting(memory: Memory) -> int:
    return memory.status().search.waiting


SPOILT: dict[str, tuple[Callable[[list[list[float]]], Any], str]] = {
    "raises": (on_strike, "on strike"),
    "too few rows": (lambda rows: rows[1:], "shape"),
    "one vector for all": (lambda rows: rows[0], "shape"),
    "ragged": (lambda rows: [[1.0] * (n % 2 + 1) for n in range(len(rows) + 1)], "not return rows of numbers|shape"),
    "no numbers": (lambda rows: ["a"] * len(rows), "not return rows of numbers"),
    "not a number": (lambda rows: [[float("nan")] * len(row) for row in rows], "not finite"),
    "nothing": (lambda rows: None, "shape|no rows"),
    "other width": (lambda rows: [row[:3] for row in rows], "vectors of 3 numbers"),
}


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "slow"])
@pytest.mark.parametrize("way", SPOILT)
def test_memories_added_while_the_embedder_fails_are_embedded_later(tmp_path: Path, way: str, fast: bool) -> None:
    """Adds and updates are durable, words find them, and the status has the error. Later they get vectors."""
    model = Model(f"spoilt {way}", fast=fast)
    spoil, words = SPOILT[way]
    with memcrdt.open(tmp_path, embedder=model) as memory:
        before = memory.add("abba")
        until(lambda: not waiting(memory))
        model.spoil = spoil
        added = memory.add("the harbour crane")
        memory.update(before, text="the old harbour bell")
        until(lambda: memory.status().search.error)
        assert {hit.memory.id for hit in memory.search("harbour")} == {added, before}
        assert memory.similar(added)[0].memory.id == before
        status = memory.status().search
        assert (status.waiting, status.model) == (2, model.name)
        with pytest.raises(EmbedderError, match=words):
            own_embedder(memory).embed(["a", "b"])
        model.spoil = None
        memory.search("harbour")
        memory.add("wakes the worker")
        until(lambda: not waiting(memory))
        until(lambda: memory.status().search.error is None)
        assert memory.search("harbour", explain=True)[0].parts["semantic"] > 0


def own_embedder(memory: Memory) -> WatchedEmbedder:
    index = memory.store.indexer
    assert isinstance(index, SearchIndex)
    assert index.embedders.own is not None
    return index.embedders.own


def test_the_first_failure_is_logged_and_later_ones_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning is logged per process and embedder, even if another memory is opened with it."""

    def broken(texts: list[str]) -> list[list[float]]:
        raise RuntimeError("no route to the embedding service")

    with caplog.at_level(logging.WARNING, "memcrdt.search"):
        for home in ("one", "two"):
            with memcrdt.open(tmp_path / home, embedder=broken) as memory:
                memory.add("the harbour crane")
                until(lambda: memory.status().search.error)
                for _ in range(3):
                    assert memory.search("crane")[0].memory.text == "the harbour crane"
                error = str(memory.status().search.error)
    assert "no route to the embedding service" in error
    assert "times)" in error
    (told,) = [record for record in caplog.records if record.name == "memcrdt.search"]
    assert "no route to the embedding service" in told.getMessage()


def test_as_of_uses_words_if_the_embedder_fails(tmp_path: Path) -> None:
    """Former texts are embedded for the comparison with the query, which may fail, too."""
    model = Model("fails on the past", fast=True)
    with memcrdt.open(tmp_path, embedder=model) as memory:
        added = memory.add("the harbour crane")
        moment = memory.get(added).updated_at
        until(lambda: memory.get(memory.add("tick")).created_at > moment)
        memory.update(added, text="the old bell")
        model.spoil = on_strike
        assert memory.search("crane", as_of=moment)[0].memory.text == "the harbour crane"


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "slow"])
def test_vectors_of_another_width_than_the_stored_ones_are_refused(tmp_path: Path, fast: bool) -> None:
    """If a model was replaced under its old name, the status has an error, and the stored vectors stay comparable."""
    model = Model("exchanged", fast=fast)
    with memcrdt.open(tmp_path, embedder=model) as memory:
        memory.add("abba")
        until(lambda: not waiting(memory))
    model = Model("exchanged", fast=fast)
    model.spoil = lambda rows: [row[:3] for row in rows]
    with memcrdt.open(tmp_path, embedder=model) as memory:
        memory.add("the harbour crane")
        assert memory.search("crane")[0].memory.text == "the harbour crane"
        until(lambda: memory.status().search.error)
        assert "vectors of 3 numbers, but its other vectors have 8" in str(memory.status().search.error)
        assert "another name" in str(memory.status().search.error)
        with memory.store.reading() as db:
            assert db.execute("SELECT DISTINCT length(embedding) FROM vectors").fetchall() == [(32,)]


async def embed_async(texts: list[str]) -> list[list[float]]:
    return [letters(text) for text in texts]


class AsyncCallable:
    async def __call__(self, texts: list[str]) -> list[list[float]]:
        return [letters(text) for text in texts]


class AsyncModel(Model):
    async def embed(self, texts: Sequence[str]) -> Any:
        return [letters(text) for text in texts]


@pytest.mark.parametrize(
    "embedder",
    [embed_async, AsyncCallable(), AsyncModel("async", fast=False), partial(embed_async)],
    ids=["function", "callable", "object", "partial"],
)
def test_an_async_embedder_is_refused_at_open(tmp_path: Path, embedder: Any) -> None:
    """The message says what to give instead, and no store is created."""
    with pytest.raises(InputError, match=r"is async.*asyncio\.run\(embed\(texts\)\)"):
        memcrdt.open(tmp_path / "home", embedder=embedder)
    assert not (tmp_path / "home").exists()


def test_a_function_that_returns_an_awaitable_is_an_error(tmp_path: Path) -> None:
    """This is not known before the call. The call counts as a failure, and Python warns of no unawaited coroutine."""

    def embed(texts: list[str]) -> Any:
        return embed_async(texts)

    with memcrdt.open(tmp_path, embedder=embed) as memory:
        memory.add("the harbour crane")
        assert memory.search("crane")[0].memory.text == "the harbour crane"
        assert "is async" in str(memory.status().search.error)


def test_an_incomplete_embedder_is_refused_at_open(tmp_path: Path) -> None:
    """The message names the missing attributes. A class instead of an object is refused, too."""

    class Half:
        name = "half"

        def embed(self, texts: Sequence[str]) -> Any:
            return [letters(text) for text in texts]

    given: Any
    for given, words in (
        (Half(), "has no fast and no embed_query"),
        (Model, "is the class Model; give an instance"),
        (Model("", fast=True), "the name of the embedder is ''"),
    ):
        with pytest.raises(InputError, match=words):
            memcrdt.open(tmp_path, embedder=given)


def test_an_object_that_raises_is_an_embedder_error() -> None:
    """Its exceptions are handled like those of a function, and rows of any length become unit vectors."""
    model = Model("an object", fast=False)
    embedder = make_embedder(model)
    assert embedder is not None
    np.testing.assert_allclose(np.linalg.norm(embedder.embed(["one", "three"]), axis=1), 1, atol=1e-6)
    model.spoil = on_strike
    with pytest.raises(EmbedderError, match="the embedder an object failed on a batch of 2: the model is on strike"):
        embedder.embed(["one", "two"])


def test_a_query_is_embedded_in_a_thread() -> None:
    """What waits for it returns the same vector, or raises the same error, which is recorded; also after close()."""
    model = Model("a model of queries", fast=False)
    made = make_embedder(model)
    assert made is not None
    embedder = WatchedEmbedder(made)
    assert np.array_equal(embedder.begin_query("where?")(), embedder.embed_query("where?"))
    model.spoil = on_strike
    waited_for = embedder.begin_query("where?")
    with pytest.raises(EmbedderError, match="on strike"):
        waited_for()
    assert embedder.query_failure is not None
    embedder.close()
    model.spoil = None
    assert np.array_equal(embedder.begin_query("where?")(), embedder.embed_query("where?"))
    assert embedder.query_failure is None


def test_the_worker_retries_by_itself_and_reports_no_old_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow embedder that works again needs no other call, and no status shows its failure beside an empty queue."""
    errors: list[object] = []
    step = EmbeddingWorker.step

    def watched_step(worker: EmbeddingWorker) -> bool:
        if worked := step(worker):
            errors.append(worker.error)
        return worked

    monkeypatch.setattr(EmbeddingWorker, "step", watched_step)
    model = Model("slow", fast=False)
    model.spoil = on_strike
    with memcrdt.open(tmp_path, embedder=model) as memory:
        memory.add("a bad cab")
        until(lambda: memory.status().search.error)
        model.spoil = None
        until(lambda: not waiting(memory))
        assert memory.status().search.error is None
    assert errors == [None]
