"""The embedder `auto`: the static model answers at once, and the transformer as soon as it has embedded a memory."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

import apsw
import numpy as np
import pytest
from numpy.typing import NDArray

import memcrdt
from memcrdt import config
from memcrdt.memory.memory import Memory
from memcrdt.search.embedders import static, transformer
from memcrdt.search.index import registry, worker
from memcrdt.search.index.index import SearchIndex
from memcrdt.search.index.worker import EmbeddingWorker
from memcrdt.store import locks, migrations
from memcrdt.store.sql import SqlConnection
from memcrdt.testing.memories import exchange, temporary

TEXTS = (
    "We deploy to production on Tuesdays",
    "The cat sleeps on the sofa all day",
    "Invoices are sent as PDF files",
    "My sister cannot eat nuts",
    "The lease of the office ends in March",
    "Backups are kept for thirty days",
)
QUESTION, ANSWER = "Which foods make a relative ill?", "My sister cannot eat nuts"
SECOND = "SELECT count(*) FROM vectors JOIN models USING(model) WHERE second AND state = 'current'"


def count(memory: Memory, sql: str) -> int:
    with memory.store.reading() as db:
        return int(db.execute(sql).get)


def index_of(memory: Memory) -> SearchIndex:
    index = memory.store.indexer
    assert isinstance(index, SearchIndex)
    return index


def order(memory: Memory, query: str = QUESTION) -> list[str]:
    return [hit.memory.text for hit in memory.search(query)]


def ranked(memory: Memory, query: str = QUESTION) -> list[tuple[str, float]]:
    return [(hit.memory.text, hit.score) for hit in memory.search(query)]


@pytest.fixture(name="at_once")
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "SECOND_AFTER_S", 0.0)
    monkeypatch.setattr(worker, "LOOK_S", 0.01)


def test_auto_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an argument nor a setting names it."""
    monkeypatch.delenv("MEMCRDT_EMBEDDER")
    with memcrdt.open(tmp_path) as memory:
        assert memory.config.embedder == "auto"
        found = memory.status().search
        assert (found.model, found.second_model) == (static.NAME, transformer.NAME)


def test_the_static_model_answers_first_and_the_transformer_improves_the_answer() -> None:
    """No add and no first search waits for the transformer. wait_indexed() waits until it has embedded everything."""
    with temporary(embedder="auto") as memory:
        memory.add_many(TEXTS)
        before = memory.search(QUESTION)
        assert len(before) > 0
        second = index_of(memory).embedders.second
        assert second is not None
        assert not second.is_loaded
        assert memory.status().search.waiting == len(TEXTS)
        done = memory.wait_indexed(timeout=60)
        assert (done.waiting, done.model, done.second_model) == (0, static.NAME, transformer.NAME)
        assert done.is_ready
        assert count(memory, SECOND) == len(TEXTS)
        assert memory.models.load()
        assert order(memory)[0] == ANSWER
        assert memory.search(QUESTION)[0].score > next(hit.score for hit in before if hit.memory.text == ANSWER)


def test_a_memory_takes_part_as_soon_as_it_has_its_vector() -> None:
    """Beside memories that wait for theirs, which rank by the static model and by words."""
    with temporary(embedder="auto") as memory:
        memory.add_many(TEXTS)
        memory.wait_indexed(timeout=60)
        memory.models.load()
        late = memory.add("Aunt Vera is allergic to fish, a food that makes her ill")
        assert count(memory, SECOND) == len(TEXTS)
        assert late in [hit.memory.id for hit in memory.search(QUESTION, limit=2)]
        assert ANSWER in order(memory)[:2]


def test_a_store_of_the_static_model_upgrades_itself(tmp_path: Path, at_once: None) -> None:
    """In the background. With embedder="static" everything stays as it was, also beside the second model."""
    with memcrdt.open(tmp_path, embedder="static") as memory:
        memory.add_many(TEXTS)
        before = ranked(memory)
        assert count(memory, "SELECT count(*) FROM models") == 1
    with memcrdt.open(tmp_path, embedder="auto") as memory:
        memory.wait_indexed(timeout=60)
        assert count(memory, SECOND) == len(TEXTS)
        assert not memory.doctor().problems
    with memcrdt.open(tmp_path, embedder="static") as memory:
        assert ranked(memory) == before
        memory.add("Ships leave the harbour at dawn")
        found = memory.status().search
        assert (found.model, found.second_model, found.waiting, found.is_ready) == (static.NAME, None, 0, True)
    with memcrdt.open(tmp_path, embedder="auto") as memory:  # what the other process added is embedded, too
        memory.wait_indexed(timeout=60)
        assert count(memory, SECOND) == len(TEXTS) + 1


def test_words_alone_stay_words_alone(tmp_path: Path) -> None:
    """With embedder=None, a store with vectors of both models answers by words."""
    with memcrdt.open(tmp_path, embedder="auto") as memory:
        memory.add_many(TEXTS)
        memory.wait_indexed(timeout=60)
    with memcrdt.open(tmp_path, embedder=None) as memory:
        assert memory.search("ill relative") == []
        assert not memory.models.load()


def test_replicas_with_the_same_models_agree() -> None:
    """Although one embeds all memories together, and the other one by one, in another order."""
    with temporary(embedder="auto") as one, temporary(embedder="auto") as other:
        one.add_many(TEXTS[:3])
        for text in TEXTS[:2:-1]:
            other.add(text)
            other.wait_indexed(timeout=60)
        exchange(one, other)
        for memory in (one, other):
            memory.wait_indexed(timeout=60)
            assert memory.models.load()
        for query in (QUESTION, "When do we ship?", "animal"):
            assert ranked(one, query) == ranked(other, query)


def test_similar_uses_the_vectors_of_both_models_without_loading_one(tmp_path: Path) -> None:
    """The direction of a memory is in the store."""
    with memcrdt.open(tmp_path, embedder="auto") as memory:
        ids = memory.add_many([*TEXTS, "Her brother must avoid peanuts"])
        memory.wait_indexed(timeout=60)
    with memcrdt.open(tmp_path, embedder="auto") as memory:
        assert memory.similar(ids[-1])[0].memory.text == ANSWER
        second = index_of(memory).embedders.second
        assert second is not None
        assert not second.is_loaded


def test_forgetting_deletes_the_vectors_of_both_models_and_the_places_in_both_queues() -> None:
    """A memory that was forgotten is embedded no more."""
    with temporary(embedder="auto") as memory:
        first = memory.add(TEXTS[0])
        memory.wait_indexed(timeout=60)
        second = memory.add(TEXTS[1])
        memory.forget(first)
        memory.forget(second)
        for table in ("vectors", "codes", "waiting"):
            assert count(memory, f"SELECT count(*) FROM {table}") == 0


def test_the_user_may_search_without_the_second_model_and_with_it_again(tmp_path: Path, at_once: None) -> None:
    """`static` deletes its vectors, also while a process with `auto` runs. `auto` brings it back."""
    with memcrdt.open(tmp_path, embedder="auto") as running, memcrdt.open(tmp_path) as memory:
        memory.add_many(TEXTS)
        running.wait_indexed(timeout=60)
        assert memory.use_model("static") == static.NAME
        running.add("one more")
        running.wait_indexed(timeout=60)
        EmbeddingWorker(memory.store, index_of(memory)).drain()
        assert count(memory, "SELECT count(*) FROM models") == 1
        assert count(memory, "SELECT count(*) FROM vectors") == count(memory, "SELECT count(*) FROM codes") == 7
        assert running.status().search.second_model is None
        memory.use_model("auto")
        assert memory.wait_indexed(timeout=60).second_model == transformer.NAME
        assert count(memory, SECOND) == 7
    assert 'embedder = "auto"' in (tmp_path / "config.toml").read_text()


def test_a_change_to_another_model_replaces_both(tmp_path: Path, tiny_model: Path) -> None:
    """And the way back to `auto` brings both."""
    with memcrdt.open(tmp_path / "home", embedder="auto") as memory:
        memory.add_many(TEXTS)
        memory.wait_indexed(timeout=60)
        name = memory.use_model(str(tiny_model))
        done = memory.wait_indexed(timeout=60)
        assert (done.model, done.second_model) == (name, None)
        memory.use_model("auto")
        memory.wait_indexed(timeout=60)
        with memory.store.reading() as db:
            models = registry.in_use(db)
        assert models.current is not None
        assert models.second is not None
        assert (models.current.name, models.second.name) == (static.NAME, transformer.NAME)


def test_a_change_to_auto_brings_its_second_model_in_the_same_commit(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two commits nothing would wait for the second model, and a wait would end too early."""
    add = registry.use_second
    under_way: list[bool] = []

    def spy(db: SqlConnection, name: str | None) -> None:
        with memory.store.reading() as other:
            under_way.append(registry.in_use(other).next is not None)
        add(db, name)

    with memcrdt.open(tmp_path / "home", embedder=str(tiny_model)) as memory:
        memory.add_many(TEXTS)
        memory.wait_indexed(timeout=60)
        memory.use_model("auto")
        monkeypatch.setattr(registry, "use_second", spy)
        assert memory.wait_indexed(timeout=60).second_model == transformer.NAME
    assert under_way == [True]


def test_one_process_at_a_time_embeds_for_the_second_model(tmp_path: Path) -> None:
    """The others leave it alone, and take their turn when it has ended."""
    with memcrdt.open(tmp_path, embedder="static") as memory:
        memory.add_many(TEXTS)
        index = SearchIndex(transformer.AutoEmbedder())
        ours = EmbeddingWorker(memory.store, index)
        with locks.open_to_lock(tmp_path / worker.LOCK_FILE) as file:
            assert locks.take(file)
            ours.drain()
            assert count(memory, SECOND) == 0
        ours.drain()
        assert count(memory, SECOND) == len(TEXTS)
        index.embedders.close()


def test_on_battery_the_worker_pauses_as_long_as_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless somebody waits for it."""
    monkeypatch.setattr("memcrdt.search.embedders.background.is_on_battery", lambda: True)
    with temporary(embedder="static") as memory:
        turn = worker._Turn(memory.store)
        assert turn.pause_s(0.2) == 0.2
        turn.spares_battery = False
        assert turn.pause_s(0.2) == 0.0


def test_a_process_that_only_adds_starts_no_model_at_first(tmp_path: Path) -> None:
    """A command that adds one memory ends before the worker would load it, and close() does not wait."""
    with memcrdt.open(tmp_path, embedder="auto") as memory:
        memory.add(TEXTS[0])
        second = index_of(memory).embedders.second
    assert second is not None
    assert not second.is_loaded
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("memcrdt-embedding_")]


def test_a_queue_of_an_earlier_version_is_kept(tmp_path: Path) -> None:
    """Its memories wait for the next model if there is one, otherwise for the current one."""
    with apsw.Connection(str(tmp_path / "old.db")) as db:
        scripts = migrations.scripts()
        for number in range(1, 15):
            db.execute(scripts[number])
        db.execute("INSERT INTO models(model, name, state) VALUES(1, 'a', 'current'), (2, 'b', 'next')")
        db.execute("INSERT INTO waiting VALUES (7), (9)")
        db.execute(scripts[15])
        assert list(db.execute("SELECT memory, model FROM waiting")) == [(7, 2), (9, 2)]
        assert list(db.execute("SELECT second FROM models")) == [(0,), (0,)]


@pytest.mark.parametrize("threads", [1, 2])
def test_the_setting_of_the_threads_limits_them(
    tmp_path: Path, at_once: None, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    """`embed_threads` threads embed memories at once, each with one thread of the model's session."""
    embed, together = transformer._Transformer.embed, threading.Barrier(threads)
    used: set[tuple[str, int]] = set()

    def embedded(model: transformer._Transformer, text: str) -> NDArray[np.float32]:
        used.add((threading.current_thread().name, model._session.get_session_options().intra_op_num_threads))
        with suppress(threading.BrokenBarrierError):
            together.wait(5)  # for the others, so that all take part
        return embed(model, text)

    monkeypatch.setattr(transformer._Transformer, "embed", embedded)
    config.change(tmp_path, "embed_threads", threads)
    with memcrdt.open(tmp_path, embedder="auto") as memory:
        memory.add_many(TEXTS)
        memory.wait_indexed(timeout=60)
    assert used == {(f"memcrdt-embedding_{n}", 1) for n in range(threads)}


def test_the_stored_form_of_the_second_model_keeps_its_cosines() -> None:
    """Eight bits a number, at a scale of their own: a cosine differs by about 0.002."""
    with temporary(embedder="auto") as memory:
        memory.add_many(TEXTS)
        memory.wait_indexed(timeout=60)
        embedder = transformer.TransformerEmbedder()
        exact = embedder.embed(TEXTS)
        with memory.store.reading() as db:
            stored = [
                np.frombuffer(row[0], np.int8).astype(np.float32)
                for row in db.execute("SELECT embedding FROM vectors JOIN models USING(model) WHERE second")
            ]
        embedder.close()
        found = np.array(stored) / np.linalg.norm(stored, axis=1, keepdims=True)
        wanted = sorted((exact @ exact.T).ravel())
        np.testing.assert_allclose(sorted((found @ found.T).ravel()), wanted, atol=0.01)
