"""The Protocol by which the store keeps the search indexes up to date; memcrdt.search implements it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

import apsw

from memcrdt.model.attributes import VALUE_KINDS
from memcrdt.model.values import Vector
from memcrdt.store.sql import SqlConnection

Prepared: TypeAlias = Any  # the result of `prepare`, passed to `replace` unchanged


class IndexRow(NamedTuple):
    """The fields of a memory that the indexes need. `memory` is its local number and rowid; `created_at` is in ms."""

    memory: int
    text: str
    scope: str
    created_at: int
    author: str | None
    kind: str | None


class NewText(NamedTuple):
    """A text that will be written, and the kind of its memory; None if the caller does not know it."""

    text: str
    kind: str | None = None


class Indexable(Protocol):
    """A text and the kind of its memory, which decides whether the indexes have it."""

    @property
    def text(self) -> str: ...

    @property
    def kind(self) -> str | None: ...


# The same as a condition on rows of `memories`.
SEARCHED: Final = f"coalesce(kind, '') NOT IN ({', '.join(map(repr, sorted(VALUE_KINDS)))})"


def is_searched(memory: Indexable) -> bool:
    """Return whether searches find a memory. If not, no index has it."""
    return memory.kind not in VALUE_KINDS


def sqlite_of(db: SqlConnection) -> apsw.Connection:
    """Return the connection as one of SQLite, for what no other database has."""
    assert isinstance(db, apsw.Connection)
    return db


class Indexer(Protocol):
    """The full-text and vector indexes, updated in the same transaction as the views."""

    def prepare(self, texts: Sequence[Indexable], given: Mapping[str, Vector] | None = None) -> Prepared:
        """Compute the vectors of these texts before the write lock is taken.

        Texts may be left out (a slow model, no model): `replace` queues them for later. `given` are vectors from
        callers, by text. `replace` uses them instead of the model. Raises InputError for given vectors without a model.
        """
        ...

    def replace(
        self, db: SqlConnection, removed: Sequence[IndexRow], added: Sequence[IndexRow], prepared: Prepared
    ) -> None:
        """Remove rows from the indexes and add others, inside the caller's transaction. Values under keys are left out.

        `removed` are rows exactly as they were added. A changed memory is in both. May raise apsw.Error, and InputError
        for given vectors that do not come from the model in use.
        """
        ...

    def erase_removed(self, db: SqlConnection) -> bool:
        """Erase bytes that removed rows left in the indexes, inside the caller's transaction, which must stay short.

        Returns:
            Whether there are more. Memories count as scrubbed only when a call has returned False.
        """
        ...

    def committed(self) -> None:
        """Note that the transaction of the last `replace` is durable: in-memory copies may be updated now."""
        ...

    def clear(self, db: SqlConnection) -> None:
        """Empty the indexes, before they are rebuilt through `replace`."""
        ...

    def problems(self, db: SqlConnection) -> Iterator[str]:
        """Yield the damage of the indexes themselves, in words for the user. Rebuilding them repairs it."""
        ...


class NoIndex:
    """An Indexer that stores nothing: of a store without search."""

    def prepare(self, texts: Sequence[Indexable], given: Mapping[str, Vector] | None = None) -> Prepared: ...

    def replace(
        self, db: SqlConnection, removed: Sequence[IndexRow], added: Sequence[IndexRow], prepared: Prepared
    ) -> None: ...

    def erase_removed(self, db: SqlConnection) -> bool:
        return False

    def committed(self) -> None: ...

    def clear(self, db: SqlConnection) -> None: ...

    def problems(self, db: SqlConnection) -> Iterator[str]:
        return iter(())
