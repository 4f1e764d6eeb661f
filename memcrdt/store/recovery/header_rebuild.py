"""A file of which not even the list of its tables can be read: its first page is damaged, or its end is missing.

Where a store's tables begin is known: SQLite puts their first pages at the front of a file that can be vacuumed, in the
order in which they were made. So a copy of the file gets a first page anew, with a list of the tables that matter.
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
_ROOT: Final = 1  # what the map of pages says of the first page of a table: one byte, and four of its parent
_MAP_ENTRY: Final = 5
_FIRST_ROOT: Final = 3  # behind the list and the map


def complaint(header: bytes, size: int) -> str | None:
    """What is wrong with a file of which this is the beginning, in words for the user; None if that can't be seen."""
    if not header.startswith(_MAGIC):
        return "it does not begin as a SQLite file does"
    pages = int.from_bytes(header[28:32], "big")
    return f"it ends after {size // _PAGE:,} of {pages:,} pages" if size < pages * _PAGE else None


def grafted(path: Path, target: Path, model: apsw.Connection, tables: Sequence[str]) -> list[str]:
    """Makes `target` a copy of the file, and of its WAL, of which SQLite can read `tables`; returns those that can't be
    found. `model` is a whole and empty store."""
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
    """The first page of a file with so many pages and these tables, for a WAL beside it."""
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
    page[92:96] = page[24:28]  # the number of pages counts when this is the change it was written at
    return bytes(page)


def _definition(model: apsw.Connection, table: str) -> str:
    """The definition of a table without what only matters to writers: all of them have to fit into a page."""
    info = [(str(row[1]), int(row[5])) for row in model.execute(f"PRAGMA table_info({table})")]
    key = ", ".join(name for name, place in sorted(info, key=lambda each: each[1]) if place)
    if model.execute("SELECT wr FROM pragma_table_list WHERE name = ?", (table,)).get:
        return f"CREATE TABLE {table}({', '.join(name for name, _ in info)}, PRIMARY KEY({key})) WITHOUT ROWID"
    columns = (f"{name} INTEGER PRIMARY KEY" if place else name for name, place in info)
    return f"CREATE TABLE {table}({', '.join(columns)})"
