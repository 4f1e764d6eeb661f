"""The store of pydantic-ai-harness: as its own store in memory, and in the run of an agent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("pydantic_ai_harness.memory", reason="the extra memcrdt[pydantic-ai] is not installed")

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_ai import Agent, ModelRetry
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai_harness import memory as harness

from memcrdt.frameworks.pydantic_ai import MemcrdtMemoryStore
from memcrdt.memory.memory import Memory
from memcrdt.testing import exchange, temporary

OpenMemory = Callable[..., Memory]

PATHS = st.sampled_from(["a/main/MEMORY.md", "a/main/notes.md", "a/main/x/y.md", "b/main/notes.md", "../x", "a//b", ""])
TEXTS = st.sampled_from(["", "coffee", "coffee tea", "deploys on tuesday\n", "x" * 300])
VERSIONS = st.sampled_from(["current", "current", "current", "none", "old"])
OPERATIONS = st.one_of(
    st.none(), st.builds(harness.MemoryOperation, st.sampled_from("123"), st.sampled_from(["f", "f", "g"]))
)
BOUNDS = {"limit": 5, "max_files": 50, "max_chars": 400, "max_file_chars": 1_000}
CALLS = st.one_of(
    st.tuples(st.just("write"), PATHS, VERSIONS, OPERATIONS, TEXTS),
    st.tuples(st.just("write_with_metadata"), PATHS, VERSIONS, OPERATIONS, TEXTS),
    st.tuples(st.just("delete"), PATHS, VERSIONS, OPERATIONS),
    st.tuples(st.just("read"), PATHS, st.integers(0, 10)),
    st.tuples(st.just("list_paths"), st.sampled_from(["", "a/", "a/main/", "a/main/n", "b/main/"]), st.integers(0, 3)),
    st.tuples(
        st.just("search"), st.sampled_from(["a/main/", "b/main/"]), st.sampled_from(["coffee", "tea", "tuesday"])
    ),
)


async def do(store: Any, name: str, *said: Any) -> Any:
    """Make a call, and return what came back, with all versions alike; or the kind of the error."""
    try:
        return await _do(store, name, *said)
    except (harness.MemoryConflictError, harness.MemoryOperationConflictError) as exc:
        return type(exc)
    except ValueError:
        return ValueError


async def _do(store: Any, name: str, *said: Any) -> Any:
    if name == "read":
        file = await store.read(said[0], max_chars=said[1])
        return file and (file.content, file.truncated, file.operation_id, file.metadata)
    if name == "list_paths":
        return await store.list_paths(said[0], limit=said[1])
    if name == "search":
        found = await store.search(*said, **BOUNDS)
        return {match.path for match in found.matches}
    path, version, operation, *text = said
    file = await store.read(path, max_chars=1)
    expected = {"current": file and file.version, "none": None, "old": "0"}[version]
    more = {"metadata": {"by": "planner"}} if name == "write_with_metadata" else {}
    done = await getattr(store, name)(path, *text, expected_version=expected, operation=operation, **more)
    assert operation is None or (await store.get_operation(operation)).replayed
    return done.version is None, done.replayed, done.existed


@settings(max_examples=40)
@given(st.lists(CALLS, max_size=20))
def test_it_does_what_the_store_in_memory_does(calls: list[tuple[Any, ...]]) -> None:
    """For every sequence of calls, with operations that are repeated."""

    async def compare(memory: Memory) -> None:
        ours, theirs = MemcrdtMemoryStore(memory), harness.InMemoryStore()
        for call in calls:
            assert await do(ours, *call) == await do(theirs, *call), call

    with temporary() as memory:
        asyncio.run(compare(memory))


def test_it_has_every_protocol(memory: Memory) -> None:
    """Those of metadata and of search are optional."""
    for protocol in (harness.MemoryStore, harness.MetadataMemoryStore, harness.SearchableMemoryStore):
        assert isinstance(MemcrdtMemoryStore(memory), protocol)


async def test_texts_written_apart_are_both_in_the_file(open_memory: OpenMemory) -> None:
    """So the next write, which has read them, drops neither by accident."""
    laptop, desktop = open_memory("A"), open_memory("B")
    here, there = MemcrdtMemoryStore(laptop), MemcrdtMemoryStore(desktop)
    for store, text in ((here, "Deploys are on Mondays"), (there, "Deploys are on Tuesdays")):
        await store.write("a/main/MEMORY.md", text, expected_version=None)
    exchange(laptop, desktop)
    file = await here.read("a/main/MEMORY.md", max_chars=1_000)
    assert file == await there.read("a/main/MEMORY.md", max_chars=1_000)
    assert (
        file.content == "Deploys are on Tuesdays\n\nAnother device wrote, while disconnected:\n\nDeploys are on Mondays"
    )
    await here.write("a/main/MEMORY.md", "Deploys are on Mondays", expected_version=file.version)
    assert (await here.read("a/main/MEMORY.md", max_chars=1_000)).content == "Deploys are on Mondays"


async def test_an_operation_whose_receipt_is_missing_is_not_done_again(memory: Memory) -> None:
    """The process ended between the write and its receipt."""
    store, operation = MemcrdtMemoryStore(memory), harness.MemoryOperation("1", "f")
    await store.write("a/main/b.md", "once", expected_version=None, operation=operation)
    memory.forget(kind="receipt")
    again = await store.write("a/main/b.md", "once", expected_version=None, operation=operation)
    assert (await store.read("a/main/b.md", max_chars=9)).version == again.version


@pytest.mark.parametrize("text", ["the key is AKIAIOSFODNN7EXAMPLE", "x" * 70_000], ids=["secret", "long"])
async def test_the_model_is_told_what_cannot_be_kept(memory: Memory, text: str) -> None:
    """Instead of the end of the run."""
    with pytest.raises(ModelRetry, match=r"secret|70,000"):
        await MemcrdtMemoryStore(memory).write("a/main/b.md", text, expected_version=None)


@pytest.mark.usefixtures("off_loop")
async def test_an_agent_keeps_a_notebook(memory: Memory) -> None:
    """Which the next run begins with."""

    def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        if len(messages) == 1 and "coffee" not in str(messages):
            return ModelResponse(parts=[ToolCallPart("write_memory", {"content": "Ada prefers coffee"})])
        return ModelResponse(parts=[TextPart(str(messages))])

    agent = Agent(FunctionModel(model), capabilities=[harness.Memory(store=MemcrdtMemoryStore(memory))])
    await agent.run("Hello")
    assert "Ada prefers coffee" in (await agent.run("What do I drink?")).output
    found = await asyncio.to_thread(memory.search, "coffee")
    assert [(hit.memory.text, hit.memory.kind) for hit in found] == [("Ada prefers coffee\n", "file")]
