"""Searching a store: from what a caller asks to the hits that it gets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from memcrdt.model import limits
from memcrdt.model.filters import Filters
from memcrdt.model.records import Hit, MemoryRecord
from memcrdt.model.values import from_ms
from memcrdt.store import reads
from memcrdt.store.changes import missing
from memcrdt.store.store import Store

if TYPE_CHECKING:
    from memcrdt.search import Options, SearchIndex
    from memcrdt.search.worker import Worker


@dataclass(frozen=True, slots=True)
class SearchStatus:
    """Which model's vectors are searched (None: none yet), which one is to take its place, how many memories wait to be
    embedded, and why that doesn't go on."""

    model: str | None
    next_model: str | None
    waiting: int
    error: str | None


class Finder:
    """The search of one store, and the thread that embeds what could not be embedded at once."""

    def __init__(self, store: Store, index: SearchIndex) -> None:
        self._store = store
        self._index = index
        self._worker: Worker | None = None

    def start(self) -> None:
        """Starts the thread."""
        from memcrdt.search.worker import Worker

        self._worker = Worker(self._store, self._index)
        self._worker.start()

    def close(self) -> None:
        """Ends the thread, if there is one."""
        if self._worker is not None:
            self._worker.close()

    def status(self) -> SearchStatus:
        """What is searched, and what is still to be done for it."""
        from memcrdt.search import registry

        with self._store.reading() as db:
            models = registry.in_use(db)
            waiting = int(db.execute("SELECT count(*) FROM waiting").get)
        error = self._index.error or (self._worker and self._worker.error)
        current, following = models.get("current"), models.get("next")
        return SearchStatus(
            model=current.name if current else None,
            next_model=following.name if following else None,
            waiting=waiting,
            error=str(error) if error else None,
        )

    def search(self, query: str, filters: Filters, options: Options) -> list[Hit]:
        """The memories that answer `query` best, best first."""
        from memcrdt.search import search

        with self._store.reading() as db:
            found = search(db, self._index, query, filters, options)
            records = reads.by_number(db, [scored.memory for scored in found])
            if filters.as_of is not None:
                moment = from_ms(filters.as_of)
                records = {number: reads.as_it_stood(db, record, moment) for number, record in records.items()}
        return [
            Hit(memory=records[scored.memory], score=scored.score, passage=scored.passage, parts=scored.parts)
            for scored in found
            if scored.memory in records  # it may have been forgotten between the two reads
        ]

    def similar(self, memory_id: str, filters: Filters, options: Options) -> list[Hit]:
        """The memories that say what this one does, without itself. Raises NotFoundError."""
        record = self._get(memory_id)
        hits = self.search(record.text[: limits.QUERY_CHARS], filters, replace(options, limit=options.limit + 1))
        return [hit for hit in hits if hit.memory.id != memory_id][: options.limit]

    def _get(self, memory_id: str) -> MemoryRecord:
        with self._store.reading() as db:
            record = reads.by_id(db, memory_id)
            if record is None:
                raise missing(db, memory_id)
        return record
