"""Conditions on metadata: the `metadata` filter, checked and in one form.

A caller writes `{key: spec}`. A spec is one of these:

| spec | the stored value |
|---|---|
| a plain value | equals it |
| a list | equals any item of the list; so an empty list matches nothing |
| a tuple `(low, high)` | lies between the two, both included; `None` leaves an end open |
| a mapping of operators, `{"$gte": 2020, "$ne": 2023}` | satisfies all of them |
| `JsonComparisons`, only for adapters | is a text of JSON whose value may satisfy them |

All of these become tuples of `Condition`. A mapping without any key that begins with `$` is a plain value. To find a
stored object that has such a key, write `{"$eq": {"$gt": 1}}`: the operand of an operator is always a plain value.

Metadata may also have a key that begins with `$`. But `{"$or": […]}` is more likely a mistaken operator. So such a key
needs operators: `{"$or": {"$eq": 1}}`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeGuard

from memcrdt.errors import InputError
from memcrdt.model import limits
from memcrdt.model.checks import check_label
from memcrdt.model.json_values import JsonComparisons
from memcrdt.model.normalization import nfc_json
from memcrdt.model.values import Json, a_kind, check_json

# The SQL signs of the operators that compare by size.
COMPARISONS: Final = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}


class Condition(NamedTuple):
    """One operator and its operand. The operand of `$in` and `$nin` is a list, the operand of `$exists` a boolean."""

    operator: str
    operand: Json | JsonComparisons


def check_metadata_conditions(given: object, what: str) -> dict[str, tuple[Condition, ...]]:
    """Return the conditions by metadata key; all conditions of all keys must hold.

    Raises:
        InputError: `given` is not a mapping, or a spec in it has none of the forms above.
    """
    if not isinstance(given, Mapping):
        raise InputError(f"the filter {what} is {given!r}; give a mapping from key to value, values or (low, high)")
    checked = {}
    for key, spec in given.items():
        name = check_label(key, f"a key of {what}", limits.METADATA_KEY_CHARS)
        if name.startswith("$") and not _has_operators(spec):
            raise InputError(
                f"the filter {what} has the key {name[:40]!r}; an operator belongs inside a key, as in"
                f' {{"year": {{"$gte": 2020}}}}. The operators are {", ".join(_OPERANDS)}. To find a stored key with'
                " this name, give its value with $eq"
            )
        checked[name] = _conditions(spec, f"the filter on the metadata {key!r}")
    return {name: conditions for name, conditions in checked.items() if conditions}


def _conditions(spec: object, what: str) -> tuple[Condition, ...]:
    if isinstance(spec, JsonComparisons):
        return (Condition("$json", spec),)
    if isinstance(spec, tuple):
        return _range(spec, what)
    if isinstance(spec, list):
        return (Condition("$in", [_check_operand(item, what) for item in spec]),)
    if _has_operators(spec):
        return _operators(spec, what)
    return (Condition("$eq", _check_operand(spec, what)),)


def _has_operators(spec: object) -> TypeGuard[Mapping[Any, object]]:
    return isinstance(spec, Mapping) and any(isinstance(key, str) and key.startswith("$") for key in spec)


def _range(spec: tuple[object, ...], what: str) -> tuple[Condition, ...]:
    if len(spec) != 2:
        raise InputError(f"{what} is {spec!r}; a range has two ends, (low, high)")
    if spec == (None, None):
        raise InputError(f"{what} is a range without ends; give the low one, the high one, or both")
    ends = [_check_operand(end, what) for end in spec]
    if len({_scale(end, what) for end in ends if end is not None}) > 1:
        raise InputError(
            f"{what} goes from {_shown(ends[0])} to {_shown(ends[1])}; a range has two numbers or two texts"
        )
    return tuple(Condition(name, end) for name, end in zip(("$gte", "$lte"), ends, strict=True) if end is not None)


def _scale(end: Json, what: str) -> type:
    """Return the type as which an end of a range is compared. Raises InputError."""
    if isinstance(end, str):
        return str
    if _is_number(end):
        return float
    raise InputError(f"{what} has the end {_shown(end)}; a range has two numbers or two texts")


def _operators(spec: Mapping[Any, object], what: str) -> tuple[Condition, ...]:
    if unknown := [name for name in spec if name not in _OPERANDS]:
        raise InputError(f"{what} has no operator {str(unknown[0])[:40]!r}; the operators are {', '.join(_OPERANDS)}")
    conditions = tuple(Condition(name, _OPERANDS[name](value, f"{what}: {name}")) for name, value in spec.items())
    compared = [operand for name, operand in conditions if name in COMPARISONS]
    if len({isinstance(operand, str) for operand in compared}) > 1:
        raise InputError(
            f"{what} compares with a number and with a text; {', '.join(COMPARISONS)} of one key take numbers only or"
            " texts only"
        )
    # An empty `$nin` excludes nothing. It is left out, so that forget() does not count it as a filter.
    return tuple(condition for condition in conditions if condition != ("$nin", []))


def _check_operand(value: object, what: str) -> Json:
    return nfc_json(check_json(value, what))


def _any_json(value: object, what: str) -> Json:
    return _check_operand(value, what)


def _number_or_text(value: object, what: str) -> Json:
    if isinstance(value, str) or _is_number(value):
        return _check_operand(value, what)
    raise _wrong(value, what, "a number or a text")


def _list(value: object, what: str) -> Json:
    if not isinstance(value, (list, tuple, set, frozenset)):
        raise _wrong(value, what, "a list of values")
    if len(value) > limits.FILTER_VALUES:
        raise InputError(f"{what} has over {limits.FILTER_VALUES:,} values; give fewer")
    return [_check_operand(item, what) for item in value]


def _boolean(value: object, what: str) -> Json:
    if not isinstance(value, bool):
        raise _wrong(value, what, "true or false")
    return value


def _content(value: object, what: str) -> Json:
    if isinstance(value, str) and not 1 <= len(value) <= limits.QUERY_CHARS:
        raise InputError(f"{what} needs a text of 1 to {limits.QUERY_CHARS:,} characters")
    if isinstance(value, (str, bool)) or _is_number(value):
        return _check_operand(value, what)
    raise _wrong(value, what, "a text, a number, true or false")


def _wrong(value: object, what: str, right: str) -> InputError:
    return InputError(f"{what} has {a_kind(value)}; it takes {right}. The operators are {', '.join(_OPERANDS)}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _shown(end: Json) -> str:
    return json.dumps(end, ensure_ascii=False)


_OPERANDS: Final[dict[str, Callable[[object, str], Json]]] = {
    "$eq": _any_json,
    "$ne": _any_json,
    **dict.fromkeys(COMPARISONS, _number_or_text),
    "$in": _list,
    "$nin": _list,
    "$exists": _boolean,
    "$contains": _content,
}
