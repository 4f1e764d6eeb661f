"""Repair texts of the views that are no longer UTF-8.

Every query that reads such a text fails, even in the doctor. So each invalid byte becomes �. The right text then comes
from the log. If the log has lost it, the rest of the text is at least readable. Columns with an index need no check
here, because SQLite's own check finds them.
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


class UnreadableText(NamedTuple):
    """An unreadable text: its table, its column, the key of its row, and its bytes."""

    table: str
    column: str
    key: tuple[Any, ...]
    raw: bytes


def unreadable_texts(db: apsw.Connection) -> Iterator[UnreadableText]:
    """Yield all unreadable texts of the views."""
    for table in _KEYS:
        for column in [str(name) for (name,) in db.execute(_TEXTS, (table,))]:
            sql = f"SELECT CAST({column} AS BLOB), {', '.join(_KEYS[table])} FROM {table} WHERE {column} IS NOT NULL"
            for raw, *key in db.execute(sql):
                if not _is_text(raw):
                    yield UnreadableText(table, column, tuple(key), raw)


def repair(db: apsw.Connection) -> int:
    """Make all texts of the views readable. Return the number of texts repaired."""
    found = list(unreadable_texts(db))
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
