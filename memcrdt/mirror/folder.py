"""The files of a mirrored folder. A write replaces the whole file, and only the file that was read before.

Between the last look at a file and its replacement, somebody may write it. So the old file keeps a second name until it
was compared once more. If it has changed, it takes its place again, and the mirror looks at it as at any change. After
a crash, a file under such a second name is deleted if its bytes were agreed on before, and is shown otherwise.

Links are never followed, so nothing outside of the folder is read or written.
"""

from __future__ import annotations

import os
import secrets
import stat
import sys
from collections.abc import Container
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from memcrdt.errors import MemcrdtError, StoreError
from memcrdt.mirror.names import DEPTH, folded, is_safe
from memcrdt.mirror.notes import digest_of
from memcrdt.mirror.text_file import FILE_BYTES
from memcrdt.paths import read_at_most

FILES: Final = 20_000

_NEW: Final = ".memcrdt-new"  # hidden, and with no suffix of a note
_KEPT: Final = ".memcrdt-kept"
_ENDS_OF_EDITORS: Final = ("~", ".tmp", ".swp", ".bak")


class Seen(NamedTuple):
    """What a look at a file shows without reading it. While it stays the same, the file is taken to be the same."""

    size: int
    modified_ns: int
    inode: int


class ChangedError(MemcrdtError):
    """A file is not what it was when it was read. Nothing was changed."""


class Folder:
    """A folder.

    Args:
        root: The folder.
        suffixes: The suffixes of its notes, in small letters.
    """

    def __init__(self, root: Path, suffixes: tuple[str, ...]) -> None:
        self.root = root
        self._suffixes = suffixes

    def look(self) -> tuple[dict[str, Seen], dict[str, str]]:
        """Return the notes below the folder, and those that cannot be taken with the reason, both by path.

        Hidden files and folders, and temporary files of editors, are no notes.

        Raises:
            StoreError: The folder has too many files.
            OSError: The folder cannot be read.
        """
        found: dict[str, Seen] = {}
        refused: dict[str, str] = {}
        os.scandir(self.root).close()  # os.walk() would pass over a folder that cannot be read
        for folder, subfolders, names in os.walk(self.root):
            below = Path(folder).relative_to(self.root)
            subfolders[:] = sorted(name for name in subfolders if not name.startswith(".") and len(below.parts) < DEPTH)
            for name in names:
                if not self._is_note(name):
                    continue
                path = (PurePosixPath(*below.parts) / name).as_posix()
                try:
                    path.encode()
                    seen = os.lstat(Path(folder, name))
                except UnicodeEncodeError:
                    refused[path.encode(errors="backslashreplace").decode()] = "its name is not UTF-8; rename it"
                except OSError:
                    continue  # it was just deleted
                else:
                    if stat.S_ISREG(seen.st_mode):
                        found[path] = Seen(seen.st_size, seen.st_mtime_ns, seen.st_ino)
                    elif stat.S_ISLNK(seen.st_mode):
                        refused[path] = "it is a link, and links are not followed"
                if len(found) > FILES:
                    raise StoreError(f"{self.root} has more than {FILES:,} files; mirror a smaller folder")
        return found, refused

    def read(self, path: str) -> bytes:
        """Return the bytes of a file, or of its beginning if it is too large. Raises OSError."""
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(self._inside(path), flags), "rb") as file:
            return read_at_most(file, FILE_BYTES + 1)

    def write(self, path: str, data: bytes, expected: bytes | None) -> None:
        """Write a file.

        Args:
            path: The path.
            data: The new bytes.
            expected: The bytes that are there; None if there must be no file.

        Raises:
            ChangedError: Other bytes are there.
            OSError: The file cannot be written.
        """
        target = self._inside(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        self._inside(path)  # once more: the folders are there now
        new = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}{_NEW}")
        try:
            _create(new, data, None if expected is None else target)
            if expected is None:
                _put_new(new, target)
            else:
                self._replace(new, target, path, expected)
        finally:
            with suppress(OSError):
                new.unlink()
        _sync(target.parent)

    def delete(self, path: str, expected: bytes) -> None:
        """Delete a file. Raises ChangedError if it has other bytes than expected, and OSError."""
        target = self._inside(path)
        if self.read(path) != expected:
            raise _changed(path)
        kept = _second_name(target)
        target.replace(kept)
        if _bytes(kept) != expected:
            self._put_back(kept, target)
            raise _changed(path)
        kept.unlink()
        _sync(target.parent)

    def move(self, path: str, to: str) -> None:
        """Rename a file, unless another one has the name. Raises ChangedError and OSError."""
        old, new = self._inside(path), self._inside(to)
        new.parent.mkdir(parents=True, exist_ok=True)
        self._inside(to)
        if os.path.lexists(new) and folded(path) != folded(to):
            raise _changed(to)
        old.rename(new)
        _sync(new.parent)

    def recover(self, known: Container[str]) -> None:
        """Clean up after a crash: no other process may use the folder with this class.

        Args:
            known: The hashes of files that were agreed on, and may be deleted.
        """
        for folder, subfolders, names in os.walk(self.root):
            subfolders[:] = [name for name in subfolders if name not in (".git", ".obsidian")]
            for name in names:
                left = Path(folder, name)
                if name.startswith(".") and name.endswith(_NEW):
                    left.unlink()
                elif name.startswith(".") and name.endswith(_KEPT):
                    target = Path(folder, name[1 : -len(_KEPT)].rpartition(".")[0])
                    is_there = target.is_file() and not target.is_symlink() and _bytes(target) == _bytes(left)
                    if is_there or digest_of(_bytes(left)) in known:
                        left.unlink()
                    else:
                        self._put_back(left, target)

    def _replace(self, new: Path, target: Path, path: str, expected: bytes) -> None:
        """Put a new file in the place of one with the expected bytes. Raises ChangedError if it had others."""
        data = _bytes(new)
        if self.read(path) != expected:
            raise _changed(path)
        changed = _swap(new, target, expected)
        if changed is None:
            return
        later = _swap(changed, target, data)  # whoever wrote it meanwhile wins
        if later is not None:
            self._put_back(later, target)
        raise _changed(path)

    def _put_back(self, kept: Path, target: Path) -> None:
        """Return a file to its name, or to another one if the name is taken."""
        for number in range(100):
            name = target if not number else target.with_name(f"{target.stem} (kept {number}){target.suffix}")
            if not os.path.lexists(name):
                _put_new(kept, name)
                return

    def _is_note(self, name: str) -> bool:
        hidden = name.startswith((".", "~", "#"))
        return not hidden and not name.endswith(_ENDS_OF_EDITORS) and name.lower().endswith(self._suffixes)

    def _inside(self, path: str) -> Path:
        """Return the path of a file below the folder. Raises OSError if a part of it is a link, or it is not safe."""
        names = path.split("/")
        if not names or any(name in ("", ".", "..") for name in names) or "\0" in path:
            raise OSError(f"{path!r} is no path below the folder")
        place = self.root
        for name in names:
            place = place / name
            if place.is_symlink():
                raise OSError(f"{place} is a link, and links are not followed")
        return place


def free_path(wanted: str, taken: Container[str], suffixes: tuple[str, ...], others: tuple[str, ...]) -> str | None:
    """Return the first of several paths that is safe and not taken. `taken` has folded paths."""
    return next((path for path in (wanted, *others) if is_safe(path, suffixes) and folded(path) not in taken), None)


def _create(path: Path, data: bytes, like: Path | None) -> None:
    """Write a new file to the disk, with the rights of another one. Memories are private, so a new one is, too."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    if like is not None and sys.platform != "win32":
        with suppress(OSError):
            path.chmod(stat.S_IMODE(like.lstat().st_mode))


def _put_new(new: Path, target: Path) -> None:
    """Give a file its name, unless another file has it. Raises ChangedError and OSError."""
    try:
        os.link(new, target)
    except FileExistsError:
        raise _changed(target.name) from None
    except OSError:  # not every file system has links
        if os.path.lexists(target):
            raise _changed(target.name) from None
        new.replace(target)
    else:
        new.unlink()


def _swap(new: Path, target: Path, expected: bytes) -> Path | None:
    """Put a file in the place of another. Return the other one, under its second name, if it has unexpected bytes."""
    kept = _second_name(target)
    try:
        os.link(target, kept)
    except OSError:  # not every file system has links: then the last look is the one before
        new.replace(target)
        return None
    if os.lstat(target).st_ino != os.lstat(kept).st_ino:
        kept.unlink()
        raise _changed(target.name)
    new.replace(target)
    if _bytes(kept) != expected:
        return kept
    kept.unlink()
    return None


def _second_name(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}{_KEPT}")


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return read_at_most(file, FILE_BYTES + 1)


def _changed(path: str) -> ChangedError:
    return ChangedError(f"{path} was changed meanwhile; it is looked at again")


def _sync(folder: Path) -> None:
    """Make the names in a folder durable. Windows does so itself."""
    if os.name == "nt":
        return
    with suppress(OSError):  # not every file system can
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
