"""The files of mirrors in a home: what is mirrored, what was last agreed on, and how the last pass went.

Each is replaced as a whole by a file that is on the disk already. A file that is missing or damaged is as good as
empty: without agreements, nothing is deleted and nothing is overwritten.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from memcrdt.mirror.notes import Agreed, Note
from memcrdt.model.serialization import Record, UtcTime
from memcrdt.paths import make_private, read_at_most, translated_os_errors

FOLDER: Final = "mirrors"  # in the home
MIRRORS: Final = 64
SETTLE_S: Final = 1.0  # how long a file has to stay the same: editors write a file, or replace it, within milliseconds
AGREED_BYTES: Final = 256 << 20  # 20,000 files with 8 KiB of metadata each are 160 MiB
RECORD_BYTES: Final = 1 << 20

_MIRROR, _AGREED, _PASS = ".mirror.json", ".agreed.json", ".pass.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorLine(Record):
    """Something that a mirror leaves as it is.

    Attributes:
        path: The file below the folder, or the id of a memory; empty for the mirror as a whole.
        text: Why, as a sentence.
    """

    path: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorInfo(Record):
    """A mirror, and how its last pass went.

    Attributes:
        name: The name of the mirror.
        source: `claude-code` or `markdown`.
        folder: The folder.
        scope: The scope whose memories are mirrored.
        space: The space of these memories.
        deletes: Whether deletions are carried over.
        serving: Whether the process that serves the home runs the mirror.
        files: The number of files and memories that are equal.
        at: The time of the last pass; None if there was none.
        error: Why the last pass failed; None if it did not.
        lines: What the last pass left as it is.
    """

    name: str
    source: str
    folder: str
    scope: str
    space: str
    deletes: bool
    serving: bool
    files: int = 0
    at: UtcTime | None = None
    error: str | None = None
    lines: tuple[MirrorLine, ...] = ()


_DEFINED: Final = ("name", "source", "folder", "scope", "space", "deletes", "serving")


class MirrorRecords:
    """The files of all mirrors of a home."""

    def __init__(self, home: Path) -> None:
        self._folder = home / FOLDER

    def names(self) -> list[str]:
        """Return the names of the mirrors."""
        try:
            found = sorted(
                each.name.removesuffix(_MIRROR) for each in self._folder.iterdir() if each.name.endswith(_MIRROR)
            )
        except OSError:
            return []
        return found[:MIRRORS]

    def all(self) -> list[MirrorInfo]:
        """Return the mirrors that can be read."""
        return [found for name in self.names() if (found := self.find(name)) is not None]

    def find(self, name: str) -> MirrorInfo | None:
        """Return a mirror with its last pass, or None."""
        said = self._read(name + _MIRROR, RECORD_BYTES)
        types = {"deletes": bool, "serving": bool}
        if not isinstance(said, dict) or any(not isinstance(said.get(k), types.get(k, str)) for k in _DEFINED):
            return None
        defined = MirrorInfo(**{key: said[key] for key in _DEFINED})
        last = self._read(name + _PASS, RECORD_BYTES)
        try:
            return _with_pass(defined, last) if isinstance(last, dict) else defined
        except (KeyError, TypeError, ValueError):
            return defined

    def define(self, mirror: MirrorInfo) -> None:
        """Store what is mirrored. Raises StoreError."""
        self._write(mirror.name + _MIRROR, {key: getattr(mirror, key) for key in _DEFINED}, durable=True)

    def note_pass(self, mirror: MirrorInfo) -> None:
        """Store how the last pass went. Raises StoreError."""
        said = {
            "files": mirror.files,
            "at": None if mirror.at is None else mirror.at.isoformat(),
            "error": mirror.error,
            "lines": [[line.path, line.text] for line in mirror.lines],
        }
        self._write(mirror.name + _PASS, said, durable=False)

    def remove(self, name: str) -> None:
        """Forget a mirror and what it agreed on. Raises StoreError."""
        with translated_os_errors(f"the mirror {name} cannot be removed", "check the permissions of the home"):
            for suffix in (_MIRROR, _PASS, _AGREED):
                (self._folder / (name + suffix)).unlink(missing_ok=True)

    def agreed(self, name: str) -> dict[str, Agreed]:
        """Return what was last agreed on, by memory. Empty if it cannot be read."""
        said = self._read(name + _AGREED, AGREED_BYTES)
        try:
            found = [_agreed(each) for each in said["agreed"]] if isinstance(said, dict) else []
        except (KeyError, TypeError, ValueError):
            return {}
        return {each.id: each for each in found}

    def keep_agreed(self, name: str, agreed: Mapping[str, Agreed]) -> None:
        """Store what was agreed on. It is on the disk when the call returns. Raises StoreError."""
        self._write(name + _AGREED, {"agreed": [asdict(agreed[key]) for key in sorted(agreed)]}, durable=True)

    def lock_file(self, name: str) -> Path:
        """Return the file that whoever runs a mirror locks. Raises StoreError."""
        with translated_os_errors(f"{self._folder} cannot be made", "check the permissions of the home"):
            make_private(self._folder)
        return self._folder / f"{name}.lock"

    def _read(self, name: str, limit: int) -> Any:
        try:
            with (self._folder / name).open("rb") as file:
                data = read_at_most(file, limit + 1)
            return json.loads(data) if len(data) <= limit else None
        except (OSError, ValueError, RecursionError):
            return None

    def _write(self, name: str, value: Any, *, durable: bool) -> None:
        path = self._folder / name
        new = path.with_name(f"{name}.{os.getpid()}.new")
        with translated_os_errors(f"{path} cannot be written", "check the disk, the folder and its permissions"):
            make_private(self._folder)
            try:
                descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(json.dumps(value, ensure_ascii=False).encode(errors="replace"))
                    file.flush()
                    if durable:
                        os.fsync(file.fileno())
                new.replace(path)
            finally:
                with suppress(OSError):
                    new.unlink()


def _with_pass(mirror: MirrorInfo, last: Mapping[str, Any]) -> MirrorInfo:
    defined = {key: getattr(mirror, key) for key in _DEFINED}
    return MirrorInfo(
        **defined,
        files=int(last["files"]),
        at=None if last["at"] is None else datetime.fromisoformat(last["at"]),
        error=None if last["error"] is None else str(last["error"]),
        lines=tuple(MirrorLine(path=str(path), text=str(text)) for path, text in last["lines"]),
    )


def _agreed(said: Mapping[str, Any]) -> Agreed:
    """Return an agreement. Raises KeyError, TypeError or ValueError if it is none."""
    left, memory_path, note = said["left"], said["memory_path"], said["said"]
    if left not in ("", "file", "memory", "unagreed", "both"):
        raise ValueError("a field has an unknown value")
    kind = note["kind"]
    return Agreed(
        id=str(said["id"]),
        path=str(said["path"]),
        file=str(said["file"]),
        memory=str(said["memory"]),
        heads=tuple(map(str, said["heads"])),
        said=Note(
            text=str(note["text"]),
            kind=None if kind is None else str(kind),
            tags=tuple(map(str, note["tags"])),
            metadata=dict(note["metadata"]),
        ),
        tags=tuple(map(str, said["tags"])),
        keys=tuple(map(str, said["keys"])),
        memory_path=None if memory_path is None else str(memory_path),
        left=left,
    )
