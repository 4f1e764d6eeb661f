"""Conditions on JSON that a memory keeps in a text: what an adapter for a document store filters by.

Metadata keep neither every number nor every form of a letter. So an adapter that has to return a value as it was given
keeps it as JSON in one entry of the metadata, and may leave its longest string to the text of the memory. A condition
on such a value only narrows: it holds for every memory whose value satisfies the filter, and may hold for others. The
adapter reads what is left and decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

Path: TypeAlias = tuple[str, ...]  # the names that lead into a value
Sign: TypeAlias = Literal["=", "<>", ">", ">=", "<", "<="]

NAME_CHARS: Final = 100


@dataclass(frozen=True, slots=True)
class JsonComparison:
    """A comparison of what is at a path with an operand.

    Numbers, and texts that are numbers, are compared as numbers, two other texts as texts. What is missing is null.
    True is 1.

    Attributes:
        path: The path.
        sign: The comparison.
        operand: A number, a text, or None.
    """

    path: Path
    sign: Sign
    operand: float | str | None


@dataclass(frozen=True, slots=True)
class JsonComparisons:
    """Comparisons that a value satisfies, as the condition of a metadata key.

    Attributes:
        value: The place of the value in the JSON that is stored, as a path of SQLite.
        text: The place of the path to the string that is the text of the memory. An empty path says that the text is
            the whole value as JSON, null that it is no part of the value.
        between: What the text of the memory has after this string, if it has more.
        all_of: The comparisons, all of which hold.
    """

    value: str
    text: str
    between: str
    all_of: tuple[JsonComparison, ...]


def comparison_of(path: Path, sign: Sign, operand: Any) -> JsonComparison | None:
    """Return a comparison that SQLite can make, or None if only Python can."""
    if not all(_is_plain(name) for name in path):
        return None
    if isinstance(operand, str):
        return JsonComparison(path, sign, operand) if _is_text(operand) else None
    if operand is None:
        return JsonComparison(path, sign, None) if sign in ("=", "<>") else None
    if not isinstance(operand, (bool, int, float)):
        return None
    try:
        number = float(operand)
    except OverflowError:
        return None
    exact = abs(number) < 2**53  # beyond, different numbers of Python may be one in SQLite
    return JsonComparison(path, sign, number) if exact else None


def _is_plain(name: str) -> bool:
    """Return whether a name can stand in a path of SQLite as it is."""
    return 0 < len(name) <= NAME_CHARS and name.isascii() and name.isprintable() and not set(name) & {'"', "\\"}


def _is_text(text: str) -> bool:
    """Return whether SQLite can compare a text: with no NUL, and no lone surrogate."""
    return "\0" not in text and (text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text))
