"""Check whether SQLite can read a file, and report the damage that it finds."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from typing import Final

import apsw

from memcrdt.errors import CorruptError, SchemaError
from memcrdt.store import connections, migrations
from memcrdt.store.recovery import header_rebuild, schema_check
from memcrdt.store.recovery.partial_reader import readable_rows

_SHOWN: Final = 20  # the number of lines of SQLite's check that are reported
_TREE: Final = re.compile(r"\bTree (\d+)\b")


def file_problems(path: Path, vfs: str | None = None) -> list[str]:
    """Return the damage that SQLite itself finds in the file, in words for the user."""
    # On a new connection: FTS5's check trusts the cache of a connection even if other connections changed the index.
    try:
        with connections.translated(path, "checking"), closing(connect(path, vfs, read_only=True)) as db:
            return _checked(db)
    except (CorruptError, SchemaError) as exc:  # the list of tables is damaged
        return [_header_problem(path) or str(exc.__cause__ or exc)]


def _header_problem(path: Path) -> str | None:
    with connections.open_file(path, read_only=True) as file:
        size = file.xFileSize()
        return header_rebuild.header_problem(file.xRead(min(size, header_rebuild.HEADER), 0), size)


def _checked(db: apsw.Connection) -> list[str]:
    try:
        names = {int(root): str(name) for root, name in db.execute("SELECT rootpage, name FROM sqlite_schema")}
        lines = [str(row[0]) for row in db.execute(f"PRAGMA integrity_check({_SHOWN})")]
    except (apsw.CorruptError, apsw.SQLError, UnicodeDecodeError) as exc:
        return _corrupt_pages(db) or [str(exc)]
    found = [_named(part, names) for line in lines if line != "ok" for part in line.splitlines()]
    if migrations.is_spoiled(db):
        found.append("its header names a schema version that does not exist")
    return found or list(schema_check.problems(db))


def has_readable_schema(path: Path) -> bool:
    """Return whether the list of tables can be read. If so, salvage() may help, otherwise salvage_unlisted()."""
    try:
        with connections.translated(path, "salvaging"):
            connect(path, None).close()
    except (CorruptError, SchemaError):
        return False
    return True


def connect(path: Path, vfs: str | None, *, read_only: bool = False) -> apsw.Connection:
    """Return a connection that has read the list of tables.

    Raises:
        CorruptError: The list of tables cannot be read.
    """
    try:
        make = connections.connect_to_read if read_only else connections.connect
        db = make(path, read_only=read_only, vfs=vfs)
        db.execute("SELECT sql FROM sqlite_schema").fetchall()
    except apsw.CorruptError as exc:
        raise CorruptError(
            f"the list of tables of {path} cannot be read ({exc}); end all processes that have the file open, then run"
            " `memcrdt doctor --repair`"
        ) from exc
    return db


def _corrupt_pages(db: apsw.Connection) -> list[str]:
    """Return the damaged pages that ended SQLite's check early, each with its table or index."""
    sql = f"SELECT name, pageno FROM dbstat WHERE pagetype = 'corrupted' LIMIT {_SHOWN}"
    return [f"{name}: page {page} is damaged" for name, page in readable_rows(db, sql)]


def _named(line: str, names: dict[int, str]) -> str:
    """Return a line of SQLite's check, with the name of its table or index in front."""
    found = _TREE.search(line)
    return f"{names.get(int(found[1]), 'a table')}: {line}" if found else line
