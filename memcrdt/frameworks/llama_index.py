"""A memory block for LlamaIndex: what matches the last words of the user, and what falls out of short-term memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memcrdt.errors import InputError
from memcrdt.frameworks.extras import needs
from memcrdt.frameworks.history import LOCAL
from memcrdt.frameworks.recall import CHARS_PER_TOKEN, PROMPT_TOKENS, Recall, of_message
from memcrdt.frameworks.services import service_over
from memcrdt.model.scopes import GLOBAL
from memcrdt.service.recall import PROMPT_SCORE

with needs("llama-index"):
    from llama_index.core.base.llms.types import ChatMessage, MessageRole
    from llama_index.core.bridge.pydantic import PrivateAttr
    from llama_index.core.memory import BaseMemoryBlock

if TYPE_CHECKING:
    from memcrdt import AsyncMemory
    from memcrdt.memory.memory import Memory


class MemcrdtMemoryBlock(BaseMemoryBlock[str]):
    """A block for `Memory.from_defaults(memory_blocks=[...])`.

    The block is a fenced list of the memories that match the last message of the user well, from all spaces. Messages
    that leave short-term memory become memories, in the space that is given.

    Args:
        memory: The memory. It stays open as long as the block is used.
        scope: The scope to recall from and to remember in, such as `project/acme`.
        space: The space of the messages: `local` is this machine only.
        max_tokens: Maximum length of the block, at four characters for a token.
        min_score: Leave out memories below this score, from 0 to 1.
        options: Fields of BaseMemoryBlock: `name`, `description`, `priority` (0: the block is never shortened) and
            `accept_short_term_memory` (False: messages do not become memories).

    Raises:
        InputError: `max_tokens` leaves no room for a memory.

    Example:
        ```python
        memory = Memory.from_defaults(memory_blocks=[MemcrdtMemoryBlock(memcrdt.open())])
        ```
    """

    _recall: Recall = PrivateAttr()
    _scope: str = PrivateAttr()
    _max_tokens: int = PrivateAttr()
    _min_score: float = PrivateAttr()
    _told: tuple[str, str] = PrivateAttr(default=("", ""))  # the last block, and the question that it answers

    def __init__(
        self,
        memory: Memory | AsyncMemory,
        *,
        scope: str = GLOBAL,
        space: str = LOCAL,
        max_tokens: int = PROMPT_TOKENS,
        min_score: float = PROMPT_SCORE,
        **options: Any,
    ) -> None:
        super().__init__(**{"name": "memcrdt", "priority": 1, **options})
        self._recall = Recall(service_over(memory), space=space, scope=scope)
        self._scope, self._max_tokens, self._min_score = scope, max_tokens, min_score
        self._recall.prompt("", max_tokens=max_tokens)  # checks max_tokens

    async def _aget(self, messages: list[ChatMessage] | None = None, **_: Any) -> str:
        """Return the block for the last message of the user; empty if nothing matches."""
        said = [message for message in messages or [] if message.role == MessageRole.USER]
        query = (said[-1].content or "") if said else ""
        block = await self._prompt(query, self._max_tokens)
        self._told = (block, query)
        return block

    async def _aput(self, messages: list[ChatMessage]) -> None:
        """Remember messages. What cannot be kept is left out with a warning."""
        await self._recall.akeep(
            of_message(message.content or "", message.role.value, message.additional_kwargs.get("session_id"))
            for message in messages
            if (message.content or "").strip()
        )

    async def atruncate(self, content: str, tokens_to_truncate: int) -> str | None:
        """Return the block with fewer memories, or None if there is room for none."""
        block, query = self._told
        if content != block:
            return None
        try:
            return await self._prompt(query, len(content) // CHARS_PER_TOKEN - tokens_to_truncate) or None
        except InputError:  # no room for a memory
            return None

    async def _prompt(self, query: str, max_tokens: int) -> str:
        return await self._recall.aprompt(query, scope=self._scope, max_tokens=max_tokens, min_score=self._min_score)
