"""The changes that mirrors make, as plans for Store.commit().

A text from a file is a revision that is made from the revisions that the file showed, not from those that are there
now. So an edit of the file and an edit of the memory compete, as edits on two devices do. Its id is derived from both,
so a change that is carried out twice, after a crash or on two devices with the same folder, is one revision.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from memcrdt.model import edits, limits
from memcrdt.model.edits import MemoryEdit
from memcrdt.model.ids import derive, is_ulid
from memcrdt.model.projection import LiveMemory, RevisionState, Tombstone
from memcrdt.model.requests import AddRequest
from memcrdt.store import reads
from memcrdt.store.changes import SALT_BYTES, bear, change, generations, state_of
from memcrdt.store.spaces import space_number
from memcrdt.store.transaction import Transaction

Outcome: TypeAlias = Literal["added", "known", "forgotten"]

_EARLY: Final = "0" * 10  # the time of a derived revision, so that ids that ascend from it do not run out


class AddingNote:
    """A plan that adds the memory of a file under its key.

    It returns what became of it, and the id. A memory that is there or was forgotten stays as it is. With `again`, it
    is a new memory in any case: of the next generation of the key, or with the id `new_id`.
    """

    def __init__(self, request: AddRequest, *, again: bool, new_id: str) -> None:
        self._request = request
        self._again = again
        self._new_id = new_id

    def __call__(self, transaction: Transaction) -> tuple[Outcome, str]:
        request = self._request
        space = space_number(transaction.db, request.space)
        for identity in generations(transaction.db, space, request.scope, request.key or ""):
            state = transaction.state(space, identity[0])
            if isinstance(state, Tombstone):
                if self._again:
                    continue
                return "forgotten", identity[0]
            if state is not None and not self._again:
                return "known", identity[0]
            taken = identity if state is None else (self._new_id, transaction.random(SALT_BYTES))
            bear(transaction, space, request, taken)
            return "added", taken[0]
        raise AssertionError("generations have no end")


class ChangingNote:
    """A plan that changes a memory as its file was changed. It returns the revision of the text; None without a text.

    Args:
        place: The name of the space and the id of the memory.
        edit: What else changes. It has no text.
        text: The new text, or None.
        base: The revisions from which the text was made; empty if it competes with all.
        author: The author of the text.
    """

    def __init__(
        self,
        place: tuple[str, str],
        edit: MemoryEdit,
        *,
        text: str | None,
        base: tuple[str, ...],
        author: str | None,
    ) -> None:
        self._space, self._id = place
        self._edit = edit
        self._text = text
        self._base = base
        self._author = author

    def __call__(self, transaction: Transaction) -> str | None:
        """Gather the change. Raises NotFoundError."""
        space = space_number(transaction.db, self._space)
        if reads.text_of(transaction.db, space, self._id) is None:
            raise reads.missing(transaction.db, self._id)
        state = state_of(transaction, space, self._id)
        change(transaction, space, state, self._edit, self._author)
        if self._text is None:
            return None
        base = tuple(sorted(each for each in self._base if is_ulid(each)))[-limits.BASES :]
        made: list[RevisionState] = []
        if not base:
            base = (self._id,)
            made = _birth_as_revision(state)
        revision = _derived("text", self._id, *base, self._text)
        made.append(self._revision(transaction, revision, base))
        known = {each.revision for each in state.revisions}
        new = [each for each in made if each.revision not in known]
        if new:
            transaction.edit(space, self._id, edits.retold(self._id, new))
        return revision

    def _revision(self, transaction: Transaction, revision: str, base: tuple[str, ...]) -> RevisionState:
        stamp = transaction.stamp
        return RevisionState(
            revision=revision,
            text=self._text or "",
            at=stamp.at,
            by=self._author,
            device=stamp.device,
            base=base,
            head=True,
        )


def _birth_as_revision(state: LiveMemory) -> list[RevisionState]:
    """Return the first text as a revision, so that it competes; nothing if there are revisions already."""
    first = state.revisions[0]
    if len(state.revisions) > 1:
        return []
    again = _derived("birth", state.id, first.text)
    return [
        RevisionState(
            revision=again, text=first.text, at=first.at, by=first.by, device=first.device, base=(state.id,), head=True
        )
    ]


def _derived(*parts: str) -> str:
    return _EARLY + derive("mirror", *parts)[0][10:]
