"""Filters of a search, a list or a forget: their names and types, and the check that every face shares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from itertools import islice
from typing import Any, Literal, TypeAlias, TypedDict, get_args

from memcrdt.errors import InputError
from memcrdt.model import limits
from memcrdt.model.checks import check_label, check_tags
from memcrdt.model.metadata_conditions import Condition, check_metadata_conditions
from memcrdt.model.scopes import CATEGORIES, Category, check_scope
from memcrdt.model.values import Time, to_ms

Include: TypeAlias = Literal["expired", "superseded"]
Texts: TypeAlias = str | Iterable[str] | None
Order: TypeAlias = Literal["newest", "oldest", "updated"]  # of a list
INCLUDES: tuple[Include, ...] = get_args(Include)


class ScopedFilters(TypedDict, total=False):
    """Filters that narrow the results of a ScopedMemory: all of Filters except `scope`. None and [] do not narrow.

    Attributes:
        space: Names of spaces, any of which contains the memory.
        ancestors: Also search the scopes that contain the scopes of the filter `scope`, which has to be given: the
            project of a conversation in it, and `global`.
        category: Categories of scopes, any of which the memory's scope has.
        kind: Kinds, any of which the memory has.
        tags: Tags, any of which the memory has.
        all_tags: Tags, all of which the memory has.
        not_tags: Tags, none of which the memory has.
        after: Created after this time; the time itself is excluded.
        before: Created before this time.
        updated_after: Last changed after this time.
        updated_before: Last changed before this time.
        metadata: A condition for each key: a value, a list of accepted values ([] accepts none), a tuple (low,
            high) that includes both ends (None leaves one end open), or operators such as {"$gte": 2020}.
        contains: Text that the memory's text contains, ignoring case.
        pinned: True for pinned memories, False for all others.
        conflicts: True for memories with competing texts, False for all others.
        author: Authors, any of whom added the memory.
        device: Ids of devices, any of which added the memory.
        source: Sources, any of which the memory has.
        include: Hidden memories to show: "expired", "superseded".
        as_of: Use the memories as they were at this time.
    """

    space: Texts
    ancestors: bool | None
    category: Category | Iterable[Category] | None
    kind: Texts
    tags: Texts
    all_tags: Texts
    not_tags: Texts
    after: Time | None
    before: Time | None
    updated_after: Time | None
    updated_before: Time | None
    metadata: Mapping[str, Any] | None
    contains: str | None
    pinned: bool | None
    conflicts: bool | None
    author: Texts
    device: Texts
    source: Texts
    include: Include | Iterable[Include] | None
    as_of: Time | None


class Filters(ScopedFilters, total=False):
    """Filters that narrow search, similar, list, count, iterate, forget, export, changes and subscribe.

    Attributes:
        scope: Scopes, any of which the memory has: "global", "project/NAME", "agent/NAME", "conversation/NAME",
            "project/NAME/conversation/NAME". ScopedFilters explains all other filters.
    """

    scope: Texts


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedFilters:
    """Checked filters. Empty values and None do not narrow. Times are in ms.

    `metadata` maps a key to conditions, all of which must hold.
    """

    space: tuple[str, ...] = ()
    scope: tuple[str, ...] = ()
    ancestors: bool = False
    category: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    all_tags: tuple[str, ...] = ()
    not_tags: tuple[str, ...] = ()
    after: int | None = None
    before: int | None = None
    updated_after: int | None = None
    updated_before: int | None = None
    metadata: Mapping[str, tuple[Condition, ...]] = field(default_factory=dict)
    contains: str | None = None
    pinned: bool | None = None
    conflicts: bool | None = None
    author: tuple[str, ...] = ()
    device: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    include: frozenset[str] = frozenset()
    as_of: int | None = None

    def narrows(self) -> bool:
        """Return whether any filter leaves memories out."""
        alike = ("ancestors", "include", "as_of")  # alone, they leave out nothing, or only memories after `as_of`
        asked = [getattr(self, f.name) for f in fields(self) if f.name not in alike]
        return any(value not in (None, (), {}) for value in asked)


def check_order(order: object) -> Order:
    """Return `order` if a list can have it. Raises InputError."""
    for known in get_args(Order):
        if order == known:
            return known  # type: ignore[no-any-return]
    raise InputError(f"the order {order!r} is not known; the orders are {', '.join(get_args(Order))}")


def check_filters(given: Mapping[str, Any]) -> CheckedFilters:
    """Return the keyword arguments of type Filters, checked. Raises InputError."""
    known = Filters.__optional_keys__
    if unknown := sorted(set(given) - known):
        raise InputError(f"there is no filter {unknown[0]!r}; the filters are {', '.join(sorted(known))}")
    asked = {name: value for name, value in given.items() if value is not None}
    checked = CheckedFilters(**{name: _CHECKS[name](value, name) for name, value in asked.items()})
    if checked.ancestors and not checked.scope:
        raise InputError('ancestors=True needs a filter for the scope, such as scope="project/acme"')
    return checked


def _several(value: object, what: str) -> tuple[Any, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        return (value,)
    items = tuple(islice(value, limits.FILTER_VALUES + 1))
    if len(items) > limits.FILTER_VALUES:
        raise InputError(f"the filter {what} has over {limits.FILTER_VALUES:,} values; give fewer")
    return items


def _scopes(value: object, what: str) -> tuple[str, ...]:
    return tuple(check_scope(scope) for scope in _several(value, what))


def _categories(value: object, what: str) -> tuple[str, ...]:
    categories = _several(value, what)
    if unknown := [category for category in categories if category not in CATEGORIES]:
        raise InputError(f"the category {unknown[0]!r} is not known; the categories are {', '.join(CATEGORIES)}")
    return categories


def _labels(value: object, what: str) -> tuple[str, ...]:
    return tuple(check_label(item, what, limits.SOURCE_CHARS) for item in _several(value, what))


def _spaces(value: object, what: str) -> tuple[str, ...]:
    return tuple(check_label(name, what) for name in _several(value, what))


def _tags(value: object, what: str) -> tuple[str, ...]:
    return check_tags(_several(value, what), what, limits.FILTER_VALUES)


def _flag(value: object, what: str) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"the filter {what} is {value!r}; give True or False")
    return value


def _time(value: Any, what: str) -> int:
    return to_ms(value, f"the filter {what}")


def _contains(value: object, what: str) -> str:
    return check_label(value, f"the filter {what}", limits.QUERY_CHARS)


def _includes(value: object, what: str) -> frozenset[str]:
    wanted = _several(value, what)
    if unknown := [item for item in wanted if item not in INCLUDES]:
        raise InputError(f"the filter include has {str(unknown[0])[:40]!r}; it takes expired and superseded")
    return frozenset(wanted)


_CHECKS: dict[str, Any] = {
    "space": _spaces,
    "scope": _scopes,
    "ancestors": _flag,
    "category": _categories,
    "kind": _labels,
    "tags": _tags,
    "all_tags": _tags,
    "not_tags": _tags,
    "after": _time,
    "before": _time,
    "updated_after": _time,
    "updated_before": _time,
    "metadata": check_metadata_conditions,
    "contains": _contains,
    "pinned": _flag,
    "conflicts": _flag,
    "author": _labels,
    "device": _labels,
    "source": _labels,
    "include": _includes,
    "as_of": _time,
}
