"""Databases of other programs: what their sources share. Only the store opens SQLite, so its reader reads them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from memcrdt.errors import InputError
from memcrdt.importing.rows import Item, time_of
from memcrdt.store.recovery.foreign_tables import Tables, Value, copied, is_database

__all__ = ("Tables", "Value", "database_items", "is_database", "json_of", "utc_time")

_MS: Final = 100_000_000_000  # a greater number of seconds is in the year 5138, so it is milliseconds


def database_items(path: Path, table: str, read: Callable[[Tables], Iterator[Item]]) -> Iterator[Item]:
    """Yield the items of a database, read from a copy.

    The last item says why if it cannot be read, or not to its end.

    Args:
        path: The file.
        table: A table without which it is no database of this program.
        read: Yields the items of the tables.

    Raises:
        OSError: The file cannot be read or copied.
    """
    try:
        if not is_database(path):
            raise InputError("it is no SQLite file")
        with copied(path) as tables:
            if not tables.has(table):
                raise InputError(f"it has no table {table!r}, so it is no database of this program")
            yield from read(tables)
    except InputError as exc:
        yield Item(path.name, exc)


def json_of(value: Value) -> Any:
    """Return the value of a JSON text, or None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def utc_time(value: Value) -> str | None:
    """Return a time that an import accepts: of a text without a zone in UTC, of seconds or milliseconds since 1970."""
    if isinstance(value, (int, float)):
        return time_of(value / 1000 if value > _MS else value)
    return time_of(f"{value}Z") or time_of(value) if isinstance(value, str) else None
