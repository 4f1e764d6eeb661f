"""The write path of a Memory: checks that need the store, embeddings before the lock, then one commit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, TypeVar

from memcrdt.errors import InputError
from memcrdt.memory.retention import Retention
from memcrdt.model.filters import INCLUDES, CheckedFilters
from memcrdt.model.records import Forgotten
from memcrdt.model.requests import AddRequest, UpdateRequest, check_alive
from memcrdt.model.values import Vector
from memcrdt.store import changes, listing, moving, reads
from memcrdt.store.indexer import Connection
from memcrdt.store.membership import receipts
from memcrdt.store.reads import Place
from memcrdt.store.store import Store
from memcrdt.store.transaction import Transaction

T = TypeVar("T")


class Writer:
    """Writes checked requests into one store. Methods raise StoreError when nothing could be written."""

    def __init__(self, store: Store, retention: Retention) -> None:
        self._store = store
        self._retention = retention
        self._ulids = changes.Ulids()

    def add(self, requests: list[AddRequest]) -> list[str]:
        """Add memories in one transaction and return their ids in order."""
        now = self._store.now_ms()
        for request in requests:
            check_alive(request.attributes, now)
        texts = [request.text for request in requests]
        return self.bring(changes.Adding(requests, self._ulids), texts, given_vectors(requests))

    def update(self, requests: list[UpdateRequest]) -> None:
        """Change memories in one transaction. Raises NotFoundError."""
        now = self._store.now_ms()
        for request in requests:
            check_alive(request.edit.attributes, now)
        texts = [request.edit.text for request in requests if request.edit.text is not None]
        given = {request.edit.text: request.vector for request in requests if request.edit.text and request.vector}
        self.bring(partial(changes.update_all, requests), texts, given)

    def forget(self, listed: Callable[[Connection], Sequence[Place]]) -> list[str]:
        """Forget the memories that `listed` finds under the write lock, and return their ids."""
        gone = self._store.using_reserve(lambda: self._commit(partial(changes.forget, listed)))
        self._store.scrub()
        return gone

    def move(self, memory_id: str, text: str, space: str) -> str:
        """Move a memory with this text to another space, and return its id there."""
        new_id = self._ulids.take(self._store.now_ms(), self._store.options.random)
        plan = moving.Moving(memory_id, space, new_id)
        moved = self._commit(plan, self._store.indexer.prepare([text]))  # the text is here already: no budget to check
        self._store.scrub()
        return moved

    def rename_scope(self, old: str, new: str) -> int:
        """Give every memory of scope `old` the scope `new`, and return their number."""
        return self._commit(partial(moving.rename_scope, old, new))

    def bring(self, plan: Callable[[Transaction], T], texts: list[str], given: Mapping[str, Vector]) -> T:
        """Commit a plan that brings these texts, some of them with given vectors.

        Raises StoreError when the budget has no room for them, and InputError for vectors of another model.
        """
        if texts:
            self._retention.check_budget(texts)
        return self._commit(plan, self._store.indexer.prepare(texts, given))

    def _commit(self, plan: Callable[[Transaction], T], prepared: Any = None) -> T:
        done = self._store.commit(plan, prepared=prepared)
        self._retention.look()
        return done


def given_vectors(requests: Sequence[AddRequest]) -> dict[str, Vector]:
    """Return the vectors that callers gave, by text."""
    return {request.text: request.vector for request in requests if request.vector}


def to_forget(
    store: Store, memory_ids: Sequence[str] | None, wanted: CheckedFilters, *, is_filtered: bool
) -> Callable[[Connection], list[Place]]:
    """Return a function that lists the memories to forget.

    Raises InputError where neither ids nor a filter narrows, and NotFoundError for an id that is not here and never
    was.
    """
    if memory_ids is None:
        if not wanted.narrows():
            raise InputError("forget without an id wants a filter: it would forget everything")
        # Hidden memories would stay, and be taken for forgotten.
        everything = replace(wanted, include=frozenset(INCLUDES))
        return lambda db: listing.places(db, everything, store.now_ms())
    if is_filtered:
        raise InputError("forget takes an id or filters, not both")
    with store.reading() as db:
        for memory_id in memory_ids:
            # A memory that is forgotten already, perhaps by another device, leaves nothing to do.
            if reads.place_of(db, memory_id) is None and not reads.is_forgotten(db, memory_id):
                raise changes.missing(db, memory_id)
    return lambda db: [place for memory_id in memory_ids for place in reads.places_of(db, memory_id)]


def forgotten(store: Store, count: int, ids: list[str]) -> Forgotten:
    """Return how far the end of these memories has come, here and on other devices."""
    with store.reading() as db:
        confirmed, awaited = receipts.confirmations(db, ids)
        status: Literal["done", "pending"] = "pending" if receipts.is_pending(db, ids) else "done"
    return Forgotten(count=count, status=status, confirmed=confirmed, awaited=awaited)
