"""Read a store file that may come from anybody, without running anything that is in it.

SQLite files contain code: triggers, views, generated columns, virtual tables. So nothing of the file's schema is used
or kept. Rows are read from plain columns of plain tables, and copied into a store that our own migrations made. See
https://sqlite.org/security.html.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import apsw

from memcrdt.model import limits

_PAGE_ROW_BYTES: Final = 4  # a row and its pointer take at least this much of a page


@contextmanager
def opened(path: Path) -> Iterator[apsw.Connection]:
    """Lend a connection to a file that no process writes. Nothing is written, not even beside the file.

    Raises:
        apsw.Error: SQLite cannot open the file.
    """
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    with closing(apsw.Connection(f"{path.absolute().as_uri()}?immutable=1", flags=flags)) as db:
        db.limit(apsw.SQLITE_LIMIT_LENGTH, limits.ROW_BYTES)
        db.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
        for forbidden in (
            apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA,
            apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER,
            apsw.SQLITE_DBCONFIG_ENABLE_VIEW,
        ):
            db.config(forbidden, 0)
        db.execute("PRAGMA query_only = ON; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0")
        yield db


def plain_columns(db: apsw.Connection, table: str) -> list[str]:
    """Return the stored columns of a table; none if there is no plain table of that name."""
    listed = "SELECT 1 FROM pragma_table_list(?) WHERE schema = 'main' AND type = 'table'"
    if db.execute(listed, (table,)).get is None:
        return []
    sql = "SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0"
    return [str(name) for (name,) in db.execute(sql, (table,))]


def most_rows(db: apsw.Connection) -> int:
    """Return a number of rows that no intact table of the file exceeds. A tree with a loop has rows without end."""
    return int(db.pragma("page_count")) * int(db.pragma("page_size")) // _PAGE_ROW_BYTES
