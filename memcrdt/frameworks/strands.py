"""A memory store for Strands Agents: what an agent learned, found by words and by meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from memcrdt.frameworks.extras import needs
from memcrdt.frameworks.recall import Recall
from memcrdt.frameworks.services import service_over
from memcrdt.model.scopes import GLOBAL, PERSONAL

with needs("strands"):
    from strands.memory import MemoryEntry

if TYPE_CHECKING:
    from strands.memory import ExtractionConfig, SearchOptions

    from memcrdt import AsyncMemory
    from memcrdt.memory.memory import Memory
    from memcrdt.model.records import Hit
    from memcrdt.service.service import Saved

LIMIT: Final = 5


class MemcrdtStrandsStore:
    """A store for `MemoryManager(stores=[...])`.

    Args:
        memory: The memory. It stays open as long as the store is used.
        scope: The scope of the memories, such as `project/acme`.
        space: The space to share them in: `personal`, `local` (this machine only), or your own.
        author: The agent that adds the memories.
        name: The name of the store for the tools of the manager.
        description: What the store is for. Models read it.
        max_search_results: Maximum number of memories that a search returns, unless it says otherwise.
        writable: Whether the agent may add memories.
        extraction: The configuration of the manager's extraction of facts from messages.

    Example:
        ```python
        agent = Agent(memory_manager=MemoryManager(stores=[MemcrdtStrandsStore(memory)], add_tool_config=True))
        ```
    """

    def __init__(
        self,
        memory: Memory | AsyncMemory,
        *,
        scope: str = GLOBAL,
        space: str = PERSONAL,
        author: str | None = None,
        name: str = "memcrdt",
        description: str | None = "What the user and their agents remember, on all of the user's machines",
        max_search_results: int = LIMIT,
        writable: bool = True,
        extraction: ExtractionConfig | bool | None = None,
    ) -> None:
        self.name = name
        self.description = description
        self.max_search_results: int | None = max_search_results
        self.writable = writable
        self.extraction = extraction
        self._recall = Recall(service_over(memory, author=author))
        self._scope, self._space = scope, space

    async def search(self, query: str, options: SearchOptions | None = None) -> list[MemoryEntry]:
        """Return the memories that best answer a query, best first.

        Args:
            query: A question or keywords.
            options: `max_search_results` is the maximum number of memories.
        """
        limit = (options or {}).get("max_search_results") or self.max_search_results or LIMIT
        hits = await self._recall.asearch(query, scope=self._scope, limit=limit, space=self._space)
        return [_entry(hit) for hit in hits]

    async def add(self, content: str, metadata: dict[str, Any] | None = None) -> Saved:
        """Add a memory. A text that is there already is not added again.

        Args:
            content: The text. Maximum: 64 KiB of UTF-8.
            metadata: A JSON object.

        Raises:
            InputError: An argument is invalid, or the text looks like a secret.
            StoreError: The store cannot be written.
        """
        return await self._recall.aremember(content, scope=self._scope, space=self._space, metadata=metadata)


def _entry(hit: Hit) -> MemoryEntry:
    """Return a hit with its score, and with what is known of the memory."""
    record = hit.memory
    about = {"id": record.id, "score": hit.score, "created_at": record.created_at.isoformat(), "author": record.author}
    return MemoryEntry(content=record.text, metadata={**record.metadata, **about})
