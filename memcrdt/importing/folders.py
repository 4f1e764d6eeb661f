"""The text files of a folder, read within limits. Nothing outside of the folder is read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from memcrdt.errors import InputError
from memcrdt.importing.rows import printable
from memcrdt.model import limits
from memcrdt.paths import read_at_most

FILE_BYTES: Final = 16 * limits.MIB


class TextFile(NamedTuple):
    """A file.

    Attributes:
        name: The name of the folder and the path below it, with / on every platform. It is the same on every machine.
        text: The text, or why it cannot be read.
        changed_at: The time of the last change, in seconds since 1970.
    """

    name: str
    text: str | InputError
    changed_at: float


def text_files(path: Path, suffixes: tuple[str, ...]) -> Iterator[TextFile]:
    """Yield the texts of the files that named_files() yields. Raises OSError."""
    for file, name in named_files(path, suffixes):
        yield _read(file, name)


def named_files(path: Path, suffixes: tuple[str, ...]) -> Iterator[tuple[Path, str]]:
    """Yield the files of a folder and its subfolders whose names have one of the suffixes, or one file of any name.

    Hidden files and folders are left out. A link is not followed: it could lead out of the folder. The order is the
    same on every machine. The name is that of the folder and the path below it.

    Raises:
        OSError: The file or folder does not exist, or the folder cannot be read.
    """
    if not stat.S_ISDIR(path.stat().st_mode):
        yield path.resolve(), f"{path.absolute().parent.name}/{path.name}"
        return
    top = path.resolve()
    os.scandir(top).close()  # os.walk() would pass over a folder that cannot be read
    for folder, subfolders, names in os.walk(top):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        below = Path(folder).relative_to(top).as_posix()
        within = top.name if below == "." else f"{top.name}/{below}"
        for name in sorted(names):
            if name.lower().endswith(suffixes) and not name.startswith("."):
                yield Path(folder, name), f"{within}/{name}"


def _read(path: Path, name: str) -> TextFile:
    name = printable(name)
    try:
        text, changed_at = _text_and_time(path)
        return TextFile(name, text, changed_at)
    except InputError as exc:
        return TextFile(name, exc, 0)
    except OSError as exc:
        return TextFile(name, InputError(f"it cannot be read ({exc.strerror or exc})"), 0)


def _text_and_time(path: Path) -> tuple[str, float]:
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise InputError("it is a link or no file; links are not followed")
    with path.open("rb") as file:
        data = read_at_most(file, FILE_BYTES + 1)
    if len(data) > FILE_BYTES:
        raise InputError(f"it is larger than {FILE_BYTES // limits.MIB} MiB, the maximum")
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\0", ""), found.st_mtime
    except UnicodeDecodeError:
        raise InputError("it is not UTF-8") from None
