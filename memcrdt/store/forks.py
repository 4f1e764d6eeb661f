"""SQLite and fork: a file that was open when a process forked can't be opened in the child.

SQLite keeps the POSIX locks of a file once for each process. In a forked child it believes that it holds those of
its parent, so that even a fresh connection takes no lock of its own; when the parent closes, the WAL is deleted
under the child (seen in /proc/locks). A child that was spawned, or that forked before opening, is fine.
"""

from __future__ import annotations

import os
from pathlib import Path
from weakref import WeakKeyDictionary

from memcrdt.errors import StoreError
from memcrdt.store.files import FileIdentity, identity

_open: WeakKeyDictionary[object, Path] = WeakKeyDictionary()
_inherited: set[FileIdentity] = set()


def opened(owner: object, path: Path) -> None:
    """Notes that `owner` has the file open, for as long as it lives or until `closed`."""
    _open[owner] = path


def closed(owner: object) -> None:
    _open.pop(owner, None)


def check(path: Path) -> None:
    """Raises StoreError if the file was open when this process was forked."""
    if _inherited and path.exists() and identity(path) in _inherited:
        raise inherited(path)


def inherited(path: Path) -> StoreError:
    """The error for a file that was open when this process was forked."""
    return StoreError(
        f"{path} was open when this process was forked, and SQLite's locks don't survive that; start the process"
        " with multiprocessing's spawn, or open the store only after the fork"
    )


def _note_inherited() -> None:
    _inherited.update(identity(path) for path in _open.values() if path.exists())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_inherited)
