"""A store for LangGraph: long-term memory of agents that syncs between the user's machines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from memcrdt.errors import InputError
from memcrdt.frameworks.extras import needs
from memcrdt.frameworks.langgraph_items import WHOLE, Namespace
from memcrdt.frameworks.langgraph_memories import ItemMemories, fields_of
from memcrdt.frameworks.threads import in_thread
from memcrdt.model.scopes import GLOBAL, PERSONAL

with needs("langgraph"):
    from langgraph.store.base import (
        BaseStore,
        GetOp,
        Item,
        ListNamespacesOp,
        Op,
        PutOp,
        Result,
        SearchItem,
        SearchOp,
        TTLConfig,
        validate_op_namespace,
    )

if TYPE_CHECKING:
    from memcrdt import AsyncMemory
    from memcrdt.memory.memory import Memory


class MemcrdtStore(BaseStore):
    """A LangGraph store over a memory, for synchronous and asynchronous graphs.

    Items are memories of one scope. `search` with a query ranks by words and by meaning, with the embedder of the
    memory. All its pages together have every item: first those that match, then the others without a score.

    Args:
        memory: The memory. It stays open as long as the store is used.
        scope: The scope of the items, such as `project/acme`.
        space: The space to share them in: `personal`, `local` (this machine only), or your own.
        fields: The paths that are indexed, unless a put says otherwise; "$" for all strings of a value.
        ttl: The TTL of items. Expired items are not returned, unless `omit_expired` is False.
        allow_secret: Whether to accept values that look like a secret.

    Raises:
        InputError: An argument is invalid.
        NotFoundError: The space does not exist here.

    Example:
        >>> store = MemcrdtStore(memory)
        >>> store.put(("users", "ada"), "drink", {"text": "Ada prefers tea"})
        >>> store.search(("users",), query="what does she drink?")[0].value
        {'text': 'Ada prefers tea'}
    """

    supports_ttl = True

    def __init__(
        self,
        memory: Memory | AsyncMemory,
        *,
        scope: str = GLOBAL,
        space: str = PERSONAL,
        fields: Sequence[str] = (WHOLE,),
        ttl: TTLConfig | None = None,
        allow_secret: bool = False,
    ) -> None:
        self.ttl_config = ttl
        self._fields = tuple(fields)
        self._items = ItemMemories(
            memory,
            scope=scope,
            space=space,
            allow_secret=allow_secret,
            omits_expired=ttl is None or ttl.get("omit_expired", True),
        )

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Answer several operations. Reads see the state before all of them, and the last put of an item wins.

        Up to 500 values with 2 MiB of text are put in one transaction: all or none.

        Raises:
            InputError: An operation or a value is invalid.
            InvalidNamespaceError: A label of a namespace is empty, or has a period.
        """
        asked = list(ops)
        for op in asked:
            validate_op_namespace(op)
        due: dict[str, float] = {}
        results = [self._answer(op, due) for op in asked]
        puts = {(op.namespace, op.key): op for op in asked if isinstance(op, PutOp)}
        self._items.write(puts.values(), self._fields)
        self._items.refresh(due)
        return results

    abatch = in_thread(batch)

    def conflicts(self, namespace: Namespace, key: str) -> list[Item]:
        """Return the competing values of an item that devices put while disconnected, or [] if there is one value.

        The next put settles the conflict. Of each value, the text is as it was put. What it had beside the text is
        known of one of them only.

        Raises:
            NotFoundError: There is no such item.
        """
        return [Item(**fields) for fields in self._items.rivals(namespace, key)]

    def sweep_ttl(self) -> int:
        """Delete the expired items on every device, and return their number. They are deleted anyway after a month."""
        return self._items.delete_expired()

    def _answer(self, op: Op, due: dict[str, float]) -> Result:
        """Return the result of one operation. Add the memories to refresh to `due`, with their TTL in minutes."""
        if isinstance(op, GetOp):
            return self._get(op, due)
        if isinstance(op, SearchOp):
            return self._search(op, due)
        if isinstance(op, ListNamespacesOp):
            return self._items.namespaces(op)
        if not isinstance(op, PutOp):
            raise InputError(f"the store has no operation {type(op).__name__}; it has get, search, put and list")
        return None

    def _get(self, op: GetOp, due: dict[str, float]) -> Item | None:
        found = self._items.get(op.namespace, op.key)
        if found is None:
            return None
        if op.refresh_ttl:
            due |= self._items.due(*found)
        return Item(**fields_of(*found))

    def _search(self, op: SearchOp, due: dict[str, float]) -> list[SearchItem]:
        if op.limit < 0 or op.offset < 0:
            raise InputError(f"the limit is {op.limit} and the offset {op.offset}; neither may be negative")
        results = []
        for record, item, score in islice(self._items.matching(op), op.offset, op.offset + op.limit):
            if op.refresh_ttl:
                due |= self._items.due(record, item)
            results.append(SearchItem(**fields_of(record, item), score=score))
        return results
