"""Providers for the Microsoft Agent Framework: the context that an agent recalls, and the history of its sessions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from memcrdt.frameworks.extras import needs
from memcrdt.frameworks.history import LOCAL, History
from memcrdt.frameworks.recall import PROMPT_TOKENS, Recall, of_message
from memcrdt.frameworks.services import service_over
from memcrdt.model.scopes import GLOBAL
from memcrdt.service.recall import PROMPT_SCORE

with needs("agent-framework"):
    from agent_framework import ContextProvider, HistoryProvider, Message

if TYPE_CHECKING:
    from agent_framework import AgentSession, SessionContext

    from memcrdt import AsyncMemory
    from memcrdt.memory.memory import Memory

SOURCE: Final = "memcrdt"
HISTORY: Final = "memcrdt-history"
KIND: Final = "agent-framework"

_NO_SESSION: Final = "default"  # of runs without a session


class MemcrdtContextProvider(ContextProvider):
    """Recalls before each run, and remembers what was said after it.

    The agent gets the memories that match the input well, from all spaces, as a fenced message of the role `user`.

    Args:
        memory: The memory. It stays open as long as the provider is used.
        scope: The scope to recall from and to remember in, such as `project/acme`.
        space: The space of what was said: `local` is this machine only.
        keep_messages: Whether the messages of a run become memories.
        max_tokens: Maximum length of what is recalled, at four characters for a token.
        min_score: Leave out memories below this score, from 0 to 1.
        source_id: The id of the provider in the framework.

    Raises:
        InputError: `max_tokens` leaves no room for a memory.

    Example:
        ```python
        agent = Agent(client, context_providers=[MemcrdtContextProvider(memory, scope="project/acme")])
        ```
    """

    def __init__(
        self,
        memory: Memory | AsyncMemory,
        *,
        scope: str = GLOBAL,
        space: str = LOCAL,
        keep_messages: bool = True,
        max_tokens: int = PROMPT_TOKENS,
        min_score: float = PROMPT_SCORE,
        source_id: str = SOURCE,
    ) -> None:
        super().__init__(source_id)
        self._recall = Recall(service_over(memory), space=space, scope=scope)
        self._asked: dict[str, Any] = {"scope": scope, "max_tokens": max_tokens, "min_score": min_score}
        self._keep_messages = keep_messages
        self._recall.prompt("", max_tokens=max_tokens)  # checks max_tokens

    async def before_run(self, *, agent: Any, session: AgentSession, context: SessionContext, state: Any) -> None:
        """Add what matches the input to the context."""
        block = await self._recall.aprompt(_text(context.input_messages), **self._asked)
        if block:
            context.extend_messages(self, [Message("user", [block])])

    async def after_run(self, *, agent: Any, session: AgentSession, context: SessionContext, state: Any) -> None:
        """Remember the input and the answer. What cannot be kept is left out with a warning."""
        said = [*context.input_messages, *(context.response.messages if context.response else ())]
        if self._keep_messages:
            await self._recall.akeep(
                of_message(message.text, str(message.role), context.session_id)
                for message in said
                if (message.text or "").strip()
            )


class MemcrdtHistoryProvider(HistoryProvider):
    """The history of each session, on this machine unless a space is chosen.

    Args:
        memory: The memory. It stays open as long as the provider is used.
        space: The space to share the histories in; `local` is this machine only.
        allow_secret: Whether to accept messages that look like a secret; None accepts them in `local` alone.
        source_id: The id of the provider in the framework.
        options: As for HistoryProvider, such as `store_outputs`.

    Example:
        ```python
        agent = Agent(client, context_providers=[MemcrdtHistoryProvider(memory)])
        ```
    """

    def __init__(
        self,
        memory: Memory | AsyncMemory,
        *,
        space: str = LOCAL,
        allow_secret: bool | None = None,
        source_id: str = HISTORY,
        **options: Any,
    ) -> None:
        super().__init__(source_id, **options)
        self._memory = memory
        self._options: dict[str, Any] = {"kind": KIND, "space": space, "allow_secret": allow_secret}

    async def get_messages(self, session_id: str | None, **_: Any) -> list[Message]:
        """Return the messages of a session, oldest first. Raises InputError for an id that is not valid."""
        return await self._history(session_id).aread(Message.from_dict)

    async def save_messages(self, session_id: str | None, messages: Sequence[Message], **_: Any) -> None:
        """Add messages at the end. If the application repeats the history before them, it is not added again.

        Raises:
            InputError: A message looks like a secret, or the id of the session is not valid.
            StoreError: The store cannot be written.
        """
        await self._history(session_id).aadd_new([message.to_dict() for message in messages], _name_of)

    def _history(self, session_id: str | None) -> History:
        return History(self._memory, session_id or _NO_SESSION, **self._options)


def _text(messages: Sequence[Message]) -> str:
    """Return the text of the last message of the user."""
    said = [message.text or "" for message in messages if str(message.role) == "user"]
    return said[-1] if said else ""


def _name_of(item: dict[str, Any]) -> tuple[Any, bool]:
    """Return what a message is known by, and whether this tells it from another one: a user may say the same twice."""
    by_id = item.get("message_id")
    return by_id or [item.get("role"), item.get("contents")], bool(by_id) or item.get("role") != "user"
