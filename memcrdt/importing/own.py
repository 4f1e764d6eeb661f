"""memcrdt's own memories in the files of other programs.

An export in the form of another program has a field `memcrdt` for what that form has no place for. Other programs pass
over it. An import finds it, and gives back the memory that was exported: with its id, its scope and all other fields.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

from memcrdt.model.attributes import taken_by
from memcrdt.model.ids import is_ulid
from memcrdt.model.records import MemoryRecord

FIELD: Final = "memcrdt"

# The fields of a line of an export: the arguments of add(), and two more that only imports take.
FIELDS: Final = (
    *("id", "text", "space", "tags", "metadata", "created_at"),
    *(attribute.name for attribute in taken_by("import")),
    "links",
)
DATED: Final = (*FIELDS, "updated_at")


def said(record: MemoryRecord, names: Collection[str] = FIELDS) -> dict[str, Any]:
    """Return the fields with these names that differ from the defaults, as JSON values.

    Example:
        >>> said(memory.get(memory_id), ("text", "tags"))
        {'text': 'Deploys go out on Tuesdays', 'tags': ['release']}
    """
    values = {name: getattr(record, name) for name in names}
    if "links" in values:
        values["links"] = [[link.rel, link.to] for link in record.links]
    for name, value in values.items():
        if isinstance(value, datetime):
            values[name] = value.isoformat(timespec="milliseconds")
        elif isinstance(value, tuple):
            values[name] = list(value)
    return {name: value for name, value in values.items() if value is not False and value not in (None, [], {})}


def beside(record: MemoryRecord, taken: Collection[str]) -> dict[str, Any]:
    """Return the fields of a memory that the form of another program has no place for. `taken` are those it has."""
    return said(record, [name for name in DATED if name not in taken])


def restored(given: object, found: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the arguments of an import for an exported memory, or None for anything else.

    Args:
        given: The value of the field `memcrdt`.
        found: The fields that stand in the other form, such as the text. `given` overrides them.
    """
    if not isinstance(given, dict) or not isinstance(given.get("id"), str) or not is_ulid(given["id"]):
        return None
    return {**found, **{name: value for name, value in given.items() if name in DATED}}
