"""Memories as documents with a title and an address: what a research tool lists, opens and cites."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from memcrdt.model.records import Hit, MemoryRecord
from memcrdt.model.serialization import Record, UtcTime
from memcrdt.service.answers import MOST_CHARS, ROW_CHARS, Origins, answer, record_of
from memcrdt.service.context import EVERYWHERE
from memcrdt.service.service import LIMIT, Service

SCHEME: Final = "memory://"
_TITLE_CHARS: Final = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentOrigin(Record):
    """Where a memory comes from, as in an answer."""

    scope: str
    device: str
    author: str | None
    source: str | None
    trust: str | None
    created_at: UtcTime
    updated_at: UtcTime


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryDocument(Record):
    """A memory as a document.

    Attributes:
        id: The id of the memory.
        title: The beginning of its first line, after `untrusted: ` if it comes from an untrusted source.
        url: Its address, `memory://ID`.
        text: The memory as a fenced block for a model.
        metadata: Where the memory comes from.
    """

    id: str
    title: str
    url: str
    text: str
    metadata: DocumentOrigin


def search(service: Service, query: str) -> list[MemoryDocument]:
    """Return the memories of all scopes that best answer a question, best first, long texts cut.

    All scopes, because the caller has no way to name one.
    """
    hits = service.find(query, limit=LIMIT, scope=EVERYWHERE)
    origins = service.origins(hits)
    return [_document(hit, origins, ROW_CHARS) for hit in hits]


def fetch(service: Service, id: str) -> MemoryDocument:
    """Return a memory with its whole text, by its id or its address. Raises NotFoundError."""
    record = service.record(id.removeprefix(SCHEME))
    return _document(record, service.origins([record]), max(len(record.text), 1))


def _document(item: Hit | MemoryRecord, origins: Origins, chars: int) -> MemoryDocument:
    record = record_of(item)
    title = next(iter(record.text.strip().splitlines()))[:_TITLE_CHARS]
    return MemoryDocument(
        id=record.id,
        title=f"untrusted: {title}" if origins.is_untrusted(record) else title,
        url=SCHEME + record.id,
        text=answer([item], origins, (), max_chars=MOST_CHARS, row_chars=chars).text,
        metadata=DocumentOrigin(
            scope=record.scope,
            device=origins.name(record.device),
            author=record.author,
            source=record.source,
            trust=origins.trust(record),
            created_at=record.created_at,
            updated_at=record.updated_at,
        ),
    )
