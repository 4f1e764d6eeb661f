"""The background worker: embeds what waits, ends a change of model, and throws old vectors away."""

from __future__ import annotations

import json
import random
import threading
from typing import TYPE_CHECKING

from memcrdt.errors import EmbedderError, MemcrdtError
from memcrdt.search.embedders import static
from memcrdt.search.embedders.calibration import unrelated_cosine
from memcrdt.search.index import registry
from memcrdt.search.index.index import SearchIndex, embed_texts, write_vectors
from memcrdt.store.indexer import Connection

if TYPE_CHECKING:
    from memcrdt.store.store import Store

BATCH = 32  # memories embedded and committed at once: some tenths of a second with a transformer
DISCARD = 2_000  # old vectors deleted at once: the write lock is held for some tens of milliseconds
RETRY_S = 30.0  # after a failure, unless woken before

_WAITING = """
SELECT memory, text FROM waiting JOIN memories USING(memory) WHERE memory >= ? ORDER BY memory LIMIT ?"""

_STILL = """
SELECT memory, text FROM waiting JOIN memories USING(memory) WHERE memory IN (SELECT value FROM json_each(?))"""


class Worker:
    """A thread that works while there is something to do. Several processes may work on one store: each starts at
    a place of its own, and what is done twice is written once."""

    def __init__(self, store: Store, index: SearchIndex) -> None:
        self._store = store
        self._index = index
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._unrelated: dict[str, float] = {}  # by the models' names
        self.error: MemcrdtError | None = None  # why it does not go on, until it does

    def start(self) -> None:
        """Starts the thread, and wakes it after every commit that leaves something waiting.

        An embedder that was asked for, other than the shipped one, becomes the store's: see registry.use.
        """
        own = self._index.embedders.own
        if own is not None and own.name != static.NAME:
            with self._store.writing() as db:
                registry.use(db, own.name)
        self._index.on_waiting = self.wake
        self._thread = threading.Thread(target=self._run, name="memcrdt-embedding", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        self._wake.set()

    def close(self) -> None:
        """Ends the thread after the batch it is at; what waits is kept for the next process."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def drain(self) -> None:
        """Works in the calling thread until nothing waits. Raises EmbedderError or StoreError."""
        while self.step():
            pass

    def step(self) -> bool:
        """Does one piece of work; whether there was any. Raises EmbedderError or StoreError."""
        with self._store.reading() as db:
            target = registry.target(db)
            batch = self._batch(db) if target else []
            unfinished = registry.unfinished(db)
        if target and batch:
            self._embed(target, batch)
        elif unfinished:
            with self._store.writing() as db:
                return registry.finish(db) or registry.discard(db, DISCARD)
        return bool(batch)

    def _batch(self, db: Connection) -> list[tuple[int, str]]:
        """Some of what waits, from a random place on, so that processes seldom take the same."""
        last = db.execute("SELECT max(memory) FROM waiting").get
        if last is None:
            return []
        start = random.randint(0, int(last))  # noqa: S311 - no secret
        return [(int(row[0]), str(row[1])) for row in db.execute(_WAITING, (start, BATCH))]

    def _embed(self, target: registry.Model, batch: list[tuple[int, str]]) -> None:
        embedder = self._index.embedders.get(target.name)
        if embedder is None:
            raise EmbedderError(f"the model {target.name} can't be made here; choose one with `memcrdt model use`")
        embedded = embed_texts(embedder, [text for _, text in batch])
        if target.name not in self._unrelated:
            self._unrelated[target.name] = unrelated_cosine(embedder)
        with self._store.writing() as db:
            if registry.target(db) != target:
                return
            there = [(int(row[0]), str(row[1])) for row in db.execute(_STILL, (json.dumps([m for m, _ in batch]),))]
            ready = [(memory, embedded[text]) for memory, text in there if text in embedded]
            write_vectors(db, target.model, ready)
            registry.note_unrelated(db, target.name, self._unrelated[target.name])
            db.executemany("DELETE FROM waiting WHERE memory = ?", ((memory,) for memory, _ in ready))

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            try:
                while not self._stop.is_set() and self.step():
                    pass
                self.error = None
                self._wake.wait()
            except MemcrdtError as exc:  # a missing model, a full disk: told in the status, and tried again
                self.error = exc
                self._wake.wait(RETRY_S)
