"""What is looked at, and made, before SQLite opens the file of a store."""

from __future__ import annotations

import os
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from memcrdt.errors import NotFoundError, ReadOnlyError, StoreError
from memcrdt.store import connections, files, migrations, scratch

_READ_ONLY: Final = "check its owner and mode, or open the home for reading only (read_only=True)"


def prepare(path: Path, *, read_only: bool) -> None:
    """Makes the home and the file, if they are to be written, and deletes copies that a killed process left; else they
    have to be there.

    Raises NotFoundError, ReadOnlyError, StoreError.
    """
    home = path.parent
    if home.exists() and not home.is_dir():
        raise StoreError(f"the home {home} is no folder; name a folder, or move the file away")
    if read_only and not path.exists():
        raise NotFoundError(f"there is no store in {home}; open it once for writing, or name another home")
    if not read_only:
        _make_home(home)
    files.check_not_inherited(path)
    if not read_only:
        _check_writable(path)
        _make_file(path)
        scratch.delete_leftovers(home)


def check_file(path: Path) -> None:
    """Raises SchemaError when what stands in the place of a store is none. Nothing is made or changed."""
    files.check_not_inherited(path)
    if path.is_file():
        with (
            connections.translated(path, "opening"),
            closing(connections.connect_to_read(path, read_only=True, vfs=None)) as db,
        ):
            migrations.check(db, path)


def _make_home(home: Path) -> None:
    with files.translated_os_errors(f"the home {home} can't be made", "name another folder"):
        home.mkdir(parents=True, exist_ok=True, mode=0o700)


def _check_writable(path: Path) -> None:
    """Raises ReadOnlyError naming the file that may not be written: the store's, or one of SQLite's beside it; or the
    folder in which SQLite would have to make them.

    SQLite would give the index of the WAL the mode of a file that may only be read, leave it there and then fail on it.
    """
    beside = [path.with_name(path.name + suffix) for suffix in connections.BESIDE]
    for file in (path, *beside):
        if file.exists() and not os.access(file, os.W_OK):
            raise ReadOnlyError(f"opening: {file} may not be written; {_READ_ONLY}")
    if not all(file.exists() for file in (path, *beside)) and not os.access(path.parent, os.W_OK):
        raise ReadOnlyError(f"opening: nothing may be written in the folder {path.parent}; {_READ_ONLY}")


def _make_file(path: Path) -> None:
    """Makes the file readable by its owner only, if it is not there: SQLite gives the WAL the same mode, and would
    itself leave that to the umask. A file that is there is not even opened: closing it would drop SQLite's locks."""
    with suppress(OSError):  # also when it is there; whatever else it is, SQLite says it better
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
