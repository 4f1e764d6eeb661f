"""The messages of a conversation for LangChain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from memcrdt.frameworks.extras import needs
from memcrdt.frameworks.history import LOCAL, History

with needs("langchain"):
    from langchain_core.chat_history import BaseChatMessageHistory
    from langchain_core.messages import BaseMessage, message_to_dict, messages_from_dict

if TYPE_CHECKING:
    from memcrdt import AsyncMemory
    from memcrdt.memory.memory import Memory

KIND: Final = "langchain-message"


class MemcrdtChatMessageHistory(BaseChatMessageHistory):
    """The messages of a conversation. They stay on this machine unless you choose a space.

    Args:
        session_id: The id of the conversation: printable, with up to 200 characters.
        memory: The memory. It stays open as long as the history is used.
        space: The space to share the messages in; `local` is this machine only.
        allow_secret: Whether to accept messages that look like a secret; None accepts them in `local` alone.

    Raises:
        InputError: The id is not valid.

    Example:
        >>> history = MemcrdtChatMessageHistory("support-7", memory)
        >>> history.add_user_message("Where is my invoice?")
        >>> history.messages
        [HumanMessage(content='Where is my invoice?', …)]
    """

    def __init__(
        self,
        session_id: str,
        memory: Memory | AsyncMemory,
        *,
        space: str = LOCAL,
        allow_secret: bool | None = None,
    ) -> None:
        self._history = History(memory, session_id, kind=KIND, space=space, allow_secret=allow_secret)

    @property
    def messages(self) -> list[BaseMessage]:
        """The messages, oldest first."""
        return self._history.read(_message)

    @messages.setter
    def messages(self, messages: list[BaseMessage]) -> None:
        self.clear()
        self.add_messages(messages)

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Add messages at the end. Raises InputError for a message that is not JSON."""
        self._history.add([message_to_dict(message) for message in messages])

    def clear(self) -> None:
        """Remove all messages."""
        self._history.clear()


def _message(item: dict[str, Any]) -> BaseMessage:
    (message,) = messages_from_dict([item])
    return message
