"""The registers to write for a request. Pure functions: the time, ids and salts are arguments."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from memcrdt.model import limits, registers
from memcrdt.model.attributes import BY_NAME
from memcrdt.model.normalization import nfc
from memcrdt.model.predicates import is_time
from memcrdt.model.projection import LiveMemory, RevisionState, Tombstone
from memcrdt.model.registers import DELETED, Deleted, Registers, Writes
from memcrdt.model.values import Json, encoded_size

# A commit that gives a memory more revisions than this prunes the memory at once. Compaction prunes all others. So no
# shard grows without bound. The number exceeds the number of revisions kept, so that few commits have to prune.
TOO_MANY_REVISIONS: Final = limits.REVISIONS + limits.REVISIONS // 8

_KEY_BYTES: Final = 1 * limits.KIB  # room for the key of a register, and for what Yjs writes before a value


@dataclass(frozen=True, slots=True)
class Stamp:
    """The time of a change in ms, the agent that makes it, and the device on which it is made."""

    at: int
    by: str | None
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMemory:
    """A checked request to add a memory. The salt has 16 bytes. Times are in ms.

    `updated_at` is the time of its last change, if it is not `created_at`: an imported memory may have been changed.
    """

    id: str
    salt: bytes
    text: str
    scope: str
    created_at: int
    updated_at: int | None = None
    kind: str | None = None
    source: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Json] = field(default_factory=dict)
    attributes: Mapping[str, Json] = field(default_factory=dict)
    links: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEdit:
    """A checked request to change a memory. Empty fields change nothing.

    Attributes:
        tags: The tags that replace all others.
        metadata: Entries to add or replace; None removes the key.
        attributes: The new values by name; None removes the value.
    """

    text: str | None = None
    tags: tuple[str, ...] | None = None
    add_tags: tuple[str, ...] = ()
    remove_tags: tuple[str, ...] = ()
    metadata: Mapping[str, Json] = field(default_factory=dict)
    attributes: Mapping[str, Json] = field(default_factory=dict)
    add_links: tuple[tuple[str, str], ...] = ()
    remove_links: tuple[tuple[str, str], ...] = ()


def with_tag_changes(edit: MemoryEdit, state: LiveMemory) -> MemoryEdit:
    """Return an edit that adds and removes tags instead of replacing the tags of `state`."""
    if edit.tags is None:
        return edit
    removed = tuple(tag for tag in state.tags if tag not in edit.tags)
    return replace(edit, tags=None, add_tags=edit.tags, remove_tags=removed)


def born(new: NewMemory, stamp: Stamp) -> Writes:
    """Return the registers of a new memory."""
    writes: Writes = {
        registers.birth_key(new.id): {
            "text": new.text,
            "scope": new.scope,
            "kind": new.kind,
            "created_at": new.created_at,
            "author": stamp.by,
            "device": stamp.device,
            "source": new.source,
            "salt": new.salt.hex(),
        }
    }
    at = max(new.created_at, new.updated_at or 0)  # an unedited memory was last changed when it was created
    writes |= _tags(new.id, new.salt, new.tags, at)
    writes |= _metadata(new.id, new.salt, new.metadata, at)
    expires_at = new.attributes.get("expires_at")
    expired = isinstance(expires_at, int) and expires_at <= stamp.at
    # An imported memory may have expired already. It must not be forgotten before the user has seen it.
    writes |= _attributes(new.id, new.attributes, stamp.at if expired else at)
    return writes | _link_writes(new.id, new.salt, new.links, at)


def edited(state: LiveMemory, edit: MemoryEdit, stamp: Stamp, revision: str) -> Writes:
    """Return the registers to write for an edit, except those whose value stays the same.

    A new text settles a conflict: it names all heads as its base. If there are more heads than a revision can name, it
    names the latest of them, and all other revisions are deleted: so many heads alone are as many texts as are kept.

    Args:
        state: The memory before the edit.
        edit: The edit.
        stamp: The time, the agent and the device of the edit.
        revision: The ULID for a new text.
    """
    writes: Writes = {}
    if edit.text is not None and (edit.text != state.shown.text or len(state.heads) > 1):
        bases = [head.revision for head in state.heads[-limits.BASES :]]
        writes |= _revision(state.id, revision, edit.text, stamp, bases)
        if len(state.heads) > len(bases):
            gone = {each.revision for each in state.revisions[1:]} - set(bases)
            writes |= dict.fromkeys((registers.revision_key(state.id, each) for each in gone), DELETED)
    writes |= _tags(state.id, state.salt, (tag for tag in edit.add_tags if tag not in state.tags), stamp.at)
    removed: Writes = {
        registers.tag_key(state.id, state.salt, spelling): {"tag": None, "at": stamp.at}
        for tag in edit.remove_tags
        if tag in state.tags
        for spelling in (tag, *_spellings(state, tag))
    }
    changed = {key: value for key, value in edit.metadata.items() if state.metadata.get(key) != value}
    writes |= removed
    writes |= _metadata(state.id, state.salt, changed, stamp.at)
    respelled = (spelling for key in changed for spelling in _spellings(state, key))
    writes |= _metadata(state.id, state.salt, dict.fromkeys(respelled), stamp.at)
    writes |= _attributes(state.id, _changed_attributes(state, edit.attributes), stamp.at)
    return writes | _links(state, edit, stamp.at)


def retold(memory_id: str, revisions: Iterable[RevisionState]) -> Writes:
    """Return the registers of former revisions of a memory, unchanged."""
    writes: Writes = {}
    for each in revisions:
        writes |= _revision(memory_id, each.revision, each.text, Stamp(each.at, each.by, each.device), each.base)
    return writes


def forgotten(tombstone: Tombstone, found: Registers) -> Writes:
    """Return the register of a tombstone, and the deletion of all other registers of the memory in one shard.

    Both belong in one transaction, so that the state vector always advances. A deletion alone does not advance it.

    The register says exactly what the tombstone says, also if it lacks a device. So a copy of it in another shard does
    not change what the tombstones of the memory mean together.
    """
    value: Json = {"at": tombstone.at, "by": tombstone.by, "device": tombstone.device}
    return {**swept(tombstone.id, found), registers.forgotten_key(tombstone.id): value}


def swept(memory_id: str, found: Registers) -> Writes:
    """Return the deletion of every register of a forgotten memory except its tombstone."""
    return dict.fromkeys((key for key in found if key != registers.forgotten_key(memory_id)), DELETED)


def prunable(state: LiveMemory, most: int = limits.REVISIONS) -> list[str]:
    """Return the revisions to delete so that `most` remain, including the birth and all heads.

    The oldest revisions go first, but a revision goes only after the revisions that it was made from. A revision is
    superseded because a later one names it as its base. If the later one went first, the earlier one would be a head
    again.
    """
    excess = len(state.revisions) - most
    edits = {revision.revision: revision for revision in state.revisions[1:]}
    bases = {name: {base for base in edit.base if base in edits} - {name} for name, edit in edits.items()}
    successors = defaultdict(list)
    for name, of in bases.items():
        for base in of:
            successors[base].append(name)
    ready = [(edits[name].at, name) for name, of in bases.items() if not of and not edits[name].head]
    heapq.heapify(ready)
    gone: list[str] = []
    while ready and len(gone) < excess:
        _, name = heapq.heappop(ready)
        gone.append(name)
        for successor in successors[name]:
            bases[successor].discard(name)
            if not bases[successor] and not edits[successor].head:
                heapq.heappush(ready, (edits[successor].at, successor))
    return gone


def may_be_pruned(memory_id: str, before: Registers, found: Registers) -> set[str]:
    """Return the keys of the revisions that a device may have deleted because the memory has too many.

    A revision was made from another one (its base), which goes first. If both went while this device was away, it knows
    of no revision made from the first. But it is older than all that are superseded and left.

    Args:
        memory_id: The memory.
        before: Its registers, including the deleted ones.
        found: Its registers that are left.
    """

    def revisions(of: Registers) -> dict[str, Json]:
        return {key: of[key] for key in of if registers.part_of(memory_id, key)[0] == registers.REVISION}

    if len(revisions(found)) + 1 < limits.REVISIONS:
        return set()
    values = [value for value in revisions(before).values() if isinstance(value, dict)]
    listed = [each for value in values if isinstance(each := value.get("base"), list)]
    if any(len(each) >= limits.BASES for each in listed):  # an edit of more heads deletes all others (updated)
        return set(revisions(before))
    superseded = {registers.revision_key(memory_id, base) for each in listed for base in each if isinstance(base, str)}
    left = [at for key, value in revisions(found).items() if key in superseded and (at := _time(value)) is not None]
    times = {key: _time(value) for key, value in revisions(before).items()}
    return superseded | {key for key, at in times.items() if at is not None and left and at < min(left)}


def _time(revision: Json) -> int | None:
    at = revision.get("at") if isinstance(revision, dict) else None
    return at if is_time(at) else None


def kept_fields(writes: Writes, found: Registers) -> Writes:
    """Return `writes` with the fields that a newer version added to the same registers, so that no field is lost.

    Fields that would make a register too large to be sent are left out. No version writes such fields.
    """
    return {key: _with_fields(value, found.get(key)) for key, value in writes.items()}


def _with_fields(value: Json | Deleted, old: Json) -> Json | Deleted:
    if not isinstance(value, dict) or not isinstance(old, dict) or old.keys() <= value.keys():
        return value
    both: Json = {**old, **value}
    return both if is_sendable(both) else value


def later_than(writes: Writes, before: Registers) -> Writes:
    """Return `writes` with times after those of the values that they replace in other shards.

    Between shards the later value wins. The clock of this device may be behind that of the last writer.
    """
    return {key: _at_least(value, before.get(key)) for key, value in writes.items()}


def _at_least(value: Json | Deleted, old: Json) -> Json | Deleted:
    at, last = (each.get("at") if isinstance(each, dict) else None for each in (value, old))
    if not isinstance(value, dict) or not is_time(at) or not is_time(last) or at > last:
        return value
    return {**value, "at": min(last + 1, limits.TIME_MAX_MS)}


def is_sendable(value: Json) -> bool:
    """Return whether other devices accept a register with this value."""
    return encoded_size(value) <= limits.REGISTER_BYTES - _KEY_BYTES


def sendable(value: Json) -> Json:
    """Return a value that is too large to be sent without its largest fields; null if it has no fields."""
    fields = dict(value) if isinstance(value, dict) else None
    while fields and not is_sendable(fields):
        del fields[max(fields, key=lambda name: encoded_size({name: fields[name]}))]
    return fields


def _revision(memory_id: str, revision: str, text: str, stamp: Stamp, base: Iterable[str]) -> Writes:
    value: Json = {"text": text, "at": stamp.at, "by": stamp.by, "device": stamp.device, "base": list(base)}
    return {registers.revision_key(memory_id, revision): value}


def _spellings(state: LiveMemory, name: str) -> list[str]:
    """Return the other spellings of a tag or a key, each of which may have a register of its own."""
    return [spelling for spelling in state.spellings if nfc(spelling) == name]


def _tags(memory_id: str, salt: bytes, tags: Iterable[str], at: int) -> Writes:
    return {registers.tag_key(memory_id, salt, tag): {"tag": tag, "at": at} for tag in tags}


def _metadata(memory_id: str, salt: bytes, metadata: Mapping[str, Json], at: int) -> Writes:
    return {
        registers.metadata_key(memory_id, salt, key): {"key": None if value is None else key, "value": value, "at": at}
        for key, value in metadata.items()
    }


def _attributes(memory_id: str, attributes: Mapping[str, Json], at: int) -> Writes:
    return {registers.attribute_key(memory_id, name): {"value": v, "at": at} for name, v in attributes.items()}


def _changed_attributes(state: LiveMemory, attributes: Mapping[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in attributes.items() if state.value(BY_NAME[name]) != value}


def _links(state: LiveMemory, edit: MemoryEdit, at: int) -> Writes:
    there = {(link.rel, link.to) for link in state.links}
    writes = _link_writes(state.id, state.salt, [link for link in edit.add_links if link not in there], at)
    gone: Writes = {
        registers.link_key(state.id, state.salt, rel, to): {"rel": None, "to": None, "at": at}
        for rel, to in edit.remove_links
        if (rel, to) in there
    }
    return writes | gone


def _link_writes(memory_id: str, salt: bytes, links: Iterable[tuple[str, str]], at: int) -> Writes:
    return {registers.link_key(memory_id, salt, rel, to): {"rel": rel, "to": to, "at": at} for rel, to in links}
