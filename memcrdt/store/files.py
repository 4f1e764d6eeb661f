"""Which file stands at a path, where it may be replaced while SQLite has it open, and what the system refuses."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from memcrdt.errors import DiskFullError, StoreError

FileIdentity: TypeAlias = tuple[int, int]  # device and inode


def identity(path: Path) -> FileIdentity:
    """Raises OSError."""
    found = path.stat()
    return found.st_dev, found.st_ino


def check_same(path: Path, expected: FileIdentity) -> None:
    """Raises StoreError when another file than the expected one is there, or none: what is written into a file that was
    deleted or replaced would be acknowledged and lost."""
    if not _is_there(path, expected):
        raise StoreError(
            f"{path} was deleted, moved or replaced while it was open; close it and open it again: nothing was changed,"
            " and what is in the old file is no longer seen"
        )


@contextmanager
def told(what: str, advice: str) -> Iterator[None]:
    """Makes a StoreError of an OSError: `what` can't be done, why, and `advice`; or a DiskFullError."""
    try:
        yield
    except OSError as exc:
        if exc.errno == errno.ENOSPC:
            raise DiskFullError(f"{what}: the disk is full; make room on it") from exc
        raise StoreError(f"{what} ({exc.strerror}); {advice}") from exc


def _is_there(path: Path, expected: FileIdentity) -> bool:
    try:
        return identity(path) == expected
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # it can't be told: the folder may not be searched any more
        return True
