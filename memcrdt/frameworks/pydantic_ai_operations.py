"""The operations on a notebook of pydantic-ai: each expects a version, and is done once.

A run that is resumed asks for its last operation again. The receipt of an operation says that it is done. It stays on
the machine on which the operation was done, where the run would be resumed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from memcrdt.errors import InputError, NotFoundError, StaleRevisionError
from memcrdt.frameworks.extras import needs
from memcrdt.frameworks.files import NEW, FileTree, StoredFile
from memcrdt.frameworks.history import LOCAL
from memcrdt.service.collection import Collection
from memcrdt.service.service import Service

with needs("pydantic-ai"):
    from pydantic_ai import ModelRetry
    from pydantic_ai_harness.memory import (
        MemoryConflictError,
        MemoryMutation,
        MemoryOperation,
        MemoryOperationConflictError,
    )

RECEIPT: Final = "receipt"  # the kind of a memory that says that an operation is done
RECEIPT_TTL: Final = timedelta(days=7)  # a durable run that is resumed later repeats its last operation


class Operations:
    """The operations on the files of one scope.

    Args:
        tree: The files.
        service: The calls over the memory.
        scope: The scope of the receipts.
    """

    def __init__(self, tree: FileTree, service: Service, *, scope: str) -> None:
        self._tree = tree
        self._receipts = Collection(service, kind=RECEIPT, scope=scope, space=LOCAL)

    def find(self, operation: MemoryOperation | None) -> MemoryMutation | None:
        """Return what an operation did before. Raises MemoryOperationConflictError if it was another one."""
        record = self._receipts.get(_key_of(operation)) if operation else None
        if operation is None or record is None:
            return None
        kept = record.metadata
        if kept.get("fingerprint") != _hashed(operation.fingerprint):
            raise MemoryOperationConflictError(f"the operation {operation.id!r} was done with other arguments")
        return MemoryMutation(version=kept.get("version"), replayed=True, existed=bool(kept.get("existed")))

    def write(
        self,
        path: str,
        content: str,
        expected_version: str | None,
        operation: MemoryOperation | None,
        metadata: Mapping[str, str] | None = None,
    ) -> MemoryMutation:
        """Create or replace a file. Raises MemoryConflictError, and ModelRetry for a text that cannot be kept."""
        done = self.find(operation)
        if done:
            return done
        file = self._tree.find(path)
        if version_of(file) == expected_version:
            about = {"operation": operation and operation.id, "write": metadata}
            made = self._replace(path, content, file, {name: value for name, value in about.items() if value})
        elif file and operation and file.metadata.get("operation") == operation.id:
            made = file  # the process ended between this write and its receipt
        else:
            raise _conflict(path)
        existed = expected_version is not None
        return self._kept(operation, MemoryMutation(version=version_of(made), replayed=False, existed=existed))

    def delete(self, path: str, expected_version: str | None, operation: MemoryOperation | None) -> MemoryMutation:
        """Delete a file, if there is one. Raises MemoryConflictError."""
        done = self.find(operation)
        if done:
            return done
        file = self._tree.find(path)
        if version_of(file) != expected_version:
            raise _conflict(path)
        try:
            if file:
                self._tree.delete(path, expected=file.version)
        except (StaleRevisionError, NotFoundError) as exc:
            raise _conflict(path) from exc
        return self._kept(operation, MemoryMutation(version=None, replayed=False, existed=file is not None))

    def _replace(self, path: str, content: str, file: StoredFile | None, about: Mapping[str, Any]) -> StoredFile:
        """Write a file that has not changed since it was read."""
        try:
            return self._tree.write(path, content, expected=file.version if file else NEW, metadata=about)
        except StaleRevisionError as exc:
            raise _conflict(path) from exc
        except InputError as exc:
            raise ModelRetry(str(exc)) from exc

    def _kept(self, operation: MemoryOperation | None, mutation: MemoryMutation) -> MemoryMutation:
        """Add the receipt of an operation, and return what it did."""
        if operation:
            about = {"version": mutation.version, "existed": mutation.existed}
            receipt = {
                "text": "An operation on the notebook of an agent is done",
                "key": _key_of(operation),
                "metadata": {"fingerprint": _hashed(operation.fingerprint), **about},
            }
            self._receipts.put([receipt], ttl=RECEIPT_TTL)
        return mutation


def version_of(file: StoredFile | None) -> str | None:
    """Return the version of a file as the harness knows it, or None if there is no file."""
    return ",".join(file.version) if file else None


def _conflict(path: str) -> MemoryConflictError:
    return MemoryConflictError(f"the file {path!r} has changed meanwhile; read it again")


def _key_of(operation: MemoryOperation) -> str:
    return f"receipt:{_hashed(operation.id)}"


def _hashed(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
