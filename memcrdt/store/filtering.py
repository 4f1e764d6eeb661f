"""Filters as SQL conditions on `memories m`, for search, list and forget."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

import apsw

from memcrdt.model.filters import CheckedFilters
from memcrdt.model.json_values import JsonComparisons
from memcrdt.model.metadata_conditions import COMPARISONS, Condition
from memcrdt.model.normalization import caseless, nfc
from memcrdt.model.scopes import ancestors
from memcrdt.model.values import canonical
from memcrdt.store.json_filtering import json_condition

Binding: TypeAlias = str | int | float | None


class Where(NamedTuple):
    """A condition on `memories m` with positional bindings. Its SQL consists of constants only."""

    sql: str
    bindings: tuple[Binding, ...]


def add_functions(db: apsw.Connection) -> None:
    """Register the functions that conditions call.

    SQLite's own lower() knows only English letters. Ours takes as long, 1 µs per text.
    """
    db.create_scalar_function("nfc", _nfc, 1, deterministic=True)
    db.create_scalar_function("holds", _holds, 2, deterministic=True)
    db.create_scalar_function("metadata_contains", _metadata_contains, 2, deterministic=True)


def _nfc(*texts: Any) -> str:
    return nfc(texts[0])


def _holds(*texts: Any) -> bool:
    text, folded = texts
    return folded in caseless(text)


def _metadata_contains(*values: Any) -> bool:
    """Return whether a stored text contains the operand, ignoring case, or a stored list has it as an item.

    Both values are JSON.
    """
    value, operand = values
    stored = json.loads(value)
    if isinstance(stored, list):
        return any(canonical(item) == operand for item in stored)
    return isinstance(stored, str) and operand[0] == '"' and caseless(json.loads(operand)) in caseless(stored)


def where(filters: CheckedFilters, now: int) -> Where:
    """Return the condition for the memories that the filters select and that are not hidden at `now` (ms)."""
    return _all([*_narrowing(filters), *_hiding(filters, now)])


def narrowing(filters: CheckedFilters) -> Where:
    """Return the condition for the memories that the filters select, including hidden ones, at any time."""
    return _all(_narrowing(filters))


def with_ids(ids: Iterable[str]) -> Where:
    """Return the condition that a memory has one of these ids."""
    return _any_of("m.id", ids)


def both(one: Where, other: Where) -> Where:
    """Return the condition that two conditions hold."""
    return _all([one, other])


def in_spaces(column: str, names: Sequence[str]) -> Where:
    """Return the condition that a column is the local number of one of these spaces."""
    named = _any_of("name", names)
    sign = "=" if len(names) == 1 else "IN"  # every index supports the plain form
    return Where(f"{column} {sign} (SELECT space FROM spaces WHERE {named.sql})", named.bindings)


def hidden(filters: CheckedFilters, now: int) -> Iterable[Where]:
    """Yield the conditions for memories that are hidden at `now`. Each condition has an index."""
    if "expired" not in filters.include:
        yield Where("m.expires_at <= ?", (now,))
    if "superseded" not in filters.include:
        yield Where("m.superseded_by IS NOT NULL AND m.circular = 0", ())


def _all(parts: Iterable[Where]) -> Where:
    wanted = list(parts)
    if not wanted:
        return Where("TRUE", ())
    return Where(" AND ".join(part.sql for part in wanted), tuple(b for part in wanted for b in part.bindings))


def _narrowing(filters: CheckedFilters) -> Iterable[Where]:
    if filters.space:
        yield in_spaces("m.space", filters.space)
    above = (each for scope in filters.scope for each in ancestors(scope)) if filters.ancestors else ()
    scopes = tuple(dict.fromkeys((*filters.scope, *above)))
    # Without statistics, SQLite would walk through the whole scope to find the few pinned memories.
    scope_column = "m.scope || ''" if filters.pinned else "m.scope"
    for column, values in (
        (scope_column, scopes),
        ("m.category", filters.category),
        ("m.kind", filters.kind),
        ("m.author", filters.author),
        ("m.device", filters.device),
        ("m.source", filters.source),
    ):
        if values:
            yield _any_of(column, values)
    yield from _tags(filters)
    for sql, at in (
        ("m.created_at > ?", filters.after),
        ("m.created_at < ?", filters.before),
        ("m.updated_at > ?", filters.updated_after),
        ("m.updated_at < ?", filters.updated_before),
    ):
        if at is not None:
            yield Where(sql, (at,))
    for key, conditions in filters.metadata.items():
        yield from _metadata(key, conditions)
    if filters.pinned is not None:
        yield Where("m.pinned = 1" if filters.pinned else "m.pinned = 0", ())
    if filters.conflicts is not None:
        yield Where("m.conflicted = 1" if filters.conflicts else "m.conflicted = 0", ())
    if filters.contains is not None:
        yield Where("holds(m.text, ?)", (caseless(filters.contains),))


def _tags(filters: CheckedFilters) -> Iterable[Where]:
    if filters.tags:
        tags = _any_of("tag", filters.tags)
        yield Where(f"m.memory IN (SELECT memory FROM tags WHERE {tags.sql})", tags.bindings)
    for tag in filters.all_tags:
        yield Where("m.memory IN (SELECT memory FROM tags WHERE tag = ?)", (tag,))
    if filters.not_tags:
        tags = _any_of("tag", filters.not_tags)
        yield Where(f"m.memory NOT IN (SELECT memory FROM tags WHERE {tags.sql})", tags.bindings)


def _hiding(filters: CheckedFilters, now: int) -> Iterable[Where]:
    moment = now if filters.as_of is None else filters.as_of
    if filters.as_of is not None:
        yield Where("m.created_at <= ?", (moment,))
    if "expired" not in filters.include:
        yield Where("(m.expires_at IS NULL OR m.expires_at > ?)", (moment,))
    if "superseded" in filters.include:
        return
    if filters.as_of is None:
        yield Where("(m.superseded_by IS NULL OR m.circular = 1)", ())
    else:
        # A forgotten successor has no time any more. The memory was superseded no later than its last change.
        yield Where(
            "(m.superseded_by IS NULL OR m.circular = 1 OR coalesce("
            "(SELECT min(s.created_at) FROM memories s WHERE s.id = m.superseded_by), m.updated_at) > ?)",
            (moment,),
        )


def _any_of(column: str, values: Iterable[str]) -> Where:
    # One binding carries any number of values. A single value keeps the plain form, which every index supports.
    given = tuple(values)
    if len(given) == 1:
        return Where(f"{column} = ?", given)
    return Where(f"{column} IN (SELECT value FROM json_each(?))", (json.dumps(given),))


def _metadata(key: str, conditions: Sequence[Condition]) -> Iterable[Where]:
    """Yield the conditions on a metadata key.

    Conditions that need the key share one subquery. Each of the others excludes the memories that it names.
    """
    for condition in conditions:
        if isinstance(condition.operand, JsonComparisons):
            yield Where(*json_condition(key, condition.operand))
    plain = [condition for condition in conditions if not isinstance(condition.operand, JsonComparisons)]
    if needed := [_stored(condition) for condition in plain if not _excludes(condition)]:
        found = _all(needed)
        yield Where(f"m.memory IN (SELECT memory FROM metadata WHERE key = ? AND {found.sql})", (key, *found.bindings))
    for condition in filter(_excludes, plain):
        found = _stored(condition)
        yield Where(
            f"m.memory NOT IN (SELECT memory FROM metadata WHERE key = ? AND {found.sql})", (key, *found.bindings)
        )


def _excludes(condition: Condition) -> bool:
    """Return whether a memory without the key satisfies the condition."""
    return condition.operator in ("$ne", "$nin") or condition == ("$exists", False)


def _stored(condition: Condition) -> Where:
    """Return the condition on a row of `metadata`. An operator that excludes returns its opposite."""
    operator, operand = condition
    assert not isinstance(operand, JsonComparisons)
    if operator == "$exists":
        return Where("TRUE", ())
    if operator == "$contains":
        return Where("metadata_contains(value, ?)", (canonical(operand),))
    if operator in COMPARISONS:
        sign = COMPARISONS[operator]
        if isinstance(operand, str):  # by code point, as SQLite compares UTF-8
            return Where(f"json_type(value) = 'text' AND json_extract(value, '$') {sign} ?", (operand,))
        assert isinstance(operand, (int, float))
        return Where(f"number {sign} ?", (operand,))
    values = operand if operator in ("$in", "$nin") and isinstance(operand, list) else [operand]
    return _any_of("value", [canonical(value) for value in values])
