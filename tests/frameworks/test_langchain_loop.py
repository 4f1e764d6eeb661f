"""No awaitable method of an adapter for LangChain touches the memory in the thread of the event loop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("langchain.agents", reason="the extra memcrdt[langchain] is not installed")

from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import HumanMessage
from langchain_core.outputs import Generation

from memcrdt.frameworks import langchain
from memcrdt.memory.memory import Memory
from memcrdt.testing import temporary

TEA = Document(id="tea", page_content="Ada prefers tea at four")

pytestmark = pytest.mark.usefixtures("off_loop")


@pytest.fixture(name="opened", scope="module")
def _opened() -> Iterator[Memory]:
    """Open a memory outside of the loop."""
    with temporary() as memory:
        yield memory


@pytest.fixture(name="vectors")
def _vectors(opened: Memory) -> langchain.MemcrdtVectorStore:
    return langchain.MemcrdtVectorStore(opened)


@pytest.fixture(name="documents")
def _documents(opened: Memory) -> langchain.MemcrdtDocumentIndex:
    return langchain.MemcrdtDocumentIndex(opened)


async def test_documents(vectors: langchain.MemcrdtVectorStore, documents: langchain.MemcrdtDocumentIndex) -> None:
    """The vector store and the index."""
    await vectors.aadd_documents([TEA])
    assert await vectors.aget_by_ids(["tea"]) == [TEA]
    assert await vectors.asimilarity_search("tea") == [TEA]
    assert len(await vectors.asimilarity_search_with_relevance_scores("tea")) == 1
    assert await vectors.amax_marginal_relevance_search("tea") == [TEA]
    assert await vectors.as_retriever().ainvoke("tea") == [TEA]
    await documents.aupsert([TEA])
    assert await documents.ainvoke("tea") == await documents.aget(["tea"]) == [TEA]
    assert (await documents.adelete(["tea"]))["num_deleted"] == 1
    await vectors.adelete(["tea"])


@pytest.fixture(name="stored")
def _stored(opened: Memory) -> tuple[langchain.MemcrdtByteStore, langchain.MemcrdtCache]:
    return langchain.MemcrdtByteStore(opened), langchain.MemcrdtCache(opened)


async def test_values(opened: Memory, stored: tuple[langchain.MemcrdtByteStore, langchain.MemcrdtCache]) -> None:
    """The byte store, the cache and the messages."""
    values, cache = stored
    await values.amset([("key", b"value")])
    assert await values.amget(["key"]) == [b"value"]
    assert [key async for key in values.ayield_keys()] == ["key"]
    await values.amdelete(["key"])
    await cache.aupdate("prompt", "model", [Generation(text="answer")])
    assert await cache.alookup("prompt", "model") == [Generation(text="answer")]
    await cache.aclear()
    history = langchain.MemcrdtChatMessageHistory("c1", opened)
    await history.aadd_messages([HumanMessage("hello")])
    assert await history.aget_messages() == [HumanMessage("hello")]
    await history.aclear()


async def test_recall(opened: Memory) -> None:
    """The tools and the retriever."""
    said = await langchain.create_manage_memory_tool(opened).ainvoke({"content": TEA.page_content})
    assert said.startswith("created memory ")
    assert "tea" in await langchain.create_search_memory_tool(opened).ainvoke({"query": "tea"})
    assert len(await langchain.MemcrdtRetriever(opened).ainvoke("tea")) == 1
    with pytest.raises(AssertionError, match="blocks the event loop"):
        langchain.MemcrdtRetriever(opened).invoke("tea")


@pytest.fixture(name="agent")
def _agent(opened: Memory) -> Any:
    middleware = langchain.MemcrdtMiddleware(opened, project="acme", with_tools=False, capture=True)
    return create_agent(FakeListChatModel(responses=["Noted."]), middleware=[middleware])


async def test_the_middleware(agent: Any) -> None:
    """Recall and capture."""
    await agent.ainvoke({"messages": [HumanMessage("Always run the tests before a commit, please.")]})
    with pytest.raises(AssertionError, match="blocks the event loop"):
        agent.invoke({"messages": [HumanMessage("Always run the tests before a commit, please.")]})
