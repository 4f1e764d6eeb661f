"""A vector store of LangChain over documents that sync."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from memcrdt.errors import InputError
from memcrdt.frameworks.extras import needs
from memcrdt.frameworks.langchain_documents import DocumentMemories, K, document_of

with needs("langchain"):
    from langchain_core.documents import Document
    from langchain_core.vectorstores import VectorStore

if TYPE_CHECKING:
    from memcrdt import AsyncMemory
    from memcrdt.memory.memory import Memory


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
        return self._documents.put(documents, ids)

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
