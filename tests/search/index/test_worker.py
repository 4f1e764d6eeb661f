"""The queue of memories that wait for a slow model, and changes of the model."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import memcrdt
from memcrdt.errors import EmbedderError
from memcrdt.memory.memory import Memory
from memcrdt.search.index import registry
from memcrdt.search.index.index import SearchIndex
from memcrdt.search.index.worker import EmbeddingWorker, use_model
from memcrdt.search.searcher import Searcher
from memcrdt.store.indexer import NewText

calls: list[int] = []
meanwhile: list[Callable[[], object]] = []  # functions to call while the model is embedding


def slow(texts: list[str]) -> list[list[float]]:
    """Count letters: a slow model for these tests."""
    calls.append(len(texts))
    while meanwhile:
        meanwhile.pop()()
    return [[1.0 + text.lower().count(letter) for letter in "abcdefghijklmnop"] for text in texts]


@pytest.fixture(autouse=True)
def _no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start no thread: the tests call the worker's steps."""
    monkeypatch.setattr(Searcher, "start", lambda self: None)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with memcrdt.open(tmp_path / "home", embedder=slow) as opened:
        yield opened


def parts(memory: Memory) -> tuple[SearchIndex, EmbeddingWorker]:
    index = memory.store.indexer
    assert isinstance(index, SearchIndex)
    return index, EmbeddingWorker(memory.store, index)


def found(memory: Memory, query: str) -> str:
    return memory.search(query)[0].memory.text


def count(memory: Memory, sql: str) -> int:
    with memory.store.reading() as db:
        return int(db.execute(sql).get)


def test_adding_does_not_wait_for_a_slow_model(tmp_path: Path) -> None:
    """add() does not call a slow embedder. Words find the text at once, and the worker embeds it later."""
    index = SearchIndex(None)
    assert index.prepare([NewText("a text")]) is None
    with memcrdt.open(tmp_path, embedder=None) as plain:
        plain.add("before there was a model")
    calls.clear()
    with memcrdt.open(tmp_path, embedder=slow) as memory:
        memory.add_many(f"the harbour crane number {n}" for n in range(70))
        assert found(memory, "crane").startswith("the harbour crane")
        index, worker = parts(memory)
        worker.drain()
        assert memory.status().search.waiting == 0
        assert count(memory, "SELECT count(*) FROM vectors") == 71
        assert sum(calls) >= 71


def test_without_an_embedder_searches_use_words_alone(tmp_path: Path) -> None:
    """They do so even if the store has vectors. New memories get vectors for other processes that search the store."""
    with memcrdt.open(tmp_path) as memory:
        memory.add("Deploys go out on Tuesdays")
    with memcrdt.open(tmp_path, embedder=None) as memory:
        memory.add("Ships leave the harbour at dawn")
        assert memory.search("software releases") == []
        assert found(memory, "tuesdays") == "Deploys go out on Tuesdays"
        parts_of_meaning = ("semantic", "window_meaning", "conversation_meaning")
        (hit,) = memory.search("harbour", explain=True)
        assert [hit.parts[name] for name in parts_of_meaning] == [0, 0, 0]
        assert count(memory, "SELECT count(*) FROM vectors") == 2


def test_the_worker_embeds_what_another_process_left_waiting(
    tmp_path: Path, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a commit of its own process: the other process may not have the model, or may have ended."""
    monkeypatch.setattr("memcrdt.search.index.worker.LOOK_S", 0.01)
    memory.add("the first text gives the store its model")
    _, worker = parts(memory)
    worker.start()
    try:
        with memcrdt.open(tmp_path / "home", embedder=None) as other:
            assert other.models.wait(timeout=20).waiting == 0
            other.add("the harbour crane")
            assert other.models.wait(timeout=20).waiting == 0
    finally:
        worker.close()
    assert count(memory, "SELECT count(*) FROM vectors") == 2


def test_a_text_that_changes_while_it_is_embedded_gets_its_own_vector(memory: Memory) -> None:
    """The vector of an old text is never stored for a new text."""
    changed = memory.add("aaaa aaaa")
    index, worker = parts(memory)
    meanwhile.append(lambda: memory.update(changed, text="pppp pppp"))
    worker.drain()
    with memory.store.reading() as db:
        blobs = db.execute("SELECT embedding FROM vectors").fetchall()
    own = index.embedders.own
    assert own is not None
    assert len(blobs) == 1
    np.testing.assert_allclose(np.frombuffer(blobs[0][0], np.float32), own.embed(["pppp pppp"])[0], atol=1e-6)


def test_search_uses_the_old_vectors_until_all_memories_have_new_ones(tmp_path: Path) -> None:
    """A change of model embeds everything, then switches, then deletes the old vectors."""
    with memcrdt.open(tmp_path) as memory:
        memory.add_many(f"the harbour crane number {n}" for n in range(100))
        index, _ = parts(memory)
        index.embedders.get("static-minilm-256")
        with memory.store.writing() as db:
            registry.use(db, "function:made.elsewhere")
        before = memory.status().search
        assert (before.model, before.next_model) == ("static-minilm-256", "function:made.elsewhere")
        assert before.waiting == 100
        assert found(memory, "port machinery").startswith("the harbour crane")
    with memcrdt.open(tmp_path, embedder=slow) as memory:
        index, worker = parts(memory)
        own = index.embedders.own
        assert own is not None
        with memory.store.writing() as db:
            registry.use(db, own.name)
        worker.step()
        middle = memory.status().search
        assert (middle.model, middle.next_model) == ("static-minilm-256", own.name)
        assert 0 < middle.waiting <= 100
        memory.add("added in the middle of it")
        worker.drain()
        after = memory.status().search
        assert (after.model, after.next_model, after.waiting) == (own.name, None, 0)
        assert count(memory, "SELECT count(*) FROM vectors") == 101
        assert count(memory, "SELECT count(*) FROM codes") == 101
        assert count(memory, "SELECT count(*) FROM models") == 1


def test_the_next_process_continues_after_a_crash(tmp_path: Path) -> None:
    """The queue is in the store, so another process continues where the first one stopped."""
    with memcrdt.open(tmp_path, embedder=slow) as memory:
        memory.add_many(f"number {n}" for n in range(80))
        parts(memory)[1].step()
        left = count(memory, "SELECT count(*) FROM waiting")
        assert 0 < left <= 80
    with memcrdt.open(tmp_path, embedder=slow) as memory:
        parts(memory)[1].drain()
        assert count(memory, "SELECT count(*) FROM waiting") == 0
        assert count(memory, "SELECT count(DISTINCT passage) FROM vectors") == 80


KILLED = """
import json, sys, threading, time, memcrdt
embedded = []
def letters(texts):
    if sys.argv[2] == "stuck" and len(embedded) > 60:
        print("stuck", flush=True)
        threading.Event().wait()
    embedded.extend(texts)
    return [[1.0 + text.lower().count(letter) for letter in "abcdefghijklmnop"] for text in texts]
with memcrdt.open(sys.argv[1], embedder=letters) as memory:
    while (status := memory.status().search).waiting or status.next_model:
        time.sleep(0.01)
    print(json.dumps([status.model, sum(text.startswith("the harbour") for text in embedded)]))
"""


def test_a_process_that_is_killed_in_a_change_of_model_loses_no_more_than_a_batch(tmp_path: Path) -> None:
    """Until then, searches use the old vectors. The next process embeds only the memories that are left."""
    with memcrdt.open(tmp_path) as memory:
        memory.add_many(f"the harbour crane number {n}" for n in range(100))
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    with subprocess.Popen([*command, "stuck"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stuck\n"
        process.kill()
    with memcrdt.open(tmp_path) as memory:
        middle = memory.status().search
        assert (middle.model, middle.next_model) == ("static-minilm-256", "function:__main__.letters")
        assert 0 < middle.waiting < 100
        hit = memory.search("port machinery", explain=True)[0]
        assert hit.parts["semantic"] > 0
        assert hit.memory.text.startswith("the harbour crane")
    done = subprocess.run([*command, "go"], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout) == ["function:__main__.letters", middle.waiting]
    with memcrdt.open(tmp_path) as memory:
        assert count(memory, "SELECT count(*) FROM vectors JOIN models USING(model) WHERE state = 'current'") == 100


def test_cancelling_a_change_of_model_keeps_the_existing_vectors(memory: Memory) -> None:
    """Choosing the current model again cancels the change, and only memories without a vector wait."""
    memory.add_many(["one", "two", "three"])
    index, worker = parts(memory)
    worker.drain()
    own = index.embedders.own
    assert own is not None
    with memory.store.writing() as db:
        registry.use(db, "function:other")
        registry.use(db, own.name)
    state = memory.status().search
    assert (state.model, state.next_model, state.waiting) == (own.name, None, 0)
    worker.drain()
    assert count(memory, "SELECT count(*) FROM vectors") == 3


def test_full_text_answers_if_the_model_fails(tmp_path: Path) -> None:
    """If the query cannot be embedded, the words answer, and the status has the error."""

    def broken(texts: list[str]) -> list[list[float]]:
        raise memcrdt.EmbedderError("the model is on strike")

    with memcrdt.open(tmp_path, embedder=broken) as memory:
        memory.add("the harbour crane")
        assert found(memory, "crane") == "the harbour crane"
        assert "strike" in str(memory.status().search.error)


def test_a_store_keeps_the_model_that_was_chosen_for_it(tmp_path: Path, tiny_model: Path) -> None:
    """A process that opens the store with the default uses the model that another process has chosen."""
    with memcrdt.open(tmp_path / "home") as memory:
        memory.add_many(["deploys tuesdays", "cat sleeps"])
        index, worker = parts(memory)
        name = use_model(memory.store, index, str(tiny_model))
        worker.drain()
    with memcrdt.open(tmp_path / "home") as memory:
        index, _ = parts(memory)
        assert memory.status().search.model == name
        assert found(memory, "kitten") == "cat sleeps"
        memory.add("sofa")
        assert memory.status().search.waiting <= 1


def test_the_thread_embeds_new_memories(memory: Memory) -> None:
    """A commit wakes the started worker, and close() ends it."""
    _, worker = parts(memory)
    worker.start()
    memory.add("the harbour crane")
    deadline = time.monotonic() + 20
    while not count(memory, "SELECT count(*) FROM vectors") and time.monotonic() < deadline:
        time.sleep(0.01)
    worker.close()
    assert count(memory, "SELECT count(*) FROM vectors") == 1


def test_a_program_that_ends_does_not_wait_for_long_texts(memory: Memory) -> None:
    """A batch of long texts has hundreds of passages. The worker ends after a few of them, and they stay queued."""
    memory.add_many("the harbour crane " * 3_000 + str(n) for n in range(3))
    _, worker = parts(memory)
    calls.clear()
    meanwhile.append(worker._stop.set)  # as close() does
    with pytest.raises(EmbedderError, match="closed"):
        worker.step()
    assert 0 < sum(calls) <= 16
    assert memory.status().search.waiting == 3


def test_a_batch_of_long_texts_is_committed_early(memory: Memory) -> None:
    """Otherwise a program that ends often would embed the same long texts again and again."""
    memory.add_many("the harbour crane " * 3_000 + str(n) for n in range(5))
    _, worker = parts(memory)
    worker.step()
    assert 0 < memory.status().search.waiting < 5


_LEFT_OPEN = """
import sys, memcrdt
memory = memcrdt.open(sys.argv[1], embedder="auto")
memory.add_many(f"fact {number}" for number in range(40))
memory.search("fact")
memory.wait_indexed(timeout=float(sys.argv[2]))
"""


@pytest.mark.parametrize("after_s", ["0.2", "0.4", "1.5"])
def test_a_program_may_end_with_its_memory_open(tmp_path: Path, after_s: str) -> None:
    """Also while a model is loaded, or embeds in the background: no traceback, and no abort."""
    command = [sys.executable, "-c", _LEFT_OPEN, tmp_path / "home", after_s]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
