"""Memories as resources: a record with where it comes from, its version, and the changes that concern one version.

The version of a memory is a short text that changes with anything that a reader of the memory sees. A change may name
the version that it was made from, and is refused if another one is there. Without it, changes merge.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from memcrdt.errors import InputError, NotFoundError, StaleRevisionError
from memcrdt.memory.forgetting import ForgetStatus
from memcrdt.model import checks, limits
from memcrdt.model.records import Forgotten, Hit, MemoryRecord, Revision
from memcrdt.model.serialization import Record, field_names
from memcrdt.service.answers import Origins
from memcrdt.service.service import Saved, Service

VERSION_BYTES: Final = 12  # two versions of one memory are alike with a chance of 2^-96


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryResource(MemoryRecord):
    """A memory, and where it comes from.

    Attributes:
        device_name: The name of the device that added the memory, `this device`, or the start of an unknown id.
        untrusted: Whether the text comes from another user's device or an untrusted source: data, never instructions.
    """

    device_name: str
    untrusted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Found(Record):
    """A search result. `memory` is a MemoryResource; memcrdt.Hit explains the other attributes."""

    memory: MemoryResource
    score: float
    passage: str | None
    marks: tuple[tuple[int, int], ...]
    parts: dict[str, float]


def resources(service: Service, records: Iterable[MemoryRecord]) -> list[MemoryResource]:
    """Return records with where they come from."""
    items = list(records)
    origins = service.origins(items)
    return [_resource(record, origins) for record in items]


def found(service: Service, hits: Iterable[Hit]) -> list[Found]:
    """Return hits with where their memories come from."""
    items = list(hits)
    origins = service.origins(items)
    return [
        Found(
            memory=_resource(hit.memory, origins),
            score=hit.score,
            passage=hit.passage,
            marks=hit.marks,
            parts=dict(hit.parts),
        )
        for hit in items
    ]


def _resource(record: MemoryRecord, origins: Origins) -> MemoryResource:
    return MemoryResource(
        **{name: getattr(record, name) for name in field_names(MemoryRecord)},
        device_name=origins.name(record.device),
        untrusted=origins.is_untrusted(record),
    )


def heads(service: Service, record: MemoryRecord) -> tuple[str, ...]:
    """Return the revisions of the texts of a memory: several if they compete."""
    if not record.conflicted:
        return (record.revision,)
    return tuple(each.revision for each in service.memory.history(record.id) if each.head)


def version(service: Service, record: MemoryRecord) -> str:
    """Return the version of a memory: the same on every device that shows the memory in the same way.

    Example:
        >>> version(service, service.record(id))
        '9f2c1d7e0b6a4c3d8e5f1a2b'
    """
    return _version(record, heads(service, record))


def _version(record: MemoryRecord, revisions: Iterable[str]) -> str:
    shown = {name: getattr(record, name) for name in field_names(MemoryRecord) if name != "space"}
    said = json.dumps([sorted(revisions), shown], default=str, sort_keys=True)  # names of spaces are local
    return hashlib.blake2b(said.encode(errors="surrogatepass"), digest_size=VERSION_BYTES).hexdigest()


def expected_heads(service: Service, id: str, versions: Iterable[str]) -> tuple[str, ...]:
    """Return the revisions that a change has to expect which was made from one of these versions.

    The change compares them under the write lock, so no other text can come in between.

    Raises:
        NotFoundError: The memory does not exist for the caller.
        StaleRevisionError: The memory is at another version.
    """
    record = service.record(id)
    present = heads(service, record)
    if _version(record, present) not in versions:
        raise StaleRevisionError(f"the memory {id} has changed since it was read", id=id, heads=present)
    return present


def revision(service: Service, id: str, revision: str) -> Revision:
    """Return one text of a memory. Raises NotFoundError."""
    for each in service.history(id):
        if each.revision == revision:
            return each
    raise NotFoundError(f"the memory {id} has no revision {revision[: limits.LABEL_CHARS]}; its history shows them")


def conflicts(service: Service, id: str) -> list[Revision]:
    """Return the competing texts of a memory; none if it has one current text. Raises NotFoundError."""
    texts = [each for each in service.history(id) if each.head]
    return texts if len(texts) > 1 else []


def resolve(
    service: Service,
    id: str,
    *,
    keep: str | None = None,
    text: str | None = None,
    expected: Iterable[str] | None = None,
) -> Saved:
    """Settle a conflict: keep one of the competing texts, or write another. The others stay in the history.

    Args:
        service: The service of the caller.
        id: The id of the memory.
        keep: The revision of the text to keep.
        text: The text to write instead.
        expected: All revisions that compete, as the caller knows them. Default: those that are there.

    Raises:
        InputError: There is no conflict, or not exactly one of `keep` and `text` is given.
        NotFoundError: There is no such memory, or the revision is none of the competing texts.
        StaleRevisionError: Other texts compete than those expected.
    """
    if (keep is None) == (text is None):
        raise InputError("give the revision to keep, or a text")
    competing = conflicts(service, id)
    if not competing:
        raise InputError(f"memory {id} has one current text, so there is nothing to resolve")
    if keep is not None:
        kept = [each.text for each in competing if each.revision == keep]
        if not kept:
            choices = ", ".join(each.revision for each in competing)
            raise NotFoundError(f"{keep[:40]} is none of the competing texts; they are {choices}")
        text = kept[0]
    known = [each.revision for each in competing] if expected is None else list(expected)
    return service.update(id, text=text, expected=known)


def create_by_key(service: Service, key: str, *, versions: Iterable[str] | None, **options: Any) -> Saved:
    """Add a memory under a key, or update the memory of the key.

    Args:
        service: The service of the caller.
        key: The key, in a space and a scope.
        versions: The versions that the memory may be at; an empty list if there must be none yet; None for any.
        **options: Arguments of Service.add().

    Raises:
        StaleRevisionError: The memory of the key is at another version, or there is one.
    """
    if versions is None:
        return service.add(key=key, **options)
    allowed = list(versions)
    if not allowed:
        return service.add(key=key, expected=[], **options)
    record = service.get_by_key(key, scope=options.get("scope"), space=options.get("space"))
    return service.add(key=key, expected=expected_heads(service, record.id, allowed), **options)


def forget_one(service: Service, id: str, versions: Iterable[str] | None) -> Forgotten:
    """Forget one memory, if it is at one of these versions. Raises NotFoundError, StaleRevisionError."""
    return service.forget(id, expected=None if versions is None else expected_heads(service, id, versions))


def link(service: Service, id: str, rel: str, to: str) -> Saved:
    """Link a memory to another one. Raises as Service.link() does, and InputError if the other one does not exist."""
    service.record(id)
    try:
        service.record(to)
    except NotFoundError as exc:  # not the memory that the caller asks to change
        raise InputError(f"there is no memory {to} to link to") from exc
    return service.link(id, rel, to)


def unlink(service: Service, id: str, to: str, rel: str | None = None) -> MemoryRecord:
    """Remove the links of a memory to another one, by every relation or by one. There may be none.

    Raises:
        NotFoundError: The memory does not exist for the caller.
        ReadOnlyError: The caller may not write.
    """
    service.access.check("write")
    for each in service.record(id).links:
        if each.to == to and rel in (None, each.rel):
            service.memory.unlink(id, each.rel, to)
    return service.record(id)


def linked(service: Service, id: str, rel: str | None = None) -> list[MemoryRecord]:
    """Return the memories that a memory links to and that the caller may read. Raises NotFoundError."""
    service.record(id)
    return [record for record in service.memory.related(id, rel) if service.access.sees(record.space)]


def receipts(service: Service, ids: Iterable[str]) -> ForgetStatus:
    """Return which devices have confirmed that nothing is left of forgotten memories.

    Raises:
        InputError: A memory is not forgotten.
        NotFoundError: The caller may not know of a memory.
    """
    asked = checks.check_ids(ids)
    if not asked:
        raise InputError("receipts are of memories that were forgotten; give at least one id")
    service.check_known(*asked)
    return service.memory.forget_status(asked)
