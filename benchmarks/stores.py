"""The stores that `python -m benchmarks compare` measures, each used as its users write it.

All get the same texts and the same embedder, the static model that memcrdt ships.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

from memcrdt.search import Embedder, make_embedder

LIMIT = 10  # results of a search
BATCH = 1_000  # texts of one call of a library that takes batches
OWNER = "bench"


class OpenStore(Protocol):
    """A store that is open. Every call returns when its library says that it is done."""

    def add(self, texts: Sequence[str]) -> None:
        """Add texts, at most BATCH."""
        ...

    def search(self, query: str) -> list[str]:
        """Return the texts of the LIMIT best results, best first."""
        ...


@dataclass(frozen=True)
class Calls:
    """An OpenStore from two functions."""

    add: Callable[[Sequence[str]], None]
    search: Callable[[str], list[str]]


def embedder() -> Embedder:
    """Return the embedder of all stores."""
    made = make_embedder("static")
    assert made is not None
    return made


@contextmanager
def memcrdt_store(folder: Path) -> Iterator[OpenStore]:
    import memcrdt

    with memcrdt.open(folder / "home", embedder="static") as memory:

        def add(texts: Sequence[str]) -> None:
            if len(texts) == 1:
                memory.add(texts[0])
            else:
                memory.add_many(texts)

        yield Calls(add, lambda query: [hit.memory.text for hit in memory.search(query, limit=LIMIT)])


@contextmanager
def bare_sqlite_store(folder: Path) -> Iterator[OpenStore]:
    from bare_sqlite import BareSqlite

    with BareSqlite(folder / "bare.db", embedder()) as bare:
        yield Calls(bare.add, lambda query: [text for _, text in bare.search(query)])


@contextmanager
def chroma_store(folder: Path) -> Iterator[OpenStore]:
    chromadb: Any = importlib.import_module("chromadb")
    model = embedder()
    settings = chromadb.Settings(anonymized_telemetry=False)
    client = chromadb.PersistentClient(path=str(folder / "chroma"), settings=settings)
    collection = client.get_or_create_collection(
        OWNER, embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
    )

    def add(texts: Sequence[str]) -> None:
        first = collection.count()
        ids = [str(number) for number in range(first, first + len(texts))]
        collection.add(ids=ids, documents=list(texts), embeddings=model.embed(texts))

    def search(query: str) -> list[str]:
        found = collection.query(query_embeddings=[model.embed_query(query)], n_results=LIMIT)
        return list(found["documents"][0])

    yield Calls(add, search)


@contextmanager
def lancedb_store(folder: Path) -> Iterator[OpenStore]:
    lancedb: Any = importlib.import_module("lancedb")
    pa: Any = importlib.import_module("pyarrow")
    model = embedder()
    schema = pa.schema([("text", pa.string()), ("vector", pa.list_(pa.float32(), model.dim))])
    table = lancedb.connect(folder / "lance").create_table(OWNER, schema=schema, exist_ok=True)

    def add(texts: Sequence[str]) -> None:
        table.add([{"text": text, "vector": row} for text, row in zip(texts, model.embed(texts), strict=True)])

    def search(query: str) -> list[str]:
        found = table.search(model.embed_query(query)).distance_type("cosine").limit(LIMIT).to_list()
        return [row["text"] for row in found]

    yield Calls(add, search)


@contextmanager
def langgraph_store(folder: Path) -> Iterator[OpenStore]:
    import uuid

    sqlite3: Any = importlib.import_module("sqlite3")
    if not hasattr(sqlite3.Connection, "enable_load_extension"):
        sqlite3 = importlib.import_module("pysqlite3")
    sqlite_store: Any = importlib.import_module("langgraph.store.sqlite")
    put: Any = importlib.import_module("langgraph.store.base").PutOp
    model = embedder()
    connection = sqlite3.connect(folder / "store.db", check_same_thread=False, isolation_level=None)
    index = {"dims": model.dim, "embed": lambda texts: model.embed(texts).tolist(), "fields": ["text"]}
    store = sqlite_store.SqliteStore(connection, index=index)
    store.setup()

    def search(query: str) -> list[str]:
        return [item.value["text"] for item in store.search((OWNER,), query=query, limit=LIMIT)]

    yield Calls(lambda texts: store.batch([put((OWNER,), uuid.uuid4().hex, {"text": text}) for text in texts]), search)
    connection.close()


@contextmanager
def mem0_store(folder: Path) -> Iterator[OpenStore]:
    import os
    import sys

    # memcrdt brings fastembed, with which mem0 would download a model for BM25. A plain install of mem0 has neither.
    sys.modules["fastembed"] = None  # type: ignore[assignment]
    os.environ |= {"MEM0_TELEMETRY": "False", "MEM0_DIR": str(folder / "mem0")}
    mem0: Any = importlib.import_module("mem0")
    base: Any = importlib.import_module("langchain_core.embeddings").Embeddings
    model = embedder()

    class Embeddings(base):  # type: ignore[misc]
        def embed_query(self, text: str) -> list[float]:
            return [float(number) for number in model.embed_query(text)]

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [[float(number) for number in row] for row in model.embed(texts)]

    place = {"path": str(folder / "qdrant"), "embedding_model_dims": model.dim, "on_disk": True}
    memory = mem0.Memory.from_config(
        {
            "embedder": {"provider": "langchain", "config": {"model": Embeddings()}},
            "vector_store": {"provider": "qdrant", "config": place},
            "llm": {"provider": "openai", "config": {"api_key": "unused"}},
            "history_db_path": str(folder / "history.db"),
        }
    )

    def add(texts: Sequence[str]) -> None:
        messages = [{"role": "user", "content": text} for text in texts]
        memory.add(messages, user_id=OWNER, infer=False)

    def search(query: str) -> list[str]:
        found = memory.search(query, filters={"user_id": OWNER}, top_k=LIMIT)
        return [row["memory"] for row in found["results"]]

    yield Calls(add, search)


@dataclass(frozen=True)
class System:
    """A system to measure.

    Args:
        title: Its name in tables.
        packages: Its packages on PyPI, whose versions are told. It is missing without one of them.
        opened: Opens it in a folder.
        kind: How it searches by default.
    """

    title: str
    packages: tuple[str, ...]
    opened: Callable[[Path], AbstractContextManager[OpenStore]]
    kind: str

    def missing(self) -> str:
        """Return what is missing here, or an empty string."""
        absent = [name for name in self.packages if not _version(name)]
        return f"not installed: {', '.join(absent)}" if absent else ""

    def versions(self) -> str:
        """Return its packages with their versions."""
        return ", ".join(f"{name} {_version(name)}" for name in self.packages)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


HYBRID, VECTORS = "words and vectors", "vectors"
SYSTEMS = {
    "memcrdt": System("memcrdt", ("memcrdt",), memcrdt_store, HYBRID),
    "bare": System("bare SQLite", ("apsw", "sqlite-vec"), bare_sqlite_store, HYBRID),
    "chroma": System("Chroma", ("chromadb",), chroma_store, VECTORS),
    "lancedb": System("LanceDB", ("lancedb", "pyarrow"), lancedb_store, VECTORS),
    "langgraph": System("LangGraph SqliteStore", ("langgraph-checkpoint-sqlite",), langgraph_store, VECTORS),
    "mem0": System("mem0", ("mem0ai", "qdrant-client", "langchain"), mem0_store, VECTORS),
}
