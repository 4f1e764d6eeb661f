"""Which items and namespaces an operation of a LangGraph store selects."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from memcrdt.errors import InputError
from memcrdt.model.json_values import JsonComparison, Path, Sign, comparison_of

if TYPE_CHECKING:
    from langgraph.store.base import MatchCondition

# The orders of a value and an operand, as _order() returns them, that satisfy an operator.
_SIGNS: Final = {"$gt": (1,), "$gte": (0, 1), "$lt": (-1,), "$lte": (-1, 0)}
_SQL_SIGNS: Final[dict[str, Sign]] = {"$eq": "=", "$ne": "<>", "$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}


def is_match(namespace: tuple[str, ...], rule: MatchCondition) -> bool:
    """Return whether a namespace begins or ends with the labels of a rule, in which `*` stands for any label."""
    length = len(rule.path)
    if rule.match_type not in ("prefix", "suffix"):
        raise InputError(f"the match type is {rule.match_type!r}; give prefix or suffix")
    part = namespace[:length] if rule.match_type == "prefix" else namespace[max(0, len(namespace) - length) :]
    return len(part) == length and all(wanted in ("*", label) for label, wanted in zip(part, rule.path, strict=True))


def comparisons(wanted: Mapping[str, Any], path: Path = ()) -> Iterator[JsonComparison]:
    """Yield what a value that satisfies a filter satisfies as well, and SQLite can tell without reading the item.

    Raises:
        InputError: The filter has an unknown operator.
    """
    for name, each in wanted.items():
        if not isinstance(each, dict):
            tests = [comparison_of((*path, str(name)), "=", each)]
        elif any(str(operator).startswith("$") for operator in each):
            tests = [
                comparison_of((*path, str(name)), _sign_of(operator), operand) for operator, operand in each.items()
            ]
        else:
            tests = list(comparisons(each, (*path, str(name))))
        yield from filter(None, tests)


def _sign_of(operator: str) -> Sign:
    if operator not in _SQL_SIGNS:
        raise InputError(f"a filter has no operator {operator!r}; the operators are {', '.join(_SQL_SIGNS)}")
    return _SQL_SIGNS[operator]


def matches(value: Any, wanted: Any) -> bool:
    """Return whether a value satisfies a filter: a plain value, operators, or a mapping of filters for its keys.

    Numbers and texts that are numbers are compared as numbers, two other texts as texts. A missing value is None, and
    is neither above nor below anything.
    """
    if isinstance(wanted, dict) and any(str(name).startswith("$") for name in wanted):
        return all(_satisfies(value, name, operand) for name, operand in wanted.items())
    if isinstance(wanted, dict):
        return isinstance(value, dict) and all(matches(value.get(name), each) for name, each in wanted.items())
    if isinstance(wanted, (list, tuple)):
        return (
            isinstance(value, list)
            and len(value) == len(wanted)
            and all(matches(each, rule) for each, rule in zip(value, wanted, strict=True))
        )
    return bool(value == wanted)


def _satisfies(value: Any, operator: str, operand: Any) -> bool:
    if operator in ("$eq", "$ne"):
        return (value == operand) is (operator == "$eq")
    order = _order(value, operand)
    return order is not None and order in _SIGNS[operator]


def _order(value: Any, operand: Any) -> int | None:
    """Return -1, 0 or 1 as the value is below, at or above the operand; None if they have no order."""
    try:
        left, right = float(value), float(operand)
    except (TypeError, ValueError, OverflowError):
        if not (isinstance(value, str) and isinstance(operand, str)):
            return None
        return (value > operand) - (value < operand)
    return None if math.isnan(left) or math.isnan(right) else (left > right) - (left < right)
