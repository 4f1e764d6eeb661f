"""Paths that callers give, and the folder of a home."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeAlias

from memcrdt.errors import DiskFullError, InputError, StoreError
from memcrdt.model.values import a_kind

HOME_VARIABLE: Final = "MEMCRDT_HOME"
CONFIG_FILE: Final = "config.toml"  # the settings of a home, in its folder
IN_MEMORY: Final = ":memory:"  # a home without a folder
STATE_VARIABLE: Final = "MEMCRDT_STATE"  # the folder for second copies of high-water marks

Stream: TypeAlias = io.BufferedIOBase | io.RawIOBase


def check_file(value: object, what: str) -> Path | Stream:
    """Return the path of a file, or a binary stream unchanged. Raises InputError."""
    return value if isinstance(value, Stream) else check_path(value, what)


def check_path(value: object, what: str) -> Path:
    """Return the path of a file or folder, given as text or as an os.PathLike of text. Raises InputError."""
    if not isinstance(value, (str, os.PathLike)):
        raise InputError(f"{what} is {a_kind(value)}; give a path")
    path = os.fspath(value)
    if not isinstance(path, str) or not path.strip() or "\0" in path:
        raise InputError(f"{what} is empty or not a valid path: {str(path)[:80]!r}; give another path")
    try:
        path.encode()
    except UnicodeEncodeError:  # SQLite accepts only UTF-8, and a message could not show other bytes
        raise InputError(f"{what} has a name that is not UTF-8: {path[:80]!r}; rename it, or give another") from None
    return Path(path)


def home_folder(home: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder that open() uses for `home`. An empty $MEMCRDT_HOME counts as unset.

    Raises:
        InputError: `home` is not a path, or it is ":memory:".
    """
    given = named_home(home)
    if given == IN_MEMORY:
        raise InputError(f"{IN_MEMORY} is not a folder; only memcrdt.open() and open_async() in Python accept it")
    if given is not None:
        with _told_of_no_user():
            return check_path(given, "the home").expanduser().absolute()
    from platformdirs import user_data_path

    with _told_of_no_user():
        return user_data_path("memcrdt", appauthor=False)


@contextmanager
def _told_of_no_user() -> Iterator[None]:
    try:
        yield
    except RuntimeError as exc:
        raise InputError(
            "this user has no home folder (no $HOME, and no entry in the list of users), as in some containers;"
            f" name the folder of the memory in full: home= in Python, --home on the command line, or ${HOME_VARIABLE}"
        ) from exc


def read_at_most(file: io.BufferedReader, most: int) -> bytes:
    """Return the bytes of a regular file, or `most` of them. A reader allocates as much as it is asked for."""
    size = min(os.fstat(file.fileno()).st_size, most)
    data = file.read(min(size + 1, most))
    return data if len(data) <= size else data + file.read(most - len(data))  # it has grown


def make_private(folder: Path) -> None:
    """Create a folder and its missing parents for this user alone, whatever the umask. Raises OSError."""
    missing = [folder, *folder.parents]
    for each in reversed(missing[: next((at for at, path in enumerate(missing) if path.exists()), 0)]):
        each.mkdir(mode=0o700, exist_ok=True)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))


def named_home(home: str | os.PathLike[str] | None) -> str | os.PathLike[str] | None:
    """Return the given home, or the home that $MEMCRDT_HOME names; None for the platform's default."""
    return os.environ.get(HOME_VARIABLE) or None if home is None else home


@contextmanager
def translated_os_errors(failure: str, advice: str) -> Iterator[None]:
    """Turn an OSError into a StoreError, or into a DiskFullError.

    Args:
        failure: The failed operation, such as "the home x cannot be created".
        advice: Advice for the user.
    """
    try:
        yield
    except OSError as exc:
        if exc.errno == errno.ENOSPC:
            raise DiskFullError(f"{failure}: the disk is full; make room on it") from exc
        raise StoreError(f"{failure} ({exc.strerror}); {advice}") from exc
