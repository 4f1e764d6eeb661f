"""The registry: which models the vectors of a store belong to.

Searches use the current model, and a second model beside it if there is one: the current model is fast, and has the
vectors of all memories; the second is more accurate, and has those of the memories that were embedded with it so far.
If there is a next model, memories are being embedded with it, and it will replace both. The vectors of old models are
being deleted. All processes read the registry from the store, so they agree.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal, NamedTuple

from memcrdt.search.embedders import static
from memcrdt.search.index.passages import PER_MEMORY
from memcrdt.store import vector_forms
from memcrdt.store.indexer import SEARCHED
from memcrdt.store.sql import SqlConnection

ModelState = Literal["current", "next", "old"]

# Through `codes`, whose rows are a tenth as long: no index is on `model`.
_VECTOR_BYTES = (
    "SELECT length(embedding) FROM vectors WHERE vector = (SELECT vector FROM codes WHERE model = ? LIMIT 1)"
)
_QUEUE_ALL = f"""
INSERT INTO waiting(memory, model) SELECT memory, CAST(? AS BIGINT) FROM memories WHERE {SEARCHED}
ON CONFLICT DO NOTHING"""
_QUEUE_MISSING = f"""
INSERT INTO waiting(memory, model) SELECT m.memory, CAST(?1 AS BIGINT) FROM memories m
WHERE {SEARCHED} AND NOT EXISTS (SELECT 1 FROM vectors v WHERE v.passage = m.memory * {PER_MEMORY} AND v.model = ?1)
ON CONFLICT DO NOTHING"""
_CLEAR_QUEUE = "DELETE FROM waiting WHERE model = ?"
_IS_WAITING = "SELECT 1 FROM waiting WHERE model = ? LIMIT 1"
_COUNT_WAITING = """
SELECT count(DISTINCT memory) FROM waiting WHERE model IN (SELECT CAST(value AS BIGINT) FROM json_each(?))"""
_SET_STATE = "UPDATE models SET state = ? WHERE model = ?"


class IndexedModel(NamedTuple):
    """A row of `models`. `element_bytes` says how its vectors are stored: see memcrdt/store/vector_forms.py."""

    model: int
    name: str
    state: ModelState
    second: bool
    element_bytes: int


class ModelsInUse(NamedTuple):
    """The models of a store that are not old."""

    current: IndexedModel | None = None
    second: IndexedModel | None = None
    next: IndexedModel | None = None

    @property
    def target(self) -> IndexedModel | None:
        """The model that every memory must be embedded with."""
        return self.next or self.current


def in_use(db: SqlConnection) -> ModelsInUse:
    """Return the models in use."""
    rows = [IndexedModel(row[0], row[1], row[2], bool(row[3]), row[4]) for row in db.execute(_IN_USE)]
    return ModelsInUse(**{"second" if row.second else row.state: row for row in rows})


_IN_USE = "SELECT model, name, state, second, element_bytes FROM models WHERE state != 'old'"


def dimensions(db: SqlConnection, model: IndexedModel) -> int | None:
    """Return the dimensions of the vectors of a model; None while it has no vector."""
    found: int | None = db.execute(_VECTOR_BYTES, (model.model,)).get
    return None if found is None else found // model.element_bytes


def waiting(db: SqlConnection, models: Sequence[IndexedModel]) -> int:
    """Return the number of memories that wait to be embedded with any of these models."""
    return int(db.execute(_COUNT_WAITING, (json.dumps([model.model for model in models]),)).get)


def unfinished(db: SqlConnection) -> bool:
    """Return whether a change of model is under way, or vectors of an old model are left."""
    return db.execute("SELECT 1 FROM models WHERE state != 'current' LIMIT 1").fetchone() is not None


def use(db: SqlConnection, name: str) -> None:
    """Make `name` the model to search with: at once in a store without a model, otherwise after embedding all memories.

    This runs in the caller's transaction; the worker does the rest.
    """
    models = in_use(db)
    if models.target is not None and models.target.name == name:
        return
    if models.next is not None:
        _retire(db, models.next)
    if models.current is not None and models.current.name == name:
        db.execute(_QUEUE_MISSING, (models.current.model,))
        return
    _add(db, name, "current" if models.current is None else "next", second=False)


def use_second(db: SqlConnection, name: str | None) -> None:
    """Search with `name` beside the current model, or with the current model alone. There must be a current model.

    Every memory takes part as soon as it is embedded with the second model.
    """
    models = in_use(db)
    if models.second is not None and models.second.name == name:
        return
    if models.second is not None:
        _retire(db, models.second)
    if name is not None:
        _add(db, name, "current", second=True)


def _add(db: SqlConnection, name: str, state: ModelState, *, second: bool) -> None:
    # A known name gets a new number, too, because the vectors left under the old number are being deleted.
    db.execute("UPDATE models SET name = name || ' ' || model WHERE name = ?", (name,))
    sql = "INSERT INTO models(name, state, second, element_bytes) VALUES(?, ?, ?, ?) RETURNING model"
    db.execute(_QUEUE_ALL, (db.execute(sql, (name, state, int(second), _element_bytes(name, second=second))).get,))


def _element_bytes(name: str, *, second: bool) -> int:
    """Return how the vectors of a new model are stored.

    For the models that ship, it was measured what keeps the nearest vectors the same (docs/internals/search-index.md).
    Of other models it is not known.
    """
    if second:
        return vector_forms.INT8_BYTES
    return vector_forms.INT16_BYTES if name == static.NAME else vector_forms.FLOAT_BYTES


def _retire(db: SqlConnection, model: IndexedModel) -> None:
    db.execute(_SET_STATE, ("old", model.model))
    db.execute(_CLEAR_QUEUE, (model.model,))


def finish(db: SqlConnection) -> bool:
    """Make the next model the current one if no memory waits for it. Return whether this was done."""
    models = in_use(db)
    if models.next is None or db.execute(_IS_WAITING, (models.next.model,)).fetchone():
        return False
    for former in (models.current, models.second):
        if former is not None:
            _retire(db, former)
    db.execute(_SET_STATE, ("current", models.next.model))
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
