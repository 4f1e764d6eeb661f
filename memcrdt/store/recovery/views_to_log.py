"""Restore the content of lost log rows from the views, which are as new as the log was."""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from memcrdt.model import edits
from memcrdt.model.attributes import ATTRIBUTES, IN_REGISTERS
from memcrdt.model.edits import MemoryEdit, NewMemory, Stamp
from memcrdt.model.ids import RANDOM_BYTES, is_ulid, next_ulid
from memcrdt.model.projection import LiveMemory, RevisionState, Tombstone, project
from memcrdt.model.records import MemoryRecord
from memcrdt.model.registers import Deleted
from memcrdt.model.values import to_ms
from memcrdt.store import reads, views
from memcrdt.store.log import ShardRow
from memcrdt.store.transaction import Transaction

if TYPE_CHECKING:
    from memcrdt.store.sql import SqlConnection

_SALT_BYTES: Final = 16


def restore_from_views(transaction: Transaction, shard: ShardRow) -> int:
    """Gather writes that make the memories of a shard equal to the views. Return the number of memories changed.

    Registers get their old names and texts, so other devices may send the lost rows again later. The other devices'
    version of a register wins if the caller writes under a yielding client id.
    """
    ids = views.at_home_in(transaction.db, shard.shard)
    return sum(_restore(transaction, shard, memory_id) for memory_id in sorted(ids))


def _restore(transaction: Transaction, shard: ShardRow, memory_id: str) -> bool:
    if not is_ulid(memory_id):
        return False
    space = shard.space
    state = transaction.state(space, memory_id)
    if (tombstone := views.tombstone_of(transaction.db, space, memory_id)) is not None:
        if not isinstance(state, Tombstone):
            transaction.forget(space, memory_id, tombstone)
        return not isinstance(state, Tombstone)
    found = reads.where(transaction.db, "m.space = ? AND m.id = ?", (space, memory_id), "")
    if not found or isinstance(state, Tombstone):
        return False
    record, texts = _with_valid_attributes(found[0]), _texts(transaction.db, space, memory_id)
    is_lost = state is None
    if is_lost:
        salt = transaction.db.execute("SELECT salt FROM memories WHERE space = ? AND id = ?", (space, memory_id)).get
        new = _birth_of(record, texts[0].text if texts else record.text, salt or secrets.token_bytes(_SALT_BYTES))
        births = edits.born(new, Stamp(transaction.stamp.at, record.author, record.device))
        if project(memory_id, [{k: v for k, v in births.items() if not isinstance(v, Deleted)}]) is None:
            return False  # not even its text is valid
        transaction.add(space, memory_id, births, shard=shard.shard)
        state = transaction.state(space, memory_id)
    assert isinstance(state, LiveMemory)
    return _correct(transaction, space, state, record, texts) or is_lost


def _correct(
    transaction: Transaction, space: int, state: LiveMemory, record: MemoryRecord, texts: list[RevisionState]
) -> bool:
    """Gather the content of the views that the documents lack, with the time of the last change in the views.

    Returns:
        Whether the documents lacked anything.
    """
    known = {revision.revision for revision in state.revisions}
    lost = edits.retold(state.id, (text for text in texts if text.revision not in known))
    transaction.edit(space, state.id, lost)
    with_texts = transaction.state(space, state.id)
    assert isinstance(with_texts, LiveMemory)
    stamp = Stamp(to_ms(record.updated_at), record.author, transaction.stamp.device)
    revision = next_ulid(with_texts.shown.revision, stamp.at, secrets.token_bytes(RANDOM_BYTES))
    writes = edits.edited(with_texts, _difference(with_texts, record), stamp, revision)
    transaction.edit(space, state.id, writes)
    return bool(lost or writes)


def _texts(db: SqlConnection, space: int, memory_id: str) -> list[RevisionState]:
    """Return the revisions in the views, the birth first. A memory that has had only one text has none."""
    sql = (
        "SELECT r.revision, r.text, at, by, r.device, base, head = 1 FROM revisions r JOIN memories m USING(memory)"
        " WHERE space = ? AND id = ? ORDER BY r.revision <> id, at, r.revision"
    )
    try:
        return [
            RevisionState(
                revision=name, text=text, at=at, by=by, device=device, base=tuple(json.loads(base)), head=head
            )
            for name, text, at, by, device, base, head in db.execute(sql, (space, memory_id))
        ]
    except (ValueError, TypeError):  # the views may be damaged too
        return []


def _with_valid_attributes(record: MemoryRecord) -> MemoryRecord:
    """Replace invalid attributes with defaults: the views may be damaged too, and the text matters more."""
    wrong = [each for each in ATTRIBUTES if not each.is_valid(each.from_record(getattr(record, each.name)))]
    return replace(record, **{each.name: each.to_record(each.default) for each in wrong})


def _birth_of(record: MemoryRecord, text: str, salt: bytes) -> NewMemory:
    return NewMemory(
        id=record.id,
        salt=salt,
        text=text,
        scope=record.scope,
        created_at=to_ms(record.created_at),
        kind=record.kind,
        source=record.source,
    )


def _difference(state: LiveMemory, record: MemoryRecord) -> MemoryEdit:
    links, there = {(link.rel, link.to) for link in record.links}, {(link.rel, link.to) for link in state.links}
    removed = dict.fromkeys(state.metadata.keys() - record.metadata.keys())
    return MemoryEdit(
        text=None if record.text == state.shown.text else record.text,
        add_tags=record.tags,
        remove_tags=tuple(tag for tag in state.tags if tag not in record.tags),
        metadata={**record.metadata, **removed},
        attributes={name: each.from_record(getattr(record, name)) for name, each in IN_REGISTERS.items()},
        add_links=tuple(links - there),
        remove_links=tuple(there - links),
    )
