"""The messages of an agent of LangChain: which one the user said last, and which of them tell what was recalled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from memcrdt.frameworks.extras import needs
from memcrdt.model.prompt import without_memories

with needs("langchain"):
    from langchain_core.messages import BaseMessage, HumanMessage

SOURCE: Final = "memcrdt"  # of the messages with what was recalled

_MARK: Final = "lc_source"  # where LangChain's own middleware names itself


def with_recalled(messages: Sequence[BaseMessage], block: str) -> list[BaseMessage]:
    """Return messages with a block of memories before the last message of the user, said by the user."""
    at = _last_of_user(messages)
    return [*messages[:at], HumanMessage(block, additional_kwargs={_MARK: SOURCE}), *messages[at:]]


def last_prompt(messages: Sequence[BaseMessage]) -> str:
    """Return the text of the last message of the user; empty if there is none."""
    at = _last_of_user(messages)
    return str(messages[at].text) if at < len(messages) else ""


def last_run(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Return the messages since the last one of the user, with it, and without what was recalled."""
    return [_stripped(message) for message in messages[_last_of_user(messages) :] if _source_of(message) != SOURCE]


def _last_of_user(messages: Sequence[BaseMessage]) -> int:
    """Return the position of the last message of the user; the number of messages if there is none.

    Messages that middleware made are not of the user: what is recalled, or the summary of a long conversation.
    """
    said = (at for at, each in enumerate(messages) if isinstance(each, HumanMessage) and not _source_of(each))
    return max(said, default=len(messages))


def _source_of(message: BaseMessage) -> Any:
    return message.additional_kwargs.get(_MARK)


def _stripped(message: BaseMessage) -> BaseMessage:
    """Return a message without blocks of memories, which a model may repeat and a tool has found."""
    content = message.content
    parts = [content] if isinstance(content, str) else content
    kept = [without_memories(part) if isinstance(part, str) else _stripped_part(part) for part in parts]
    return message.model_copy(update={"content": kept[0] if isinstance(content, str) else kept})


def _stripped_part(part: dict[str, Any]) -> dict[str, Any]:
    return {**part, "text": without_memories(part["text"])} if isinstance(part.get("text"), str) else part
