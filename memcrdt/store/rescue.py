"""What rows of the log that were lost had said, read back from the views: they are as new as the log was."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Final

from memcrdt.model import edits
from memcrdt.model.edits import MemoryEdit, NewMemory, Stamp
from memcrdt.model.ids import RANDOM_BYTES, is_ulid, next_ulid
from memcrdt.model.projection import Grave, Life, is_label, is_source, project
from memcrdt.model.records import MemoryRecord
from memcrdt.model.registers import Deleted
from memcrdt.model.scopes import GLOBAL, is_scope
from memcrdt.model.values import Json, to_ms
from memcrdt.store import reads, views
from memcrdt.store.log import ShardRow
from memcrdt.store.transaction import Transaction

_SALT_BYTES: Final = 16


def rescue(transaction: Transaction, shard: ShardRow) -> int:
    """Gathers what makes the memories of a shard be what the views say again. Returns of how many.

    Peers may bring back the lost rows themselves, later: then a text stands twice in a memory's history.
    """
    ids = views.at_home_in(transaction.db, shard.shard)
    return sum(_rescue(transaction, shard.space, memory_id) for memory_id in sorted(ids))


def _rescue(transaction: Transaction, space: int, memory_id: str) -> bool:
    if not is_ulid(memory_id):
        return False
    state = transaction.state(space, memory_id)
    grave = transaction.db.execute("SELECT 1 FROM graves WHERE space = ? AND id = ?", (space, memory_id)).get
    if grave is not None:
        if not isinstance(state, Grave):
            transaction.forget(space, memory_id)
        return not isinstance(state, Grave)
    found = reads.where(transaction.db, "m.space = ? AND m.id = ?", (space, memory_id), "")
    if not found or isinstance(state, Grave):
        return False
    record = _sound(found[0])
    stamp = Stamp(transaction.stamp.at, record.author, transaction.stamp.device)
    is_lost = state is None
    if is_lost:
        births = edits.born(_born_again(record), stamp)
        if project(memory_id, [{k: v for k, v in births.items() if not isinstance(v, Deleted)}]) is None:
            return False  # not even its text is one
        transaction.add(space, memory_id, births)
        state = transaction.state(space, memory_id)
    assert isinstance(state, Life)
    revision = next_ulid(state.shown.revision, stamp.at, secrets.token_bytes(RANDOM_BYTES))
    writes = edits.edited(state, _difference(state, record), stamp, revision)
    transaction.edit(space, memory_id, writes)
    return is_lost or bool(writes)


def _sound(record: MemoryRecord) -> MemoryRecord:
    """The memory without what no memory may say: the views may be damaged, too, and its text is worth more."""
    return replace(
        record,
        scope=record.scope if is_scope(record.scope) else GLOBAL,
        kind=record.kind if is_label(record.kind) else None,
        author=record.author if is_label(record.author) else None,
        source=record.source if is_source(record.source) else None,
        trust=record.trust if is_label(record.trust) else None,
        superseded_by=record.superseded_by if is_ulid(record.superseded_by) else None,
    )


def _born_again(record: MemoryRecord) -> NewMemory:
    return NewMemory(
        id=record.id,
        salt=secrets.token_bytes(_SALT_BYTES),
        text=record.text,
        scope=record.scope,
        created_at=to_ms(record.created_at),
        kind=record.kind,
        source=record.source,
        tags=record.tags,
        metadata=record.metadata,
        attributes={
            name: value for name, value in _attributes(record).items() if value is not None and value is not False
        },
    )


def _difference(life: Life, record: MemoryRecord) -> MemoryEdit:
    links, there = {(link.rel, link.to) for link in record.links}, {(link.rel, link.to) for link in life.links}
    removed = dict.fromkeys(life.metadata.keys() - record.metadata.keys())
    return MemoryEdit(
        text=None if record.text == life.shown.text else record.text,
        add_tags=record.tags,
        remove_tags=tuple(tag for tag in life.tags if tag not in record.tags),
        metadata={**record.metadata, **removed},
        attributes=_attributes(record) | {"scope": record.scope},
        add_links=tuple(links - there),
        remove_links=tuple(there - links),
    )


def _attributes(record: MemoryRecord) -> dict[str, Json]:
    return {
        "pinned": record.pinned,
        "importance": record.importance,
        "expires_at": None if record.expires_at is None else to_ms(record.expires_at),
        "superseded_by": record.superseded_by,
        "trust": record.trust,
    }
