"""The write path of a Memory: checks that need the store, then embeddings, then one commit under the write lock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Literal, TypeAlias, TypeVar

from memcrdt.errors import InputError, MemcrdtError
from memcrdt.memory.retention import Retention
from memcrdt.model import limits
from memcrdt.model.filters import INCLUDES, CheckedFilters
from memcrdt.model.records import Forgotten, MemoryRecord
from memcrdt.model.requests import AddRequest, RenameRequest, UpdateRequest, check_alive
from memcrdt.model.values import Vector
from memcrdt.store import changes, listing, moving, reads
from memcrdt.store.base import AnyStore
from memcrdt.store.filtering import Where, both, where, with_ids
from memcrdt.store.indexer import Indexable, NewText
from memcrdt.store.membership import receipts
from memcrdt.store.recovery.damage import mending
from memcrdt.store.sql import SqlConnection
from memcrdt.store.transaction import Transaction

T = TypeVar("T")
Progress: TypeAlias = Callable[[int, int], None]  # called with the number done and the number in all


class Writer:
    """Writes checked requests into one store. Methods raise StoreError if the write fails."""

    def __init__(self, store: AnyStore, retention: Retention) -> None:
        self._store = store
        self._retention = retention
        self._ulids = changes.Ulids()

    def add(self, requests: list[AddRequest]) -> list[str]:
        """Add memories and return their ids in order. Many memories take several transactions."""
        now = self._store.now_ms()
        for request in requests:
            check_alive(request.attributes, now)
        batches = list(_batches(requests, limits.TRANSACTION_ITEMS, lambda request: request.text))
        if len(batches) > 1:
            self._retention.check_budget([request.text for request in requests])
            with self._store.reading() as db:
                changes.check_addable(db, requests)
        added: list[str] = []
        for batch in self._store.in_turns(batches):
            with _saying_how_far("added", len(added), len(requests)):
                added += self.bring(changes.Adding(batch, self._ulids), batch, given_vectors(batch))
        return added

    def update(self, requests: list[UpdateRequest]) -> None:
        """Change memories. Many memories take several transactions. Raises NotFoundError."""
        now = self._store.now_ms()
        for request in requests:
            check_alive(request.edit.attributes, now)
        batches = list(_batches(requests, limits.TRANSACTION_CHANGES, lambda request: request.edit.text or ""))
        if len(batches) > 1:
            self._retention.check_budget([request.edit.text for request in requests if request.edit.text])
            with self._store.reading() as db:
                changes.check_updatable(db, requests)
        done = 0
        for batch in self._store.in_turns(batches):
            with _saying_how_far("changed", done, len(requests)):
                texts = [NewText(request.edit.text) for request in batch if request.edit.text is not None]
                given = {each.edit.text: each.vector for each in batch if each.edit.text and each.vector}
                self.bring(partial(changes.update_all, batch), texts, given)
            done += len(batch)

    def forget(
        self,
        ids: list[str],
        *,
        dry_run: bool,
        expected: tuple[str, ...] | None = None,
        progress: Progress | None = None,
    ) -> Forgotten:
        """Forget memories by id, in short transactions. Raises NotFoundError and StaleRevisionError."""
        with self._store.reading() as db:
            _check_known(db, ids)
        if dry_run:
            return self._counted(with_ids(ids))
        gone = self._forget(with_ids(ids), Where("TRUE", ()), expected=expected, progress=progress)
        return _forgotten(self._store, len(gone), ids)

    def forget_matching(
        self,
        filters: CheckedFilters,
        *,
        among: Sequence[str] | None = None,
        dry_run: bool,
        progress: Progress | None = None,
    ) -> Forgotten:
        """Forget the memories that the filters select, all or those `among` some ids, in short transactions.

        Raises InputError without a filter.
        """
        if not filters.narrows():
            raise InputError("forget without an id needs a filter; without one it would forget everything")
        # Without the hidden memories, the user would take them for forgotten.
        matching = where(replace(filters, include=frozenset(INCLUDES)), self._store.now_ms())
        wanted = matching if among is None else both(with_ids(among), matching)
        if dry_run:
            return self._counted(wanted)
        gone = self._forget(wanted, matching, progress=progress)
        return _forgotten(self._store, len(gone), gone)

    def _counted(self, condition: Where) -> Forgotten:
        with self._store.reading() as db:
            return Forgotten(count=len(listing.places(db, condition)), status="done")

    def _forget(
        self,
        condition: Where,
        still: Where,
        *,
        expected: tuple[str, ...] | None = None,
        progress: Progress | None,
    ) -> list[str]:
        """Forget the memories that satisfy `condition`, unless they no longer satisfy `still`. Return their ids."""
        gone: list[str] = []

        def forget() -> None:
            with self._store.reading() as db:
                batches = listing.batches(db, condition)
            total = len(gone) + sum(map(len, batches))
            for batch in self._store.in_turns(batches):
                listed = partial(listing.places, condition=both(with_ids(batch), still))
                gone.extend(self._commit(partial(changes.forget, listed, expected=expected)))
                if progress is not None:
                    progress(len(gone), total)

        self._store.using_reserve(forget)  # after a full disk, it goes on with the rest
        if gone:
            self._store.scrub()
        return gone

    def move(self, record: MemoryRecord, space: str) -> str:
        """Move a memory to another space, and return its new id."""
        new_id = self._ulids.take(self._store.now_ms(), self._store.options.random)
        plan = moving.Moving(record.id, space, new_id)
        prepared = self._store.indexer.prepare([record])
        moved = self._commit(plan, prepared)  # the store has the text already: no budget to check
        self._store.scrub()
        return moved

    def rename_keys(self, requests: list[RenameRequest]) -> list[str]:
        """Give memories other keys and return their new ids in order. Many memories take several transactions."""
        renamed: list[str] = []
        for batch in self._store.in_turns(list(_batches(requests, limits.TRANSACTION_CHANGES, _text_of))):
            with _saying_how_far("renamed", len(renamed), len(requests)):
                plan = changes.Renaming(batch, self._ulids)
                prepared = self._store.indexer.prepare([each.added for each in batch])
                renamed += self._commit(plan, prepared)  # the budget has room: as many go
        self._store.scrub()
        return renamed

    def rename_scope(self, old: str, new: str) -> int:
        """Change scope `old` to `new` in every memory, and return their number. Many take several transactions."""
        with self._store.reading() as db:
            places = moving.to_rename(db, old, new)
        batches = self._store.in_turns(_batches(places, limits.TRANSACTION_CHANGES, lambda place: ""))
        return sum(self._commit(partial(moving.rename_scope, batch, old, new)) for batch in batches)

    def bring(self, plan: Callable[[Transaction], T], texts: Sequence[Indexable], given: Mapping[str, Vector]) -> T:
        """Commit a plan that adds these texts, some with given vectors.

        Raises StoreError if they exceed the budget, and InputError for vectors of another model.
        """
        if texts:
            self._retention.check_budget([each.text for each in texts])
        return self._commit(plan, self._store.indexer.prepare(texts, given))

    def _commit(self, plan: Callable[[Transaction], T], prepared: Any = None) -> T:
        done = mending(self._store, partial(self._store.commit, plan, prepared=prepared))
        self._retention.look()
        return done


def _text_of(request: RenameRequest) -> str:
    return request.added.text


def _batches(items: Sequence[T], most: int, text_of: Callable[[T], str]) -> Iterator[Sequence[T]]:
    """Yield the items in batches that one transaction writes quickly."""
    first = size = 0
    for place, item in enumerate(items):
        if place - first == most or size >= limits.TRANSACTION_BYTES:
            yield items[first:place]
            first, size = place, 0
        size += len(text_of(item).encode())
    if items:
        yield items[first:]


@contextmanager
def _saying_how_far(done: str, count: int, total: int) -> Iterator[None]:
    """Say in an error how many memories the transactions before have `done`."""
    try:
        yield
    except MemcrdtError as exc:
        if not count:
            raise
        told = f"the first {count:,} of {total:,} memories are {done}; the next transaction failed: {exc}"
        exc.args = (told, *exc.args[1:])
        raise


def given_vectors(requests: Sequence[AddRequest]) -> dict[str, Vector]:
    """Return the vectors from callers, by text."""
    return {request.text: request.vector for request in requests if request.vector}


def _check_known(db: SqlConnection, memory_ids: Sequence[str]) -> None:
    """Raise NotFoundError for an unknown id. A forgotten one is known: another device may have forgotten the memory."""
    for memory_id in memory_ids:
        if reads.place_of(db, memory_id) is None and not reads.is_forgotten(db, memory_id):
            raise reads.missing(db, memory_id)


def _forgotten(store: AnyStore, count: int, ids: list[str]) -> Forgotten:
    """Return the result of forgetting these ids, with the confirmations of other devices."""
    with store.reading() as db:
        confirmed, awaited = receipts.confirmations(db, ids)
        status: Literal["done", "pending"] = "pending" if receipts.is_pending(db, ids) else "done"
    return Forgotten(count=count, status=status, confirmed=confirmed, awaited=awaited)
