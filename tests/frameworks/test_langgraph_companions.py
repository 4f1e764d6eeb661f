"""What others built for LangGraph stores works on ours unchanged: graphs, langmem, deepagents."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypedDict

import pytest

pytest.importorskip("langgraph.store.base", reason="the extra memcrdt[langgraph] is not installed")

from langgraph.store.base import BaseStore

from memcrdt.frameworks.langgraph import MemcrdtStore
from memcrdt.memory.memory import Memory
from memcrdt.testing import exchange

OpenMemory = Callable[..., Memory]


class State(TypedDict):
    """The state of the graph below."""

    said: str


async def test_a_graph_gets_the_store(memory: Memory) -> None:
    """In nodes that ask for it, synchronous and asynchronous ones."""
    graphs = pytest.importorskip("langgraph.graph", reason="langgraph is not installed")

    def remember(state: State, *, store: BaseStore) -> State:
        store.put(("users", "ada"), "drink", {"text": state["said"]})
        return state

    async def recall(state: State, *, store: BaseStore) -> State:
        (item,) = await store.asearch(("users", "ada"), query="tea")
        return {"said": f"I know: {item.value['text']}"}

    builder = graphs.StateGraph(State)
    builder.add_node("remember", remember)
    builder.add_node("recall", recall)
    builder.add_edge(graphs.START, "remember")
    builder.add_edge("remember", "recall")
    graph = builder.compile(store=MemcrdtStore(memory))
    assert await graph.ainvoke({"said": "Ada prefers tea"}) == {"said": "I know: Ada prefers tea"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_the_tools_of_langmem_work(open_memory: OpenMemory) -> None:
    """They create, find, update and delete, and another machine has what they left."""
    langmem = pytest.importorskip("langmem", reason="langmem is not installed")
    laptop, desktop = open_memory("A"), open_memory("B")
    store = MemcrdtStore(laptop)
    manage = langmem.create_manage_memory_tool(("users", "ada"), store=store)
    search = langmem.create_search_memory_tool(("users", "ada"), store=store)
    told = manage.invoke({"content": "Ada prefers tea", "action": "create"})
    await manage.ainvoke({"content": "Ada drives a bus", "action": "create"})
    assert "Ada prefers tea" in search.invoke({"query": "tea"})
    (key,) = re.findall(r"[0-9a-f-]{36}", told)
    await manage.ainvoke({"content": "Ada prefers coffee", "action": "update", "id": key})
    assert "Ada prefers coffee" in await search.ainvoke({"query": "coffee"})
    exchange(laptop, desktop)
    other = MemcrdtStore(desktop)
    texts = {item.value["content"] for item in other.search(("users", "ada"))}
    assert texts == {"Ada prefers coffee", "Ada drives a bus"}
    manage.invoke({"action": "delete", "id": key})
    exchange(laptop, desktop)
    assert [item.value["content"] for item in other.search(("users",))] == ["Ada drives a bus"]


async def test_the_files_of_deepagents_are_in_it(open_memory: OpenMemory) -> None:
    """An agent's files are memories: another machine reads them, and other faces find them."""
    backends = pytest.importorskip("deepagents.backends", reason="deepagents is not installed")
    laptop, desktop = open_memory("A"), open_memory("B")
    here, there = (
        backends.StoreBackend(store=MemcrdtStore(memory, fields=["content"]), namespace=lambda _: ("files",))
        for memory in (laptop, desktop)
    )
    assert here.write("/notes/todo.md", "Ask Ada about the invoices\n").error is None
    assert (await here.awrite("/AGENTS.md", "Deploys are on Tuesdays\n")).error is None
    assert here.edit("/notes/todo.md", "Ada", "Ben").error is None
    exchange(laptop, desktop)
    assert "Ask Ben about the invoices" in str(there.read("/notes/todo.md"))
    assert "Deploys are on Tuesdays" in str(await there.aread("/AGENTS.md"))
    assert {each["path"] for each in there.ls("/").entries} == {"/notes/", "/AGENTS.md"}
    assert [each["path"] for each in there.grep("invoices").matches] == ["/notes/todo.md"]
    assert [each["path"] for each in there.glob("**/*.md", "/notes").matches] == ["/notes/todo.md"]
    assert [hit.memory.text for hit in desktop.search("deploys tuesdays")] == ["Deploys are on Tuesdays\n"]
    assert there.delete("/notes/todo.md").error is None
    exchange(laptop, desktop)
    assert here.read("/notes/todo.md").error is not None
