"""Paths that callers name."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TypeAlias

from memcrdt.errors import InputError
from memcrdt.model.values import a_kind

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
