"""The chat history of LangChain: its messages in order, on this machine unless a space is chosen."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

pytest.importorskip("langchain_core", reason="the extra memcrdt[langchain] is not installed")

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from memcrdt.errors import InputError, SecretError
from memcrdt.frameworks.langchain_history import MemcrdtChatMessageHistory
from memcrdt.memory.memory import Memory

SECRET = "AKIA" + "Z7Q2M4X3K3T6W5RA"

MESSAGES: Sequence[BaseMessage] = (
    SystemMessage("Be brief."),
    HumanMessage([{"type": "text", "text": "Wo ist ä?"}, {"type": "image_url", "image_url": {"url": "x"}}]),
    AIMessage("", tool_calls=[{"name": "f", "args": {"n": 1}, "id": "1"}], response_metadata={"model": "m"}),
    ToolMessage("long " * 30_000, tool_call_id="1", artifact={"n": 1}),
    AIMessage("There.", usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}),
)


def test_a_history_has_its_messages_in_order(memory: Memory) -> None:
    """With everything in them, and apart from other conversations."""
    ours = MemcrdtChatMessageHistory("c1", memory)
    ours.add_messages(MESSAGES[:3])
    ours.add_messages(MESSAGES[3:])
    ours.add_user_message("thanks")
    assert ours.messages == [*MESSAGES, HumanMessage("thanks")]
    assert MemcrdtChatMessageHistory("c2", memory).messages == []
    assert {record.space for record in memory.list(scope="conversation/c1")} == {"local"}
    ours.messages = list(MESSAGES[:1])
    assert ours.messages == list(MESSAGES[:1])
    ours.clear()
    assert ours.messages == []


async def test_a_history_works_with_asyncio(memory: Memory) -> None:
    """In threads, so messages of several tasks all arrive."""
    history = MemcrdtChatMessageHistory("c1", memory)
    await asyncio.gather(*(history.aadd_messages([HumanMessage(str(n))]) for n in range(5)))
    assert sorted(message.content for message in await history.aget_messages()) == list("01234")
    await history.aclear()
    assert await history.aget_messages() == []


def test_what_is_no_message_is_left_out(memory: Memory) -> None:
    """Whatever another device writes into a shared conversation."""
    history = MemcrdtChatMessageHistory("c1", memory, space="personal")
    history.add_user_message("hello")
    for text in ("{}", '{"type": "human"}', '{"type": "unknown", "data": {}}', '{"type": "human", "data": 7}', "x"):
        memory.add(text, scope="conversation/c1", kind="langchain-message")
    assert [message.content for message in history.messages] == ["hello"]
    with pytest.raises(SecretError):
        history.add_user_message(SECRET)
    MemcrdtChatMessageHistory("c2", memory).add_user_message(SECRET)
    with pytest.raises(InputError, match="not a JSON object"):
        history.add_messages([HumanMessage("x", additional_kwargs={"raw": object()})])
