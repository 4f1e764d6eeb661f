"""The session of the OpenAI Agents SDK: as the SDK's own, and in a run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

pytest.importorskip("agents", reason="the extra memcrdt[openai-agents] is not installed")

from agents import Agent, Model, ModelResponse, RunConfig, Runner, Session, SQLiteSession
from agents.memory import SessionSettings
from agents.usage import Usage
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import ResponseOutputMessage, ResponseOutputText

from memcrdt.frameworks.openai_agents import MemcrdtSession
from memcrdt.memory.memory import Memory
from memcrdt.testing import temporary

ITEMS = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": st.text(max_size=9)})
LIMITS = st.one_of(st.none(), st.integers(-1, 5))
CALLS = st.one_of(
    st.tuples(st.just("add_items"), st.lists(ITEMS, max_size=4)),
    st.tuples(st.just("get_items"), LIMITS),
    st.tuples(st.sampled_from(["pop_item", "pop_item", "clear_session"])),
)


@settings(max_examples=25)
@given(st.lists(CALLS, max_size=20), LIMITS)
def test_it_does_what_the_session_of_the_sdk_does(calls: list[tuple[Any, ...]], limit: int | None) -> None:
    """For every sequence of calls."""

    async def compare(memory: Memory) -> None:
        ours = MemcrdtSession("support-7", memory, session_settings=SessionSettings(limit=limit))
        theirs = SQLiteSession("support-7", session_settings=SessionSettings(limit=limit))
        for name, *arguments in [*calls, ("get_items",)]:
            assert await getattr(ours, name)(*arguments) == await getattr(theirs, name)(*arguments)
        theirs.close()

    with temporary() as memory:
        asyncio.run(compare(memory))


class _Echo(Model):
    """A model that says how many items it was given."""

    async def get_response(self, system_instructions: Any, input: Any, *_: Any, **__: Any) -> ModelResponse:
        text = ResponseOutputText(type="output_text", text=f"{len(input)} items", annotations=[])
        said = ResponseOutputMessage(id="1", type="message", role="assistant", status="completed", content=[text])
        return ModelResponse(output=[said], usage=Usage(), response_id=None)

    def stream_response(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        raise NotImplementedError


@pytest.mark.usefixtures("off_loop")
async def test_a_run_continues_the_conversation(memory: Memory) -> None:
    """Which stays on this machine. Other conversations are apart."""
    agent, config = Agent(name="support", model=_Echo()), RunConfig(tracing_disabled=True)
    session = MemcrdtSession("support-7", memory)
    assert isinstance(session, Session)
    for count in (1, 3, 5):
        result = await Runner.run(agent, "Where is my invoice?", session=session, run_config=config)
        assert result.final_output == f"{count} items"
    other = await Runner.run(agent, "Hello", session=MemcrdtSession("support-8", memory), run_config=config)
    assert other.final_output == "1 items"
    assert [item["role"] for item in await session.get_items()] == ["user", "assistant"] * 3
    found = await asyncio.to_thread(memory.list)
    assert {record.space for record in found} == {"local"}
