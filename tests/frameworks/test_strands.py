"""The store of Strands Agents: through its memory manager, and in the run of an agent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

pytest.importorskip("strands.memory", reason="the extra memcrdt[strands] is not installed")

from strands import Agent
from strands.memory import AggregateMemoryError, MemoryManager
from strands.models import Model

from memcrdt.frameworks.strands import MemcrdtStrandsStore
from memcrdt.memory.memory import Memory
from memcrdt.testing import exchange

OpenMemory = Callable[..., Memory]


async def test_the_manager_adds_and_finds(open_memory: OpenMemory) -> None:
    """On every machine, with metadata; the same text is one memory, since the manager may write twice."""
    laptop, desktop = open_memory("A"), open_memory("B")
    here, there = (
        MemoryManager(stores=[MemcrdtStrandsStore(memory, scope="project/acme", author="planner")])
        for memory in (laptop, desktop)
    )
    for _ in range(2):
        await here.add("The client wants invoices in PDF", {"metadata": {"sure": True}})
    await here.add("Deploys are on Tuesdays")
    exchange(laptop, desktop)
    (entry,) = await there.search("invoices")
    (record,) = desktop.list(scope="project/acme", metadata={"sure": True})
    assert (entry.content, entry.store_name) == (record.text, "memcrdt")
    assert {name: value for name, value in entry.metadata.items() if name != "score"} == {
        "sure": True,
        "id": record.id,
        "created_at": record.created_at.isoformat(),
        "author": "planner",
    }
    assert 0 < entry.metadata["score"] <= 1


async def test_a_search_has_a_limit(memory: Memory) -> None:
    """That of the call, or of the store. Other scopes and spaces are not searched."""
    memory.add_many([f"invoice number {number}" for number in range(9)])
    memory.add("invoice of another scope", scope="project/acme")
    memory.add("invoice of another space", space="local")
    store = MemcrdtStrandsStore(memory, max_search_results=3)
    assert len(await store.search("invoice")) == 3
    found = await store.search("invoice", {"max_search_results": 50})
    assert {entry.content.split()[1] for entry in found} == {"number"}
    assert await store.search(" ") == []


async def test_a_secret_is_an_error_of_the_manager(memory: Memory) -> None:
    """It tells the model."""
    with pytest.raises(AggregateMemoryError) as raised:
        await MemoryManager(stores=[MemcrdtStrandsStore(memory)]).add("the key is AKIAIOSFODNN7EXAMPLE")
    assert "secret" in str(raised.value.__dict__)
    assert memory.count() == 0


class _Scripted(Model):
    """A model that adds a memory if it is asked to, and otherwise repeats what it was told."""

    def update_config(self, **_: Any) -> None: ...

    def get_config(self) -> dict[str, Any]:
        return {}

    def structured_output(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    async def stream(self, messages: Any, *_: Any, **__: Any) -> AsyncIterator[dict[str, Any]]:
        told = json.dumps(messages)
        yield {"messageStart": {"role": "assistant"}}
        if "Remember" in told and "toolResult" not in told:
            call = json.dumps({"entries": ["Ada prefers tea"]})
            yield {"contentBlockStart": {"start": {"toolUse": {"toolUseId": "1", "name": "add_memory"}}}}
            yield {"contentBlockDelta": {"delta": {"toolUse": {"input": call}}}}
        else:
            yield {"contentBlockDelta": {"delta": {"text": told}}}
        yield {"contentBlockStop": {}}
        yield {
            "messageStop": {"stopReason": "tool_use" if "toolUse" not in told and "Remember" in told else "end_turn"}
        }


@pytest.mark.usefixtures("off_loop")
@pytest.mark.filterwarnings("ignore")
async def test_an_agent_is_told_what_it_learned(memory: Memory) -> None:
    """It adds a memory with the tool, and the next agent has it in its prompt."""

    def agent() -> Agent:
        manager = MemoryManager(stores=[MemcrdtStrandsStore(memory)], add_tool_config=True)
        return Agent(model=_Scripted(), memory_manager=manager, callback_handler=None)

    await agent().invoke_async("Remember that Ada prefers tea")
    assert [record.text for record in await asyncio.to_thread(memory.list)] == ["Ada prefers tea"]
    assert "Ada prefers tea" in str(await agent().invoke_async("Which tea does the user drink?"))
