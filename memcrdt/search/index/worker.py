"""The background worker: embeds waiting memories, completes a change of model, and deletes old vectors."""

from __future__ import annotations

import json
import random
import threading
from typing import TYPE_CHECKING, Final

from memcrdt.errors import EmbedderError, InputError, MemcrdtError
from memcrdt.search.embedders import static
from memcrdt.search.embedders.calibration import unrelated_cosine
from memcrdt.search.embedders.embedder import Embedder, make_embedder
from memcrdt.search.embedders.watched import note_unrelated
from memcrdt.search.index import registry
from memcrdt.search.index.index import UNQUEUE, SearchIndex, embed_texts, write_vectors
from memcrdt.store.indexer import SqlConnection

if TYPE_CHECKING:
    from memcrdt.store.store import Store

BATCH: Final = 32  # memories embedded and committed at once: some tenths of a second with a transformer
DISCARD: Final = 2_000  # old vectors deleted at once: the write lock is held for some tens of milliseconds
FIRST_RETRY_S: Final = 1.0  # wait after a failure, unless something wakes the worker; it doubles with each failure
LAST_RETRY_S: Final = 30.0
LOOK_S: Final = 2.0  # between two looks without work: a process with another model may have left memories waiting

_WAITING = """
SELECT memory, text FROM waiting JOIN memories USING(memory) WHERE memory >= ? ORDER BY memory LIMIT ?"""

_LAST_WAITING = "SELECT max(memory) FROM waiting"
_STILL = """
SELECT memory, text FROM waiting JOIN memories USING(memory) WHERE memory IN (SELECT value FROM json_each(?))"""


class EmbeddingWorker:
    """A thread that embeds waiting memories.

    Several processes may work on one store. Each starts at a random place, and a memory that two of them embed is
    written once.
    """

    def __init__(self, store: Store, index: SearchIndex) -> None:
        self._store = store
        self._index = index
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._unrelated: dict[str, float] = {}  # by the models' names
        self.error: MemcrdtError | None = None  # why the work has stopped; None while it goes on

    def start(self) -> None:
        """Start the thread. It wakes after every commit of this process that leaves memories waiting.

        If the memory was opened with another embedder than the shipped one, its model becomes the model of the store:
        see registry.use.
        """
        own = self._index.embedders.own
        if own is not None and own.name != static.NAME:
            with self._store.writing() as db:
                registry.use(db, own.name)
        self._index.on_waiting = self.wake
        self._thread = threading.Thread(target=self._run, name="memcrdt-embedding", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Make the thread look for work."""
        self._wake.set()

    def close(self) -> None:
        """End the thread after its current batch. Waiting memories stay queued for the next process."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def drain(self) -> None:
        """Work in the calling thread until nothing is left to do. Raises EmbedderError or StoreError."""
        while self.step():
            pass

    def step(self) -> bool:
        """Do one piece of work. Return whether there was any. Raises EmbedderError or StoreError."""
        with self._store.reading() as db:
            target = registry.target(db)
            batch = self._batch(db) if target else []
            embedder = self._index.embedder(db, target) if target else None
            unfinished = registry.unfinished(db)
        if target and batch:
            self._embed(target, embedder, batch)
        elif unfinished:
            with self._store.writing() as db:
                return registry.finish(db) or registry.discard(db, DISCARD)
        return bool(batch)

    def _batch(self, db: SqlConnection) -> list[tuple[int, str]]:
        """Return some waiting memories from a random place on, so that processes seldom take the same ones."""
        last = db.execute(_LAST_WAITING).get
        if last is None:
            return []
        start = random.randint(0, int(last))  # noqa: S311 - no secret
        return [(int(row[0]), str(row[1])) for row in db.execute(_WAITING, (start, BATCH))]

    def _embed(self, target: registry.IndexedModel, embedder: Embedder | None, batch: list[tuple[int, str]]) -> None:
        if embedder is None:
            raise EmbedderError(
                f"the model {target.name} is not known to this process; choose one with `memcrdt model use`"
            )
        embedded = embed_texts(embedder, [text for _, text in batch])
        self.error = None  # before the commit: no status shows an old failure beside an empty queue
        if target.name not in self._unrelated:
            self._unrelated[target.name] = unrelated_cosine(embedder)
        with self._store.writing() as db:
            if registry.target(db) != target:
                return
            there = [(int(row[0]), str(row[1])) for row in db.execute(_STILL, (json.dumps([m for m, _ in batch]),))]
            ready = [(memory, embedded[text]) for memory, text in there if text in embedded]
            write_vectors(db, target.model, ready)
            note_unrelated(db, target.name, self._unrelated[target.name])
            db.executemany(UNQUEUE, ((memory,) for memory, _ in ready))

    def _run(self) -> None:
        retry_s = FIRST_RETRY_S
        while not self._stop.is_set():
            self._wake.clear()
            try:
                while not self._stop.is_set() and self.step():
                    retry_s = FIRST_RETRY_S
                self.error = None
                self._wake.wait(LOOK_S)
            except MemcrdtError as exc:  # a missing model, a full disk: the status shows it, and the worker tries again
                self.error = exc
                self._wake.wait(retry_s)
                retry_s = min(2 * retry_s, LAST_RETRY_S)


def use_model(store: Store, index: SearchIndex, spec: str) -> str:
    """Make `spec` the model of the store. The worker embeds with it, and then searches use it.

    The model is loaded once before anything changes.

    Args:
        store: The store that gets the model.
        index: The index of the store.
        spec: The name of a model or a folder, as make_embedder() takes it.

    Returns:
        The name of the model.

    Raises:
        InputError: No model has this name.
        ModelMissingError: The model is not on this machine.
        StoreError: The store cannot be written.
    """
    embedder = make_embedder(spec)
    if embedder is None:
        raise InputError(
            "'none' is not a model; to search by words alone, write embedder = \"none\" into config.toml, "
            "or open the memory with embedder=None"
        )
    embedder.embed_query("a first question")
    with store.writing() as db:
        registry.use(db, embedder.name)
    index.on_waiting()
    return embedder.name
