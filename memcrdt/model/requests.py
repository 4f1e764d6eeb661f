"""What a caller may ask to add or change, checked as a whole before anything is touched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import EllipsisType
from typing import Any, TypeAlias, TypedDict

from memcrdt.errors import InputError
from memcrdt.model import checks, limits
from memcrdt.model.edits import MemoryEdit
from memcrdt.model.projection import Life
from memcrdt.model.scopes import GLOBAL, check_scope
from memcrdt.model.secrets import check_no_secret
from memcrdt.model.values import Json, Time, a_kind, from_ms, to_ms

PERSONAL = "personal"
Unset: TypeAlias = EllipsisType  # `...`: leave as it is, where None means: take away


class ScopedAddOptions(TypedDict, total=False):
    """Arguments of ScopedMemory.add() beside the text: those of Memory.add() but `scope`."""

    space: str
    kind: str | None
    tags: Iterable[str]
    metadata: Mapping[str, Any] | None
    author: str | None
    source: str | None
    trust: str | None
    importance: float | None
    pinned: bool
    created_at: Time | None
    expires_at: Time | None
    id: str | None
    key: str | None
    dedupe: bool
    allow_secret: bool


class AddOptions(ScopedAddOptions, total=False):
    """Arguments of Memory.add() beside the text, which explains them."""

    scope: str


class UpdateOptions(TypedDict, total=False):
    """Arguments of Memory.update() beside the id, which explains them. `...` leaves a part as it is."""

    text: str | EllipsisType
    add_tags: Iterable[str]
    remove_tags: Iterable[str]
    metadata: Mapping[str, Any] | None
    importance: float | EllipsisType | None
    pinned: bool | EllipsisType
    expires_at: Time | EllipsisType | None
    superseded_by: str | EllipsisType | None
    scope: str | EllipsisType
    trust: str | EllipsisType | None
    author: str | None
    allow_secret: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AddRequest:
    """Checked arguments of add(). Times in ms, None for now."""

    text: str
    space: str = PERSONAL
    scope: str = GLOBAL
    kind: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Json] = field(default_factory=dict)
    author: str | None = None
    source: str | None = None
    attributes: Mapping[str, Json] = field(default_factory=dict)
    created_at: int | None = None
    id: str | None = None
    key: str | None = None
    dedupe: bool = False
    links: tuple[tuple[str, str], ...] = ()  # only imports bring them: (rel, to)


def check_add(text: object, given: Mapping[str, Any]) -> AddRequest:
    """The request that the arguments of add() make. Raises InputError."""
    if unknown := sorted(set(given) - AddOptions.__optional_keys__):
        known = sorted({"text", *AddOptions.__optional_keys__})
        raise InputError(f"a memory has no {unknown[0]!r}; it takes {', '.join(known)}")
    get = given.get
    if get("id") is not None and get("key") is not None:
        raise InputError("id and key exclude each other: a key derives the id")
    created_at = get("created_at")
    request = AddRequest(
        text=checks.check_text(text),
        space=checks.check_label(get("space", PERSONAL), "the space"),
        scope=check_scope(get("scope", GLOBAL)),
        kind=checks.check_optional_label(get("kind"), "the kind"),
        tags=checks.check_tags(get("tags", ())),
        metadata=_without_nulls(checks.check_metadata(get("metadata"))),
        author=checks.check_optional_label(get("author"), "the author"),
        source=checks.check_optional_label(get("source"), "the source", limits.SOURCE_CHARS),
        attributes=_new_attributes(given),
        created_at=None if created_at is None else to_ms(created_at, "created_at"),
        id=checks.check_optional_id(get("id")),
        key=checks.check_optional_label(get("key"), "the key", limits.KEY_CHARS),
        dedupe=checks.check_flag(get("dedupe", False), "dedupe"),
    )
    if not checks.check_flag(get("allow_secret", False), "allow_secret"):
        check_no_secret(
            (request.text, request.scope, request.kind, request.author, request.source, request.key),
            (request.tags, request.metadata, request.attributes),
        )
    return request


def check_item(item: object, defaults: Mapping[str, Any]) -> AddRequest:
    """The request of one item of add_many(): a text, or a mapping of add()'s arguments. Raises InputError."""
    if isinstance(item, str):
        return check_add(item, defaults)
    if not isinstance(item, Mapping):
        raise InputError(f"an item is {a_kind(item)}; give a text, or a mapping of add()'s arguments")
    given = {**defaults, **item}
    return check_add(given.pop("text", None), given)


def check_items(items: object, defaults: Mapping[str, Any]) -> list[AddRequest]:
    """The requests of all items of add_many(). Raises InputError, which says which of several is wrong, from 0."""
    taken = checks.check_batch(items)
    requests: list[AddRequest] = []
    for place, item in enumerate(taken):
        try:
            requests.append(check_item(item, defaults))
        except InputError as exc:
            raise InputError(f"item {place} of {len(taken):,}: {exc}") from exc
    return requests


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """The arguments of update(): `...` leaves a thing as it is, None takes it away. `author` is who changes it."""

    text: str | Unset = ...
    add_tags: object = ()
    remove_tags: object = ()
    metadata: Mapping[str, Any] | None = None
    importance: float | Unset | None = ...
    pinned: bool | Unset = ...
    expires_at: Time | Unset | None = ...
    superseded_by: str | Unset | None = ...
    scope: str | Unset = ...
    trust: str | Unset | None = ...
    author: str | None = None
    allow_secret: bool = False


def check_update(changes: Changes) -> MemoryEdit:
    """The edit that the arguments of update() make; its author is checked, and no part of it. Raises InputError."""
    author = checks.check_optional_label(changes.author, "the author")
    attributes: dict[str, Json] = {}
    if not isinstance(changes.importance, EllipsisType):
        attributes["importance"] = checks.check_optional_share(changes.importance, "the importance")
    if not isinstance(changes.pinned, EllipsisType):
        attributes["pinned"] = checks.check_flag(changes.pinned, "pinned")
    if not isinstance(changes.expires_at, EllipsisType):
        attributes["expires_at"] = _time(changes.expires_at, "expires_at")
    if not isinstance(changes.superseded_by, EllipsisType):
        attributes["superseded_by"] = checks.check_optional_id(changes.superseded_by)
    if not isinstance(changes.scope, EllipsisType):
        attributes["scope"] = check_scope(changes.scope)
    if not isinstance(changes.trust, EllipsisType):
        attributes["trust"] = checks.check_optional_label(changes.trust, "trust")
    edit = MemoryEdit(
        text=None if isinstance(changes.text, EllipsisType) else checks.check_text(changes.text),
        add_tags=checks.check_tags(changes.add_tags, "add_tags"),
        remove_tags=checks.check_tags(changes.remove_tags, "remove_tags"),
        metadata=checks.check_metadata(changes.metadata),
        attributes=attributes,
    )
    if not checks.check_flag(changes.allow_secret, "allow_secret"):
        check_no_secret(edit.text, author, edit.add_tags, _without_nulls(edit.metadata), edit.attributes)
    return edit


def check_alive(attributes: Mapping[str, Json], now: int) -> None:
    """Raises InputError for an expiry that is not after `now` (ms): a mistyped year must not cost the memory."""
    expires_at = attributes.get("expires_at")
    if isinstance(expires_at, int) and expires_at <= now:
        raise InputError(
            f"expires_at, {from_ms(expires_at).isoformat()}, is not in the future; to remove a memory, forget it"
        )


def upsert(request: AddRequest, life: Life, now: int) -> MemoryEdit:
    """What adding an item under the key of `life` changes: all that the request says, and it is visible again."""
    hidden: dict[str, Json] = {"superseded_by": None}
    expires_at = life.attributes.get("expires_at")
    if isinstance(expires_at, int) and expires_at <= now:
        hidden["expires_at"] = None
    return MemoryEdit(
        text=request.text,
        add_tags=request.tags,
        metadata=request.metadata,
        attributes={**hidden, "scope": request.scope, **request.attributes},
        add_links=request.links,
    )


def _new_attributes(given: Mapping[str, Any]) -> dict[str, Json]:
    attributes: dict[str, Json] = {
        "pinned": checks.check_flag(given.get("pinned", False), "pinned") or None,
        "importance": checks.check_optional_share(given.get("importance"), "the importance"),
        "expires_at": _time(given.get("expires_at"), "expires_at"),
        "trust": checks.check_optional_label(given.get("trust"), "trust"),
    }
    return {name: value for name, value in attributes.items() if value is not None}


def _without_nulls(metadata: Mapping[str, Json]) -> dict[str, Json]:
    return {key: value for key, value in metadata.items() if value is not None}


def _time(value: Time | None, what: str) -> int | None:
    return None if value is None else to_ms(value, what)
