"""Documents of LangChain as memories of one scope, and a document index for LangChain's indexing.

A document is a memory of the kind `document`. Its content is the text, and its metadata those of the memory, with the
id of the document as one more entry. The key of the memory is made from this id, so the same document is one memory on
every device.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from memcrdt.errors import InputError
from memcrdt.frameworks.extras import needs
from memcrdt.frameworks.services import service_over
from memcrdt.model.scopes import GLOBAL, PERSONAL
from memcrdt.service.collection import Collection

with needs("langchain"):
    from langchain_core.documents import Document
    from langchain_core.indexing.base import DeleteResponse, DocumentIndex, UpsertResponse
    from pydantic import PrivateAttr

if TYPE_CHECKING:
    from memcrdt import AsyncMemory
    from memcrdt.memory.memory import Memory
    from memcrdt.model.records import Hit, MemoryRecord

KIND: Final = "document"
K: Final = 4  # hits, as LangChain's own vector stores return

_ID: Final = "document_id"  # of the metadata of the memory


class DocumentMemories:
    """The documents of one scope, which the vector store and the document index share.

    Args:
        memory: The memory. It stays open as long as the documents are used.
        scope: The scope of the documents.
        space: The space to share them in.
        author: The agent that adds the documents.
        allow_secret: Whether to accept texts that look like a secret.
    """

    def __init__(
        self,
        memory: Memory | AsyncMemory,
        *,
        scope: str = GLOBAL,
        space: str = PERSONAL,
        author: str | None = None,
        allow_secret: bool = False,
    ) -> None:
        service = service_over(memory, author=author)
        self._memories = Collection(service, kind=KIND, scope=scope, space=space, allow_secret=allow_secret)
        self._memories.check()

    def put(self, documents: Sequence[Document], ids: Sequence[str | None] | None = None) -> list[str]:
        """Add documents, or replace those with the same id, and return their ids: `ids`, or else their own."""
        given = ids or [None] * len(documents)
        if len(given) != len(documents):
            raise InputError(f"there are {len(given)} ids for {len(documents)} documents; give one for each")
        named = [(name or each.id or str(uuid.uuid4()), each) for name, each in zip(given, documents, strict=True)]
        items = [_memory_of(name, document) for name, document in named]
        if items:
            self._memories.put(items, replace=True)
        return [name for name, _ in named]

    def get(self, ids: Iterable[str]) -> list[Document]:
        """Return the documents with these ids, without those that do not exist."""
        return [document_of(record) for record in self._records(ids).values()]

    def delete(self, ids: Iterable[str] | None) -> list[str]:
        """Forget documents on every device, and return the ids of those that were there."""
        if ids is None:
            raise InputError("no ids are given; name the documents to delete: it deletes them on every device")
        found = self._records(ids)
        self._memories.forget(record.id for record in found.values())
        return list(found)

    def search(self, query: str, *, k: int, filter: dict[str, Any] | None, **options: Any) -> list[Hit]:
        """Return the documents that match a query best. `filter` is on metadata, and options are those of search()."""
        return self._memories.search(query, limit=k, metadata=filter, **options)

    def similar(self, vector: list[float], *, k: int, filter: dict[str, Any] | None, **filters: Any) -> list[Hit]:
        """Return the documents whose embeddings are nearest to a vector of the model of the store."""
        return self._memories.similar(vector, limit=k, metadata=filter, **filters)

    def _records(self, ids: Iterable[str]) -> dict[str, MemoryRecord]:
        found = {name: self._memories.get(_key_of(name)) for name in ids}
        return {name: record for name, record in found.items() if record is not None}


class MemcrdtDocumentIndex(DocumentIndex):
    """A document index of LangChain over the same documents as MemcrdtVectorStore; itself a retriever.

    Args:
        memory: The memory. It stays open as long as the index is used.
        k: Maximum number of documents that it retrieves.
        **options: As for MemcrdtVectorStore.

    Example:
        >>> index = MemcrdtDocumentIndex(memory, scope="project/acme")
        >>> index.upsert([Document(id="billing", page_content="The client wants invoices in PDF")])
        {'succeeded': ['billing'], 'failed': []}
    """

    k: int = K
    _documents: DocumentMemories = PrivateAttr()

    def __init__(self, memory: Memory | AsyncMemory, *, k: int = K, **options: Any) -> None:
        super().__init__(k=k)
        self._documents = DocumentMemories(memory, **options)

    def upsert(self, items: Sequence[Document], /, **_: Any) -> UpsertResponse:
        """Add documents, or replace those with the same id. All are added, or an error says why not."""
        return {"succeeded": self._documents.put(items), "failed": []}

    def delete(self, ids: list[str] | None = None, **_: Any) -> DeleteResponse:
        """Delete documents on every device. A missing document is no failure."""
        gone = self._documents.delete(ids)
        return {"num_deleted": len(gone), "num_failed": 0, "succeeded": gone, "failed": []}

    def get(self, ids: Sequence[str], /, **_: Any) -> list[Document]:
        """Return the documents with these ids, without those that do not exist."""
        return self._documents.get(ids)

    def _get_relevant_documents(self, query: str, *, run_manager: Any, **options: Any) -> list[Document]:
        asked = {"k": self.k, "filter": None, **options}
        return [document_of(hit.memory) for hit in self._documents.search(query, **asked)]


def document_of(record: MemoryRecord) -> Document:
    """Return the document that a memory is."""
    metadata = dict(record.metadata)
    return Document(id=str(metadata.pop(_ID, record.id)), page_content=record.text, metadata=metadata)


def _memory_of(id: str, document: Document) -> dict[str, Any]:
    """Return the arguments of Memory.add() for a document. Raises InputError."""
    if _ID in document.metadata:
        raise InputError(f"the metadata of the document {id[:60]!r} have {_ID!r}, which is used here; rename the entry")
    return {"text": document.page_content, "key": _key_of(id), "metadata": {**document.metadata, _ID: id}}


def _key_of(id: str) -> str:
    return f"document:{hashlib.blake2b(id.encode(errors='surrogatepass'), digest_size=20).hexdigest()}"
