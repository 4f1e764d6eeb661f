"""A Memory seen from one scope, for an agent that works on one project, conversation or task."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from memcrdt.errors import InputError
from memcrdt.model import limits
from memcrdt.model.attributes import ScopedAddOptions, UpdateOptions
from memcrdt.model.checks import check_label
from memcrdt.model.filters import CheckedFilters, Order, ScopedFilters, check_filters, check_order
from memcrdt.model.records import Forgotten, Hit, MemoryRecord, Page
from memcrdt.model.scopes import CONVERSATION, GLOBAL, PROJECT, named, nested_in

if TYPE_CHECKING:
    from memcrdt.memory.memory import Memory

T = TypeVar("T", bound=Mapping[str, Any])


class ScopedMemory:
    """A Memory seen from one scope. Reads see the named scopes and `global`; new memories go to the narrowest of them.

    The view does not protect other scopes: a method that takes an id reaches a memory in any scope.

    A conversation is narrower than an agent, and an agent is narrower than a project. With a project, the conversation
    is the conversation in that project, `project/NAME/conversation/NAME`. A conversation with the same name elsewhere
    is a different one. The methods have the arguments of Memory without `scope`.

    Attributes:
        memory: The whole memory.
        scopes: The scopes that reads see, narrowest first.

    Example:
        >>> acme = memory.scoped(project="acme")
        >>> acme.add("The client wants invoices in PDF")
        >>> acme.search("how do we send bills?")
    """

    def __init__(self, memory: Memory, *, project: str | None, agent: str | None, conversation: str | None) -> None:
        self.memory = memory
        found: list[str] = [GLOBAL]
        if project is not None:
            found.insert(0, _scope(PROJECT, project))
        inside = found[0]
        if agent is not None:
            found.insert(0, _scope("agent", agent))
        if conversation is not None:
            alone = _scope(CONVERSATION, conversation)
            found.insert(0, alone if project is None else nested_in(inside, conversation))
        self.scopes = tuple(found)

    @property
    def scope(self) -> str:
        """The scope that add() writes to."""
        return self.scopes[0]

    def add(self, /, text: str, **options: Unpack[ScopedAddOptions]) -> str:
        """Add a memory in the narrowest scope. See Memory.add()."""
        return self.memory.add(text, **_checked(options), scope=self.scope)

    def add_many(
        self, /, items: Iterable[str | Mapping[str, Any]], **defaults: Unpack[ScopedAddOptions]
    ) -> builtins.list[str]:
        """Add several memories in the narrowest scope. See Memory.add_many()."""
        return self.memory.add_many(items, **_checked(defaults), scope=self.scope)

    def get(self, id: str) -> MemoryRecord:
        """Return the memory with this id, in any scope. Raises NotFoundError. See Memory.get()."""
        return self.memory.get(id)

    def get_many(self, ids: Iterable[str]) -> builtins.list[MemoryRecord]:
        """Return the memories with these ids, in any scope. See Memory.get_many()."""
        return self.memory.get_many(ids)

    def search(
        self,
        /,
        query: str,
        *,
        limit: int = 10,
        min_score: float | None = None,
        explain: bool = False,
        diversity: float = 0.0,
        fold: bool = False,
        recency: float = 0.0,
        importance: float = 0.0,
        vector: Iterable[float] | None = None,
        rerank: bool = False,
        rerank_ms: int = 250,
        **filters: Unpack[ScopedFilters],
    ) -> builtins.list[Hit]:
        """Return the memories of these scopes that best answer `query`. See Memory.search()."""
        return self.memory.search(
            query,
            limit=limit,
            min_score=min_score,
            explain=explain,
            diversity=diversity,
            fold=fold,
            recency=recency,
            importance=importance,
            vector=vector,
            rerank=rerank,
            rerank_ms=rerank_ms,
            **_checked(filters),
            scope=self.scopes,
        )

    def list(
        self,
        /,
        *,
        limit: int = 100,
        cursor: str | None = None,
        order: Order = "newest",
        **filters: Unpack[ScopedFilters],
    ) -> Page:
        """Return memories of these scopes without ranking. See Memory.list()."""
        return self.memory.list(limit=limit, cursor=cursor, order=order, **_checked(filters), scope=self.scopes)

    def count(self, /, **filters: Unpack[ScopedFilters]) -> int:
        """Return the number of memories of these scopes that match the filters. See Memory.count()."""
        return self.memory.count(**_checked(filters), scope=self.scopes)

    def iterate(self, /, *, order: Order = "newest", **filters: Unpack[ScopedFilters]) -> Iterator[MemoryRecord]:
        """Yield every memory of these scopes that matches the filters. See Memory.iterate()."""
        return self.memory._every(check_order(order), self._filters(filters))

    def _filters(self, filters: ScopedFilters) -> CheckedFilters:
        return check_filters({**_checked(filters), "scope": self.scopes})

    def update(self, /, id: str, **changes: Unpack[UpdateOptions]) -> MemoryRecord:
        """Change a memory in any scope. See Memory.update()."""
        return self.memory.update(id, **changes)

    def update_many(
        self, /, items: Iterable[Mapping[str, Any]], **defaults: Unpack[UpdateOptions]
    ) -> builtins.list[MemoryRecord]:
        """Change several memories in any scope. See Memory.update_many()."""
        return self.memory.update_many(items, **defaults)

    def forget(
        self,
        /,
        id: str | Iterable[str] | None = None,
        *,
        dry_run: bool = False,
        expected: str | Iterable[str] | None = None,
        progress: Callable[[int, int], None] | None = None,
        **filters: Unpack[ScopedFilters],
    ) -> Forgotten:
        """Forget memories in any scope by id, or memories in the narrowest scope that match the filters.

        See Memory.forget().
        """
        if id is not None:
            return self.memory.forget(id, dry_run=dry_run, expected=expected, progress=progress, **filters)
        if not replace(self._filters(filters), scope=()).narrows():
            raise InputError(
                f"forget without an id needs a filter; without one it would forget everything in {self.scope}"
            )
        return self.memory.forget(dry_run=dry_run, expected=expected, progress=progress, **filters, scope=self.scope)


def _scope(category: str, name: object) -> str:
    return named(category, check_label(name, f"the {category}", limits.SCOPE_NAME_CHARS))


def _checked(options: T) -> T:
    """Return the options. Raises InputError if they name a scope."""
    if "scope" in options:
        raise InputError("scoped() sets the scope; use .memory for another scope")
    return options
