"""What a mirror compares: the note in a file, the memory, and what both said when they last agreed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

# Why a memory that a file belongs to is not in the mirrored scope: it was forgotten; it is elsewhere (in another scope,
# superseded or expired); or this store never had it, as after a restore.
Absence: TypeAlias = Literal["forgotten", "elsewhere", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What a file says.

    Attributes:
        text: The text of the memory.
        kind: The kind; None if the file names none.
        tags: The tags.
        metadata: The other fields, by name.
    """

    text: str
    kind: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file as it was read.

    Attributes:
        path: The path below the folder, with / on every platform.
        digest: The hash of its bytes.
        note: What it says; None if it says nothing, or cannot be taken.
        id: The memory that the file names as its own; None if it names none.
        problem: Why it cannot be taken, as a sentence; None if it can.
    """

    path: str
    digest: str
    note: Note | None = None
    id: str | None = None
    problem: str | None = None


class Rival(NamedTuple):
    """A competing text of a memory, with the time and the author as they are shown."""

    text: str
    written: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """A memory of the mirrored scope.

    Attributes:
        id: The id of the memory.
        note: What a file of it says.
        path: The path that the memory had in a folder; None if it never was in one.
        heads: The revisions of its text that nothing replaces: several if texts compete.
        rivals: The competing texts other than the one that is shown.
    """

    id: str
    note: Note
    path: str | None
    heads: tuple[str, ...]
    rivals: tuple[Rival, ...] = ()

    @property
    def digest(self) -> str:
        """The hash of everything that a file can show."""
        note = self.note
        rivals = [rival.text for rival in self.rivals]
        return digest_of([note.text, rivals, note.kind, sorted(note.tags), dict(note.metadata), self.path])


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """A file and a memory as they were when they last agreed.

    Attributes:
        id: The memory.
        path: The file.
        file: The hash of its bytes.
        memory: The hash of the memory; empty if the file has to be compared with it again.
        heads: The revisions that the file showed. A later text of the file is made from them.
        said: What the file said, with the hash of its text as the text.
        tags: The tags of the memory.
        keys: The keys of its metadata.
        memory_path: The path that the memory named.
        left: What is left of the two, if they are no longer kept equal: `file` if the file was deleted and the memory
            stays, `memory` if the memory is no longer in the scope and the file stays, `unagreed` if that was so before
            both agreed, so that the file is never deleted, and `both` if neither is left.
    """

    id: str
    path: str
    file: str
    memory: str = ""
    heads: tuple[str, ...] = ()
    said: Note = Note(text="")
    tags: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    memory_path: str | None = None
    left: Literal["", "file", "memory", "unagreed", "both"] = ""


class Format(Protocol):
    """How files say what memories hold. Pure: bytes in, bytes out.

    Attributes:
        name: The name of the source, which begins the keys of its memories.
        suffixes: The suffixes of its files, in small letters.
    """

    name: str
    suffixes: tuple[str, ...]

    def read(self, path: str, data: bytes) -> File:
        """Return what a file says. Never raises: a file that cannot be taken has a problem."""
        ...

    def write(self, path: str, memory: Remembered, old: bytes | None, agreed: Agreed | None) -> bytes:
        """Return the bytes of the file of a memory. What `old` has and the memory does not change stays as it is.

        Args:
            path: The path of the file.
            memory: The memory.
            old: The present bytes; None for a new file.
            agreed: What file and memory last agreed on. Without it, nothing is removed.
        """
        ...

    def name_for(self, memory: Remembered) -> str:
        """Return a path for a memory that names none."""
        ...

    def held(self, kind: str | None, tags: tuple[str, ...], metadata: Mapping[str, Any], text: str) -> Note:
        """Return the note of a memory: its fields as far as files have them."""
        ...


def digest_of(value: bytes | object) -> str:
    """Return the hash of bytes, or of a JSON value."""
    if isinstance(value, bytes):
        return hashlib.blake2b(value, digest_size=16).hexdigest()
    return digest_of(json.dumps(value, sort_keys=True, ensure_ascii=False).encode(errors="surrogatepass"))
