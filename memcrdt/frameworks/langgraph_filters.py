"""Which items and namespaces an operation of a LangGraph store selects."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from memcrdt.errors import InputError

if TYPE_CHECKING:
    from langgraph.store.base import MatchCondition

# The orders of a value and an operand, as _order() returns them, that satisfy an operator.
_SIGNS: Final = {"$gt": (1,), "$gte": (0, 1), "$lt": (-1,), "$lte": (-1, 0)}


def is_match(namespace: tuple[str, ...], rule: MatchCondition) -> bool:
    """Return whether a namespace begins or ends with the labels of a rule, in which `*` stands for any label."""
    length = len(rule.path)
    if rule.match_type not in ("prefix", "suffix"):
        raise InputError(f"the match type is {rule.match_type!r}; give prefix or suffix")
    part = namespace[:length] if rule.match_type == "prefix" else namespace[max(0, len(namespace) - length) :]
    return len(part) == length and all(wanted in ("*", label) for label, wanted in zip(part, rule.path, strict=True))


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
    if operator not in _SIGNS:
        raise InputError(f"a filter has no operator {operator!r}; the operators are $eq, $ne, {', '.join(_SIGNS)}")
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
