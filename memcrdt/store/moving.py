"""Plans for Store.commit() that move memories to another scope or another space."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from memcrdt.model import edits
from memcrdt.model.edits import MemoryEdit, NewMemory, Stamp
from memcrdt.model.projection import LiveMemory
from memcrdt.model.scopes import renamed
from memcrdt.store import reads
from memcrdt.store.changes import SALT_BYTES, change, state_of
from memcrdt.store.destinations import moved_identity
from memcrdt.store.reads import Place, missing
from memcrdt.store.spaces import id_of_space, space_number
from memcrdt.store.sql import SqlConnection
from memcrdt.store.transaction import Transaction


class Moving:
    """A plan that moves a memory to another space: it is added there, and forgotten in its old space.

    Its id there is derived from the old one (destinations.py), or `new_id` if that is taken. Text, tags, metadata,
    links, attributes and dates move with it. Its history is forgotten.
    """

    def __init__(self, memory_id: str, space: str, new_id: str) -> None:
        self._memory_id = memory_id
        self._space = space
        self._new_id = new_id

    def __call__(self, transaction: Transaction) -> str:
        """Return the id of the memory in the other space, which is unchanged if it is already there.

        Raises:
            NotFoundError: There is no such memory or space.
        """
        target = space_number(transaction.db, self._space)
        place = reads.place_of(transaction.db, self._memory_id)
        if place is None:
            raise missing(transaction.db, self._memory_id)
        if place[0] == target:
            return self._memory_id
        state = state_of(transaction, place[0], self._memory_id)
        stamp = Stamp(transaction.stamp.at, state.author, transaction.stamp.device)
        identity = moved_identity(self._memory_id, id_of_space(transaction.db, target))
        if transaction.state(target, identity[0]) is not None:  # a restored memory is moved once more
            identity = (self._new_id, transaction.random(SALT_BYTES))
        transaction.add(target, identity[0], edits.born(_again(state, identity), stamp))
        transaction.forget(place[0], self._memory_id)
        return identity[0]


# The conversations of a project are a range of scopes, from `…/conversation/` up to the text that sorts after all of
# them. A pattern would treat _ and % in a name as wildcards, and would not use an index.
_TO_RENAME: Final = (
    "SELECT space, id, scope FROM memories WHERE scope = ?1"
    " OR (scope >= ?1 || '/conversation/' AND scope < ?1 || '/conversation0')"
)
_SCOPE: Final = "SELECT scope FROM memories WHERE space = ? AND id = ?"


def to_rename(db: SqlConnection, old: str, new: str) -> list[Place]:
    """Return the places of the memories that get another scope when the scope `old` becomes `new`.

    The conversations of a project follow it to another project. Raises InputError if one of them would get an invalid
    scope.
    """
    found = db.execute(_TO_RENAME, (old,))
    return [(space, memory_id) for space, memory_id, scope in found if renamed(scope, old, new) is not None]


def rename_scope(places: Iterable[Place], old: str, new: str, transaction: Transaction) -> int:
    """Change the scope `old` to `new` for those of these memories that still have it. Return their number."""
    count = 0
    for place in places:
        scope = transaction.db.execute(_SCOPE, place).get
        if scope is not None and (changed := renamed(scope, old, new)) is not None:
            edit = MemoryEdit(attributes={"scope": changed})
            change(transaction, place[0], state_of(transaction, *place), edit, None)
            count += 1
    return count


def _again(state: LiveMemory, identity: tuple[str, bytes]) -> NewMemory:
    memory_id, salt = identity
    return NewMemory(
        id=memory_id,
        salt=salt,
        text=state.shown.text,
        scope=state.scope,
        created_at=state.created_at,
        kind=state.kind,
        source=state.source,
        tags=state.tags,
        metadata=state.metadata,
        attributes=state.attributes,
        links=tuple((link.rel, link.to) for link in state.links),
    )
