"""Importing, as a plan for Store.commit: what is here already, or was forgotten, is not added again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

import apsw

from memcrdt.model.ids import derive
from memcrdt.model.requests import AddRequest
from memcrdt.store import reads
from memcrdt.store.changes import bear, lives, space_number
from memcrdt.store.transaction import Transaction

Outcome: TypeAlias = Literal["added", "known", "forgotten"]


class Importing:
    """Takes batches of one import, and counts what becomes of the items.

    An item's id is its own, or derived from its key, or else from its text: the same file imported on two devices,
    also before they meet, gives each memory once. `again` starts a new life for what was forgotten.
    """

    def __init__(self, *, again: bool) -> None:
        self.counts: Counter[Outcome] = Counter()
        self._again = again
        self._taken: set[tuple[int, str]] = set()

    def weigh(self, db: apsw.Connection, requests: Sequence[AddRequest]) -> None:
        """Counts what importing these would do, and does nothing."""
        for request in requests:
            self._decide(db, space_number(db, request.space), request)

    def plan(self, requests: Sequence[AddRequest], transaction: Transaction) -> None:
        """A plan that adds those which are new. Raises NotFoundError for a space that is not here."""
        for request in requests:
            space = space_number(transaction.db, request.space)
            identity = self._decide(transaction.db, space, request)
            if identity is not None:
                bear(transaction, space, request, identity)

    def _decide(self, db: apsw.Connection, space: int, request: AddRequest) -> tuple[str, bytes] | None:
        """The id and salt under which the item is to be born; None when it isn't."""
        for memory_id, salt in _identities(db, space, request):
            if (space, memory_id) in self._taken or reads.is_living(db, space, memory_id):
                return self._count("known", None)
            if not reads.is_forgotten(db, memory_id):
                self._taken.add((space, memory_id))
                return self._count("added", (memory_id, salt))
            if not self._again:
                return self._count("forgotten", None)
        raise AssertionError("lives have no end")

    def _count(self, outcome: Outcome, identity: tuple[str, bytes] | None) -> tuple[str, bytes] | None:
        self.counts[outcome] += 1
        return identity


def _identities(db: apsw.Connection, space: int, request: AddRequest) -> Iterator[tuple[str, bytes]]:
    if request.key is not None:
        yield from lives(db, space, request.scope, request.key)
    elif request.id is not None:
        # The salt is derived too: two devices that import the same export must agree on every key.
        yield request.id, derive("id", request.id)[1]
        yield from lives(db, space, "id", request.id, "again")
    else:
        yield from lives(db, space, request.scope, "text", request.text)
