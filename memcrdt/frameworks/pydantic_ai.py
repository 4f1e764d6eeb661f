"""A store for the Memory capability of pydantic-ai-harness: an agent's notebook, over files that sync."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from memcrdt.errors import InputError
from memcrdt.frameworks.extras import needs
from memcrdt.frameworks.files import FileTree, StoredFile
from memcrdt.frameworks.pydantic_ai_operations import Operations, version_of
from memcrdt.frameworks.services import service_over
from memcrdt.frameworks.threads import in_thread
from memcrdt.model.limits import RESULTS
from memcrdt.model.scopes import GLOBAL, PERSONAL

with needs("pydantic-ai"):
    from pydantic_ai_harness.memory import (
        MemoryFile,
        MemoryMutation,
        MemoryOperation,
        MemorySearchMatch,
        MemorySearchResult,
    )

if TYPE_CHECKING:
    from memcrdt import AsyncMemory
    from memcrdt.memory.memory import Memory

_CUT: Final = "…"


class MemcrdtMemoryStore:
    """A store for `Memory(store=...)`, with search and with metadata of writes.

    Args:
        memory: The memory. It stays open as long as the store is used.
        scope: The scope of the files, such as `project/acme`.
        space: The space to share them in: `personal`, `local` (this machine only), or your own.
        root: A folder that all files are in. Stores with other roots have other files.
        author: The agent that writes the files.

    Raises:
        InputError: An argument is invalid.

    Example:
        ```python
        agent = Agent(model, capabilities=[Memory(store=MemcrdtMemoryStore(memory))])
        ```
    """

    def __init__(
        self,
        memory: Memory | AsyncMemory,
        *,
        scope: str = GLOBAL,
        space: str = PERSONAL,
        root: str = "pydantic-ai",
        author: str | None = None,
    ) -> None:
        service = service_over(memory, author=author)
        self.tree = FileTree(service, scope=scope, space=space, root=root)
        self._operations = Operations(self.tree, service, scope=scope)

    @in_thread
    def read(self, path: str, *, max_chars: int) -> MemoryFile | None:
        """Return a file, or None if there is none. Texts that were written apart are one after the other."""
        if max_chars <= 0:
            raise InputError(f"max_chars is {max_chars}; give a positive number")
        file = self.tree.find(path)
        return file and _file(file, max_chars)

    @in_thread
    def get_operation(self, operation: MemoryOperation) -> MemoryMutation | None:
        """Return the result of an operation that was done on this machine, or None."""
        return self._operations.find(operation)

    @in_thread
    def write(
        self, path: str, content: str, *, expected_version: str | None, operation: MemoryOperation | None = None
    ) -> MemoryMutation:
        """Create or replace a file if it is at the expected version.

        Raises:
            MemoryConflictError: It is at another version.
            ModelRetry: The text is too long, or looks like a secret.
        """
        return self._operations.write(path, content, expected_version, operation)

    @in_thread
    def write_with_metadata(
        self,
        path: str,
        content: str,
        *,
        expected_version: str | None,
        metadata: Mapping[str, str] | None,
        operation: MemoryOperation | None = None,
    ) -> MemoryMutation:
        """Create or replace a file as write() does, with metadata of the write."""
        return self._operations.write(path, content, expected_version, operation, metadata)

    @in_thread
    def delete(
        self, path: str, *, expected_version: str | None, operation: MemoryOperation | None = None
    ) -> MemoryMutation:
        """Delete a file on every device if it is at the expected version. Raises MemoryConflictError."""
        return self._operations.delete(path, expected_version, operation)

    @in_thread
    def list_paths(self, prefix: str = "", *, limit: int) -> list[str]:
        """Return the paths that start with a prefix, sorted."""
        if limit <= 0:
            raise InputError(f"the limit is {limit}; give a positive number")
        folder, _, _ = prefix.rpartition("/")
        return [file.path for file in self.tree.files(folder) if file.path.startswith(prefix)][:limit]

    @in_thread
    def search(
        self, prefix: str, query: str, *, limit: int, max_files: int, max_chars: int, max_file_chars: int
    ) -> MemorySearchResult:
        """Return the files directly in a folder that best answer a query, by words and by meaning."""
        if min(limit, max_files, max_chars, max_file_chars) <= 0:
            return MemorySearchResult(matches=[], scanned=0, truncated=False)
        found = self.tree.search(query, prefix, limit=min(max_files, RESULTS))
        here = [(file, hit) for file, hit in found if "/" not in file.path.removeprefix(prefix)]
        matches, left = [], max_chars
        for file, hit in here[: min(limit, max_files)]:
            name, text = file.path.removeprefix(prefix), hit.passage or file.text
            snippet = text if len(text) <= left - len(name) else text[: max(0, left - len(name) - 1)] + _CUT
            left -= len(name) + len(snippet)
            if left < 0:
                break
            matches.append(MemorySearchMatch(path=file.path, snippet=snippet, score=hit.score))
        return MemorySearchResult(matches=matches, scanned=len(here), truncated=len(here) > len(matches))


def _file(file: StoredFile, max_chars: int) -> MemoryFile:
    text = "\n\nAnother device wrote, while disconnected:\n\n".join([file.text, *file.others])
    operation, write = file.metadata.get("operation"), file.metadata.get("write")  # any device may have written them
    return MemoryFile(
        content=text[:max_chars],
        version=version_of(file),
        operation_id=operation if isinstance(operation, str) else None,
        truncated=len(text) > max_chars,
        metadata=write if isinstance(write, dict) and write else None,
    )
