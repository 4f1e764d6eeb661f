"""The vector store and the document index: LangChain's own suites, and what only these have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("langchain_core", reason="the extra memcrdt[langchain] is not installed")
pytest.importorskip("langchain_tests", reason="the package langchain-tests is not installed")

from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, index
from langchain_tests.integration_tests import VectorStoreIntegrationTests
from langchain_tests.integration_tests.indexer import AsyncDocumentIndexTestSuite, DocumentIndexerTestSuite

import memcrdt
from memcrdt import config
from memcrdt.errors import InputError, SecretError
from memcrdt.frameworks.langchain_documents import MemcrdtDocumentIndex
from memcrdt.frameworks.langchain_vectors import MemcrdtVectorStore
from memcrdt.memory.memory import Memory
from memcrdt.search.embedders import reranker
from memcrdt.testing import exchange, temporary
from tests.conftest import OpenMemory
from tests.cross_encoders import write_cross_encoder

INVOICES = Document(id="billing", page_content="The client wants invoices in PDF", metadata={"year": 2026})
DEPLOYS = Document(id="deploys", page_content="Deploys go out on Tuesdays", metadata={"year": 2024})


@pytest.fixture(name="embedded")
def _embedded() -> Iterator[Memory]:
    """Open a memory with the embedder that is shipped."""
    with temporary(embedder="static") as memory:
        yield memory


class TestVectorStore(VectorStoreIntegrationTests):
    """LangChain's suite for vector stores."""

    @pytest.fixture
    def vectorstore(self, embedded: Memory) -> MemcrdtVectorStore:
        """Return an empty vector store."""
        return MemcrdtVectorStore(embedded)


class TestDocumentIndex(DocumentIndexerTestSuite):
    """LangChain's suite for document indexes."""

    @pytest.fixture
    def index(self, memory: Memory) -> MemcrdtDocumentIndex:
        """Return an empty index."""
        return MemcrdtDocumentIndex(memory)


class TestAsyncDocumentIndex(AsyncDocumentIndexTestSuite):
    """The same with asyncio."""

    @pytest.fixture
    def index(self, memory: Memory) -> MemcrdtDocumentIndex:
        """Return an empty index."""
        return MemcrdtDocumentIndex(memory)


@pytest.fixture(name="store")
def _store(embedded: Memory) -> MemcrdtVectorStore:
    made = MemcrdtVectorStore(embedded, scope="project/acme", author="loader")
    made.add_documents([INVOICES, DEPLOYS])
    return made


def test_a_document_is_a_readable_memory(store: MemcrdtVectorStore, embedded: Memory) -> None:
    """Other faces show and correct it, and the document follows."""
    record = next(record for record in embedded.list(kind="document") if "invoices" in record.text)
    assert (record.scope, record.author, record.metadata["year"]) == ("project/acme", "loader", 2026)
    embedded.update(record.id, text="The client wants invoices on paper")
    assert store.get_by_ids(["billing"])[0].page_content == "The client wants invoices on paper"


def test_a_search_filters_by_metadata_and_scores_from_0_to_1(store: MemcrdtVectorStore) -> None:
    """Filters have the form of Memory.search()."""
    ((found, score),) = store.similarity_search_with_relevance_scores("invoices", filter={"year": {"$gte": 2025}})
    assert found == INVOICES
    assert 0.5 < score <= 1
    assert store.similarity_search("invoices", filter={"year": 2024}) == [DEPLOYS]
    assert store.similarity_search("invoices", contains="Tuesdays") == [DEPLOYS]
    assert store.similarity_search("  ") == []
    assert store.as_retriever(search_kwargs={"k": 1}).invoke("when do we deploy?") == [DEPLOYS]
    with pytest.raises(InputError, match="the filter metadata"):
        store.similarity_search("invoices", filter=lambda document: True)  # type: ignore[arg-type]


def test_a_reranker_orders_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By every way to search, and the scores stay from 0 to 1."""
    config.change(tmp_path / "home", "reranker", str(write_cross_encoder(tmp_path / "reranker")))
    monkeypatch.setattr(reranker, "time", SimpleNamespace(monotonic=lambda: 0.0))  # it is always in time
    texts = ["the ship sails at dawn", "the ship sails at noon", "a kitten may sail with us"]
    query = "when does the ship sail"
    with memcrdt.open(tmp_path / "home", embedder=None) as memory:
        vectors = MemcrdtVectorStore(memory)
        vectors.add_texts(texts)
        found = vectors.similarity_search_with_relevance_scores(query, k=3)
        assert found[0][0].page_content == texts[2]
        assert {document.page_content for document, _ in found} == set(texts)
        assert all(0 <= score <= 1 for _, score in found)
        assert vectors.max_marginal_relevance_search(query, k=1)[0].page_content == texts[2]
        assert MemcrdtDocumentIndex(memory, k=1).invoke(query)[0].page_content == texts[2]


def test_marginal_relevance_prefers_what_differs(store: MemcrdtVectorStore) -> None:
    """A copy of the best document stands behind another one."""
    store.add_texts(["The client wants invoices in PDF"], ids=["copy"])
    near = [found.id for found in store.max_marginal_relevance_search("invoices in PDF", k=2, lambda_mult=1.0)]
    far = [found.id for found in store.max_marginal_relevance_search("invoices in PDF", k=2, lambda_mult=0.1)]
    assert set(near) == {"billing", "copy"}
    assert "deploys" in far


def test_a_vector_of_the_model_finds_its_neighbours() -> None:
    """Any function from texts to vectors is a model, such as embed_documents of LangChain."""

    def embed(texts: list[str]) -> list[list[float]]:
        return [[float("PDF" in text), float("Tuesdays" in text), 0.1] for text in texts]

    with temporary(embedder=embed) as memory:
        store = MemcrdtVectorStore.from_documents([INVOICES, DEPLOYS], None, memory=memory)
        memory.models.wait(timeout=60)
        assert store.similarity_search_by_vector([0.0, 1.0, 0.1], k=1) == [DEPLOYS]


def test_texts_become_a_vector_store(memory: Memory) -> None:
    """Of a memory that embeds with its own model."""
    store = MemcrdtVectorStore.from_texts(["Ada prefers tea"], None, [{"n": 1}], ids=["ada"], memory=memory)
    assert store.similarity_search("tea") == [Document(id="ada", page_content="Ada prefers tea", metadata={"n": 1})]
    with pytest.raises(InputError, match=r"memcrdt\.open\(embedder=embedding\.embed_documents\)"):
        MemcrdtVectorStore.from_texts(["text"], object(), memory=memory)
    with pytest.raises(InputError, match="there is no memory"):
        MemcrdtVectorStore.from_texts(["text"], None)


def test_wrong_documents_are_refused(store: MemcrdtVectorStore) -> None:
    """Nothing of the call is added."""
    with pytest.raises(InputError, match="'document_id', which is used here"):
        store.add_documents([Document("one"), Document("two", metadata={"document_id": 7})])
    with pytest.raises(InputError, match="1 ids for 2 documents"):
        store.add_documents([INVOICES, DEPLOYS], ids=["1"])
    with pytest.raises(InputError, match="no argument 'batch_size'"):
        store.add_documents([INVOICES], batch_size=7)
    with pytest.raises(InputError, match="no ids are given"):
        store.delete()
    with pytest.raises(SecretError):
        store.add_texts(["AKIA" + "Z7Q2M4X3K3T6W5RA"])
    assert {found.id for found in store.similarity_search("deploys", k=9)} == {"billing", "deploys"}


def test_scopes_and_other_memories_are_apart(store: MemcrdtVectorStore, embedded: Memory) -> None:
    """A search has the documents of the scope, and not every memory."""
    embedded.add("Deploys need an approval", scope="project/acme")
    MemcrdtVectorStore(embedded, scope="project/other").add_documents([Document("Deploys of another project")])
    assert store.similarity_search("deploys", k=1) == [DEPLOYS]
    assert len(store.similarity_search("deploys", k=9)) == 2


def test_langchain_indexes_into_it_incrementally(memory: Memory) -> None:
    """A source that changed replaces its documents, and one that vanished deletes them."""
    documents = MemcrdtDocumentIndex(memory)
    known = InMemoryRecordManager("docs")
    pages = [Document("tea at four", metadata={"source": "a"}), Document("cake at five", metadata={"source": "b"})]

    def load(pages: list[Document]) -> dict[str, Any]:
        return dict(index(pages, known, documents, cleanup="full", source_id_key="source", key_encoder="sha256"))

    assert load(pages)["num_added"] == 2
    assert load(pages)["num_skipped"] == 2
    assert load(pages[:1])["num_deleted"] == 1
    assert [record.text for record in memory.list(kind="document")] == ["tea at four"]
    assert [found.page_content for found in documents.invoke("when is tea?")] == ["tea at four"]


def test_two_machines_have_one_document_of_an_id(open_memory: OpenMemory) -> None:
    """Deleting it on one deletes it on both."""
    memories = [open_memory(device) for device in "AB"]
    ours, theirs = (MemcrdtVectorStore(memory) for memory in memories)
    ours.add_documents([INVOICES])
    theirs.add_documents([INVOICES])
    exchange(*memories)
    assert ours.similarity_search("invoices") == theirs.similarity_search("invoices") == [INVOICES]
    theirs.delete(["billing"])
    exchange(*memories)
    assert ours.get_by_ids(["billing"]) == []


def test_documents_put_on_two_machines_keep_both_texts_and_all_metadata(open_memory: OpenMemory) -> None:
    """Both machines show the same document. Of a key that both gave, one value counts. The next put settles it."""
    memories = [open_memory(device) for device in "AB"]
    stores = [MemcrdtVectorStore(memory) for memory in memories]
    for number, store in enumerate(stores, start=1):
        about = {"page": number, f"only {number}": True}
        store.add_documents([Document(id="tea", page_content=f"tea at {number}", metadata=about)])
    exchange(*memories)
    ours, theirs = (store.get_by_ids(["tea"])[0] for store in stores)
    assert ours == theirs
    assert ours.metadata.keys() == {"page", "only 1", "only 2"}
    assert ours.metadata["page"] in (1, 2)
    rivals = memories[0].conflicts(memories[0].list()[0].id)
    assert {each.text for each in rivals} == {"tea at 1", "tea at 2"}
    stores[0].add_documents([Document(id="tea", page_content="tea at four", metadata={"page": 4})])
    exchange(*memories)
    assert [store.get_by_ids(["tea"])[0].metadata for store in stores] == [{"page": 4}] * 2
