"""A Memory seen from one scope: what an agent holds while it works on one thing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from memcrdt.errors import InputError
from memcrdt.model import limits
from memcrdt.model.checks import check_label
from memcrdt.model.filters import check_filters
from memcrdt.model.records import Forgotten, Hit, MemoryRecord, Page
from memcrdt.model.scopes import GLOBAL, check_scope

if TYPE_CHECKING:
    from memcrdt.memory.memory import Memory


class ScopedMemory:
    """Reads see the named scopes and what is global; writes go to the narrowest: conversation, agent, project.

    The methods are those of Memory, without `scope`; `memory` is the whole.
    """

    def __init__(self, memory: Memory, *, project: str | None, agent: str | None, conversation: str | None) -> None:
        self.memory = memory
        named = (("conversation", conversation), ("agent", agent), ("project", project))
        self.scopes = (*(_scope(category, name) for category, name in named if name is not None), GLOBAL)

    @property
    def scope(self) -> str:
        """Where `add` writes to."""
        return self.scopes[0]

    def add(self, /, text: str, **options: Any) -> str:
        """As Memory.add()."""
        return self.memory.add(text, **_without_scope(options), scope=self.scope)

    def add_many(self, /, items: Iterable[str | Mapping[str, Any]], **defaults: Any) -> list[str]:
        """As Memory.add_many()."""
        return self.memory.add_many(items, **_without_scope(defaults), scope=self.scope)

    def get(self, id: str) -> MemoryRecord:
        """As Memory.get(), of whatever scope."""
        return self.memory.get(id)

    def search(self, /, query: str, **options: Any) -> list[Hit]:
        """As Memory.search()."""
        return self.memory.search(query, **_without_scope(options), scope=self.scopes)

    def list(self, /, **options: Any) -> Page:
        """As Memory.list()."""
        return self.memory.list(**_without_scope(options), scope=self.scopes)

    def update(self, /, id: str, **changes: Any) -> MemoryRecord:
        """As Memory.update(), of whatever scope."""
        return self.memory.update(id, **changes)

    def forget(self, /, id: str | None = None, *, dry_run: bool = False, **filters: Any) -> Forgotten:
        """As Memory.forget(); filters only reach the narrowest scope, not what contains it."""
        if id is not None:
            return self.memory.forget(id, dry_run=dry_run, **filters)
        if not check_filters(_without_scope(filters)).narrows():
            raise InputError(f"forget without an id wants a filter: it would forget all of {self.scope}")
        return self.memory.forget(dry_run=dry_run, **filters, scope=self.scope)


def _scope(category: str, name: object) -> str:
    return check_scope(f"{category}/{check_label(name, f'the {category}', limits.SCOPE_NAME_CHARS)}")


def _without_scope(options: dict[str, Any]) -> dict[str, Any]:
    if "scope" in options:
        raise InputError("the scope is settled by scoped(); use its .memory for another one")
    return options
