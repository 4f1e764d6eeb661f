"""The registry: which models the vectors of a store belong to.

The current model is searched. A next model, if there is one, is being embedded with, to take the current one's place.
The vectors of old models are being deleted. All processes read the registry from the store, so that they agree.
"""

from __future__ import annotations

import threading
from typing import Literal, NamedTuple

from memcrdt.errors import InputError
from memcrdt.search.embedders.calibration import UNKNOWN, unrelated_cosine
from memcrdt.search.embedders.embedder import Embedder, make_embedder
from memcrdt.search.index.passages import PER_MEMORY
from memcrdt.store import meta
from memcrdt.store.indexer import Connection

ModelState = Literal["current", "next", "old"]

_UNRELATED = "unrelated "  # followed by the model's name: the key in `meta`
_QUEUE_ALL = "INSERT OR IGNORE INTO waiting(memory) SELECT memory FROM memories"
_QUEUE_MISSING = f"""
INSERT OR IGNORE INTO waiting(memory) SELECT m.memory FROM memories m
WHERE NOT EXISTS (SELECT 1 FROM vectors v WHERE v.passage = m.memory * {PER_MEMORY} AND v.model = ?)"""


class IndexedModel(NamedTuple):
    """A row of `models`."""

    model: int
    name: str
    state: ModelState


def in_use(db: Connection) -> dict[ModelState, IndexedModel]:
    """Return the current and the next model by their state, as far as there are any."""
    rows = db.execute("SELECT model, name, state FROM models WHERE state != 'old'")
    return {row[2]: IndexedModel(*row) for row in rows}


def target(db: Connection) -> IndexedModel | None:
    """Return the model that waiting memories are embedded with."""
    models = in_use(db)
    return models.get("next") or models.get("current")


def unfinished(db: Connection) -> bool:
    """Whether a change of model is under way, or vectors of an old model are left."""
    return db.execute("SELECT 1 FROM models WHERE state != 'current' LIMIT 1").fetchone() is not None


def use(db: Connection, name: str) -> None:
    """Make `name` the model to search with: at once in a store without vectors, else when all memories are embedded.

    This runs in the caller's transaction; the worker does the rest.
    """
    models = in_use(db)
    current, following = models.get("current"), models.get("next")
    if name in {model.name for model in (following or current,) if model}:
        return
    if following is not None:
        db.execute("UPDATE models SET state = 'old' WHERE model = ?", (following.model,))
        db.execute("DELETE FROM waiting")
    if current is not None and current.name == name:
        db.execute(_QUEUE_MISSING, (current.model,))
        return
    state: ModelState = "next" if current else "current"
    # A known name gets a new number, too: the vectors left under the old number are being deleted.
    db.execute("UPDATE models SET name = name || ' ' || model WHERE name = ?", (name,))
    db.execute("INSERT INTO models(name, state) VALUES(?, ?)", (name, state))
    db.execute(_QUEUE_ALL)


def note_unrelated(db: Connection, name: str, cosine: float) -> None:
    """Keep the mean cosine of unrelated texts in a slow model, so that no search has to compute it."""
    meta.write(db, _UNRELATED + name, str(cosine))


def finish(db: Connection) -> bool:
    """Make the next model the current one if no memory waits for it. Return whether that was done."""
    models = in_use(db)
    if "next" not in models or db.execute("SELECT 1 FROM waiting LIMIT 1").fetchone():
        return False
    db.execute("UPDATE models SET state = 'old' WHERE state = 'current'")
    db.execute("UPDATE models SET state = 'current' WHERE state = 'next'")
    return True


def discard(db: Connection, limit: int) -> bool:
    """Delete up to `limit` vectors of an old model, and the model with its last vector. Tell whether there was one."""
    old = db.execute("SELECT model FROM models WHERE state = 'old'").fetchone()
    if old is None:
        return False
    chosen = [row[0] for row in db.execute("SELECT vector FROM codes WHERE model = ? LIMIT ?", (old[0], limit))]
    db.executemany("DELETE FROM vectors WHERE vector = ?", ((vector,) for vector in chosen))
    db.executemany("DELETE FROM codes WHERE vector = ?", ((vector,) for vector in chosen))
    if len(chosen) < limit:
        db.execute("DELETE FROM models WHERE model = ?", old)
    return True


class Embedders:
    """The embedders of this process by the names of their models, made when they are first needed."""

    def __init__(self, own: Embedder | None) -> None:
        self.own = own
        self._lock = threading.Lock()
        self._made: dict[str, Embedder | None] = {own.name: own} if own else {}
        self._unrelated: dict[str, float] = {}

    def get(self, name: str) -> Embedder | None:
        """Return the embedder of the model `name`; None for a function of another process, which can't be made here."""
        with self._lock:
            if name not in self._made:
                try:
                    self._made[name] = make_embedder(name)
                except InputError:
                    self._made[name] = None
            return self._made[name]

    def unrelated(self, db: Connection, name: str) -> float:
        """Return the mean cosine of unrelated texts in a model. Of a slow model, it is the value kept by the worker."""
        if name not in self._unrelated:
            embedder = self.get(name)
            if embedder is not None and embedder.fast:
                self._unrelated[name] = unrelated_cosine(embedder)
            elif noted := meta.read(db, _UNRELATED + name):
                self._unrelated[name] = float(noted)
        return self._unrelated.get(name, UNKNOWN)
