"""Memory for LangChain: everything that is public, each loaded with the parts of LangChain that it needs when used.

Example:
    ```python
    import memcrdt
    from langchain.agents import create_agent
    from memcrdt.frameworks.langchain import MemcrdtMiddleware

    memory = memcrdt.open(sync=True)
    agent = create_agent(model, middleware=[MemcrdtMiddleware(memory, project="acme", agent="coder")])
    ```
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from memcrdt.frameworks.langchain_documents import MemcrdtDocumentIndex
    from memcrdt.frameworks.langchain_history import MemcrdtChatMessageHistory
    from memcrdt.frameworks.langchain_middleware import MemcrdtMiddleware
    from memcrdt.frameworks.langchain_recall import MemcrdtRetriever
    from memcrdt.frameworks.langchain_tools import create_manage_memory_tool, create_search_memory_tool
    from memcrdt.frameworks.langchain_values import MemcrdtByteStore, MemcrdtCache
    from memcrdt.frameworks.langchain_vectors import MemcrdtVectorStore

__all__ = [
    "MemcrdtByteStore",
    "MemcrdtCache",
    "MemcrdtChatMessageHistory",
    "MemcrdtDocumentIndex",
    "MemcrdtMiddleware",
    "MemcrdtRetriever",
    "MemcrdtVectorStore",
    "create_manage_memory_tool",
    "create_search_memory_tool",
]

_MODULES: Final = {
    "langchain_documents": ("MemcrdtDocumentIndex",),
    "langchain_history": ("MemcrdtChatMessageHistory",),
    "langchain_middleware": ("MemcrdtMiddleware",),
    "langchain_recall": ("MemcrdtRetriever",),
    "langchain_tools": ("create_manage_memory_tool", "create_search_memory_tool"),
    "langchain_values": ("MemcrdtByteStore", "MemcrdtCache"),
    "langchain_vectors": ("MemcrdtVectorStore",),
}
_MODULE_OF: Final = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"memcrdt.frameworks.{_MODULE_OF[name]}"), name)
