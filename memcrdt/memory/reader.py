"""The read path of a Memory. It takes checked arguments and returns records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from memcrdt.errors import NotFoundError
from memcrdt.model.filters import CheckedFilters, Order, check_filters
from memcrdt.model.records import Hit, MemoryRecord, Page, Revision
from memcrdt.store import listing, reads
from memcrdt.store.listing import Listing
from memcrdt.store.membership import sharing
from memcrdt.store.membership.sharing import SpaceMember
from memcrdt.store.reading import Readable, StoreFile
from memcrdt.store.spaces import space_number


class Reader:
    """Reads one store. A method that takes an id raises NotFoundError if the id is unknown or forgotten."""

    def __init__(self, store: Readable) -> None:
        self._store = store

    @property
    def device(self) -> str:
        """The id of this device."""
        return self._store.device

    def filters(self, given: Mapping[str, Any]) -> CheckedFilters:
        """Check filters. Raises InputError, and NotFoundError for an unknown space."""
        return self.known(check_filters(given))

    def known(self, filters: CheckedFilters) -> CheckedFilters:
        """Return the filters. Raises NotFoundError for an unknown space."""
        if filters.space:
            with self._store.reading() as db:
                for name in filters.space:
                    space_number(db, name)
        return filters

    def get(self, memory_id: str) -> MemoryRecord:
        """Return one memory."""
        with self._store.reading() as db:
            record = reads.by_id(db, memory_id)
            if record is None:
                raise reads.missing(db, memory_id)
        return record

    def get_by_key(self, space: str, scope: str, key: str) -> MemoryRecord:
        """Return the memory of a key."""
        from memcrdt.store.changes import generations  # the modules of writing, which a quick reader does not load

        with self._store.reading() as db:
            for memory_id, _ in generations(db, space_number(db, space), scope, key):
                if found := reads.where(db, "m.id = ? AND s.name = ?", (memory_id, space), ""):
                    return found[0]
                if not reads.is_forgotten(db, memory_id):
                    raise NotFoundError(f"there is no memory under the key {key[:60]!r} in {scope}")
        raise AssertionError("generations have no end")

    def get_many(self, ids: list[str]) -> list[MemoryRecord]:
        """Return the memories with these ids, in order and without unknown ids."""
        with self._store.reading() as db:
            return reads.by_ids(db, ids)

    def history(self, memory_id: str) -> list[Revision]:
        """Return every revision of a memory, oldest first."""
        with self._store.reading() as db:
            found = reads.revisions(db, memory_id)
            if not found:
                raise reads.missing(db, memory_id)
        return found

    def related(self, memory_id: str, rel: str | None) -> list[MemoryRecord]:
        """Return the memories that a memory links to, by any relation or only by `rel`."""
        wanted = [link.to for link in self.get(memory_id).links if rel in (None, link.rel)]
        with self._store.reading() as db:
            found = [reads.by_id(db, other) for other in dict.fromkeys(wanted)]
        return [record for record in found if record is not None]

    def search_words(self, query: str, filters: CheckedFilters, *, limit: int, min_score: float) -> list[Hit]:
        """Return the memories that share most of the words of a query, as search.query.by_words.find() finds them."""
        from memcrdt.search.query import by_words

        with self._store.reading() as db:
            now = self._store.now_ms()
            found = by_words.find(db, query, filters, now, limit=limit, min_score=min_score)
            records = reads.by_number(db, [each.memory for each in found])
        return [
            Hit(memory=record, score=each.score, passage=each.passage)
            for each in found
            if (record := records.get(each.memory))  # it may be forgotten by now
        ]

    def members(self, space: str) -> list[SpaceMember]:
        """Return the devices that share a space or were revoked, this device first. Raises NotFoundError."""
        return sharing.members(self._store, space)

    def count(self, filters: CheckedFilters) -> int:
        """Return the number of memories that match the filters."""
        with self._store.reading() as db:
            return listing.count(db, filters, self._store.now_ms())

    def tags(self, filters: CheckedFilters) -> dict[str, int]:
        """Return the tags of the memories that match the filters, with the number of memories of each."""
        with self._store.reading() as db:
            return listing.tags(db, filters, self._store.now_ms())

    def page(self, asked: Listing) -> Page:
        """Return one page of memories."""
        with self._store.reading() as db:
            return listing.page(db, asked, self._store.now_ms())

    def every(self, order: Order, filters: CheckedFilters) -> Iterator[MemoryRecord]:
        """Yield every memory that matches the filters, a page at a time."""
        return listing.every(self._store, order, filters)


@contextmanager
def home_reader(home: Path) -> Iterator[Reader]:
    """Lend a reader of the store in a home, which is opened for nothing else. It costs a fraction of memcrdt.open().

    Raises:
        NotFoundError: There is no store in the folder.
        CorruptError, SchemaError, StoreError: The store cannot be read.
    """
    with StoreFile(home) as file:
        yield Reader(file)
