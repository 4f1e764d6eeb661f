"""Requests to add or change memories. Each request is checked as a whole before anything is changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from memcrdt.errors import InputError
from memcrdt.model import checks, limits
from memcrdt.model.attributes import BY_NAME, IN_BIRTH, AddOptions, UpdateOptions, Verb, taken_by
from memcrdt.model.edits import MemoryEdit
from memcrdt.model.ids import RANDOM_BYTES, next_ulid
from memcrdt.model.projection import LiveMemory, RevisionState
from memcrdt.model.records import MemoryRecord
from memcrdt.model.scopes import GLOBAL, PERSONAL
from memcrdt.model.secrets import check_no_secret
from memcrdt.model.values import Json, Vector, a_kind, from_ms, to_ms

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class AddRequest:
    """Checked arguments of add(). Times are in ms, None for now."""

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
    replace: bool = False
    expected: tuple[str, ...] | None = None
    links: tuple[tuple[str, str], ...] = ()  # (rel, to); only an import has links and the next two
    updated_at: int | None = None
    history: tuple[RevisionState, ...] = ()
    vector: Vector | None = None


_VERBS: Final[tuple[Verb, ...]] = ("add", "update", "import")
_ATTRIBUTES: Final = {verb: {each.name: each for each in taken_by(verb)} for verb in _VERBS}
_PAST_TEXT: Final = frozenset({"id", "revision", "text", "at", "by", "device", "base", "allow_secret"})
_RENAMING: Final = frozenset({"key", "text", "metadata", "author", "expected", "allow_secret"})
_IMPORT_ONLY: Final = _ATTRIBUTES["import"].keys() - _ATTRIBUTES["add"].keys()


@dataclass(frozen=True, slots=True)
class UpdateRequest:
    """Checked arguments of update(). `author` is the author of the change."""

    id: str
    edit: MemoryEdit
    author: str | None = None
    vector: Vector | None = None  # of the new text
    expected: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class RenameRequest:
    """Checked arguments of rename_key(): the memory under its new key, and the revisions of the one that goes."""

    id: str
    added: AddRequest
    expected: tuple[str, ...]


def check_add(text: object, arguments: Mapping[str, Any], now_ms: int) -> AddRequest:
    """Return the request for the arguments of add() at `now_ms`. Raises InputError."""
    given = _without_ttl(arguments, now_ms)
    if unknown := sorted(set(given) - AddOptions.__optional_keys__):
        known = sorted({"text", *AddOptions.__optional_keys__})
        raise InputError(f"a memory has no {unknown[0]!r}; it takes {', '.join(known)}")
    get = given.get
    if get("id") is not None and get("key") is not None:
        raise InputError("id and key exclude each other: a key derives the id")
    if get("key") is None and (get("expected") is not None or get("replace")):
        raise InputError("expected and replace need a key; to change a memory that you know by its id, use update")
    if get("dedupe") and get("expected") is not None:
        raise InputError(
            "dedupe and expected exclude each other; the memory of the key is the only one to compare with"
        )
    created_at = get("created_at")
    said = {name: each.check(get(name, each.default)) for name, each in _ATTRIBUTES["add"].items()}
    born: dict[str, Any] = {each.name: said.pop(each.name) for each in IN_BIRTH}
    request = AddRequest(
        text=checks.check_text(text),
        space=checks.check_label(get("space", PERSONAL), "the space"),
        tags=checks.check_tags(get("tags", ())),
        metadata=_without_nulls(checks.check_metadata(get("metadata"))),
        attributes={name: value for name, value in said.items() if value != BY_NAME[name].default},
        created_at=None if created_at is None else to_ms(created_at, "created_at"),
        id=checks.check_optional_id(get("id")),
        key=checks.check_optional_label(get("key"), "the key", limits.KEY_CHARS),
        dedupe=checks.check_flag(get("dedupe", False), "dedupe"),
        replace=checks.check_flag(get("replace", False), "replace"),
        expected=checks.check_expected(get("expected")),
        vector=checks.check_vector(get("vector")),
        **born,
    )
    if not checks.check_flag(get("allow_secret", False), "allow_secret"):
        check_no_secret(
            (request.text, request.key, tuple(born.values())), (request.tags, request.metadata, request.attributes)
        )
    return request


def check_item(item: object, defaults: Mapping[str, Any], now_ms: int) -> AddRequest:
    """Return the request for one item of add_many(): a text, or a mapping of add()'s arguments. Raises InputError."""
    if isinstance(item, str):
        return check_add(item, defaults, now_ms)
    if not isinstance(item, Mapping):
        raise InputError(f"an item is {a_kind(item)}; give a text, or a mapping of add()'s arguments")
    given = _overlaid(defaults, item)
    return check_add(given.pop("text", None), given, now_ms)


def check_imported(item: Mapping[str, Any], defaults: Mapping[str, Any], now_ms: int) -> AddRequest:
    """Return the request for one line of an import. Raises InputError.

    A line has arguments of add(), and attributes, links and dates that only an import takes. `defaults` override the
    line. The `device` of the line becomes the attribute `imported_from`: this device adds the memory, and does not
    claim that another one did.
    """
    if "allow_secret" in item:
        raise InputError(
            "a line cannot allow its own secret; allow secrets for the whole import (allow_secret=True in Python,"
            " --allow-secret on the command line)"
        )
    given = _overlaid(item, defaults)
    links, texts = _check_links(given.pop("links", ())), given.pop("texts", ())
    updated_at, device = given.pop("updated_at", None), given.pop("device", None)
    if device is not None:
        given.setdefault("imported_from", device)
    said = {name: BY_NAME[name].check(given.pop(name)) for name in _IMPORT_ONLY & given.keys()}
    request = check_item(given, {}, now_ms)
    history = _check_texts(texts, request, now_ms)
    if not given.get("allow_secret"):
        check_no_secret(links, said, [each.text for each in history])
    brought = {name: value for name, value in said.items() if value != BY_NAME[name].default}
    return replace(
        request,
        attributes={**request.attributes, **brought},
        links=links,
        history=history,
        updated_at=None if updated_at is None else min(to_ms(updated_at, "updated_at"), now_ms),
    )


def check_past_text(item: Mapping[str, Any], now_ms: int) -> tuple[str, RevisionState]:
    """Return the id of a memory and one of its earlier texts, from a line of an import. Raises InputError.

    The device of the line is not taken over, for the reason that check_imported() gives.
    """
    if unknown := sorted(set(item) - _PAST_TEXT):
        raise InputError(f"an earlier text has no {unknown[0]!r}; it takes {', '.join(sorted(_PAST_TEXT))}")
    text, by = checks.check_text(item.get("text")), checks.check_optional_label(item.get("by"), "the author")
    base = item.get("base", [])
    if not isinstance(base, list) or len(base) > limits.BASES:
        raise InputError(f"the base of an earlier text must be a list of at most {limits.BASES} revisions")
    if not item.get("allow_secret"):
        check_no_secret(text, by)
    return checks.check_id(item.get("id")), RevisionState(
        revision=checks.check_id(item.get("revision")),
        text=text,
        at=min(to_ms(item.get("at", ""), "the time of an earlier text"), now_ms),
        by=by,
        device="",
        base=tuple(sorted(map(checks.check_id, base))),
        head=False,
    )


def check_items(items: object, defaults: Mapping[str, Any], now_ms: int) -> list[AddRequest]:
    """Return the requests for all items of add_many(). Raises InputError."""
    return _each(checks.check_batch(items), lambda item: check_item(item, defaults, now_ms))


def check_updates(items: object, defaults: Mapping[str, Any], now_ms: int) -> list[UpdateRequest]:
    """Return the requests for all items of update_many(). Raises InputError."""
    return _each(checks.check_batch(items), lambda item: _check_update_item(item, defaults, now_ms))


def check_update_of(memory_id: str, given: Mapping[str, Any], now_ms: int) -> UpdateRequest:
    """Return the request for the arguments of update(). Raises InputError."""
    edit = check_update(given, now_ms)
    vector = checks.check_vector(given.get("vector"))
    if vector is not None and edit.text is None:
        raise InputError("a vector is only accepted for a new text; give the text with it")
    return UpdateRequest(
        memory_id, edit, given.get("author"), vector, checks.check_expected(given.get("expected"), of_key=False)
    )


def check_update(given: Mapping[str, Any], now_ms: int) -> MemoryEdit:
    """Return the edit for the arguments of update(): `...` keeps a value, None removes it. Raises InputError.

    The author of the change is checked, too, but is not part of the edit.
    """
    asked = _without_ttl({name: value for name, value in given.items() if value is not ...}, now_ms, absent=...)
    if unknown := sorted(set(asked) - UpdateOptions.__optional_keys__):
        known = ", ".join(sorted(UpdateOptions.__optional_keys__))
        raise InputError(f"update has no argument {unknown[0]!r}; it takes {known}")
    author = checks.check_optional_label(asked.get("author"), "the author")
    edit = MemoryEdit(
        text=checks.check_text(asked["text"]) if "text" in asked else None,
        tags=checks.check_tags(asked["tags"]) if "tags" in asked else None,
        add_tags=checks.check_tags(asked.get("add_tags", ()), "add_tags"),
        remove_tags=checks.check_tags(asked.get("remove_tags", ()), "remove_tags"),
        metadata=checks.check_metadata(asked.get("metadata")),
        attributes={name: each.check(asked[name]) for name, each in _ATTRIBUTES["update"].items() if name in asked},
    )
    if edit.tags is not None and (edit.add_tags or edit.remove_tags):
        raise InputError("tags replaces all tags; give it without add_tags and remove_tags")
    if not checks.check_flag(asked.get("allow_secret", False), "allow_secret"):
        check_no_secret(edit.text, author, edit.tags, edit.add_tags, _without_nulls(edit.metadata), edit.attributes)
    return edit


def check_renames(
    items: object, defaults: Mapping[str, Any], get: Callable[[str], MemoryRecord], now_ms: int
) -> list[RenameRequest]:
    """Return the requests for all items of rename_keys(). Raises InputError, and what `get` raises."""
    named: set[str] = set()

    def check(item: object) -> RenameRequest:
        if not isinstance(item, Mapping) or "id" not in item:
            raise InputError(f"an item is {a_kind(item)}; give a mapping with the id of a memory and its new key")
        given = {name: value for name, value in item.items() if name != "id"}
        request = check_rename(get(item["id"]), {**defaults, **given}, now_ms)
        if request.id in named:
            raise InputError(f"the memory {request.id} is in two items; give it one key")
        named.add(request.id)
        return request

    return _each(checks.check_batch(items), check)


def check_rename(record: MemoryRecord, given: Mapping[str, Any], now_ms: int) -> RenameRequest:
    """Return the request for the arguments of rename_key(), beside the id. Raises InputError."""
    if record.conflicted:
        raise InputError(
            f"the memory {record.id} has competing texts, and a rename would drop one; update its text first"
        )
    asked = {name: value for name, value in given.items() if value is not None}
    if unknown := sorted(asked.keys() - _RENAMING):
        raise InputError(f"rename_key has no argument {unknown[0]!r}; it takes {', '.join(sorted(_RENAMING))}")
    if "key" not in asked:
        raise InputError(f"the new key of the memory {record.id} is missing; give it")
    if not checks.check_flag(asked.get("allow_secret", False), "allow_secret"):
        check_no_secret([asked.get(name) for name in ("key", "text", "metadata")])
    kept = {name: getattr(record, name) for name in ("space", "tags", *_ATTRIBUTES["add"])}
    added = {
        **{name: value for name, value in kept.items() if value is not None},
        **({"author": asked["author"]} if "author" in asked else {}),
        "metadata": {**record.metadata, **checks.check_metadata(asked.get("metadata"))},
        "key": asked["key"],
        "expected": (),
        "allow_secret": True,  # what it has was accepted before
    }
    expected = checks.check_expected(asked.get("expected", record.revision), of_key=False)
    return RenameRequest(record.id, check_add(asked.get("text", record.text), added, now_ms), expected or ())


def check_alive(attributes: Mapping[str, Json], now: int) -> None:
    """Raise InputError if the expiry is not after `now` (ms): a mistyped year must not hide a memory."""
    expires_at = attributes.get("expires_at")
    if isinstance(expires_at, int) and expires_at <= now:
        raise InputError(
            f"expires_at, {from_ms(expires_at).isoformat()}, is not in the future; to remove a memory, forget it"
        )


def upsert(request: AddRequest, state: LiveMemory, now: int) -> MemoryEdit:
    """Return the edit for an add under the key of a known memory. The edit also makes the memory visible again."""
    hidden: dict[str, Json] = {"superseded_by": None}
    expires_at = state.attributes.get("expires_at")
    if request.replace or (isinstance(expires_at, int) and expires_at <= now):
        hidden["expires_at"] = None
    others: dict[str, Json] = dict.fromkeys(state.metadata) if request.replace else {}
    return MemoryEdit(
        text=request.text,
        tags=request.tags or None,
        metadata={**others, **request.metadata},
        attributes={**hidden, **_overriding(request), **request.attributes},
        add_links=request.links,
    )


def _check_update_item(item: object, defaults: Mapping[str, Any], now_ms: int) -> UpdateRequest:
    if not isinstance(item, Mapping):
        raise InputError(f"an item is {a_kind(item)}; give a mapping of update()'s arguments, with the id")
    given = _overlaid(defaults, item, absent=...)
    if "id" not in given:
        raise InputError("the id is missing; give the id of the memory with the arguments of update()")
    memory_id = checks.check_id(given.pop("id"))
    return check_update_of(memory_id, given, now_ms)


def _each(items: list[object], check: Callable[[object], T]) -> list[T]:
    """Return the requests for all items. Raises the InputError of an item with the index of the item, from 0."""
    checked: list[T] = []
    for place, item in enumerate(items):
        try:
            checked.append(check(item))
        except InputError as exc:
            raise type(exc)(f"item {place} of {len(items):,}: {exc}") from exc
    return checked


def _overlaid(below: Mapping[str, Any], above: Mapping[str, Any], absent: object = None) -> dict[str, Any]:
    """Return both mappings of arguments as one. An expiry in `above` replaces any expiry in `below`.

    `absent` is the value of `expires_at` that means no argument: None for add(), `...` for update().
    """
    hidden = {"expires_at"} if above.get("ttl") is not None else set()
    if above.get("expires_at", absent) is not absent:
        hidden.add("ttl")
    return {**{name: value for name, value in below.items() if name not in hidden}, **above}


def _without_ttl(arguments: Mapping[str, Any], now_ms: int, absent: object = None) -> dict[str, Any]:
    """Return the arguments with the time to live turned into an expiry. Raises InputError if both are given.

    `absent` is as in `_overlaid`.
    """
    given = dict(arguments)
    ttl = given.pop("ttl", None)
    if ttl is None:
        return given
    if given.get("expires_at", absent) is not absent:
        raise InputError("ttl and expires_at exclude each other; give one of them")
    return {**given, "expires_at": from_ms(min(now_ms + checks.check_ttl(ttl), limits.TIME_MAX_MS))}


def _overriding(request: AddRequest) -> dict[str, Json]:
    """Return the attributes in a request that override the attributes of the birth."""
    said = {each.name: getattr(request, each.name) for each in IN_BIRTH if each.in_register}
    return {name: value for name, value in said.items() if value is not None}


def _check_texts(texts: object, request: AddRequest, now_ms: int) -> tuple[RevisionState, ...]:
    """Return the texts that a keyed item had, each based on the one before. The first one gets the id of the memory.

    Their revisions are derived from the ids that they have in the source, so that two devices import equal ones.
    """
    import hashlib  # takes 5 ms to load

    if not isinstance(texts, (list, tuple)) or len(texts) > limits.REVISIONS or (texts and request.key is None):
        raise InputError(f"texts must be a list of at most {limits.REVISIONS} texts of an item with a key")
    found: list[RevisionState] = []
    for each in texts:
        if not isinstance(each, Mapping):
            raise InputError("each of the texts must have an id, a text and a time")
        at = min(to_ms(each.get("at", ""), "the time of an earlier text"), now_ms)
        digest = hashlib.blake2b(str(each.get("id")).encode(errors="surrogatepass"), digest_size=RANDOM_BYTES).digest()
        before = found[-1].revision if found else ""
        found.append(
            RevisionState(
                revision=next_ulid(before or None, at, digest) if found else "",
                text=checks.check_text(each.get("text")),
                at=at,
                by=request.key.partition(":")[0] if request.key else None,
                device="",
                base=(before,) if found else (),
                head=False,
            )
        )
    return tuple(found)


def _check_links(links: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(links, (list, tuple)) or len(links) > limits.LINKS:
        raise InputError(f"the links must be a list of at most {limits.LINKS}")
    pairs = [link if isinstance(link, list) and len(link) == 2 else (None, None) for link in links]
    return tuple((checks.check_label(rel, "the relation"), checks.check_id(to)) for rel, to in pairs)


def _without_nulls(metadata: Mapping[str, Json]) -> dict[str, Json]:
    return {key: value for key, value in metadata.items() if value is not None}
