"""The background worker: embeds waiting memories, completes a change of model, and deletes old vectors.

The target, the next or the current model, comes first: without its vector, a memory is found by words alone. The second
model improves the ranking, so it waits: for the first moments of a process, for other processes that are at it, and, on
battery, as long as it works. Its memories go in full batches, the newest first, without a commit for each new memory.
"""

from __future__ import annotations

import atexit
import json
import random
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from memcrdt.errors import EmbedderError, InputError, MemcrdtError
from memcrdt.search.embedders import background, static
from memcrdt.search.embedders.calibration import unrelated_cosine
from memcrdt.search.embedders.embedder import Embedder, make_embedder
from memcrdt.search.embedders.transformer import AutoEmbedder
from memcrdt.search.embedders.watched import note_unrelated
from memcrdt.search.index import registry
from memcrdt.search.index.index import UNQUEUE, SearchIndex, embed_texts, write_vectors
from memcrdt.search.index.registry import IndexedModel
from memcrdt.store import locks
from memcrdt.store.sql import SqlConnection

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memcrdt.store.base import BaseStore

BATCH: Final = 32  # memories embedded and committed at once: some tenths of a second with a transformer
BATCH_CHARS: Final = 65_536  # of their texts: some seconds. What is not committed when a program ends is done again
DISCARD: Final = 2_000  # old vectors deleted at once: the write lock is held for some tens of milliseconds
FIRST_RETRY_S: Final = 1.0  # wait after a failure, unless something wakes the worker; it doubles with each failure
LAST_RETRY_S: Final = 30.0
LOOK_S: Final = 5.0  # between two looks without work: a process with another model may have left memories waiting
SECOND_AFTER_S: Final = 1.0  # after the start of the worker: a process that soon ends should not load a model
POWER_S: Final = 30.0  # how long an answer about the battery counts
LOCK_FILE: Final = "embedding.lock"

_WAITING = """
SELECT w.memory, text FROM waiting w JOIN memories USING(memory) WHERE w.memory >= ? AND model = ?
ORDER BY w.memory LIMIT ?"""
_NEWEST = """
SELECT w.memory, text FROM waiting w JOIN memories USING(memory) WHERE model = ? ORDER BY w.memory DESC LIMIT ?"""

_LAST_WAITING = "SELECT max(memory) FROM waiting WHERE model = ?"
_STILL = """
SELECT w.memory, text FROM waiting w JOIN memories USING(memory)
WHERE w.memory IN (SELECT CAST(value AS BIGINT) FROM json_each(?)) AND model = ?"""

Batch = list[tuple[int, str]]  # memories with their texts


class EmbeddingWorker:
    """A thread that embeds waiting memories.

    Several processes may work on one store. For the target, each starts at a random place, and a memory that two of
    them embed is written once. One of them at a time embeds for the second model.
    """

    def __init__(self, store: BaseStore[Any], index: SearchIndex) -> None:
        self._store = store
        self._index = index
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._unrelated: dict[str, float] = {}  # by the models' names
        self._turn = _Turn(store)
        self._beginning = threading.Lock()
        self._has_begun = False
        self._second_from = 0.0  # on the monotonic clock: when the second model may be loaded
        self.error: MemcrdtError | None = None  # why the work has stopped; None while it goes on

    def start(self) -> None:
        """Start the thread. It wakes after every commit of this process that leaves memories waiting for the target.

        If the memory was opened with another embedder than a shipped one, its model becomes the model of the store:
        see registry.use.
        """
        own = self._index.embedders.own
        if own is not None and own.name != static.NAME:
            with self._store.writing() as db:
                registry.use(db, own.name)
        self._index.on_waiting = self.wake
        self._second_from = time.monotonic() + SECOND_AFTER_S
        self._thread = threading.Thread(target=self._run, name="memcrdt-embedding", daemon=True)
        self._thread.start()
        atexit.register(self.close)  # Python would kill the thread, and a thread killed in ONNX Runtime ends in abort()

    def wake(self) -> None:
        """Make the thread look for work."""
        self._wake.set()

    def hurry(self) -> None:
        """Embed without pauses from now on, because somebody waits for it. Raises StoreError."""
        self._begin()  # otherwise there would be nothing to wait for yet
        self._second_from = 0.0
        self._turn.spares_battery = False
        self.wake()

    def close(self) -> None:
        """End the thread after the passages that it embeds now. Waiting memories stay queued for the next process."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            atexit.unregister(self.close)
        self._turn.end()

    def drain(self) -> None:
        """Work in the calling thread until nothing is left to do. Raises EmbedderError or StoreError."""
        self._begin()
        while self.step():
            pass
        self._turn.end()

    def step(self) -> bool:
        """Do one piece of work. Return whether there may be more. Raises EmbedderError or StoreError."""
        with self._store.reading() as db:
            models = registry.in_use(db)
            target = models.target
            batch = self._batch(db, target) if target else []
            embedder = self._index.embedder(db, target) if target else None
            unfinished = registry.unfinished(db)
        if target and batch:
            self._embed(target, embedder, batch)
        elif unfinished:
            with self._store.writing() as db:
                has_changed = registry.finish(db)
                if has_changed and (second := self._missing_second(db)):  # at once: nobody may see the one without it
                    registry.use_second(db, second)
                return has_changed or registry.discard(db, DISCARD)
        elif models.second:
            return self._embed_second(models.second)
        return bool(batch)

    def _batch(self, db: SqlConnection, target: IndexedModel) -> Batch:
        """Return some waiting memories from a random place on, so that processes seldom take the same ones."""
        last = db.execute(_LAST_WAITING, (target.model,)).get
        if last is None:
            return []
        start = random.randint(0, int(last))  # noqa: S311 - no secret
        return _bounded(db.execute(_WAITING, (start, target.model, BATCH)))

    def _begin(self) -> None:
        """Add the second model to a store without it, once: afterwards the user may choose to search without it."""
        with self._beginning:
            if not self._has_begun:
                self._begin_second()
                self._has_begun = True

    def _begin_second(self) -> None:
        """Add the second model to a store that has only the static one, as earlier versions made it."""
        with self._store.reading() as db:
            second = self._missing_second(db)
        if second:
            with self._store.writing() as db:
                registry.use_second(db, second)

    def _missing_second(self, db: SqlConnection) -> str | None:
        """Return the name of the second model if it belongs into the store and is not there."""
        second, models = self._index.embedders.second, registry.in_use(db)
        lacks_it = models.target is not None and models.target.name == static.NAME and models.second is None
        return second.name if second is not None and lacks_it else None

    def _embed_second(self, model: IndexedModel) -> bool:
        """Embed a batch with the second model, if it is ours and it is our turn. Return whether there may be more."""
        second = self._index.embedders.second
        if second is None or second.name != model.name or time.monotonic() < self._second_from:
            return False
        with self._store.reading() as db:
            batch = _bounded(db.execute(_NEWEST, (model.model, BATCH)))
            embedder = self._index.embedder(db, model)
        if not batch or not self._turn.begin():
            self._turn.end()
            return False
        started = time.monotonic()
        self._embed(model, embedder, batch)
        self._stop.wait(self._turn.pause_s(time.monotonic() - started))
        return len(batch) == BATCH or _chars(batch) >= BATCH_CHARS

    def _embed(self, model: IndexedModel, embedder: Embedder | None, batch: Batch) -> None:
        if embedder is None:
            raise EmbedderError(
                f"the model {model.name} is not known to this process; choose one with `memcrdt model use`"
            )
        embedded = embed_texts(embedder, [text for _, text in batch], self._is_ending)
        if _is_python_ending():
            return
        self.error = None  # before the commit: no status shows an old failure beside an empty queue
        if model.name not in self._unrelated:
            self._unrelated[model.name] = unrelated_cosine(embedder)
        with self._store.writing() as db:
            models = registry.in_use(db)
            if model not in (models.target, models.second):
                return
            numbers = json.dumps([memory for memory, _ in batch])
            there = [(int(row[0]), str(row[1])) for row in db.execute(_STILL, (numbers, model.model))]
            ready = [(memory, embedded[text]) for memory, text in there if text in embedded]
            write_vectors(db, model, ready)
            note_unrelated(db, model.name, self._unrelated[model.name])
            db.executemany(UNQUEUE, ((memory, model.model) for memory, _ in ready))

    def _is_ending(self) -> bool:
        return self._stop.is_set() or _is_python_ending()

    def _run(self) -> None:
        retry_s = FIRST_RETRY_S
        while not self._is_ending():
            self._wake.clear()
            try:
                self._begin()
                while not self._is_ending() and self.step():
                    retry_s = FIRST_RETRY_S
                self.error = None
                self._wake.wait(LOOK_S)
            except MemcrdtError as exc:  # a missing model, a full disk: the status shows it, and the worker tries again
                self.error = exc
                self._turn.end()
                self._wake.wait(retry_s)
                retry_s = min(2 * retry_s, LAST_RETRY_S)


def _bounded(rows: Iterable[tuple[Any, ...]]) -> Batch:
    """Return the first rows, up to the one with which their texts have BATCH_CHARS characters."""
    batch: Batch = []
    for memory, text in rows:
        batch.append((int(memory), str(text)))
        if _chars(batch) >= BATCH_CHARS:
            break
    return batch


def _chars(batch: Batch) -> int:
    return sum(len(text) for _, text in batch)


class _Turn:
    """The turn of a process to embed for the second model: a lock in the home. Without a home, it is always its turn.

    Attributes:
        spares_battery: Whether to pause as long as the work takes while the machine runs on its battery.
    """

    def __init__(self, store: BaseStore[Any]) -> None:
        self.spares_battery = True
        self._path = store.folder / LOCK_FILE if store.folder else None
        self._held = ExitStack()
        self._is_ours = False
        self._power: tuple[float, bool] | None = None  # when it was asked for, and whether it is a battery

    def begin(self) -> bool:
        """Take the turn, if no other process has it. Return whether this process has it now."""
        if self._path is None or self._is_ours:
            return True
        try:
            file = locks.open_to_lock(self._path)
        except OSError:  # a disk without room for one more file, or another user's file: the work is only done twice
            return True
        if not locks.take(file):
            file.close()
            return False
        self._held.enter_context(file)
        self._is_ours = True
        return True

    def end(self) -> None:
        """Leave the turn to another process."""
        self._held.close()
        self._is_ours = False

    def pause_s(self, worked_s: float) -> float:
        """Return how long to pause after so much work."""
        now = time.monotonic()
        if not self.spares_battery:
            return 0.0
        if self._power is None or now - self._power[0] > POWER_S:
            self._power = now, background.is_on_battery()
        return worked_s if self._power[1] else 0.0


def use_model(store: BaseStore[Any], index: SearchIndex, spec: str) -> str:
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
    second = embedder.second if isinstance(embedder, AutoEmbedder) else None
    with store.writing() as db:
        registry.use(db, embedder.name)
        if registry.in_use(db).next is None:
            registry.use_second(db, second.name if second else None)
    index.embedders.use_second(second)
    index.on_waiting()
    return embedder.name


def _is_python_ending() -> bool:
    """Return whether Python is ending, and has ended the threads of all pools."""
    return not threading.main_thread().is_alive()
