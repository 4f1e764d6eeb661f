"""The search of a store: from the checked arguments of a caller to hits."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any, Final

from memcrdt.errors import EmbedderError, StoreError
from memcrdt.model.filters import CheckedFilters
from memcrdt.model.records import Hit
from memcrdt.model.serialization import Record
from memcrdt.search.as_of import changed_since, compare, merged
from memcrdt.store import reads
from memcrdt.store.base import BaseStore
from memcrdt.store.sql import SqlConnection

if TYPE_CHECKING:
    from memcrdt.search import Embedder, SearchIndex, SearchOptions
    from memcrdt.search.index.registry import IndexedModel
    from memcrdt.search.index.worker import EmbeddingWorker

AT_ONCE: Final = (
    4  # searches of one store: more would take turns at the GIL, 5 ms each, and event loops would wait for all
)


@dataclass(frozen=True, slots=True)
class SearchStatus(Record):
    """The state of search by meaning.

    Attributes:
        model: The name of the model whose vectors are searched. In a store without vectors, the name of the model that
            the first memory will be embedded with. None for search by words only.
        second_model: The name of the model that is searched beside it, once a memory is embedded with it; None without
            one.
        next_model: The name of the model that will replace them; None unless a change of model is under way.
        waiting: The number of memories that wait to be embedded by a model of this process.
        error: Why texts or queries cannot be embedded at present, and how often this failed; None if they can.
        suggestion: A better model for the languages of the memories; None if there is none to suggest.
    """

    model: str | None
    second_model: str | None
    next_model: str | None
    waiting: int
    error: str | None
    suggestion: str | None = None

    @property
    def is_ready(self) -> bool:
        """Whether every memory is found by meaning now."""
        return self.model is not None and not (self.next_model or self.waiting or self.error)


class Searcher:
    """The search of one store, and the thread that embeds texts that could not be embedded at once."""

    def __init__(self, store: BaseStore[Any], index: SearchIndex) -> None:
        self._store = store
        self._index = index
        self._worker: EmbeddingWorker | None = None
        self._turns = BoundedSemaphore(AT_ONCE)

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
        self._index.embedders.close()

    def load(self) -> bool:
        """Load the second model if the store has vectors of it. Return whether the next search uses it."""
        from memcrdt.search.index import registry

        second = self._index.embedders.second
        if second is not None and second.is_loaded:
            return True
        with self._store.reading() as db:
            model = registry.in_use(db).second
            is_useful = model is not None and registry.dimensions(db, model) is not None
        if second is None or model is None or not is_useful or model.name != second.name:
            return False
        with suppress(EmbedderError):  # the static model answers, and the worker reports the error
            second.load()
        return second.is_loaded

    @property
    def has_reranker(self) -> bool:
        """Whether the settings name a reranker."""
        return self._index.reranker is not None

    def hurry(self) -> None:
        """Embed without pauses from now on, because somebody waits for it."""
        if self._worker is not None:
            self._worker.hurry()

    def status(self) -> SearchStatus:
        """Return the model that is searched, and the work that is left."""
        from memcrdt.search.index import registry
        from memcrdt.search.languages import suggested_model

        embedders = self._index.embedders
        with self._store.reading() as db:
            models = registry.in_use(db)
            second = models.second if embedders.second else None
            waiting = registry.waiting(db, [model for model in (models.target, second) if model])
            suggestion = suggested_model(db, _name(models.target or embedders.own))
        problem: object = embedders.problem([model.name for model in models if model], waiting=waiting > 0)
        problem = problem or (self._worker and self._worker.error)
        problem = problem or (self._index.reranker and self._index.reranker.error)
        return SearchStatus(
            model=_name(models.current or embedders.own),
            second_model=_name(second if models.current else embedders.second),
            next_model=_name(models.next),
            waiting=waiting,
            error=str(problem) if problem else None,
            suggestion=suggestion,
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
        with self._turns, self._store.reading() as db:
            return self._search(db, query, filters, options)

    def _search(self, db: SqlConnection, query: str, filters: CheckedFilters, options: SearchOptions) -> list[Hit]:
        from memcrdt.search import search
        from memcrdt.search.query.highlights import Highlighter
        from memcrdt.search.query.phrases import has_phrase
        from memcrdt.search.query.syntax import ParsedQuery, read_query
        from memcrdt.search.query.terms import query_terms
        from memcrdt.search.query.vectors import of_text_second

        asked = read_query(query) if options.like is None else ParsedQuery(query)  # the text of a memory has no syntax
        second = of_text_second(db, self._index, asked.text) if options.embeds_query else None
        terms = query_terms(db, asked)
        bygone = [] if filters.as_of is None else changed_since(db, filters, options.now)
        ids = {record.id for record in bygone}
        found = search(
            db, self._index, terms, filters, replace(options, limit=options.limit + len(bygone)), second=second
        )
        records = reads.by_number(db, [scored.memory for scored in found])
        highlighter = Highlighter(db, terms)
        hits = [
            Hit(
                memory=record,
                score=scored.score,
                passage=scored.passage,
                marks=highlighter.spans(scored.passage or record.text),
                parts=scored.parts,
            )
            for scored in found
            if (record := records.get(scored.memory)) and record.id not in ids  # it may be forgotten by now
        ]
        if bygone:
            wanted = [record for record in bygone if not any(has_phrase(record.text, each) for each in asked.excluded)]
            others = compare(asked.text, wanted, self._index.embedders.own, options.vector)
            marked = (replace(hit, marks=highlighter.spans(hit.memory.text)) for hit in others)
            hits = merged(hits, (hit for hit in marked if hit.score >= (options.min_score or 0.0)))
        return hits[: options.limit]

    def similar(self, memory_id: str, filters: CheckedFilters, options: SearchOptions) -> list[Hit]:
        """Return the memories that are most like this one, without the memory itself. Raises NotFoundError."""
        with self._store.reading() as db:
            record, place = reads.by_id(db, memory_id), reads.place_of(db, memory_id)
            if record is None or place is None:
                raise reads.missing(db, memory_id)
            hits = self._search(db, record.text, filters, replace(options, limit=options.limit + 1, like=place[1]))
        return [hit for hit in hits if hit.memory.id != memory_id][: options.limit]


def _name(model: Embedder | IndexedModel | None) -> str | None:
    return None if model is None else model.name
