"""A memory service for Google's Agent Development Kit: what was said in sessions, found by words and by meaning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from memcrdt.frameworks.extras import needs
from memcrdt.frameworks.recall import Recall, of_message
from memcrdt.frameworks.services import service_over
from memcrdt.model.scopes import PERSONAL, named_for

with needs("google-adk"):
    from google.adk.memory.base_memory_service import BaseMemoryService, SearchMemoryResponse
    from google.adk.memory.memory_entry import MemoryEntry
    from google.genai import types

if TYPE_CHECKING:
    from google.adk.events import Event
    from google.adk.sessions import Session

    from memcrdt import AsyncMemory
    from memcrdt.memory.memory import Memory
    from memcrdt.model.records import MemoryRecord

KIND: Final = "adk"


class MemcrdtMemoryService(BaseMemoryService):
    """A memory service for `Runner(memory_service=...)`, and so for the tools `load_memory` and `preload_memory`.

    Each event of a session that has text is a memory. Adding a session again changes what has changed, and does not
    bring back what was deleted.

    Args:
        memory: The memory. It stays open as long as the service is used.
        scope: One scope for all applications and users, such as `project/acme`. None keeps them apart: the memories of
            a user in an application have the scope `agent/APPLICATION/USER`.
        space: The space to share the memories in: `personal`, `local` (this machine only), or your own.
        limit: Maximum number of memories that a search returns.

    Example:
        ```python
        runner = Runner(agent=agent, memory_service=MemcrdtMemoryService(memory), ...)
        ```
    """

    def __init__(
        self, memory: Memory | AsyncMemory, *, scope: str | None = None, space: str = PERSONAL, limit: int = 10
    ) -> None:
        self._recall = Recall(service_over(memory), space=space, kind=KIND)
        self._scope, self._space, self._limit = scope, space, limit

    async def add_session_to_memory(self, session: Session) -> None:
        """Add the events of a session. Raises StoreError if they cannot be written."""
        await self.add_events_to_memory(
            app_name=session.app_name, user_id=session.user_id, events=session.events, session_id=session.id
        )

    async def add_events_to_memory(
        self,
        *,
        app_name: str,
        user_id: str,
        events: Sequence[Event],
        session_id: str | None = None,
        custom_metadata: Mapping[str, object] | None = None,
    ) -> None:
        """Add events. What cannot be kept, such as a text that looks like a secret, is left out with a warning.

        Raises:
            StoreError: The store cannot be written.
        """
        shared = {"scope": self._scope_of(app_name, user_id), "metadata": custom_metadata or {}}
        await self._recall.akeep({**_said(event, session_id), **shared} for event in events if _text(event.content))

    async def add_memory(
        self,
        *,
        app_name: str,
        user_id: str,
        memories: Sequence[MemoryEntry],
        custom_metadata: Mapping[str, object] | None = None,
    ) -> None:
        """Add memories that are no events.

        Raises:
            InputError: A memory is not valid, or looks like a secret.
            StoreError: The store cannot be written.
        """
        scope = self._scope_of(app_name, user_id)
        await self._recall.aremember_many(
            [
                {
                    "text": _text(entry.content),
                    "scope": scope,
                    "author": entry.author,
                    "created_at": entry.timestamp,
                    "key": f"adk:{entry.id}" if entry.id else None,
                    "metadata": {**(custom_metadata or {}), **entry.custom_metadata},
                }
                for entry in memories
            ]
        )

    async def search_memory(self, *, app_name: str, user_id: str, query: str) -> SearchMemoryResponse:
        """Return the memories that best answer a query, best first."""
        scope = self._scope_of(app_name, user_id)
        hits = await self._recall.asearch(query, scope=scope, limit=self._limit, space=self._space)
        return SearchMemoryResponse(memories=[_entry(hit.memory) for hit in hits])

    async def delete_memory(self, *, app_name: str, user_id: str, memory_id: str | None = None) -> None:
        """Forget a memory of a user on every device, by the id that a search returned. Other ids do nothing."""
        if memory_id:
            await self._recall.aforget_in(self._scope_of(app_name, user_id), memory_id)

    def _scope_of(self, app_name: str, user_id: str) -> str:
        """Return the scope of a user in an application. Names with a slash do not meet those of others."""
        return self._scope or named_for("agent", f"{_escaped(app_name)}/", _escaped(user_id))


def _said(event: Event, session_id: str | None) -> dict[str, Any]:
    at = datetime.fromtimestamp(event.timestamp, UTC)
    return of_message(_text(event.content), event.author, session_id, kind=KIND, id=event.id, at=at)


def _text(content: types.Content | None) -> str:
    """Return the text of a content; empty if it has none."""
    texts: Iterator[str] = (part.text for part in (content.parts if content else None) or () if part.text)
    return "\n".join(texts).strip()


def _entry(record: MemoryRecord) -> MemoryEntry:
    return MemoryEntry(
        id=record.id,
        content=types.Content(parts=[types.Part(text=record.text)]),
        author=record.author,
        timestamp=record.created_at.isoformat(),
        custom_metadata=dict(record.metadata),
    )


def _escaped(name: str) -> str:
    return name.replace("%", "%25").replace("/", "%2F")
