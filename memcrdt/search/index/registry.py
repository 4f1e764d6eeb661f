"""The registry: which models the vectors of a store belong to.

Searches use the current model. If there is a next model, memories are being embedded with it, and it will replace the
current one. The vectors of old models are being deleted. All processes read the registry from the store, so they agree.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from memcrdt.search.index.passages import PER_MEMORY
from memcrdt.store.indexer import SqlConnection

ModelState = Literal["current", "next", "old"]

# Through `codes`, whose rows are a tenth as long: no index is on `model`.
_DIMENSIONS = """
SELECT length(embedding) / 4 FROM vectors WHERE vector = (SELECT vector FROM codes WHERE model = ? LIMIT 1)"""
_QUEUE_ALL = "INSERT OR IGNORE INTO waiting(memory) SELECT memory FROM memories"
_QUEUE_MISSING = f"""
INSERT OR IGNORE INTO waiting(memory) SELECT m.memory FROM memories m
WHERE NOT EXISTS (SELECT 1 FROM vectors v WHERE v.passage = m.memory * {PER_MEMORY} AND v.model = ?)"""


class IndexedModel(NamedTuple):
    """A row of `models`."""

    model: int
    name: str
    state: ModelState


def in_use(db: SqlConnection) -> dict[ModelState, IndexedModel]:
    """Return the current and the next model, if they exist, by their state."""
    rows = db.execute("SELECT model, name, state FROM models WHERE state != 'old'")
    return {row[2]: IndexedModel(*row) for row in rows}


def target(db: SqlConnection) -> IndexedModel | None:
    """Return the model that waiting memories are embedded with."""
    models = in_use(db)
    return models.get("next") or models.get("current")


def dimensions(db: SqlConnection, model: int) -> int | None:
    """Return the dimensions of the vectors of a model; None while it has no vector."""
    found: int | None = db.execute(_DIMENSIONS, (model,)).get
    return found


def unfinished(db: SqlConnection) -> bool:
    """Return whether a change of model is under way, or vectors of an old model are left."""
    return db.execute("SELECT 1 FROM models WHERE state != 'current' LIMIT 1").fetchone() is not None


def use(db: SqlConnection, name: str) -> None:
    """Make `name` the model to search with: at once in a store without a model, otherwise after embedding all memories.

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
    # A known name gets a new number, too, because the vectors left under the old number are being deleted.
    db.execute("UPDATE models SET name = name || ' ' || model WHERE name = ?", (name,))
    db.execute("INSERT INTO models(name, state) VALUES(?, ?)", (name, state))
    db.execute(_QUEUE_ALL)


def finish(db: SqlConnection) -> bool:
    """Make the next model the current one if no memory waits for it. Return whether this was done."""
    models = in_use(db)
    if "next" not in models or db.execute("SELECT 1 FROM waiting LIMIT 1").fetchone():
        return False
    db.execute("UPDATE models SET state = 'old' WHERE state = 'current'")
    db.execute("UPDATE models SET state = 'current' WHERE state = 'next'")
    return True


def discard(db: SqlConnection, limit: int) -> bool:
    """Delete up to `limit` vectors of an old model, and the model after its last vector. Return False without one."""
    old = db.execute("SELECT model FROM models WHERE state = 'old'").fetchone()
    if old is None:
        return False
    chosen = [row[0] for row in db.execute("SELECT vector FROM codes WHERE model = ? LIMIT ?", (old[0], limit))]
    db.executemany("DELETE FROM vectors WHERE vector = ?", ((vector,) for vector in chosen))
    db.executemany("DELETE FROM codes WHERE vector = ?", ((vector,) for vector in chosen))
    if len(chosen) < limit:
        db.execute("DELETE FROM models WHERE model = ?", old)
    return True
