"""The SQL connection that the core of a store runs over: SQLite's, or one that behaves like it.

`apsw.Connection` has these methods. Another database is one adapter (memcrdt/hub/connection.py), so the log, the views
and the members have one implementation. Their SQL keeps to the part that SQLite and PostgreSQL share:

- Flags are integers: `read_only = 0`, not `NOT read_only`.
- `ON CONFLICT(columns) DO ...` instead of `INSERT OR ...`, `CASE` instead of `iif`, and no `max` of two values.
- `json_each` lists the strings and numbers of a JSON list; `CAST(value AS BIGINT)` makes one a number again.
- A subquery in FROM has a name. `DOUBLE PRECISION` is a number with a fraction. `CASE` decides before a cast, because
  `AND` may evaluate its sides in any order.
- JSON functions, and those that `memcrdt.store.filtering` adds to SQLite, have the same names in PostgreSQL
  (memcrdt/hub/schema/0003.sql). `json_rows` and `json_values` return many values of JSON.
- `FOR_UPDATE` at the end of a SELECT locks its rows until the transaction ends. SQLite reads a comment there, because
  a writer has the whole file for itself.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from typing import Any, Final, Protocol, cast

import apsw

FOR_UPDATE: Final = " /* FOR UPDATE */"


class SqlCursor(Protocol):
    """The rows of a statement. It can be read once."""

    def __iter__(self) -> Iterator[Any]: ...

    def fetchone(self) -> Any:
        """Return the next row as a tuple, or None."""
        ...

    def fetchall(self) -> list[Any]:
        """Return all rows that are left."""
        ...

    @property
    def get(self) -> Any:
        """The first row, or its only value; None if there is no row."""
        ...


class SqlConnection(Protocol):
    """A connection to the database of a store."""

    def execute(self, statements: str, bindings: Any = None) -> SqlCursor:
        """Run a statement. Parameters are `?`, `?1` or `:name`."""
        ...

    def executemany(self, statements: str, sequenceofbindings: Iterable[Any]) -> Any:
        """Run a statement once for each of the bindings."""
        ...

    def changes(self) -> int:
        """Return the number of rows that the last INSERT, UPDATE or DELETE changed."""
        ...


_PARSED_TOGETHER = 32  # rows: three times as fast as one by one, and a call takes a fraction of a millisecond
_local = threading.local()  # each thread has a connection for tokenizers


def is_sqlite(db: SqlConnection) -> bool:
    """Return whether a connection is one to SQLite."""
    return isinstance(db, apsw.Connection)


def tokenizing(db: SqlConnection) -> apsw.Connection:
    """Return a connection whose tokenizers split texts into words: `db`, or one of SQLite in memory."""
    if isinstance(db, apsw.Connection):
        return db
    if not hasattr(_local, "db"):
        _local.db = apsw.Connection(":memory:")
    return cast(apsw.Connection, _local.db)


def joined_bytes(db: SqlConnection, column: str) -> str:
    """Return the SQL for the bytes of a column of all rows, one after the other.

    One row with all of them is read in a third of the time of many. SQLite joins texts only, and takes the bytes of a
    blob for one as they are.
    """
    return f"CAST(string_agg({column}, '') AS BLOB)" if is_sqlite(db) else f"string_agg({column}, ''::bytea)"


def json_rows(db: SqlConnection, select: str, bindings: Any) -> list[str]:
    """Return the rows of a SELECT whose only column, `found`, is JSON.

    SQLite returns them as one text, a line each. It releases the GIL for each row, and a computing thread may return
    the GIL only after 5 ms. Beside such a thread, a page of 100 memories took three times as long row by row. JSON of
    all of them at once would be read in one call of 6 ms that holds the GIL. PostgreSQL sends all rows at once.
    """
    if not isinstance(db, apsw.Connection):
        return [row for (row,) in db.execute(select, bindings)]
    said: str | None = db.execute(f"SELECT group_concat(found, char(10)) FROM ({select})", bindings).get
    return said.split("\n") if said else []  # JSON has no line breaks of its own


def json_values(db: SqlConnection, select: str, bindings: Any) -> Iterator[Any]:
    """Yield the values of a SELECT as json_rows() takes it. They are parsed some at a time, for the same reason."""
    rows = json_rows(db, select, bindings)
    for start in range(0, len(rows), _PARSED_TOGETHER):
        yield from json.loads(f"[{','.join(rows[start : start + _PARSED_TOGETHER])}]")
