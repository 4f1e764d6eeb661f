"""Importing, as a plan for Store.commit: what is here already, or was forgotten, is not added again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, TypeAlias

import apsw

from memcrdt.model.ids import derive
from memcrdt.model.requests import AddRequest, upsert
from memcrdt.store import reads
from memcrdt.store.changes import bear, change, lives, state_of
from memcrdt.store.reads import Place
from memcrdt.store.spaces import space_number
from memcrdt.store.transaction import Transaction

Outcome: TypeAlias = Literal["added", "updated", "known", "forgotten"]


class _Decision(NamedTuple):
    """What becomes of an item, and the id and salt that it has or gets."""

    outcome: Outcome
    memory_id: str
    salt: bytes


class Importing:
    """Takes batches of one import, and notes what becomes of the memories; `repeated` are the items that name one which
    an item before had.

    An item's id is its own, or derived from its key, or else from its text: the same file imported on two devices,
    also before they meet, gives each memory once. What is here already is left alone, but for items with a key, which
    update it. `again` starts a new life for what was forgotten.
    """

    def __init__(self, *, again: bool) -> None:
        self.repeated = 0
        self._again = again
        self._outcomes: dict[Place, Outcome] = {}

    @property
    def counts(self) -> Counter[Outcome]:
        """How many memories came out how."""
        return Counter(self._outcomes.values())

    def weigh(self, db: apsw.Connection, requests: Sequence[AddRequest]) -> None:
        """Counts what importing these would do, and does nothing."""
        for request in requests:
            self._decide(db, space_number(db, request.space), request)

    def plan(self, requests: Sequence[AddRequest], transaction: Transaction) -> None:
        """A plan that adds those which are new. Raises NotFoundError for a space that is not here."""
        for request in requests:
            space = space_number(transaction.db, request.space)
            outcome, memory_id, salt = self._decide(transaction.db, space, request)
            if outcome == "added":
                bear(transaction, space, request, (memory_id, salt))
            elif outcome != "forgotten" and request.key is not None:
                state = state_of(transaction, space, memory_id)
                change(transaction, space, state, upsert(request, state, transaction.stamp.at), request.author)

    def _decide(self, db: apsw.Connection, space: int, request: AddRequest) -> _Decision:
        for memory_id, salt in _identities(db, space, request):
            outcome = self._outcome(db, space, memory_id, request)
            if outcome != "forgotten" or not self._again:
                self._note((space, memory_id), outcome)
                return _Decision(outcome, memory_id, salt)
        raise AssertionError("lives have no end")

    def _outcome(self, db: apsw.Connection, space: int, memory_id: str, request: AddRequest) -> Outcome:
        text = reads.text_of(db, space, memory_id)
        if text is not None:
            return "updated" if request.key is not None and text != request.text else "known"
        if reads.is_forgotten(db, memory_id):
            return "forgotten"
        return "known" if (space, memory_id) in self._outcomes else "added"  # by this batch, or it is only weighed

    def _note(self, place: Place, outcome: Outcome) -> None:
        """A memory counts once; a later item with its key may only show that it is another one than it was."""
        self.repeated += place in self._outcomes
        before = self._outcomes.setdefault(place, outcome)
        if (before, outcome) == ("known", "updated"):
            self._outcomes[place] = outcome


def _identities(db: apsw.Connection, space: int, request: AddRequest) -> Iterator[tuple[str, bytes]]:
    if request.key is not None:
        yield from lives(db, space, request.scope, request.key)
    elif request.id is not None:
        # The salt is derived too: two devices that import the same export must agree on every key.
        yield request.id, derive("id", request.id)[1]
        yield from lives(db, space, "id", request.id, "again")
    else:
        yield from lives(db, space, request.scope, "text", request.text)
