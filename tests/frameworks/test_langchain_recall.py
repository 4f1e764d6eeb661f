"""The retriever: LangChain's own suite, and what only it has."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("langchain_core", reason="the extra memcrdt[langchain] is not installed")
pytest.importorskip("langchain_tests", reason="the package langchain-tests is not installed")

from langchain_tests.integration_tests import RetrieversIntegrationTests

from memcrdt.frameworks.langchain_recall import MemcrdtRetriever
from memcrdt.memory.memory import Memory

TEA = "Ada prefers tea at four"


class TestRetriever(RetrieversIntegrationTests):
    """LangChain's suite for retrievers."""

    @pytest.fixture(autouse=True)
    def _open(self, memory: Memory) -> None:
        memory.add_many([f"Invoice {n} is sent as PDF" for n in range(5)], scope="project/acme")
        self.memory = memory

    @property
    def retriever_constructor(self) -> type[MemcrdtRetriever]:
        """Return the class."""
        return MemcrdtRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        """Return the arguments of the class."""
        return {"memory": self.memory, "project": "acme"}

    @property
    def retriever_query_example(self) -> str:
        """Return a query with five results."""
        return "how are invoices sent?"


def test_a_document_says_where_its_memory_comes_from(memory: Memory) -> None:
    """Beside the metadata of the memory."""
    known = memory.add(TEA, scope="project/acme", kind="fact", author="planner", metadata={"n": 1})
    memory.add("Tea of another project", scope="project/other")
    (found,) = MemcrdtRetriever(memory, project="acme").invoke("tea")
    assert (found.id, found.page_content, found.metadata["n"]) == (known, TEA, 1)
    told = found.metadata["memory"]
    assert (told["scope"], told["kind"], told["author"]) == ("project/acme", "fact", "planner")
    assert told["device"] == memory.device
    assert 0 < told["score"] <= 1
    assert len(MemcrdtRetriever(memory, scope="all").invoke("tea")) == 2
    assert MemcrdtRetriever(memory, scope="all", filters={"kind": "decision"}).invoke("tea") == []
    assert MemcrdtRetriever(memory, scope="all", min_score=1.0).invoke("tea and something else") == []


def test_one_module_has_all_names() -> None:
    """And loads each with the parts of LangChain that it needs."""
    from memcrdt.frameworks import langchain

    assert [getattr(langchain, name).__name__ for name in langchain.__all__] == langchain.__all__
    with pytest.raises(AttributeError, match="no attribute 'unknown'"):
        _ = langchain.unknown
