"""The memories behind a LangGraph store: how items are found, put and refreshed in one scope."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from memcrdt.errors import NotFoundError, ReadOnlyError
from memcrdt.frameworks import langgraph_items as items
from memcrdt.frameworks.extras import needs
from memcrdt.frameworks.langgraph_filters import comparisons, is_match, matches
from memcrdt.frameworks.langgraph_items import Namespace, StoredItem
from memcrdt.frameworks.services import service_over
from memcrdt.model import limits
from memcrdt.model.values import from_ms, to_ms
from memcrdt.service.collection import Collection

with needs("langgraph"):
    from langgraph.store.base import ListNamespacesOp, PutOp, SearchOp

if TYPE_CHECKING:
    from memcrdt import AsyncMemory
    from memcrdt.memory.memory import Memory
    from memcrdt.model.records import MemoryRecord

SHORT: Final = 100  # hits of the first pages; a longer ranking takes several times as long
RERANK_MS: Final = 60_000  # time for all that a reranker scores: the pages of a query have to agree
REFRESH_SHARE: Final = 0.1  # of a TTL that has to pass before a read refreshes it: each refresh is a change to sync

Found: TypeAlias = "tuple[MemoryRecord, StoredItem]"


def fields_of(record: MemoryRecord, item: StoredItem) -> dict[str, Any]:
    """Return the fields of an Item. A refresh is a change of the memory, and not of the item."""
    return {
        "namespace": item.namespace,
        "key": item.key,
        "value": item.value,
        "created_at": record.created_at,
        "updated_at": record.updated_at if item.ttl is None else from_ms(item.put_at),
    }


class ItemMemories:
    """The items of one scope as memories.

    Args:
        memory: The memory.
        scope: The scope of the items.
        space: The space of the items.
        allow_secret: Whether to accept values that look like a secret.
        omits_expired: Whether reads leave out expired items.

    Raises:
        InputError: The scope is not valid.
        NotFoundError: The space does not exist here.
    """

    def __init__(
        self, memory: Memory | AsyncMemory, *, scope: str, space: str, allow_secret: bool, omits_expired: bool
    ) -> None:
        self._memories = Collection(
            service_over(memory, author=items.AUTHOR),
            kind=items.KIND,
            scope=scope,
            space=space,
            allow_secret=allow_secret,
            include=() if omits_expired else ("expired",),
        )
        self._memories.check()
        self._omits_expired = omits_expired

    def record(self, namespace: Namespace, key: str) -> MemoryRecord | None:
        """Return the memory of an item, or None if reads do not see one."""
        record = self._memories.get(items.key_of(namespace, key))
        if record is None or record.superseded_by or (self._omits_expired and self._memories.is_expired(record)):
            return None
        return record

    def get(self, namespace: Namespace, key: str) -> Found | None:
        """Return an item and its memory, or None if there is none: any device may write under the key."""
        record = self.record(namespace, key)
        item = self._item(record) if record else None
        if record is None or item is None or items.key_of(item.namespace, item.key) != items.key_of(namespace, key):
            return None
        return record, item

    def rivals(self, namespace: Namespace, key: str) -> list[dict[str, Any]]:
        """Return the fields of the competing values of an item, each with the time of its text; [] for one value.

        Raises NotFoundError if there is no such item.
        """
        record = self.record(namespace, key)
        if record is None:
            raise NotFoundError(f"there is no item {key[:60]!r} in {'.'.join(namespace)[:60]}")
        history = self._memories.history(record)
        own = items.own_text(record, history)
        times = {revision.text: revision.at for revision in history if revision.head or revision.text == own}
        rivals = [(at, items.read(record, text)) for text, at in times.items()] if len(times) > 1 else []
        return [{**fields_of(record, item), "updated_at": at} for at, item in rivals if item]

    def matching(self, op: SearchOp) -> Iterator[tuple[MemoryRecord, StoredItem, float | None]]:
        """Yield the items that match, ranked ones first, each with its score."""
        for record, score in self._ranked(op):
            item = self._item(record)
            if item is None or item.namespace[: len(op.namespace_prefix)] != tuple(op.namespace_prefix):
                continue
            if not op.filter or matches(item.value, op.filter):
                yield record, item, score

    def namespaces(self, op: ListNamespacesOp) -> list[Namespace]:
        """Return the namespaces that have items and satisfy an operation, sorted, each up to the depth it asks for."""
        named = filter(None, map(self._namespace, self._memories.tags()))
        wanted = {each for each in named if all(is_match(each, rule) for rule in op.match_conditions or ())}
        return sorted({each[: op.max_depth] for each in wanted})[op.offset : op.offset + op.limit]

    def write(self, ops: Iterable[PutOp], fields: Sequence[str]) -> None:
        """Put values, in one transaction up to the limits of Collection.put(), and delete items on every device.

        Args:
            ops: The operations, each of another item.
            fields: The paths to index, unless an operation says otherwise.

        Raises:
            InputError: A value is invalid.
        """
        now = to_ms(self._memories.service.now())
        adds, gone = [], []
        for op in ops:
            if op.value is None:
                gone.append(self._memories.get(items.key_of(op.namespace, op.key)))
                continue
            indexed = () if op.index is False else fields if op.index is None else op.index
            adds.append(items.memory_of(op, tuple(indexed), now))
        if adds:
            self._memories.put(adds, replace=True)
        self._memories.forget(record.id for record in gone if record is not None)

    def delete_expired(self) -> int:
        """Delete the expired items on every device, and return their number."""
        records = self._memories.iterate(include=("expired",))
        return self._memories.forget(record.id for record in records if self._memories.is_expired(record))

    def due(self, record: MemoryRecord, item: StoredItem) -> dict[str, float]:
        """Return the id of a memory with its TTL in minutes, if a tenth of it has passed since the put or a refresh."""
        if item.ttl is None or record.expires_at is None:
            return {}
        left = (record.expires_at - self._memories.service.now()) / timedelta(minutes=1)
        return {record.id: item.ttl} if left <= item.ttl * (1 - REFRESH_SHARE) else {}

    def refresh(self, due: Mapping[str, float]) -> None:
        """Let memories live for their TTL in minutes from now on. A read succeeds also where nothing may be written."""
        with suppress(NotFoundError, ReadOnlyError):
            self._memories.update({each: {"ttl": timedelta(minutes=ttl)} for each, ttl in due.items()})

    def _ranked(self, op: SearchOp) -> Iterator[tuple[MemoryRecord, float | None]]:
        """Yield the memories below a namespace. A deep page has the memories of a short ranking in the same places."""
        below: dict[str, Any] = {"all_tags": [items.tag_of(op.namespace_prefix)] if op.namespace_prefix else ()}
        asked = items.narrowed(tuple(comparisons(op.filter or {})))
        seen: set[str] = set()
        indexed = {**asked, "unindexed": {"$exists": False}}
        for limit in (SHORT, limits.RESULTS):
            hits = self._memories.search(op.query or "", limit=limit, metadata=indexed, rerank_ms=RERANK_MS, **below)
            for hit in hits:
                if hit.memory.id not in seen:
                    seen.add(hit.memory.id)
                    yield hit.memory, hit.score
            if len(hits) < limit:
                break
        for record in self._memories.iterate(metadata=asked, **below):
            if record.id not in seen:
                yield record, None

    def _namespace(self, tag: str) -> Namespace | None:
        """Return the namespace of a tag, or None for a tag of another kind."""
        named = items.namespace_of(tag)
        if named != ():
            return named
        record = self._memories.first(all_tags=[tag])
        item = items.read(record) if record else None
        return item.namespace if item else None

    def _item(self, record: MemoryRecord) -> StoredItem | None:
        """Return the item of a memory, with the text that belongs to the rest of its value."""
        item = items.read(record)
        if item is None or item.text_hash == items.hash_of(record.text):
            return item
        return items.read(record, items.own_text(record, self._memories.history(record)))
