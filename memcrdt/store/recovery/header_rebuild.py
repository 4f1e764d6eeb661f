"""Rebuild the first page of a file whose list of tables cannot be read.

The first page is damaged, or the end of the file is missing. But in a file with auto-vacuum, SQLite puts the roots of
tables at the front, in the order in which the tables were made. So a copy of the file gets a new first page, with a
list of the tables that matter.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import apsw

HEADER: Final = 100  # bytes
_PAGE: Final = 4_096  # bytes, as in every store
_MAGIC: Final = b"SQLite format 3\0"
_ROOT: Final = 1  # the type of a root page in the pointer map; an entry is this byte and four bytes for the parent
_MAP_ENTRY: Final = 5
_FIRST_ROOT: Final = 3  # after the list of tables and the pointer map


def header_problem(header: bytes, size: int) -> str | None:
    """Return the damage that a file's first bytes and its size in bytes show, in words for the user, or None."""
    if not header.startswith(_MAGIC):
        return "it does not begin like a SQLite file"
    pages = int.from_bytes(header[28:32], "big")
    return f"it ends after {size // _PAGE:,} of {pages:,} pages" if size < pages * _PAGE else None


def rebuild_header(path: Path, target: Path, model: apsw.Connection, tables: Sequence[str]) -> list[str]:
    """Copy a file and its WAL, and give the copy a new first page with a list of tables.

    Args:
        path: The damaged file.
        target: The copy.
        model: An intact, empty store.
        tables: The tables to list.

    Returns:
        The tables that were not found.
    """
    shutil.copyfile(path, target)
    wal = path.with_name(f"{path.name}-wal")
    if wal.exists():
        shutil.copyfile(wal, target.with_name(f"{target.name}-wal"))
    with target.open("rb+") as file:
        pages = target.stat().st_size // _PAGE
        file.seek(_PAGE)
        roots = file.read(_PAGE)[::_MAP_ENTRY]
        there = [name for name in tables if _is_root(roots, page := _root_of(model, name)) and page <= pages]
        file.seek(0)
        file.write(_first_page(model, there, pages))
        file.truncate(max(pages, 1) * _PAGE)
    return [name for name in tables if name not in there]


def _is_root(roots: bytes, page: int) -> bool:
    return roots[page - _FIRST_ROOT : page - _FIRST_ROOT + 1] == bytes([_ROOT])


def _root_of(model: apsw.Connection, table: str) -> int:
    return int(model.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).get)


def _first_page(model: apsw.Connection, tables: Sequence[str], pages: int) -> bytes:
    """Return the first page of a file in WAL mode with this number of pages and these tables."""
    with closing(apsw.Connection(":memory:")) as db:
        db.execute(f"PRAGMA page_size = {_PAGE}; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA writable_schema = ON")
        for name in tables:
            row = ("table", name, name, _root_of(model, name), _definition(model, name))
            db.execute("INSERT INTO sqlite_schema VALUES(?, ?, ?, ?, ?)", row)
        page = bytearray(db.serialize("main")[:_PAGE])
    page[18:20] = b"\x02\x02"  # read and written with a WAL
    page[44:48] = (4).to_bytes(4, "big")  # the format of rows
    page[56:60] = (1).to_bytes(4, "big")  # UTF-8
    page[28:32] = max(pages, 1).to_bytes(4, "big")
    page[92:96] = page[24:28]  # the number of pages is valid only if this equals the change counter
    return bytes(page)


def _definition(model: apsw.Connection, table: str) -> str:
    """Return a short definition of a table, enough for reading. All definitions must fit into one page."""
    info = [(str(row[1]), int(row[5])) for row in model.execute(f"PRAGMA table_info({table})")]
    key = ", ".join(name for name, place in sorted(info, key=lambda each: each[1]) if place)
    if model.execute("SELECT wr FROM pragma_table_list WHERE name = ?", (table,)).get:
        return f"CREATE TABLE {table}({', '.join(name for name, _ in info)}, PRIMARY KEY({key})) WITHOUT ROWID"
    columns = (f"{name} INTEGER PRIMARY KEY" if place else name for name, place in info)
    return f"CREATE TABLE {table}({', '.join(columns)})"
