"""Memories that go elsewhere, as plans for Store.commit: to another scope, or to another space."""

from __future__ import annotations

from typing import Any, Final

from memcrdt.model import edits
from memcrdt.model.edits import MemoryEdit, NewMemory, Stamp
from memcrdt.model.projection import LiveMemory
from memcrdt.model.scopes import renamed
from memcrdt.store import reads
from memcrdt.store.changes import SALT_BYTES, change, missing, state_of
from memcrdt.store.spaces import space_number
from memcrdt.store.transaction import Transaction


class Moving:
    """A plan that gives a memory a new life in another space, under `new_id`, and forgets it where it was.

    It takes its text, tags, metadata, links and dates with it; its history stays behind, and so it is forgotten.
    """

    def __init__(self, memory_id: str, space: str, new_id: str) -> None:
        self._memory_id = memory_id
        self._space = space
        self._new_id = new_id

    def __call__(self, transaction: Transaction) -> str:
        """The id that the memory has then: its own when it is there already. Raises NotFoundError."""
        target = space_number(transaction.db, self._space)
        place = reads.place_of(transaction.db, self._memory_id)
        if place is None:
            raise missing(transaction.db, self._memory_id)
        if place[0] == target:
            return self._memory_id
        state = state_of(transaction, place[0], self._memory_id)
        stamp = Stamp(transaction.stamp.at, state.author, transaction.stamp.device)
        again = _again(state, (self._new_id, transaction.random(SALT_BYTES)))
        transaction.add(target, self._new_id, edits.born(again, stamp))
        transaction.forget(place[0], self._memory_id)
        return self._new_id


# A conversation nested in a project begins with the project's scope and this. The end of the range is the text behind:
# a pattern would take _ and % for what they are not, and need no index.
_TO_RENAME: Final = (
    "SELECT space, id, scope FROM memories WHERE scope = ?1"
    " OR (scope >= ?1 || '/conversation/' AND scope < ?1 || '/conversation0')"
)


def rename_scope(old: str, new: str, transaction: Transaction) -> int:
    """Gather the change of scope `old` to `new`, in all spaces, for a commit. Returns the number of memories.

    Conversations in a project go with it to another project. Raises InputError where one of them would have a scope
    that is none.
    """
    count = 0
    found: list[tuple[Any, ...]] = transaction.db.execute(_TO_RENAME, (old,)).fetchall()
    for space, memory_id, scope in found:
        if (changed := renamed(scope, old, new)) is not None:
            state = state_of(transaction, space, memory_id)
            change(transaction, space, state, MemoryEdit(attributes={"scope": changed}), None)
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
