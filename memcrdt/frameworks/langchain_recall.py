"""A retriever of LangChain over the memories of a project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memcrdt.frameworks.extras import needs
from memcrdt.frameworks.recall import Recall, recall_of
from memcrdt.service.service import LIMIT

with needs("langchain"):
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever
    from pydantic import Field, PrivateAttr

if TYPE_CHECKING:
    from memcrdt import AsyncMemory
    from memcrdt.memory.memory import Memory
    from memcrdt.model.records import Hit


class MemcrdtRetriever(BaseRetriever):
    """A retriever of LangChain over all memories of a project, whichever face or device added them.

    Each document has the text of a memory and its id. Its metadata are those of the memory, and under `memory` the rest
    of the record, such as its scope, author and device, with the score of the match.

    Args:
        memory: The memory, which stays open as long as the retriever is used, or a Recall.
        project: The project; None for memories outside of projects.
        space: The only space to search; None for all of them.
        scope: The scope to search, as for Recall.search(); None for the project and `global`.
        k: Maximum number of documents.
        min_score: Leave out memories below this score, from 0 to 1.
        filters: Filters as for Memory.search().

    Example:
        >>> MemcrdtRetriever(memory, project="acme").invoke("how do we send bills?")[0].page_content
        'The client wants invoices in PDF'
    """

    k: int = LIMIT
    scope: str | None = None
    min_score: float | None = None
    filters: dict[str, Any] = Field(default_factory=dict)
    _recall: Recall = PrivateAttr()

    def __init__(
        self,
        memory: Memory | AsyncMemory | Recall,
        *,
        project: str | None = None,
        space: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._recall = recall_of(memory, project=project, space=space)

    def _get_relevant_documents(self, query: str, *, run_manager: Any, **options: Any) -> list[Document]:
        asked = {"limit": options.pop("k", self.k), "scope": self.scope, "min_score": self.min_score, **self.filters}
        return [_document_of(hit) for hit in self._recall.search(query, **{**asked, **options})]


def _document_of(hit: Hit) -> Document:
    """Return a hit as a document."""
    told = hit.memory.to_dict()
    own = {name: told.pop(name) for name in ("id", "text", "metadata")}
    provenance = {name: value for name, value in told.items() if value not in (None, [])}
    metadata = {**own["metadata"], "memory": {**provenance, "score": round(hit.score, 3)}}
    return Document(id=own["id"], page_content=own["text"], metadata=metadata)
