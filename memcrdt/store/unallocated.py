"""Overwrite what SQLite leaves of rows in the unallocated space of pages.

A page of a B-tree has a list of its cells at the start, the cells at the end, and unallocated space in between. When
pages get too full or too empty, rows move to other pages, and SQLite writes the cells of these pages again from the end
on. Old cells that this does not reach stay in the unallocated space. `secure_delete` overwrites the cells of deleted
rows, but not such copies: if the row is deleted later, its copy remains (SQLite 3.54, `rebuildPage` in btree.c).

Only VACUUM removes these bytes, and it writes the whole file. So this module writes to the file itself, through the
layer for files that SQLite uses. It overwrites no byte that SQLite reads, so readers do not notice, and after a crash
in the middle the file is correct.

The format is that of "Database File Format", sections 1.6 and 1.8 (https://www.sqlite.org/fileformat2.html).
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import apsw

from memcrdt.model.limits import MIB
from memcrdt.store import connections

_HEADER: Final = struct.Struct(">BHHHB")  # kind, first free block, number of cells, start of the cells, fragments
_HEADER_BYTES: Final = {2: 12, 5: 12, 10: 8, 13: 8}  # for each kind of page in a B-tree
_LARGEST_PAGE: Final = 65_536  # the number for it in a header is 0

# Other pages are empty or begin with the number of a page, of four bytes. With more pages its first byte could be a
# kind, too, so such files are left as they are. Pointer maps begin with a kind of their own and are told by position.
# The first page begins with the header of the file. It has nothing but the list of tables.
_MOST_PAGES: Final = 1 << 25  # 128 GiB of the usual pages
_MAP_ENTRY_BYTES: Final = 5
_PENDING_BYTE: Final = 0x4000_0000  # the page with it is unused, and a map that would be there is on the next one

_READ_BYTES: Final = MIB  # at a time
_ZEROS: Final = bytes(_LARGEST_PAGE)


def erase(db: apsw.Connection, path: Path, vfs: str | None) -> bool:
    """Overwrite the unallocated space of every page with zeros, and wait for the disk.

    Nobody may write to the file meanwhile, and the WAL must be empty. Connections that have pages in their caches would
    write the old bytes again with the next change. So commit something afterwards: other connections then drop their
    caches.

    Args:
        db: A connection with a write transaction that has not written anything. Its cache is dropped.
        path: The database file.
        vfs: The APSW VFS of its connections (None: SQLite's default).

    Returns:
        Whether there was anything to overwrite.

    Raises:
        apsw.Error: The file could not be read or written.
    """
    page_bytes, has_maps = int(db.pragma("page_size")), bool(db.pragma("auto_vacuum"))
    found = False
    with connections.open_file(path, vfs, read_only=False) as file:
        for start, end in _remains(file, page_bytes, has_maps):
            file.xWrite(_ZEROS[: end - start], start)
            found = True
        if found:
            file.xSync(apsw.SQLITE_SYNC_FULL)
    db.release_memory()
    return found


def _remains(file: apsw.VFSFile, page_bytes: int, has_maps: bool) -> Iterator[tuple[int, int]]:
    """Yield where in the file there are unallocated spaces that are not all zeros."""
    pages = file.xFileSize() // page_bytes
    size = pages * page_bytes if pages <= _MOST_PAGES else 0
    for start in range(0, size, _READ_BYTES):
        portion = file.xRead(min(_READ_BYTES, size - start), start)
        for at, low, high in _unallocated(portion, page_bytes):
            if portion[low:high] == _ZEROS[: high - low]:
                continue
            if _is_sound(portion[at : at + page_bytes], low - at, high - at) and not (
                has_maps and _is_map(start + at, page_bytes)
            ):
                yield start + low, start + high


def _unallocated(portion: bytes, page_bytes: int) -> Iterator[tuple[int, int, int]]:
    """Yield the position of each page that seems to be part of a B-tree, and where its unallocated space is."""
    headers = struct.Struct(f"{_HEADER.format}{page_bytes - _HEADER.size}x").iter_unpack(portion)
    for at, (kind, _, cells, content, _) in zip(range(0, len(portion), page_bytes), headers, strict=True):
        if kind in _HEADER_BYTES:
            yield at, at + _HEADER_BYTES[kind] + 2 * cells, at + (content or _LARGEST_PAGE)


def _is_sound(page: bytes, low: int, high: int) -> bool:
    """Return whether all that the page refers to is behind its unallocated space. In a damaged page it may not be."""
    if not low <= high <= len(page):
        return False
    kind, free_block, *_ = _HEADER.unpack_from(page)
    cells = array("H", page[_HEADER_BYTES[kind] : low])
    if sys.byteorder == "little":
        cells.byteswap()
    return high <= min(cells, default=high) and (not free_block or free_block >= high)


def _is_map(start: int, page_bytes: int) -> bool:
    """Return whether the page at this position of the file is a pointer map."""

    def has_turn(number: int) -> bool:
        return number >= 2 and (number - 2) % (page_bytes // _MAP_ENTRY_BYTES + 1) == 0

    number, pending = start // page_bytes + 1, _PENDING_BYTE // page_bytes + 1
    return has_turn(number) or (number == pending + 1 and has_turn(pending))
