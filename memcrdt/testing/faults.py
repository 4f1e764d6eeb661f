"""A disk that fails on command, and loses unsynced data when its power is cut: an APSW VFS for tests.

Reads and writes go to real files. Syncs do not: the synced bytes are kept in memory, as the content after a power cut.
"""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeAlias

import apsw

SECTOR = 512  # bytes that a disk writes atomically

Operation: TypeAlias = Literal["write", "sync", "truncate", "open", "delete"]
OPERATIONS: Final[frozenset[Operation]] = frozenset({"write", "sync", "truncate", "open", "delete"})
FaultKind: TypeAlias = Literal["error", "full", "cut"]
_Write: TypeAlias = tuple[int, bytes | None]  # an offset, and the bytes written there; None truncates


@dataclass(slots=True)
class Fault:
    """A fault of a disk.

    Attributes:
        kind: "error" is an I/O error, "full" a full disk. "cut" is a power cut, after which everything fails.
        at: The number of the operation that fails, from 1.
        operations: The operations that count.
        lasting: Number of operations in a row that fail.
    """

    kind: FaultKind
    at: int
    operations: frozenset[Operation] = OPERATIONS
    lasting: int = 1


@dataclass(slots=True)
class _File:
    """The durable content of a file, and the writes since the last sync, in order."""

    durable: bytearray
    pending: list[_Write] = field(default_factory=list)
    deleted: bool = False


class Disk:
    """The state behind all files of one FaultyVfs.

    Safe between threads: each operation is before a power cut or after it.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.fault: Fault | None = None
        self.done = 0  # operations that count for the fault
        self.is_cut = False
        self._files: dict[str, _File] = {}

    @contextmanager
    def doing(self, operation: Operation) -> Iterator[None]:
        """Perform one operation inside the block. The chosen operation fails."""
        with self._lock:
            self._check(operation)
            yield

    def _check(self, operation: Operation) -> None:
        if self.is_cut:
            raise apsw.IOError("the power is cut")
        fault = self.fault
        if fault is None or operation not in fault.operations:
            return
        self.done += 1
        if fault.at <= self.done < fault.at + fault.lasting:
            self.is_cut = fault.kind == "cut"
            if fault.kind == "full" and operation == "write":
                raise apsw.FullError("injected: the disk is full")
            raise apsw.IOError(f"injected: {operation} failed")

    def opened(self, path: str) -> None:
        if path not in self._files or self._files[path].deleted:
            self._files[path] = _File(bytearray(Path(path).read_bytes() if Path(path).exists() else b""))

    def wrote(self, path: str, write: _Write) -> None:
        self._files[path].pending.append(write)

    def synced(self, path: str) -> None:
        found = self._files[path]
        for write in found.pending:
            _put(found.durable, write)
        found.pending.clear()

    def deleted(self, path: str, *, durably: bool) -> None:
        if durably:
            self._files.pop(path, None)
        elif path in self._files:
            self._files[path].deleted = True

    def after_power_cut(self, into: Path, rng: random.Random) -> None:
        """Write the files as they are after a power cut: all synced data, and some sectors of the rest.

        A deleted file may be back if its folder was not synced. Everything fails from here on.
        """
        with self._lock:
            self.is_cut = True
            for path, found in self._files.items():
                if path.endswith("-shm") or (found.deleted and rng.random() < 0.5):
                    continue
                left = bytearray(found.durable)
                for write in found.pending:
                    if rng.random() < 0.5:
                        _put(left, _torn(write, rng))
                (into / Path(path).name).write_bytes(left)


def _put(into: bytearray, write: _Write) -> None:
    offset, data = write
    if data is None:
        del into[offset:]
        return
    if len(into) < offset:
        into.extend(bytes(offset - len(into)))
    into[offset : offset + len(data)] = data


def _torn(write: _Write, rng: random.Random) -> _Write:
    offset, data = write
    if data is None or len(data) <= SECTOR or rng.random() < 0.5:
        return write
    return offset, data[: SECTOR * rng.randrange(1, len(data) // SECTOR + 1)]


@contextmanager
def unheard() -> Iterator[None]:
    """Silence errors that SQLite ignores, such as a file that cannot be deleted while closing.

    APSW reports them to sys.unraisablehook, and pytest fails a test for that.
    """
    before = sys.unraisablehook

    def hear(unraisable: sys.UnraisableHookArgs) -> None:
        if not isinstance(unraisable.exc_value, apsw.Error):
            before(unraisable)

    sys.unraisablehook = hear
    try:
        yield
    finally:
        sys.unraisablehook = before


class FaultyVfs(apsw.VFS):
    """A VFS that is registered under `name`. Its `disk` may be replaced between uses."""

    def __init__(self, name: str, disk: Disk) -> None:
        super().__init__(name, "")
        self.name = name
        self.disk = disk

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - APSW's name
        with self.disk.doing("open"):
            return _FaultyFile(self.disk, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - APSW's name
        with self.disk.doing("delete"):
            super().xDelete(filename, syncdir)
            self.disk.deleted(filename, durably=syncdir)


class _FaultyFile(apsw.VFSFile):
    def __init__(self, disk: Disk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._disk = disk
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else name or ""
        disk.opened(self._path)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - APSW's name
        try:
            with self._disk.doing("write"):
                self._write(bytes(data), offset)
        except apsw.FullError:
            self._write(bytes(data[: len(data) // 2]), offset)  # the part that had room
            raise

    def _write(self, data: bytes, offset: int) -> None:
        self._disk.wrote(self._path, (offset, data))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - APSW's name
        with self._disk.doing("truncate"):
            self._disk.wrote(self._path, (newsize, None))
            super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802 - APSW's name
        with self._disk.doing("sync"):
            self._disk.synced(self._path)


class UnsyncedVfs(apsw.VFS):
    """A VFS whose syncs do nothing, registered under `name`. For tests without power cuts."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "")
        self.name = name

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - APSW's name
        return _UnsyncedFile("", name, flags)


class _UnsyncedFile(apsw.VFSFile):
    def xSync(self, flags: int) -> None:  # noqa: N802 - APSW's name
        """Do nothing."""


#: Makes tests without power cuts faster.
UNSYNCED: Final = UnsyncedVfs("memcrdt-unsynced")
