"""Scopes: what a memory belongs to. `global`, `project/NAME`, `agent/NAME` or `conversation/NAME`."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from memcrdt.errors import InputError
from memcrdt.model import limits
from memcrdt.model.values import check_unicode

GLOBAL = "global"
NAMED = ("project", "agent", "conversation")
Category: TypeAlias = Literal["global", "project", "agent", "conversation"]
CATEGORIES: tuple[Category, ...] = get_args(Category)


def is_scope(text: object) -> bool:
    """Whether `text` has one of the four forms, within the limits."""
    if not isinstance(text, str):
        return False
    if text == GLOBAL:
        return True
    category, _, name = text.partition("/")
    return (
        category in NAMED and 0 < len(name) <= limits.SCOPE_NAME_CHARS and name.isprintable() and name == name.strip()
    )


def check_scope(text: object) -> str:
    """`text`, if it is a scope. Raises InputError."""
    if not isinstance(text, str) or not is_scope(text):
        shown = repr(text)[:60]
        raise InputError(
            f"the scope {shown} is not known; use global, project/NAME, agent/NAME or conversation/NAME"
            f" with a printable name of at most {limits.SCOPE_NAME_CHARS} characters"
        )
    return check_unicode(text, "the scope")


def category_of(scope: str) -> str:
    """The first part of a scope."""
    return scope.partition("/")[0]
