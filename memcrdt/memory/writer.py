"""The write path of a Memory: checks that need the store, then embeddings, then one commit under the write lock."""

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
from memcrdt.store.indexer import SqlConnection
from memcrdt.store.membership import receipts
from memcrdt.store.reads import Place
from memcrdt.store.store import Store
from memcrdt.store.transaction import Transaction

T = TypeVar("T")


class Writer:
    """Writes checked requests into one store. Methods raise StoreError if the write fails."""

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

    def forget(self, ids: list[str] | None, filters: CheckedFilters, *, is_filtered: bool, dry_run: bool) -> Forgotten:
        """Forget memories by id, or those that match the filters. Raises InputError and NotFoundError."""
        listed = _to_forget(self._store, ids, filters, is_filtered=is_filtered)
        with self._store.reading() as db:
            count = len(listed(db))
        if dry_run:
            return Forgotten(count=count, status="done")
        gone: list[str] = []
        if count:
            gone = self._store.using_reserve(lambda: self._commit(partial(changes.forget, listed)))
            self._store.scrub()
        return _forgotten(self._store, len(gone), gone if ids is None else ids)

    def move(self, memory_id: str, text: str, space: str) -> str:
        """Move a memory with this text to another space, and return its new id."""
        new_id = self._ulids.take(self._store.now_ms(), self._store.options.random)
        plan = moving.Moving(memory_id, space, new_id)
        moved = self._commit(
            plan, self._store.indexer.prepare([text])
        )  # the store has the text already: no budget to check
        self._store.scrub()
        return moved

    def rename_scope(self, old: str, new: str) -> int:
        """Change scope `old` to `new` in every memory, and return their number."""
        return self._commit(partial(moving.rename_scope, old, new))

    def bring(self, plan: Callable[[Transaction], T], texts: list[str], given: Mapping[str, Vector]) -> T:
        """Commit a plan that adds these texts, some with given vectors.

        Raises StoreError if they exceed the budget, and InputError for vectors of another model.
        """
        if texts:
            self._retention.check_budget(texts)
        return self._commit(plan, self._store.indexer.prepare(texts, given))

    def _commit(self, plan: Callable[[Transaction], T], prepared: Any = None) -> T:
        done = self._store.commit(plan, prepared=prepared)
        self._retention.look()
        return done


def given_vectors(requests: Sequence[AddRequest]) -> dict[str, Vector]:
    """Return the vectors from callers, by text."""
    return {request.text: request.vector for request in requests if request.vector}


def _to_forget(
    store: Store, memory_ids: Sequence[str] | None, wanted: CheckedFilters, *, is_filtered: bool
) -> Callable[[SqlConnection], list[Place]]:
    """Return a function that lists the memories to forget.

    Raises InputError unless either ids or narrowing filters are given, and NotFoundError for an unknown id.
    """
    if memory_ids is None:
        if not wanted.narrows():
            raise InputError("forget without an id needs a filter; without one it would forget everything")
        # Without the hidden memories, the user would take them for forgotten.
        everything = replace(wanted, include=frozenset(INCLUDES))
        return lambda db: listing.places(db, everything, store.now_ms())
    if is_filtered:
        raise InputError("forget takes an id or filters, not both")
    with store.reading() as db:
        for memory_id in memory_ids:
            # A forgotten id is not unknown: another device may have forgotten the memory.
            if reads.place_of(db, memory_id) is None and not reads.is_forgotten(db, memory_id):
                raise changes.missing(db, memory_id)
    return lambda db: [place for memory_id in memory_ids for place in reads.places_of(db, memory_id)]


def _forgotten(store: Store, count: int, ids: list[str]) -> Forgotten:
    """Return the result of forgetting these ids, with the confirmations of other devices."""
    with store.reading() as db:
        confirmed, awaited = receipts.confirmations(db, ids)
        status: Literal["done", "pending"] = "pending" if receipts.is_pending(db, ids) else "done"
    return Forgotten(count=count, status=status, confirmed=confirmed, awaited=awaited)
