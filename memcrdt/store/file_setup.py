"""Check and create the file of a store before SQLite opens it."""

from __future__ import annotations

import os
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from memcrdt.errors import NotFoundError, ReadOnlyError, StoreError
from memcrdt.paths import make_private, translated_os_errors
from memcrdt.store import connections, files, migrations, scratch

_READ_ONLY: Final = "check its owner and permissions (ls -l, chmod u+w), or name another home; it can still be read"


def prepare(path: Path, *, read_only: bool) -> None:
    """Create the folder and the file, and delete the leftovers of a killed process.

    With `read_only`, the file must exist.

    Raises:
        NotFoundError: `read_only` is set, and the file does not exist.
        ReadOnlyError: The file or its folder is not writable.
        StoreError: The folder cannot be created.
    """
    home = path.parent
    if home.exists() and not home.is_dir():
        raise StoreError(f"the home {home} is not a folder; name a folder, or move the file away")
    if read_only and not path.exists():
        raise NotFoundError(f"there is no store in {home}; run `memcrdt init`, or name another home")
    if not read_only:
        _make_home(home)
    files.check_not_inherited(path)
    if not read_only:
        _check_writable(path)
        _make_file(path)
        scratch.delete_leftovers(home)


def check_file(path: Path) -> None:
    """Raise SchemaError if the file at the path of a store is not a store. Create and change nothing."""
    files.check_not_inherited(path)
    if path.is_file():
        with (
            connections.translated(path, "opening"),
            closing(connections.connect_to_read(path, read_only=True, vfs=None)) as db,
        ):
            migrations.check(db, path)


def _make_home(home: Path) -> None:
    with translated_os_errors(f"the home {home} cannot be created", "name another folder"):
        make_private(home)


def _check_writable(path: Path) -> None:
    """Raise ReadOnlyError if the store, a file that SQLite keeps beside it, or the folder is not writable.

    Without this check, SQLite would create the index of the WAL with the mode of the read-only file, leave it there,
    and fail on it.
    """
    beside = [path.with_name(path.name + suffix) for suffix in files.BESIDE]
    for file in (path, *beside):
        if file.exists() and not os.access(file, os.W_OK):
            raise ReadOnlyError(f"opening: {file} is not writable; {_READ_ONLY}")
    if not all(file.exists() for file in (path, *beside)) and not os.access(path.parent, os.W_OK):
        raise ReadOnlyError(f"opening: the folder {path.parent} is not writable; {_READ_ONLY}")


def _make_file(path: Path) -> None:
    """Create the file, readable by its owner only, if it is missing.

    SQLite would follow the umask. It gives the WAL the mode of this file. An existing file is not even opened, because
    closing it would drop SQLite's locks.
    """
    with suppress(OSError):  # the file exists, or SQLite will report the error better
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
