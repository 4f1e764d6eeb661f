"""Which file stands at a path: it may be deleted or replaced while SQLite has it open."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from memcrdt.errors import StoreError

Identity: TypeAlias = tuple[int, int]  # device and inode


def identity(path: Path) -> Identity:
    """Raises OSError."""
    found = path.stat()
    return found.st_dev, found.st_ino


def check_same(path: Path, expected: Identity) -> None:
    """Raises StoreError when another file than the expected one is there, or none: what is written into a file that was
    deleted or replaced would be acknowledged and lost."""
    if not _is_there(path, expected):
        raise StoreError(
            f"{path} was deleted, moved or replaced while it was open; close it and open it again: nothing was changed,"
            " and what is in the old file is no longer seen"
        )


def _is_there(path: Path, expected: Identity) -> bool:
    try:
        return identity(path) == expected
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # it can't be told: the folder may not be searched any more
        return True
