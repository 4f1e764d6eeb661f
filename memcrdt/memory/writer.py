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

    def forget(self, ids: list[str], *, dry_run: bool, expected: tuple[str, ...] | None = None) -> Forgotten:
        """Forget memories by id, in one transaction. Raises NotFoundError and StaleRevisionError."""
        with self._store.reading() as db:
            _check_known(db, ids)
            count = len(_places(db, ids))
        if dry_run:
            return Forgotten(count=count, status="done")
        gone: list[str] = []
        if count:
            plan = partial(changes.forget, lambda db: _places(db, ids), expected=expected)
            gone = self._store.using_reserve(lambda: self._commit(plan))
            self._store.scrub()
        return _forgotten(self._store, len(gone), ids)

    def forget_matching(
        self,
        filters: CheckedFilters,
        *,
        among: Sequence[str] | None = None,
        dry_run: bool,
        progress: Callable[[int, int], None] | None = None,
    ) -> Forgotten:
        """Forget the memories that the filters select, all or those `among` some ids, in short transactions.

        Raises InputError without a filter.
        """
        if not filters.narrows():
            raise InputError("forget without an id needs a filter; without one it would forget everything")
        # Without the hidden memories, the user would take them for forgotten.
        everything = replace(filters, include=frozenset(INCLUDES))
        if dry_run:
            with self._store.reading() as db:
                count = len(listing.places(db, everything, self._store.now_ms(), among))
            return Forgotten(count=count, status="done")
        gone: list[str] = []
        self._store.using_reserve(lambda: self._forget_in_batches(everything, among, gone, progress))
        if gone:
            self._store.scrub()
        return _forgotten(self._store, len(gone), gone)

    def _forget_in_batches(
        self,
        filters: CheckedFilters,
        among: Sequence[str] | None,
        gone: list[str],
        progress: Callable[[int, int], None] | None,
    ) -> None:
        """Forget batch by batch, and add the ids to `gone`."""
        with self._store.reading() as db:
            batches = listing.batches(db, filters, self._store.now_ms(), among)
        total = len(gone) + sum(map(len, batches))
        for batch in batches:
            listed = partial(listing.places, filters=filters, now_ms=self._store.now_ms(), among=batch)
            gone += self._commit(partial(changes.forget, listed))
            if progress is not None:
                progress(len(gone), total)

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


def _check_known(db: SqlConnection, memory_ids: Sequence[str]) -> None:
    """Raise NotFoundError for an unknown id. A forgotten one is known: another device may have forgotten the memory."""
    for memory_id in memory_ids:
        if reads.place_of(db, memory_id) is None and not reads.is_forgotten(db, memory_id):
            raise reads.missing(db, memory_id)


def _places(db: SqlConnection, memory_ids: Sequence[str]) -> list[Place]:
    return [place for memory_id in memory_ids for place in reads.places_of(db, memory_id)]


def _forgotten(store: Store, count: int, ids: list[str]) -> Forgotten:
    """Return the result of forgetting these ids, with the confirmations of other devices."""
    with store.reading() as db:
        confirmed, awaited = receipts.confirmations(db, ids)
        status: Literal["done", "pending"] = "pending" if receipts.is_pending(db, ids) else "done"
    return Forgotten(count=count, status=status, confirmed=confirmed, awaited=awaited)
