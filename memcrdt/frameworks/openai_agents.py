"""A session for the OpenAI Agents SDK: the history of a conversation, on this machine unless a space is chosen.

`Session` is a protocol, so nothing of the SDK is imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from memcrdt.frameworks.history import LOCAL, History

if TYPE_CHECKING:
    from agents.items import TResponseInputItem
    from agents.memory import SessionSettings

    from memcrdt import AsyncMemory
    from memcrdt.memory.memory import Memory

KIND: Final = "openai-session"


class MemcrdtSession:
    """The history of a conversation, for `Runner.run(agent, text, session=...)`.

    Args:
        session_id: The id of the conversation: printable, with up to 200 characters.
        memory: The memory. It stays open as long as the session is used.
        space: The space to share the history in; `local` is this machine only.
        session_settings: The settings of the SDK: `limit` is the number of items that get_items() returns.
        allow_secret: Whether to accept items that look like a secret; None accepts them in `local` alone.

    Raises:
        InputError: The id is not valid.

    Example:
        ```python
        session = MemcrdtSession("support-7", memory)
        result = await Runner.run(agent, "Where is my invoice?", session=session)
        ```
    """

    def __init__(
        self,
        session_id: str,
        memory: Memory | AsyncMemory,
        *,
        space: str = LOCAL,
        session_settings: SessionSettings | None = None,
        allow_secret: bool | None = None,
    ) -> None:
        self.session_id = session_id
        self.session_settings = session_settings
        self._history = History(memory, session_id, kind=KIND, space=space, allow_secret=allow_secret)

    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        """Return the last items, oldest first.

        Args:
            limit: Maximum number of items; None for that of the settings, and a negative number for all.
        """
        if limit is None and self.session_settings is not None:
            limit = self.session_settings.limit
        return await self._history.aitems(None if limit is None or limit < 0 else limit)

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Add items at the end. Raises InputError and StoreError, as History.add()."""
        await self._history.aadd(items)

    async def pop_item(self) -> Any | None:
        """Remove the last item and return it; None if there is no item."""
        return await self._history.apop()

    async def clear_session(self) -> None:
        """Remove all items."""
        await self._history.aclear()
