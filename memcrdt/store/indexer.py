"""The Protocol by which the store keeps the search indexes up to date; memcrdt.search implements it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import apsw

from memcrdt.model.values import Vector

Connection: TypeAlias = apsw.Connection  # the name for search, which opens no SQLite itself
Prepared: TypeAlias = Any  # the result of `prepare`, handed to `replace` as it is


class IndexRow(NamedTuple):
    """A memory as the indexes need it. `memory` is its local number, the rowid of the indexes; `created_at` in ms."""

    memory: int
    text: str
    scope: str
    created_at: int
    author: str | None


class Indexer(Protocol):
    """Full text and vectors, kept in the same transaction as the views."""

    def prepare(self, texts: Sequence[str], given: Mapping[str, Vector] | None = None) -> Prepared:
        """Computes what `replace` will want for these texts, before the write lock is taken.

        May leave texts out (a slow model, no model): they are queued by `replace` and done later. `given` are vectors
        that callers computed, by text; `replace` uses them instead of the model. Raises InputError where there is none.
        """
        ...

    def replace(
        self, db: apsw.Connection, removed: Sequence[IndexRow], added: Sequence[IndexRow], prepared: Prepared
    ) -> None:
        """Takes rows out of the indexes and puts others in, inside the caller's transaction.

        `removed` are rows exactly as they were added; a changed memory is in both. May raise apsw.Error, and InputError
        for given vectors that are not of the model in use.
        """
        ...

    def committed(self) -> None:
        """Note that the transaction of the last `replace` is durable: in-memory copies may follow it now."""
        ...

    def clear(self, db: apsw.Connection) -> None:
        """Empty the indexes, before they are rebuilt through `replace`."""
        ...

    def problems(self, db: apsw.Connection) -> Iterator[str]:
        """Yield what is wrong with the indexes themselves, in words for the user; rebuilding them repairs it."""
        ...
