"""A folder beside a store for temporary copies.

The copies contain memories in plain text. So the leftovers of a killed process are deleted before the folder is used
again, and when the store is next opened for writing. A lock distinguishes leftovers from copies in use.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Final

from memcrdt.errors import LockedError, StoreError
from memcrdt.paths import translated_os_errors
from memcrdt.store import locks

FOLDER: Final = "store.scratch"
LOCK: Final = "store.scratch.lock"


@contextmanager
def folder(home: Path, doing: str) -> Iterator[Path]:
    """Lend an empty folder for exclusive use, and delete it afterwards.

    Args:
        home: The folder of the store.
        doing: The operation, for messages.

    Raises:
        LockedError: Another process uses the folder.
        DiskFullError, StoreError: The folder cannot be made.
    """
    with _locked(home, doing) as is_ours:
        if not is_ours:
            raise LockedError(
                f"{doing}: another process is restoring or repairing {home}; try again when it has finished"
            )
        folder = home / FOLDER
        with _translated(home, doing):
            _clear(folder)
            folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            with suppress(OSError):  # the next use deletes it
                _clear(folder)


def delete_leftovers(home: Path) -> None:
    """Delete the leftovers of a killed process. Never fails: the next opening tries again."""
    if (home / FOLDER).exists():
        with suppress(OSError, StoreError), _locked(home, "opening") as is_ours:
            if is_ours:
                _clear(home / FOLDER)


@contextmanager
def _locked(home: Path, doing: str) -> Iterator[bool]:
    """Lock the folder during the block. Yield whether that worked: False means that another process uses it.

    The lock file stays. If it were deleted, two processes could each lock a file of that name.
    """
    with _translated(home, doing):
        file = locks.open_to_lock(home / LOCK)
    with file:
        with _translated(home, doing):
            is_ours = locks.take(file)
        yield is_ours


def _clear(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _translated(home: Path, doing: str) -> AbstractContextManager[None]:
    return translated_os_errors(f"{doing}: the folder {home} is not writable", "check its permissions")
