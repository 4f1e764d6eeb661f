"""Texts of the views that are no UTF-8 any more: every query that meets one fails, so that doctor could not mend it.

They are made readable, each wrong byte as �. What they should say is then made anew from the log or, where that is
lost, is at least there to be read. What an index holds too is not looked at: there SQLite's own check finds it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import apsw

_KEYS: Final = {"memories": ("memory",), "revisions": ("memory", "revision"), "graves": ("space", "id")}
_TEXTS: Final = (
    "SELECT name FROM pragma_table_info(?1) WHERE type = 'TEXT' AND name NOT IN"
    " (SELECT c.name FROM pragma_index_list(?1) i, pragma_index_info(i.name) c WHERE c.name IS NOT NULL)"
)


class Illegible(NamedTuple):
    """A text that can't be read: where it stands, and its bytes."""

    table: str
    column: str
    key: tuple[Any, ...]
    raw: bytes


def illegible(db: apsw.Connection) -> Iterator[Illegible]:
    """All texts of the views that can't be read."""
    for table in _KEYS:
        for column in [str(name) for (name,) in db.execute(_TEXTS, (table,))]:
            sql = f"SELECT CAST({column} AS BLOB), {', '.join(_KEYS[table])} FROM {table} WHERE {column} IS NOT NULL"
            for raw, *key in db.execute(sql):
                if not _is_text(raw):
                    yield Illegible(table, column, tuple(key), raw)


def mend(db: apsw.Connection) -> int:
    """Makes all of them readable. Returns how many."""
    found = list(illegible(db))
    for each in found:
        where = " AND ".join(f"{column} = ?" for column in _KEYS[each.table])
        db.execute(
            f"UPDATE {each.table} SET {each.column} = ? WHERE {where}", (each.raw.decode(errors="replace"), *each.key)
        )
    return len(found)


def _is_text(raw: Any) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
