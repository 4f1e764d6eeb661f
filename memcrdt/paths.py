"""Paths: those that callers name, and the folder of a home."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Final, TypeAlias

from memcrdt.errors import InputError
from memcrdt.model.values import a_kind

HOME_VARIABLE: Final = "MEMCRDT_HOME"
IN_MEMORY: Final = ":memory:"  # a home without a folder
STATE_VARIABLE: Final = "MEMCRDT_STATE"  # the folder for second copies of high-water marks

Stream: TypeAlias = io.BufferedIOBase | io.RawIOBase


def check_file(value: object, what: str) -> Path | Stream:
    """The path of a file, or a binary stream as it is."""
    return value if isinstance(value, Stream) else check_path(value, what)


def check_path(value: object, what: str) -> Path:
    """The path of a file or folder, as text or an os.PathLike of text."""
    if not isinstance(value, (str, os.PathLike)):
        raise InputError(f"{what} is {a_kind(value)}; give a path")
    path = os.fspath(value)
    if not isinstance(path, str) or not path.strip() or "\0" in path:
        raise InputError(f"{what} is empty, or no path: {str(path)[:80]!r}; name one that can be")
    try:
        path.encode()
    except UnicodeEncodeError:  # SQLite takes no other, and nobody could read it in a message
        raise InputError(f"{what} has a name that is no UTF-8: {path[:80]!r}; name another, or rename it") from None
    return Path(path)


def home_folder(home: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder that open() takes for `home`. An empty variable counts as none.

    Raises:
        InputError: `home` is no path, or ":memory:".
    """
    given = named_home(home)
    if given == IN_MEMORY:
        raise InputError(f"{IN_MEMORY} is no folder; only memcrdt.open() in Python takes it")
    if given is not None:
        return check_path(given, "the home").expanduser().absolute()
    from platformdirs import user_data_path

    return user_data_path("memcrdt", appauthor=False)


def named_home(home: str | os.PathLike[str] | None) -> str | os.PathLike[str] | None:
    """Return the home that is given, or else named by the variable; None for the platform's own."""
    return os.environ.get(HOME_VARIABLE) or None if home is None else home
