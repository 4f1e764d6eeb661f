"""The search of a store: from the checked arguments of a caller to hits."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from memcrdt.errors import StoreError
from memcrdt.model.filters import CheckedFilters
from memcrdt.model.records import Hit
from memcrdt.model.serialization import Record
from memcrdt.search.as_of import changed_since, compare, merged
from memcrdt.store import overview, reads
from memcrdt.store.indexer import SqlConnection
from memcrdt.store.store import Store

if TYPE_CHECKING:
    from memcrdt.search import SearchIndex, SearchOptions
    from memcrdt.search.index.worker import EmbeddingWorker


@dataclass(frozen=True, slots=True)
class SearchStatus(Record):
    """The state of search by meaning.

    Attributes:
        model: The name of the model whose vectors are searched. In a store without vectors, the name of the model that
            the first memory will be embedded with. None for search by words only.
        next_model: The name of the model that will replace it; None unless a change of model is under way.
        waiting: The number of memories that wait to be embedded.
        error: Why texts or queries cannot be embedded at present, and how often this failed; None if they can.
    """

    model: str | None
    next_model: str | None
    waiting: int
    error: str | None

    @property
    def is_ready(self) -> bool:
        """Whether every memory is found by meaning now."""
        return self.model is not None and not (self.next_model or self.waiting or self.error)


class Searcher:
    """The search of one store, and the thread that embeds texts that could not be embedded at once."""

    def __init__(self, store: Store, index: SearchIndex) -> None:
        self._store = store
        self._index = index
        self._worker: EmbeddingWorker | None = None

    def start(self) -> None:
        """Index words again that an earlier version folded otherwise, and start the thread.

        If that fails, as on a full disk, the store is opened all the same, and the next opening tries again.
        """
        with self._store.reading() as db:
            is_folded = self._index.is_folded(db)
        if not is_folded:
            with suppress(StoreError), self._store.writing() as db:
                self._index.fold_again(db)
        from memcrdt.search.index.worker import EmbeddingWorker

        self._worker = EmbeddingWorker(self._store, self._index)
        self._worker.start()

    def close(self) -> None:
        """End the thread if it was started."""
        if self._worker is not None:
            self._worker.close()

    def status(self) -> SearchStatus:
        """Return the model that is searched, and the work that is left."""
        from memcrdt.search.index import registry

        with self._store.reading() as db:
            models = registry.in_use(db)
            waiting = overview.waiting_for_vectors(db)
        names = [model.name for model in models.values()]
        problem = self._index.embedders.problem(names, waiting=waiting > 0) or (self._worker and self._worker.error)
        current, following = models.get("current") or self._index.embedders.own, models.get("next")
        return SearchStatus(
            model=current.name if current else None,
            next_model=following.name if following else None,
            waiting=waiting,
            error=str(problem) if problem else None,
        )

    def use(self, spec: str) -> str:
        """Make `spec` the model to search with, and return its name. Raises as search.index.worker.use_model() does."""
        from memcrdt.search.index.worker import use_model

        name = use_model(self._store, self._index, spec)
        if self._worker is not None:
            self._worker.error = None  # it was about the former model
        return name

    def search(self, query: str, filters: CheckedFilters, options: SearchOptions) -> list[Hit]:
        """Return the memories that answer `query` best, best first."""
        with self._store.reading() as db:
            return self._search(db, query, filters, options)

    def _search(self, db: SqlConnection, query: str, filters: CheckedFilters, options: SearchOptions) -> list[Hit]:
        from memcrdt.search import search
        from memcrdt.search.query.highlights import Highlighter

        bygone = [] if filters.as_of is None else changed_since(db, filters, options.now)
        ids = {record.id for record in bygone}
        found = search(db, self._index, query, filters, replace(options, limit=options.limit + len(bygone)))
        records = reads.by_number(db, [scored.memory for scored in found])
        hits = [
            Hit(memory=record, score=scored.score, passage=scored.passage, parts=scored.parts)
            for scored in found
            if (record := records.get(scored.memory)) and record.id not in ids  # it may be forgotten by now
        ]
        if bygone:
            others = compare(query, bygone, self._index.embedders.own, options.vector)
            hits = merged(hits, (hit for hit in others if hit.score >= (options.min_score or 0.0)))
        highlighter = Highlighter(db, query)
        return [replace(hit, marks=highlighter.spans(hit.passage or hit.memory.text)) for hit in hits[: options.limit]]

    def similar(self, memory_id: str, filters: CheckedFilters, options: SearchOptions) -> list[Hit]:
        """Return the memories that are most like this one, without the memory itself. Raises NotFoundError."""
        with self._store.reading() as db:
            record, place = reads.by_id(db, memory_id), reads.place_of(db, memory_id)
            if record is None or place is None:
                raise reads.missing(db, memory_id)
            hits = self._search(db, record.text, filters, replace(options, limit=options.limit + 1, like=place[1]))
        return [hit for hit in hits if hit.memory.id != memory_id][: options.limit]
