"""The merge rule: a pure function from the registers of one memory to its state.

Yjs decides which value a register has. This module derives everything else from the set of registers alone, so the
order in which they arrived never matters. A well-formed register with an invalid value is skipped and counted. It is
never an error: it may come from a newer version or from a stock Yjs client. Names and metadata are shown in NFC,
whatever form their registers have: earlier versions and other clients write any form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from memcrdt.model import limits, registers
from memcrdt.model.attributes import BY_NAME, IN_BIRTH, IN_REGISTERS, Attribute
from memcrdt.model.ids import derive, is_ulid
from memcrdt.model.normalization import nfc, nfc_json
from memcrdt.model.predicates import (
    is_label,
    is_metadata_key,
    is_metadata_value,
    is_optional_label,
    is_tag,
    is_text,
    is_time,
)
from memcrdt.model.records import Link
from memcrdt.model.registers import Registers
from memcrdt.model.values import Json, canonical


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionState:
    """One text of a memory.

    Attributes:
        revision: The ULID of the revision; the id of the memory for the birth.
        text: The text.
        at: The time of the change in ms.
        by: The agent or person who wrote it.
        device: The device on which the text was written.
        base: The revisions that this one was made from, sorted.
        head: Whether no other revision was made from this one.
    """

    revision: str
    text: str
    at: int
    by: str | None
    device: str
    base: tuple[str, ...]
    head: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveMemory:
    """The state of a memory that is not forgotten. Times are in ms.

    Attributes:
        shown: The revision whose text is shown: the latest head.
        attributes: The attributes that are set, except those that have fields here.
        superseded_at: The time at which `superseded_by` was last set, or None.
        revisions: All revisions in order of time, the birth first.
        ignored: The number of registers that were skipped because they are invalid.
        spellings: The tags and the keys of metadata that a register has in another form than NFC.
    """

    id: str
    salt: bytes
    shown: RevisionState
    scope: str
    kind: str | None
    created_at: int
    updated_at: int
    author: str | None
    device: str
    source: str | None
    tags: tuple[str, ...]
    metadata: Mapping[str, Json]
    links: tuple[Link, ...]
    attributes: Mapping[str, Json]
    superseded_at: int | None
    revisions: tuple[RevisionState, ...]
    ignored: int
    spellings: frozenset[str] = frozenset()

    def value(self, attribute: Attribute) -> Json:
        """Return the value of an attribute, or its default."""
        if attribute.in_birth:
            said: Json = getattr(self, attribute.name)
            return said
        return self.attributes.get(attribute.name, attribute.default)

    @property
    def heads(self) -> tuple[RevisionState, ...]:
        return tuple(revision for revision in self.revisions if revision.head)


@dataclass(frozen=True, slots=True)
class Tombstone:
    """The state of a forgotten memory. Nothing else is left of it. `at` is in ms, 0 if unknown."""

    id: str
    at: int
    by: str | None
    device: str | None


State: TypeAlias = LiveMemory | Tombstone | None


def project(memory_id: str, shards: Sequence[Registers]) -> State:
    """Return the state of a memory.

    Args:
        memory_id: The memory.
        shards: Its registers in each shard that has any, lowest shard first.

    Returns:
        A Tombstone if any shard has a tombstone. None while no shard has a valid birth: registers that arrived before
        the birth wait for it, invisible. Otherwise a LiveMemory.
    """
    tombstones = [part[key] for part in shards if (key := registers.forgotten_key(memory_id)) in part]
    if tombstones:
        return _grave(memory_id, tombstones)
    births = [part.get(memory_id) for part in shards]
    birth = next((b for value in births if (b := _birth(value)) is not None), None)
    if birth is None:
        return None
    united = unite(shards)
    united.pop(memory_id, None)
    return _live(memory_id, birth, united if len(births) == 1 else rivals(memory_id, births) | united)


def rivals(memory_id: str, births: Iterable[Json]) -> dict[str, Json]:
    """Return a revision for each text where the births of one memory have different texts.

    This happens when disconnected devices have added a memory under the same key. Only one birth can count, so every
    device derives the same revisions from the births.
    """
    valid = [birth for value in births if (birth := _birth(value)) is not None]
    if len({birth.text for birth in valid}) < 2:
        return {}
    return {
        registers.revision_key(memory_id, derive("rival", memory_id, birth.text)[0]): {
            "text": birth.text,
            "at": birth.created_at,
            "by": birth.attributes["author"],
            "device": birth.device,
            "base": [],
        }
        for birth in sorted(valid, key=lambda birth: (birth.created_at, birth.device), reverse=True)
    }


def unite(shards: Sequence[Registers]) -> dict[str, Json]:
    """Return one value for each key: the value with the greatest `at` of all shards, null only if all are null."""
    if len(shards) == 1:
        return dict(shards[0])
    united: dict[str, Json] = {}
    for part in shards:
        for key, value in part.items():
            if key not in united or _precedence(value) > _precedence(united[key]):
                united[key] = value
    return united


def is_newer(value: Json, other: Json) -> bool:
    """Return whether a value of a register was written after another value of it, by the times in both."""
    return _precedence(value)[0] > _precedence(other)[0]


def replaces(value: Json, other: Json) -> bool:
    """Return whether a value of a register in one shard leaves nothing of another value of it in another shard.

    It does if it is the same, or if its time is not before that of the other one.
    """
    (at, canonical_form), (before, other_form) = _precedence(value), _precedence(other)
    return canonical_form == other_form or at >= max(before, 0)


def _precedence(value: Json) -> tuple[float, str]:
    at = value.get("at") if isinstance(value, dict) else None
    return (at if is_time(at) else -1, canonical(value))


def _grave(memory_id: str, tombstones: Iterable[Json]) -> Tombstone:
    value = max(tombstones, key=_precedence)
    fields = value if isinstance(value, dict) else {}
    at, by, device = fields.get("at"), fields.get("by"), fields.get("device")
    return Tombstone(
        memory_id,
        at if is_time(at) else 0,
        nfc(by) if is_label(by) else None,
        device if is_label(device) else None,
    )


@dataclass(frozen=True, slots=True)
class _Birth:
    """A valid birth. `attributes` has every attribute that births have a field for."""

    text: str
    created_at: int
    device: str
    salt: bytes
    attributes: Mapping[str, Any]


_BORN = tuple((attribute.name, attribute.is_valid) for attribute in IN_BIRTH)


def _birth(value: Json) -> _Birth | None:
    if not isinstance(value, dict):
        return None
    get = value.get
    text, created_at, device, salt = get("text"), get("created_at"), get("device"), _salt(get("salt"))
    if not (is_text(text) and is_time(created_at) and is_label(device) and salt is not None):
        return None
    attributes = {}
    for name, is_valid in _BORN:
        if not is_valid(said := get(name)):
            return None
        attributes[name] = None if said is None else nfc_json(said)
    return _Birth(text, created_at, device, salt, attributes)


@dataclass(slots=True, kw_only=True)
class _Found:
    """The values of the registers of one memory, collected while they are read."""

    id: str
    salt: bytes
    tags: set[str] = field(default_factory=set)
    metadata: dict[str, tuple[Any, Json]] = field(default_factory=dict)  # time and value
    spellings: set[str] = field(default_factory=set)
    links: set[tuple[str, str]] = field(default_factory=set)
    attributes: dict[str, Json] = field(default_factory=dict)
    superseded_at: int | None = None
    revisions: list[RevisionState] = field(default_factory=list)
    latest: int
    ignored: int = 0


def _live(memory_id: str, birth: _Birth, united: Mapping[str, Json]) -> LiveMemory:
    found = _Found(id=memory_id, salt=birth.salt, latest=birth.created_at)
    for key, value in united.items():
        _read(found, registers.part_of(memory_id, key), value)
    revisions = _revisions(memory_id, birth, found.revisions)
    shown = next(revision for revision in reversed(revisions) if revision.head)
    born, others = birth.attributes, found.attributes
    if others:
        born = {name: others.pop(name, said) for name, said in born.items()}
    return LiveMemory(
        id=memory_id,
        salt=birth.salt,
        shown=shown,
        scope=born["scope"],
        kind=born["kind"],
        created_at=birth.created_at,
        updated_at=found.latest,
        author=born["author"],
        device=birth.device,
        source=born["source"],
        tags=tuple(sorted(found.tags)),
        metadata={key: value for key, (_, value) in sorted(found.metadata.items())},
        links=tuple(Link(rel, to) for rel, to in sorted(found.links)),
        attributes={name: value for name, value in sorted(others.items()) if value is not None},
        superseded_at=found.superseded_at,
        revisions=revisions,
        ignored=found.ignored,
        spellings=frozenset(found.spellings),
    )


def _read(found: _Found, part: tuple[str, str], value: Json) -> None:
    field, name = part
    reader = _READERS.get(field)
    if reader is None or (field == registers.ATTRIBUTE and name not in IN_REGISTERS):
        return  # a newer version wrote it: the document keeps it, and nothing shows it
    if value is None and field in _NAMED_BY:
        return  # a stock Yjs client may remove an item this way
    at = value.get("at") if isinstance(value, dict) else None
    if isinstance(value, dict) and is_time(at) and (_is_removed(field, value) or reader(found, name, value)):
        found.latest = max(found.latest, at)
    else:
        found.ignored += 1


def _is_removed(field: str, value: Mapping[str, Json]) -> bool:
    return field in _NAMED_BY and value.get(_NAMED_BY[field]) is None


def _read_tag(found: _Found, name: str, value: Mapping[str, Json]) -> bool:
    tag = value.get("tag")
    if not (is_tag(tag) and registers.tag_name(found.salt, tag) == name):
        return False
    found.tags.add(_composed(found, tag))
    return True


def _read_metadata(found: _Found, name: str, value: Mapping[str, Json]) -> bool:
    key = value.get("key")
    if not (is_metadata_key(key) and "value" in value and is_metadata_value(value["value"])):
        return False
    if registers.metadata_name(found.salt, key) != name:
        return False
    name, entry = _composed(found, key), (value["at"], nfc_json(value["value"]))
    before = found.metadata.get(name)  # an entry whose key has another spelling: the later one counts
    if before is None or (before[0], canonical(before[1])) < (entry[0], canonical(entry[1])):
        found.metadata[name] = entry
    return True


def _composed(found: _Found, name: str) -> str:
    composed = nfc(name)
    if composed != name:
        found.spellings.add(name)
    return composed


def _read_link(found: _Found, name: str, value: Mapping[str, Json]) -> bool:
    rel, to = value.get("rel"), value.get("to")
    if not (is_label(rel) and is_ulid(to) and isinstance(to, str) and registers.link_name(found.salt, rel, to) == name):
        return False
    found.links.add((rel, to))
    return True


def _read_attribute(found: _Found, name: str, value: Mapping[str, Json]) -> bool:
    if "value" not in value or not IN_REGISTERS[name].is_valid(said := value["value"]):
        return False
    found.attributes[name] = nfc_json(said)  # None as well: it removes the value of the birth
    if name == _SUPERSEDED_BY:
        found.superseded_at = value["at"]  # type: ignore[assignment]  # _read has checked that it is a time
    return True


def _read_revision(found: _Found, name: str, value: Mapping[str, Json]) -> bool:
    text, by, device, base, at = (value.get(field) for field in ("text", "by", "device", "base", "at"))
    if name == found.id:
        return False  # the birth has this name
    if not (is_ulid(name) and is_text(text) and is_optional_label(by) and is_label(device) and is_time(at)):
        return False
    if not (isinstance(base, list) and len(base) <= limits.BASES and all(is_ulid(each) for each in base)):
        return False
    bases = tuple(sorted(str(each) for each in base))
    author = None if by is None else nfc(by)
    found.revisions.append(
        RevisionState(revision=name, text=text, at=at, by=author, device=device, base=bases, head=False)
    )
    return True


_SUPERSEDED_BY = BY_NAME["superseded_by"].name
_READERS: dict[str, Callable[[_Found, str, Mapping[str, Json]], bool]] = {
    registers.TAG: _read_tag,
    registers.METADATA: _read_metadata,
    registers.LINK: _read_link,
    registers.ATTRIBUTE: _read_attribute,
    registers.REVISION: _read_revision,
}
_NAMED_BY = {
    registers.TAG: "tag",
    registers.METADATA: "key",
    registers.LINK: "rel",
}  # null once removed


def _revisions(memory_id: str, birth: _Birth, edits: list[RevisionState]) -> tuple[RevisionState, ...]:
    """Return all revisions with the heads marked: the birth first, the others in order of (at, revision)."""
    edits.sort(key=_age)
    heads = heads_of(memory_id, [(edit.revision, edit.base) for edit in edits])
    first = RevisionState(
        revision=memory_id,
        text=birth.text,
        at=birth.created_at,
        by=birth.attributes["author"],
        device=birth.device,
        base=(),
        head=memory_id in heads,
    )
    return (first, *(_with_head(edit) if edit.revision in heads else edit for edit in edits))


def heads_of(birth: str, edits: Sequence[tuple[str, Iterable[str]]]) -> set[str]:
    """Return the names of the heads among a birth and its edits.

    Every edit descends from the birth, even if the edits between them have been pruned. So the birth is a head only
    while it is alone. A cycle, which no honest device makes, may leave no head. Then the latest edit is the head.

    Args:
        birth: The id of the memory.
        edits: The revision and the base of each edit, in order of (at, revision).
    """
    bases = {name for revision, base in edits for name in base if name != revision}
    return {revision for revision, _ in edits} - bases or {edits[-1][0] if edits else birth}


def _age(revision: RevisionState) -> tuple[int, str]:
    return revision.at, revision.revision


def _with_head(edit: RevisionState) -> RevisionState:
    return RevisionState(
        revision=edit.revision, text=edit.text, at=edit.at, by=edit.by, device=edit.device, base=edit.base, head=True
    )


def _salt(value: Json) -> bytes | None:
    if not isinstance(value, str) or len(value) != 32:
        return None
    try:
        salt = bytes.fromhex(value)
    except ValueError:
        return None
    return salt if len(salt) == 16 else None  # fromhex() skips spaces
