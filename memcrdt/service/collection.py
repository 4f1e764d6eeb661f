"""The memories of one kind in one scope, which a program keeps: the items of a store, documents, values, a history.

A model names one memory after the other, and must not allow secrets or forget several memories without the user. A
program knows its memories by their keys, puts many at once, and replaces and forgets them as its own user tells it. The
scope, the space, the rights and the provenance are those of every call (`service.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from memcrdt.errors import NotFoundError
from memcrdt.model.filters import Order
from memcrdt.model.records import Forgotten, Hit, MemoryRecord, Revision
from memcrdt.service.service import LIMIT, Service


class Collection:
    """The memories of one kind in one scope and one space.

    Filters are those of Service.filters(), beside the kind, the scope and the space, or instead of them.

    Args:
        service: The calls over the memory. Its context has the author of what is put.
        kind: The kind of the memories; None for memories of any kind.
        scope: As for Context.to_write().
        space: The space; None for the usual one.
        allow_secret: Whether the user who wrote the program accepts texts that look like a secret. A program must not
            take this from a model.
        include: `expired` and `superseded`, for the memories of these states that reads return, too.

    Raises:
        InputError: The scope is not valid.
        NotFoundError: The caller may not use the space.

    Example:
        >>> notes = Collection(Service(memory), kind="note", scope="project/acme")
        >>> notes.put([{"text": "Ask Ada about the invoices", "key": "invoices"}])
        >>> notes.get("invoices").text
        'Ask Ada about the invoices'
    """

    def __init__(
        self,
        service: Service,
        *,
        kind: str | None,
        scope: str | None = None,
        space: str | None = None,
        allow_secret: bool = False,
        include: Iterable[str] = (),
    ) -> None:
        self.service = service
        self._scope = service.context.to_write(scope)
        self._space = service.access.one(space)
        self._kind = kind
        self._allow_secret = allow_secret
        self._include = tuple(include)

    def check(self) -> None:
        """Raise NotFoundError if the space does not exist here."""
        self.service.check_space(self._space)

    def get(self, key: str) -> MemoryRecord | None:
        """Return the memory that put() under this key would change, also an expired one; None if there is none."""
        try:
            return self.service.get_by_key(key, scope=self._scope, space=self._space)
        except NotFoundError:
            return None

    def is_expired(self, record: MemoryRecord) -> bool:
        """Return whether reads leave a memory out because of its age, if nothing includes it."""
        return record.expires_at is not None and record.expires_at <= self.service.now()

    def history(self, record: MemoryRecord) -> list[Revision]:
        """Return the texts of a memory, oldest first. Raises NotFoundError if it was forgotten meanwhile."""
        return self.service.history(record.id)

    def first(self, **filters: Any) -> MemoryRecord | None:
        """Return the newest memory that matches, or None."""
        page = self.service.page(limit=1, **self._filters(filters))
        return next(iter(page), None)

    def iterate(self, *, order: Order = "newest", **filters: Any) -> Iterator[MemoryRecord]:
        """Return an iterator of all memories that match."""
        return self.service.iterate(order=order, **self._filters(filters))

    def tags(self, **filters: Any) -> dict[str, int]:
        """Return the tags of the memories that match, each with the number of these memories."""
        return self.service.tags(**self._filters(filters))

    def search(self, query: str, *, limit: int = LIMIT, **filters: Any) -> list[Hit]:
        """Return the memories that best answer a query, best first; none for a blank query.

        Args:
            query: A question or keywords.
            limit: Maximum number of hits, up to 1,000.
            **filters: Filters, and other options of Memory.search(). Hits that repeat another one are not left out.
        """
        asked = {"fold": False, **self._filters(filters)}
        return self.service.find(query, limit=limit, **asked) if query.strip() else []

    def similar(self, vector: Iterable[float], *, limit: int = LIMIT, **filters: Any) -> list[Hit]:
        """Return the memories whose embeddings are nearest to a vector of the model of the store, nearest first."""
        return self.service.similar(vector=vector, limit=limit, **self._filters(filters))

    def add(self, text: str, **options: Any) -> str:
        """Add or replace one memory as put() does, and return its id. Options are arguments of Memory.add()."""
        return self.service.memory.add(text, **self._given(options))

    def put(self, items: Iterable[str | Mapping[str, Any]], **defaults: Any) -> list[str]:
        """Add memories, or replace those with the same key, and return their ids.

        Up to 500 memories with 2 MiB of text are one transaction: all or none.

        Args:
            items: Texts, or mappings with the arguments of Memory.add().
            **defaults: Arguments of Memory.add() for items that do not set them.

        Raises:
            InputError: An argument is invalid. The message names the item.
            NotFoundError: The space does not exist here.
            ReadOnlyError: The caller may not write.
            SecretError: A text looks like a secret.
            StoreError: The store cannot be written.
        """
        return self.service.memory.add_many(items, **self._given(defaults))

    def update(self, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """Change memories by their ids, with arguments of Memory.update(). Those that are gone are left out.

        Raises:
            InputError: An argument is invalid.
            NotFoundError: A memory was forgotten meanwhile.
            ReadOnlyError: The caller may not write.
        """
        self.service.access.check("write")
        known = [record.id for record in self.service.memory.get_many(list(changes))]
        if known:
            self.service.memory.update_many({"id": each, **changes[each]} for each in known)

    def rename(self, items: Iterable[Mapping[str, Any]]) -> list[str]:
        """Give memories other keys and return their new ids. Items as for Memory.rename_keys().

        Up to 200 memories with 2 MiB of text are one transaction: all or none.

        Raises:
            InputError: An argument is invalid, or a memory has competing texts.
            NotFoundError: A memory was forgotten meanwhile.
            ReadOnlyError: The caller may not write and forget.
            StaleRevisionError: A memory has changed, or there is one of the new key.
        """
        for right in ("write", "forget"):  # it is forgotten under its old key
            self.service.access.check(right)
        return self.service.memory.rename_keys(
            items, author=self.service.context.agent, allow_secret=self._allow_secret
        )

    def forget(self, ids: Iterable[str], *, expected: Iterable[str] | None = None) -> int:
        """Forget memories on every device, and return their number.

        Args:
            ids: Ids of memories that this collection has returned.
            expected: With one id: the revisions that the memory must still be at.

        Raises:
            NotFoundError: A memory is unknown here. Then none is forgotten.
            ReadOnlyError: The caller may not forget.
            StaleRevisionError: The memory is not at the expected revisions.
        """
        self.service.access.check("forget")
        gone = list(ids)
        return self.service.memory.forget(gone, expected=expected).count if gone else 0

    def forget_matching(self, **filters: Any) -> Forgotten:
        """Forget all memories that match, or without filters all of them, also those that are expired."""
        self.service.access.check("forget")
        asked = self._filters(filters)
        scopes = self.service.context.to_read(asked.pop("scope"))
        return self.service.memory.forget(**self.service.filters(scopes, asked))

    def _given(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of Memory.add() for what is put here."""
        where = {"scope": self._scope, "space": self.service.access.to_write(self._space), "kind": self._kind}
        return {**self.service.context.provenance, "allow_secret": self._allow_secret, **where, **options}

    def _filters(self, given: Mapping[str, Any]) -> dict[str, Any]:
        own = {"scope": self._scope, "space": self._space, "kind": self._kind, "include": self._include}
        return {**own, **given}
