"""The memory block beside LlamaIndex's VectorMemoryBlock, with the same messages and the same embedder.

Compared are what is found again, what comes first, and that a session keeps to its limit of tokens. Not compared are:

- the order of further memories: ours ranks by words as well,
- the session: ours recalls across sessions,
- the text: ours is fenced,
- a block that is too long: ours has fewer memories then, and LlamaIndex leaves theirs out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

pytest.importorskip("llama_index.core.memory", reason="the extra memcrdt[llama-index] is not installed")

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.memory import BaseMemoryBlock, VectorMemoryBlock
from llama_index.core.memory import Memory as LlamaMemory
from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores import SimpleVectorStore, VectorStoreQuery, VectorStoreQueryResult
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import StaticPool

from memcrdt.frameworks.llama_index import MemcrdtMemoryBlock
from memcrdt.memory.memory import Memory
from memcrdt.search import make_embedder
from memcrdt.testing import temporary

SAID = {
    "how are bills sent?": "The client wants invoices in PDF",
    "when do we deploy?": "Deploys go out on Tuesdays",
    "what does Ada drink?": "Ada prefers tea to coffee",
    "which port has staging?": "Staging listens at port 8443",
    "where do backups go?": "Backups are copied to the attic every night",
}


class _Embedding(BaseEmbedding):
    """The embedder that memcrdt ships."""

    def _get_text_embedding(self, text: str) -> list[float]:
        return [float(each) for each in EMBEDDER.embed([text])[0]]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


class _TextStore(SimpleVectorStore):
    """LlamaIndex's vector store in memory, with the texts, which the block needs."""

    stores_text: bool = True
    _nodes: dict[str, BaseNode] = PrivateAttr(default_factory=dict)

    def add(self, nodes: list[BaseNode], **options: Any) -> list[str]:
        self._nodes.update({node.node_id: node for node in nodes})
        return super().add(nodes, **options)

    def query(self, query: VectorStoreQuery, **options: Any) -> VectorStoreQueryResult:
        found = super().query(query, **options)
        found.nodes = [self._nodes[each] for each in found.ids or []]
        return found


TOP = 3  # the memories of their block
TAGS = 20  # tokens around all blocks, which LlamaIndex does not count
EMBEDDER = make_embedder("static")


@pytest.fixture(name="embedded")
def _embedded() -> Iterator[Memory]:
    with temporary(embedder="static") as memory:
        yield memory


@pytest.fixture(name="blocks")
async def _blocks(embedded: Memory) -> dict[str, BaseMemoryBlock[str]]:
    """Return our block and theirs with the same messages, each put by itself."""
    ours = MemcrdtMemoryBlock(embedded, min_score=0.0)
    theirs = VectorMemoryBlock(
        vector_store=_TextStore(),
        embed_model=_Embedding(),
        similarity_top_k=TOP,
        retrieval_context_window=1,
        priority=1,
    )
    for text in SAID.values():
        for block in (ours, theirs):
            await block.aput([ChatMessage(role="user", content=text)], True, "s")
    return {"ours": ours, "theirs": theirs}


@pytest.fixture(name="engine")
async def _engine() -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
    yield engine
    await engine.dispose()


def _order(block: str) -> list[str]:
    """Return what was said, in the order of a block."""
    return sorted((text for text in SAID.values() if text in block), key=block.index)


@pytest.mark.parametrize("question", SAID)
async def test_what_was_said_is_found_again(question: str, blocks: dict[str, BaseMemoryBlock[str]]) -> None:
    """By both, and both have the same first."""
    asked = [ChatMessage(role="user", content=question)]
    orders = {name: _order(await block.aget(asked, session_id="s")) for name, block in blocks.items()}
    assert SAID[question] in orders["theirs"]
    assert SAID[question] in orders["ours"]
    assert orders["ours"][0] == orders["theirs"][0]


async def test_nothing_is_asked_and_nothing_is_said(blocks: dict[str, BaseMemoryBlock[str]]) -> None:
    """Without messages, and for an empty one."""
    for asked in (None, [], [ChatMessage(role="user", content="")]):
        assert [await block.aget(asked) for block in blocks.values()] == ["", ""]


@pytest.mark.parametrize(("limit", "told_by_ours"), [(40, 0), (150, 2), (1_000, 4)], ids=str)
async def test_a_session_keeps_to_its_limit(
    limit: int, told_by_ours: int, blocks: dict[str, BaseMemoryBlock[str]], engine: AsyncEngine
) -> None:
    """With as many memories as there is room for, in the order of theirs. Four characters are a token."""
    said = {}
    for name, block in blocks.items():
        given: dict[str, Any] = {"session_id": "s", "table_name": name, "async_engine": engine, "token_limit": limit}
        chat = LlamaMemory.from_defaults(**given, memory_blocks=[block], tokenizer_fn=lambda text: list(text[::4]))
        await chat.aput(ChatMessage(role="user", content="when do we deploy?"))
        told = "\n".join(message.content or "" for message in await chat.aget())
        assert len(told) // 4 <= limit + TAGS
        said[name] = _order(told)
    assert len(said["ours"]) == told_by_ours
    assert len(said["theirs"]) == (TOP if limit > 40 else 0)
    assert said["ours"][: min(told_by_ours, TOP)] == said["theirs"][:told_by_ours]
