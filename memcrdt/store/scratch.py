"""A folder beside a store, for copies of it that are needed for a moment only.

They hold memories in plain text. So what a process that was killed has left there goes before the folder is used
again, and when the store is next opened for writing. A lock tells that from what is in use.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Final

from memcrdt.errors import LockedError, StoreError
from memcrdt.store import files, locks

FOLDER: Final = "store.scratch"
LOCK: Final = "store.scratch.lock"


@contextmanager
def folder(home: Path, doing: str) -> Iterator[Path]:
    """The folder, empty, for this caller alone; it is gone afterwards.

    Raises LockedError while somebody else has it, DiskFullError or StoreError when it can't be made.
    """
    with _locked(home, doing) as is_ours:
        if not is_ours:
            raise LockedError(f"{doing}: another process restores or repairs {home} right now; try again after that")
        folder = home / FOLDER
        with _translated(home, doing):
            _clear(folder)
            folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            with suppress(OSError):  # then it goes the next time
                _clear(folder)


def delete_leftovers(home: Path) -> None:
    """Deletes what a process that was killed has left. Never fails: it is tried again at the next opening."""
    if (home / FOLDER).exists():
        with suppress(OSError, StoreError), _locked(home, "opening") as is_ours:
            if is_ours:
                _clear(home / FOLDER)


@contextmanager
def _locked(home: Path, doing: str) -> Iterator[bool]:
    """Whether nobody else has the folder, nor gets it meanwhile. The lock file stays: were it deleted, two processes
    could each lock one of that name."""
    with _translated(home, doing):
        file = (home / LOCK).open("ab")
    with file:
        with _translated(home, doing):
            is_ours = locks.take(file)
        yield is_ours


def _clear(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _translated(home: Path, doing: str) -> AbstractContextManager[None]:
    return files.translated_os_errors(f"{doing}: nothing can be written in {home}", "check its mode")
