"""The search of a store as the facade offers it: any query, hits, and models that differ between devices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from memcrdt.errors import InputError
from memcrdt.memory.memory import Memory
from memcrdt.model import limits
from memcrdt.search.index.index import SearchIndex
from memcrdt.search.index.worker import EmbeddingWorker
from memcrdt.testing.memories import exchange

# The syntax of FTS5, between arbitrary characters.
SYNTAX = (
    '"',
    "'",
    "*",
    "^",
    "+",
    "-",
    ":",
    "(",
    ")",
    "{",
    "}",
    ",",
    "\\",
    "NEAR",
    "NEAR(",
    "AND",
    "OR",
    "NOT",
    "words:",
)
queries = st.lists(
    st.one_of(
        st.sampled_from(SYNTAX), st.text(max_size=8), st.sampled_from("\0\n 京ข้👍🏽\ufe0f\u200dé\u0301İßﬃ\U0010ffff")
    )
).map(" ".join) | st.text(max_size=80)


@pytest.fixture(name="asked", params=["static", None])
def _asked(open_memory: Any, request: pytest.FixtureRequest) -> Memory:
    memory: Memory = open_memory(embedder=request.param)
    memory.add_many(["Deploys go out on Tuesdays", '"NEAR" and OR * are words 👍🏽', "我在北京大学学习中文", "\ufe0f"])
    return memory


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=queries)
@example(query="")
@example(query='NEAR("a" b, 3)')
@example(query="京" * limits.QUERY_CHARS)
@example(query="".join(map(chr, range(0x4E00, 0x4E00 + limits.QUERY_CHARS))))
@example(query='" ' * (limits.QUERY_CHARS // 2))
@example(query="x" * limits.QUERY_CHARS)
def test_any_text_is_a_valid_query(asked: Memory, query: str) -> None:
    """For any text and every option, the hits have marks within their passage or text."""
    for options in ({}, {"diversity": 0.5, "fold": True, "recency": 1.0, "importance": 1.0, "explain": True}):
        for hit in asked.search(query, **options):
            assert 0 <= hit.score <= 1
            assert all(0 <= start < end <= len(hit.memory.text) for start, end in hit.marks)


@pytest.mark.parametrize("query", ["\ud800", "a\udfffb", 5, None])
def test_an_invalid_query_is_refused(asked: Memory, query: Any) -> None:
    """Lone surrogates and values that are not text raise an InputError that names the query."""
    with pytest.raises(InputError, match="query"):
        asked.search(query)


def test_devices_need_not_use_the_same_model(open_memory: Any, tiny_model: Path) -> None:
    """A device finds with its own model the texts of another device. No vector is exchanged."""
    ours, theirs = open_memory("A", embedder="static"), open_memory("B", embedder=str(tiny_model))
    ours.add("deploys tuesdays")
    theirs.add("cat sleeps")
    exchange(ours, theirs)
    names = []
    for memory in (ours, theirs):
        index = memory.store.indexer
        assert isinstance(index, SearchIndex)
        EmbeddingWorker(memory.store, index).drain()
        with memory.store.reading() as db:
            assert db.execute("SELECT count(*) FROM vectors JOIN models USING(model)").get == 2
        names.append(memory.status().search.model)
        assert [hit.memory.text for hit in memory.search("a kitten naps", limit=1)] == ["cat sleeps"]
    assert len(set(names)) == 2
