"""Back up a store. recovery/restore.py restores it."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from memcrdt.errors import InputError
from memcrdt.paths import translated_os_errors
from memcrdt.store import connections

if TYPE_CHECKING:
    from memcrdt.store.store import Store


def back_up(store: Store, path: Path) -> int:
    """Write a copy of the store to a new file without blocking writers. Return its size in bytes.

    The copy has all memories and spaces, but not the device key.

    Raises:
        InputError: The file already exists.
        StoreError: The file cannot be written.
    """
    with _of_file(path):
        if path.exists() or path.is_symlink():  # also a dangling link
            raise InputError(f"{path} already exists; name a new file for the backup")
        beside = path.with_name(f"{path.name}.part")
        beside.unlink(missing_ok=True)
        try:
            _copy(store, beside)
            beside.replace(path)
        except BaseException:  # also on Ctrl-C: half a copy of all memories must not remain
            beside.unlink(missing_ok=True)
            raise
        return path.stat().st_size


def _copy(store: Store, path: Path) -> None:
    with connections.translated(path, "backing up"), store.reading() as db:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        store.location.write_copy(db, path)
    with path.open("rb+") as written:
        os.fsync(written.fileno())


def _of_file(path: Path) -> AbstractContextManager[None]:
    return translated_os_errors(f"the backup {path} cannot be written", "check the folder and its permissions")
