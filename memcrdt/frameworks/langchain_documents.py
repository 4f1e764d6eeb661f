"""Documents of LangChain as memories of one scope: a vector store, and a document index for LangChain's indexing.

A document is a memory of the kind `document`. Its content is the text, and its metadata those of the memory, with the
id of the document as one more entry. The key of the memory is made from this id, so the same document is one memory on
every device.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from memcrdt import AsyncMemory
from memcrdt.errors import InputError, NotFoundError
from memcrdt.frameworks.extras import needs
from memcrdt.model.scopes import GLOBAL, PERSONAL

with needs("langchain"):
    from langchain_core.documents import Document
    from langchain_core.indexing.base import DeleteResponse, DocumentIndex, UpsertResponse
    from langchain_core.vectorstores import VectorStore
    from pydantic import PrivateAttr

if TYPE_CHECKING:
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
        self.memory: Memory = memory.memory if isinstance(memory, AsyncMemory) else memory
        self._where: dict[str, Any] = {"scope": scope, "space": space}
        self._given: dict[str, Any] = {"author": author, "allow_secret": allow_secret, "replace": True}
        self._filters: dict[str, Any] = {**self._where, "kind": KIND}
        self.memory.list(limit=1, **self._filters)  # checks the scope and the space

    def put(self, documents: Iterable[Document]) -> list[str]:
        """Add documents, or replace those with the same id, and return their ids."""
        named = [(document.id or str(uuid.uuid4()), document) for document in documents]
        items = [_memory_of(name, document) for name, document in named]
        if items:
            self.memory.add_many(items, kind=KIND, **self._where, **self._given)
        return [name for name, _ in named]

    def get(self, ids: Iterable[str]) -> list[Document]:
        """Return the documents with these ids, without those that do not exist."""
        return [document_of(record) for record in self._records(ids).values()]

    def delete(self, ids: Iterable[str] | None) -> list[str]:
        """Forget documents on every device, and return the ids of those that were there."""
        if ids is None:
            raise InputError("no ids are given; name the documents to delete: it deletes them on every device")
        found = self._records(ids)
        if found:
            self.memory.forget([record.id for record in found.values()])
        return list(found)

    def search(self, query: str, *, k: int, filter: dict[str, Any] | None, **options: Any) -> list[Hit]:
        """Return the documents that match a query best. `filter` is on metadata, and options are those of search()."""
        if not query.strip():
            return []
        return self.memory.search(query, limit=k, metadata=filter, **{**self._filters, **options})

    def similar(self, vector: list[float], *, k: int, filter: dict[str, Any] | None, **filters: Any) -> list[Hit]:
        """Return the documents whose embeddings are nearest to a vector of the model of the store."""
        return self.memory.similar(vector=vector, limit=k, metadata=filter, **{**self._filters, **filters})

    def _records(self, ids: Iterable[str]) -> dict[str, MemoryRecord]:
        found = {}
        for name in ids:
            with suppress(NotFoundError):
                found[name] = self.memory.get_by_key(_key_of(name), **self._where)
        return found


class MemcrdtVectorStore(VectorStore):
    """A LangChain vector store over the documents of one scope, which sync like all memories.

    The memory embeds the documents with its own model, and ranks by words and by meaning. To use an embedding model of
    LangChain, open the memory with it: `memcrdt.open(embedder=embeddings.embed_documents)`. Scores are from 0 to 1.

    Every search takes a `filter` on metadata in the form of Memory.search(), such as `{"year": {"$gte": 2020}}`, and
    its other filters by name, such as `after="2026-01-01"`.

    Args:
        memory: The memory. It stays open as long as the vector store is used.
        scope: The scope of the documents, such as `project/acme`.
        space: The space to share them in: `personal`, `local` (this machine only), or your own.
        author: The agent that adds the documents.
        allow_secret: Whether to accept texts that look like a secret.

    Raises:
        InputError: An argument is invalid.
        NotFoundError: The space does not exist here.

    Example:
        >>> vectors = MemcrdtVectorStore(memory, scope="project/acme")
        >>> vectors.add_texts(["The client wants invoices in PDF"])
        >>> vectors.similarity_search("how do we send bills?", k=1)[0].page_content
        'The client wants invoices in PDF'
    """

    def __init__(self, memory: Memory | AsyncMemory, **options: Any) -> None:
        self._documents = DocumentMemories(memory, **options)

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Any = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **options: Any,
    ) -> MemcrdtVectorStore:
        """Return a vector store with these texts. The options are the arguments of the class, `memory` among them.

        Raises:
            InputError: There is an `embedding`, which belongs to the memory, or no `memory`.
        """
        if embedding is not None:
            raise InputError(
                "the memory embeds with its own model; give None, and open the memory with"
                " memcrdt.open(embedder=embedding.embed_documents) to use this one"
            )
        if "memory" not in options:
            raise InputError("there is no memory; give memory=memcrdt.open()")
        made = cls(**options)
        made.add_texts(texts, metadatas, ids=ids)
        return made

    def add_documents(self, documents: list[Document], **options: Any) -> list[str]:
        """Add documents, and return their ids. One with the id of an earlier document replaces it.

        Up to 500 documents with 2 MiB of text are one transaction: all or none.

        Args:
            documents: The documents. A content has at most 64 KiB, and metadata are JSON of at most 8 KiB.
            **options: `ids` for the documents, instead of their own.

        Raises:
            InputError: A document is invalid, or the number of ids is another one.
        """
        ids = options.pop("ids", None)
        if options:
            raise InputError(f"add_documents has no argument {next(iter(options))!r}; it has documents and ids")
        if ids is not None and len(ids) != len(documents):
            raise InputError(f"there are {len(ids)} ids for {len(documents)} documents; give one for each")
        named = documents if ids is None else _with_ids(documents, ids)
        return self._documents.put(named)

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Return the documents with these ids, without those that do not exist."""
        return self._documents.get(ids)

    def delete(self, ids: list[str] | None = None, **_: Any) -> bool:
        """Delete documents on every device. Raises InputError without ids: it never deletes all."""
        self._documents.delete(ids)
        return True

    def similarity_search(
        self, query: str, k: int = K, filter: dict[str, Any] | None = None, **filters: Any
    ) -> list[Document]:
        """Return the documents that match a query best, at most `k`."""
        return [document for document, _ in self.similarity_search_with_score(query, k, filter, **filters)]

    def similarity_search_with_score(
        self, query: str, k: int = K, filter: dict[str, Any] | None = None, **filters: Any
    ) -> list[tuple[Document, float]]:
        """Return documents as similarity_search() does, each with its score from 0 to 1; higher is better."""
        hits = self._documents.search(query, k=k, filter=filter, **filters)
        return [(document_of(hit.memory), hit.score) for hit in hits]

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = K, filter: dict[str, Any] | None = None, **filters: Any
    ) -> list[Document]:
        """Return the documents nearest to an embedding that the model of the memory made.

        Documents are embedded in the background. To wait until all of them are, call `memory.models.wait()`.
        """
        return [document_of(hit.memory) for hit in self._documents.similar(embedding, k=k, filter=filter, **filters)]

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = K,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: dict[str, Any] | None = None,
        **filters: Any,
    ) -> list[Document]:
        """Return documents that match a query and differ from each other.

        Args:
            query: A question or keywords.
            k: Maximum number of documents.
            fetch_k: Not used: the memory chooses from enough documents by itself.
            lambda_mult: From 0, as different as possible, to 1, as similarity_search() ranks.
            filter: A filter on metadata.
            **filters: Other filters of Memory.search().
        """
        del fetch_k
        hits = self._documents.search(query, k=k, filter=filter, diversity=1 - lambda_mult, **filters)
        return [document_of(hit.memory) for hit in hits]

    def _select_relevance_score_fn(self) -> Any:
        return float


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


def _with_ids(documents: Iterable[Document], ids: Iterable[str | None]) -> list[Document]:
    """Return copies of documents with other ids; None keeps the id of the document."""
    return [each.model_copy(update={"id": name or each.id}) for each, name in zip(documents, ids, strict=True)]


def _memory_of(id: str, document: Document) -> dict[str, Any]:
    """Return the arguments of Memory.add() for a document. Raises InputError."""
    if _ID in document.metadata:
        raise InputError(f"the metadata of the document {id[:60]!r} have {_ID!r}, which is used here; rename the entry")
    return {"text": document.page_content, "key": _key_of(id), "metadata": {**document.metadata, _ID: id}}


def _key_of(id: str) -> str:
    return f"document:{hashlib.blake2b(id.encode(errors='surrogatepass'), digest_size=20).hexdigest()}"
