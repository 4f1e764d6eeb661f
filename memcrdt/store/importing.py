"""Import as a plan for Store.commit(). Existing and forgotten memories are not added again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple, TypeAlias

import apsw

from memcrdt.model import edits
from memcrdt.model.edits import MemoryEdit
from memcrdt.model.ids import derive
from memcrdt.model.requests import AddRequest, upsert
from memcrdt.store import reads
from memcrdt.store.changes import bear, change, generations, state_of
from memcrdt.store.reads import Place
from memcrdt.store.spaces import space_number
from memcrdt.store.transaction import Transaction

Outcome: TypeAlias = Literal["added", "updated", "known", "forgotten"]


class _Decision(NamedTuple):
    """The outcome for an item, with its id and salt."""

    outcome: Outcome
    memory_id: str
    salt: bytes


class Importing:
    """One import, which takes its items in batches and counts the outcomes.

    An item keeps its own id. Without one, the id is derived from its key, or from its text. So a file that is imported
    on two devices, even before they meet, adds each memory once. An existing memory stays unchanged, unless the item
    has a key: then the item updates it. With `again`, a forgotten memory begins a new generation.

    Attributes:
        repeated: The number of items for a memory that an earlier item named.
    """

    def __init__(self, *, again: bool) -> None:
        self.repeated = 0
        self._again = again
        self._outcomes: dict[Place, Outcome] = {}

    @property
    def counts(self) -> Counter[Outcome]:
        """The number of memories by outcome."""
        return Counter(self._outcomes.values())

    def weigh(self, db: apsw.Connection, requests: Sequence[AddRequest]) -> None:
        """Count the outcomes of importing these items without changing anything."""
        for request in requests:
            self._decide(db, space_number(db, request.space), request)

    def plan(self, requests: Sequence[AddRequest], transaction: Transaction) -> None:
        """Add the new items. Raises NotFoundError for an unknown space."""
        for request in requests:
            space = space_number(transaction.db, request.space)
            outcome, memory_id, salt = self._decide(transaction.db, space, request)
            if outcome == "added":
                _add(transaction, space, request, (memory_id, salt))
            elif outcome != "forgotten" and request.key is not None:
                state = state_of(transaction, space, memory_id)
                change(transaction, space, state, upsert(request, state, transaction.stamp.at), request.author)

    def _decide(self, db: apsw.Connection, space: int, request: AddRequest) -> _Decision:
        for memory_id, salt in _identities(db, space, request):
            outcome = self._outcome(db, space, memory_id, request)
            if outcome != "forgotten" or not self._again:
                self._note((space, memory_id), outcome)
                return _Decision(outcome, memory_id, salt)
        raise AssertionError("generations have no end")

    def _outcome(self, db: apsw.Connection, space: int, memory_id: str, request: AddRequest) -> Outcome:
        text = reads.text_of(db, space, memory_id)
        if text is not None:
            return "updated" if request.key is not None and text != request.text else "known"
        if reads.is_forgotten(db, memory_id):
            return "forgotten"
        return "known" if (space, memory_id) in self._outcomes else "added"  # added by this batch or only counted

    def _note(self, place: Place, outcome: Outcome) -> None:
        """Count each memory once. A later item with its key can only turn `known` into `updated`."""
        self.repeated += place in self._outcomes
        before = self._outcomes.setdefault(place, outcome)
        if (before, outcome) == ("known", "updated"):
            self._outcomes[place] = outcome


def _add(transaction: Transaction, space: int, request: AddRequest, identity: tuple[str, bytes]) -> None:
    """Add a memory with its earlier texts. This device states them, with the times and authors that the file gives.

    A text that was changed in the file counts as the latest one.
    """
    device = transaction.stamp.device
    first = next((each for each in request.history if each.revision == request.id), None)
    bear(transaction, space, request if first is None else replace(request, text=first.text), identity)
    later = [replace(each, device=device) for each in request.history if each is not first]
    transaction.edit(space, identity[0], edits.retold(identity[0], later))
    state = state_of(transaction, space, identity[0])
    if state.shown.text != request.text:
        change(transaction, space, state, MemoryEdit(text=request.text), request.author)


def _identities(db: apsw.Connection, space: int, request: AddRequest) -> Iterator[tuple[str, bytes]]:
    if request.key is not None:
        yield from generations(db, space, request.scope, request.key)
    elif request.id is not None:
        # The salt is derived as well: two devices that import the same export must agree on every key.
        yield request.id, derive("id", request.id)[1]
        yield from generations(db, space, "id", request.id, "again")
    else:
        yield from generations(db, space, request.scope, "text", request.text)
