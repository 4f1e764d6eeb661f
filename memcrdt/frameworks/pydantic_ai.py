"""A store for the Memory capability of pydantic-ai-harness: an agent's notebook, over files that sync."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from memcrdt.errors import InputError, NotFoundError, StaleRevisionError
from memcrdt.frameworks.extras import needs
from memcrdt.frameworks.files import NEW, FileTree, StoredFile
from memcrdt.frameworks.history import LOCAL
from memcrdt.frameworks.services import service_over
from memcrdt.frameworks.threads import in_thread
from memcrdt.model.limits import RESULTS
from memcrdt.model.scopes import GLOBAL, PERSONAL

with needs("pydantic-ai"):
    from pydantic_ai import ModelRetry
    from pydantic_ai_harness.memory import (
        MemoryConflictError,
        MemoryFile,
        MemoryMutation,
        MemoryOperation,
        MemoryOperationConflictError,
        MemorySearchMatch,
        MemorySearchResult,
    )

if TYPE_CHECKING:
    from memcrdt import AsyncMemory
    from memcrdt.memory.memory import Memory

RECEIPT: Final = "receipt"  # the kind of a memory that says that an operation is done
RECEIPT_TTL: Final = timedelta(days=7)  # a durable run that is resumed later repeats its last operation

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
        self._service = service_over(memory, author=author)
        self._scope = scope
        self.tree = FileTree(self._service, scope=scope, space=space, root=root)

    @in_thread
    def read(self, path: str, *, max_chars: int) -> MemoryFile | None:
        """Return a file, or None if there is none. Texts that were written apart are one after the other."""
        if max_chars <= 0:
            raise InputError(f"max_chars is {max_chars}; give a positive number")
        file = self._find(path)
        return file and _file(file, max_chars)

    @in_thread
    def get_operation(self, operation: MemoryOperation) -> MemoryMutation | None:
        """Return the result of an operation that was done on this machine, or None."""
        return self._receipt(operation)

    @in_thread
    def write(
        self, path: str, content: str, *, expected_version: str | None, operation: MemoryOperation | None = None
    ) -> MemoryMutation:
        """Create or replace a file if it is at the expected version.

        Raises:
            MemoryConflictError: It is at another version.
            ModelRetry: The text is too long, or looks like a secret.
        """
        return self._write(path, content, expected_version, operation, None)

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
        return self._write(path, content, expected_version, operation, metadata)

    @in_thread
    def delete(
        self, path: str, *, expected_version: str | None, operation: MemoryOperation | None = None
    ) -> MemoryMutation:
        """Delete a file on every device if it is at the expected version. Raises MemoryConflictError."""
        done = self._receipt(operation)
        if done:
            return done
        file = self._find(path)
        try:
            if _version(file) != expected_version:
                raise _conflict(path)
            if file:
                self.tree.delete(path, expected=file.version)
        except (StaleRevisionError, NotFoundError) as exc:
            raise _conflict(path) from exc
        return self._done(operation, MemoryMutation(version=None, replayed=False, existed=file is not None))

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
        most = min(limit, max_files)
        found = (
            self.tree.search(query, prefix, limit=min(max_files, RESULTS))
            if min(most, max_chars, max_file_chars) > 0
            else []
        )
        here = [(file, hit) for file, hit in found if "/" not in file.path.removeprefix(prefix)]
        matches, left = [], max_chars
        for file, hit in here[:most]:
            name, text = file.path.removeprefix(prefix), hit.passage or file.text
            snippet = text if len(text) <= left - len(name) else text[: max(0, left - len(name) - 1)] + _CUT
            left -= len(name) + len(snippet)
            if left < 0:
                break
            matches.append(MemorySearchMatch(path=file.path, snippet=snippet, score=hit.score))
        return MemorySearchResult(matches=matches, scanned=len(here), truncated=len(here) > len(matches))

    def _find(self, path: str) -> StoredFile | None:
        try:
            return self.tree.read(path)
        except NotFoundError:
            return None

    def _write(
        self,
        path: str,
        content: str,
        expected_version: str | None,
        operation: MemoryOperation | None,
        metadata: Mapping[str, str] | None,
    ) -> MemoryMutation:
        done = self._receipt(operation)
        if done:
            return done
        file = self._find(path)
        if _version(file) != expected_version:
            if operation is None or file is None or file.metadata.get("operation") != operation.id:
                raise _conflict(path)
            made = file  # the process ended between this write and its receipt
        else:
            made = self._replace(path, content, file, {"operation": operation and operation.id, "write": metadata})
        return self._done(
            operation, MemoryMutation(version=_version(made), replayed=False, existed=expected_version is not None)
        )

    def _replace(self, path: str, content: str, file: StoredFile | None, about: Mapping[str, Any]) -> StoredFile:
        """Write a file that has not changed since it was read, with the metadata that are given."""
        given = {name: value for name, value in about.items() if value}
        try:
            return self.tree.write(path, content, expected=file.version if file else NEW, metadata=given)
        except StaleRevisionError as exc:
            raise _conflict(path) from exc
        except InputError as exc:
            raise ModelRetry(str(exc)) from exc

    def _receipt(self, operation: MemoryOperation | None) -> MemoryMutation | None:
        """Return what an operation did before. Raises MemoryOperationConflictError if it was another one."""
        if operation is None:
            return None
        try:
            record = self._service.get_by_key(_receipt_key(operation), scope=self._scope, space=LOCAL)
        except NotFoundError:
            return None
        kept = record.metadata
        if kept.get("fingerprint") != _hashed(operation.fingerprint):
            raise MemoryOperationConflictError(f"the operation {operation.id!r} was done with other arguments")
        return MemoryMutation(version=kept.get("version"), replayed=True, existed=bool(kept.get("existed")))

    def _done(self, operation: MemoryOperation | None, mutation: MemoryMutation) -> MemoryMutation:
        """Keep the receipt of an operation on this machine, where a durable run would resume."""
        if operation:
            about = {"version": mutation.version, "existed": mutation.existed}
            self._service.add(
                "An operation on the notebook of an agent is done",
                scope=self._scope,
                space=LOCAL,
                kind=RECEIPT,
                key=_receipt_key(operation),
                metadata={"fingerprint": _hashed(operation.fingerprint), **about},
                ttl=RECEIPT_TTL,
            )
        return mutation


def _file(file: StoredFile, max_chars: int) -> MemoryFile:
    text = "\n\nAnother device wrote, while disconnected:\n\n".join(
        [file.text, *(rival for rival in file.rivals if rival != file.text)]
    )
    operation, write = file.metadata.get("operation"), file.metadata.get("write")  # any device may have written them
    return MemoryFile(
        content=text[:max_chars],
        version=_version(file),
        operation_id=operation if isinstance(operation, str) else None,
        truncated=len(text) > max_chars,
        metadata=write if isinstance(write, dict) and write else None,
    )


def _version(file: StoredFile | None) -> str | None:
    return ",".join(file.version) if file else None


def _conflict(path: str) -> MemoryConflictError:
    return MemoryConflictError(f"the file {path!r} has changed meanwhile; read it again")


def _receipt_key(operation: MemoryOperation) -> str:
    return f"receipt:{_hashed(operation.id)}"


def _hashed(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
