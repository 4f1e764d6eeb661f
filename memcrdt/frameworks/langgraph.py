"""A store for LangGraph: long-term memory of agents that syncs between the user's machines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from memcrdt.errors import InputError, NotFoundError, ReadOnlyError
from memcrdt.frameworks import langgraph_items as items
from memcrdt.frameworks.extras import needs
from memcrdt.frameworks.langgraph_filters import is_match, matches
from memcrdt.frameworks.langgraph_items import Namespace, StoredItem
from memcrdt.frameworks.services import service_over
from memcrdt.frameworks.threads import in_thread
from memcrdt.model import limits
from memcrdt.model.scopes import GLOBAL, PERSONAL
from memcrdt.model.values import from_ms

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
    from memcrdt.model.records import MemoryRecord

SHORT: Final = 100  # hits of the first pages; a longer ranking takes several times as long
REFRESH_SHARE: Final = 0.1  # of a TTL that has to pass before a read refreshes it: each refresh is a change to sync


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
        fields: Sequence[str] = (items.WHOLE,),
        ttl: TTLConfig | None = None,
        allow_secret: bool = False,
    ) -> None:
        self.memory: Memory = service_over(memory).memory
        self.ttl_config = ttl
        self._fields = tuple(fields)
        self._where: dict[str, Any] = {"scope": scope, "space": space}
        self._given: dict[str, Any] = {"author": items.AUTHOR, "allow_secret": allow_secret, "replace": True}
        omits = ttl is None or ttl.get("omit_expired", True)
        self._filters = {**self._where, "kind": items.KIND, "include": () if omits else ("expired",)}
        self._omits_expired = omits
        self.memory.list(limit=1, **self._filters)  # checks the scope and the space

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
        self._put([op for op in puts.values() if op.value is not None])
        self._delete([op for op in puts.values() if op.value is None])
        self._refresh(due)
        return results

    abatch = in_thread(batch)

    def conflicts(self, namespace: Namespace, key: str) -> list[Item]:
        """Return the competing values of an item that devices put while disconnected, or [] if there is one value.

        The next put settles the conflict. Of each value, the text is as it was put. What it had beside the text is
        known of one of them only.

        Raises:
            NotFoundError: There is no such item.
        """
        record = self._record(namespace, key)
        if record is None:
            raise NotFoundError(f"there is no item {key[:60]!r} in {'.'.join(namespace)[:60]}")
        history = self.memory.history(record.id)
        own = items.own_text(record, history)
        times = {revision.text: revision.at for revision in history if revision.head or revision.text == own}
        rivals = [(at, items.read(record, text)) for text, at in times.items()] if len(times) > 1 else []
        return [Item(**{**_fields_of(record, item), "updated_at": at}) for at, item in rivals if item]

    def sweep_ttl(self) -> int:
        """Delete the expired items on every device, and return their number. They are deleted anyway after a month."""
        now = self._now()
        everything = self.memory.iterate(**{**self._filters, "include": ("expired",)})
        gone = [record.id for record in everything if record.expires_at is not None and record.expires_at <= now]
        return self.memory.forget(gone).count if gone else 0

    # Reading

    def _answer(self, op: Op, due: dict[str, float]) -> Result:
        """Return the result of one operation. Add the memories to refresh to `due`, with their TTL in minutes."""
        if isinstance(op, GetOp):
            return self._get(op, due)
        if isinstance(op, SearchOp):
            return self._search(op, due)
        if isinstance(op, ListNamespacesOp):
            return self._namespaces(op)
        if not isinstance(op, PutOp):
            raise InputError(f"the store has no operation {type(op).__name__}; it has get, search, put and list")
        return None

    def _record(self, namespace: Namespace, key: str) -> MemoryRecord | None:
        try:
            record = self.memory.get_by_key(items.key_of(namespace, key), **self._where)
        except NotFoundError:
            return None
        expired = record.expires_at is not None and record.expires_at <= self._now()
        return None if record.superseded_by or (expired and self._omits_expired) else record

    def _get(self, op: GetOp, due: dict[str, float]) -> Item | None:
        record = self._record(op.namespace, op.key)
        item = self._item(record) if record else None
        if (
            record is None
            or item is None
            or items.key_of(item.namespace, item.key) != items.key_of(op.namespace, op.key)
        ):
            return None
        if op.refresh_ttl:
            self._note(record, item, due)
        return Item(**_fields_of(record, item))

    def _search(self, op: SearchOp, due: dict[str, float]) -> list[SearchItem]:
        if op.limit < 0 or op.offset < 0:
            raise InputError(f"the limit is {op.limit} and the offset {op.offset}; neither may be negative")
        results = []
        for record, item, score in islice(self._matching(op), op.offset, op.offset + op.limit):
            if op.refresh_ttl:
                self._note(record, item, due)
            results.append(SearchItem(**_fields_of(record, item), score=score))
        return results

    def _matching(self, op: SearchOp) -> Iterator[tuple[MemoryRecord, StoredItem, float | None]]:
        """Yield the items that match, ranked ones first, each with its score."""
        for record, score in self._ranked(op):
            item = self._item(record)
            if item is None or item.namespace[: len(op.namespace_prefix)] != tuple(op.namespace_prefix):
                continue
            if not op.filter or matches(item.value, op.filter):
                yield record, item, score

    def _ranked(self, op: SearchOp) -> Iterator[tuple[MemoryRecord, float | None]]:
        """Yield the memories below a namespace. A deep page has the memories of a short ranking in the same places."""
        below = {**self._filters, "all_tags": [items.tag_of(op.namespace_prefix)] if op.namespace_prefix else ()}
        seen: set[str] = set()
        for limit in (SHORT, limits.RESULTS) if op.query and op.query.strip() else ():
            hits = self.memory.search(op.query or "", limit=limit, metadata={"unindexed": {"$exists": False}}, **below)
            for hit in hits:
                if hit.memory.id not in seen:
                    seen.add(hit.memory.id)
                    yield hit.memory, hit.score
            if len(hits) < limit:
                break
        for record in self.memory.iterate(**below):
            if record.id not in seen:
                yield record, None

    def _namespaces(self, op: ListNamespacesOp) -> list[Namespace]:
        found = {self._namespace(tag) for tag in self.memory.tags(**self._filters)}
        rules = op.match_conditions or ()
        wanted = {each for each in found if each and all(is_match(each, rule) for rule in rules)}
        return sorted({each[: op.max_depth] for each in wanted})[op.offset : op.offset + op.limit]

    def _namespace(self, tag: str) -> Namespace | None:
        """Return the namespace of a tag, or None for a tag of another kind."""
        named = items.namespace_of(tag)
        if named != ():
            return named
        record = next(iter(self.memory.list(limit=1, all_tags=[tag], **self._filters)), None)
        item = items.read(record) if record else None
        return item.namespace if item else None

    def _item(self, record: MemoryRecord) -> StoredItem | None:
        """Return the item of a memory, with the text that belongs to the rest of its value."""
        item = items.read(record)
        if item is None or item.text_hash == items.hash_of(record.text):
            return item
        return items.read(record, items.own_text(record, self.memory.history(record.id)))

    # Writing

    def _put(self, ops: Sequence[PutOp]) -> None:
        now = self.memory.store.now_ms()
        adds = []
        for op in ops:
            fields = () if op.index is False else self._fields if op.index is None else tuple(op.index)
            adds.append(items.memory_of(op, fields, now))
        if adds:
            self.memory.add_many(adds, kind=items.KIND, **self._where, **self._given)

    def _delete(self, ops: Sequence[PutOp]) -> None:
        gone = []
        for op in ops:
            with suppress(NotFoundError):
                gone.append(self.memory.get_by_key(items.key_of(op.namespace, op.key), **self._where).id)
        if gone:
            self.memory.forget(gone)

    def _note(self, record: MemoryRecord, item: StoredItem, due: dict[str, float]) -> None:
        """Add a memory to `due` if a tenth of its TTL has passed since it was put or refreshed."""
        if item.ttl is None or record.expires_at is None:
            return
        left = (record.expires_at - self._now()) / timedelta(minutes=1)
        if left <= item.ttl * (1 - REFRESH_SHARE):
            due[record.id] = item.ttl

    def _refresh(self, due: dict[str, float]) -> None:
        """Let memories live for their TTL from now on. A read succeeds also where nothing may be written."""
        with suppress(NotFoundError, ReadOnlyError):
            known = [record.id for record in self.memory.get_many(list(due))]
            if known:
                self.memory.update_many({"id": each, "ttl": timedelta(minutes=due[each])} for each in known)

    def _now(self) -> datetime:
        return from_ms(self.memory.store.now_ms())


def _fields_of(record: MemoryRecord, item: StoredItem) -> dict[str, Any]:
    """Return the fields of an Item. A refresh is a change of the memory, and not of the item."""
    return {
        "namespace": item.namespace,
        "key": item.key,
        "value": item.value,
        "created_at": record.created_at,
        "updated_at": record.updated_at if item.ttl is None else from_ms(item.put_at),
    }
