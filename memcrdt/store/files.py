"""Checks on a file that SQLite has open: whether the path still leads to it, and whether this process may use it.

SQLite keeps the POSIX locks of a file once per process. In a forked child it believes that it holds its parent's
locks, so even a fresh connection takes none of its own. When the parent closes, the WAL is deleted under the child
(seen in /proc/locks). So a file that was open when a process forked cannot be opened in the child. A child that was
spawned, or that was forked before the file was opened, can open it.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeAlias
from weakref import WeakKeyDictionary

from memcrdt.errors import StoreError

FileIdentity: TypeAlias = tuple[int, int]  # device and inode
OpenFile: TypeAlias = tuple[Path, FileIdentity]
FILE: Final = "memories.db"  # of a store, in the folder of its home
BESIDE = ("-wal", "-shm")  # suffixes of the files that SQLite keeps beside an open one

_open: WeakKeyDictionary[object, Path] = WeakKeyDictionary()
_inherited: set[FileIdentity] = set()


def identity(path: Path) -> FileIdentity:
    """Return the identity of the file at `path`. Raises OSError."""
    found = path.stat()
    return found.st_dev, found.st_ino


def opened(path: Path, *beside: str) -> tuple[OpenFile, ...]:
    """Return the database file at `path` and those with the suffixes `beside`, as far as they exist.

    Raises:
        OSError: The database file is not there.
    """
    found = [(path, identity(path))]
    if sys.platform != "win32":  # Windows deletes no open file
        for each in (path.with_name(path.name + suffix) for suffix in beside):
            with suppress(FileNotFoundError):
                found.append((each, identity(each)))
    return tuple(found)


def check_same(expected: tuple[OpenFile, ...]) -> None:
    """Check that the expected files are still at their paths.

    A write into a deleted or replaced file would be acknowledged and lost.

    Raises:
        StoreError: Another file is there, or none.
    """
    for path, known in expected:
        if not _is_there(path, known):
            raise StoreError(
                f"{path} was deleted, moved or replaced while it was open, so the last changes may be lost; close the"
                " store, open it again, and look whether they are there"
            )


def is_any_replaced(expected: tuple[OpenFile, ...]) -> bool:
    """Return whether another file is at the path of one of the expected files. A missing file does not count."""
    return any(path.exists() and not _is_there(path, known) for path, known in expected)


def _is_there(path: Path, expected: FileIdentity) -> bool:
    try:
        return identity(path) == expected
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # unknown: the folder is no longer searchable
        return True


def note_opened(owner: object, path: Path) -> None:
    """Note that `owner` has the file open, for as long as it lives or until `note_closed`."""
    _open[owner] = path


def note_closed(owner: object) -> None:
    """Note that `owner` has closed its file."""
    _open.pop(owner, None)


def check_not_inherited(path: Path) -> None:
    """Raise StoreError if the file was open when this process was forked."""
    if _inherited and path.exists() and identity(path) in _inherited:
        raise inherited_error(path)


def inherited_error(path: Path) -> StoreError:
    """Return the error for a file that was open when this process was forked."""
    return StoreError(
        f"{path} was open when this process was forked, and SQLite's locks do not survive a fork; start the process"
        " with multiprocessing's spawn, or open the store only after the fork"
    )


def _note_inherited() -> None:
    _inherited.update(identity(path) for path in _open.values() if path.exists())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_inherited)
