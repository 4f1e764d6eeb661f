"""A tree of files over the memories of one scope: a path is a key, a version is the revisions of the text.

Directories exist as long as a file is in them. The trees of two devices merge like all memories: of two texts that were
written apart, the later one is shown, and both are in `rivals`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

from memcrdt.errors import InputError, NotFoundError, StaleRevisionError
from memcrdt.frameworks.threads import in_thread
from memcrdt.model.records import Hit, MemoryRecord
from memcrdt.service.collection import Collection
from memcrdt.service.service import LIMIT, Service

Version: TypeAlias = tuple[str, ...]  # the revisions whose texts are current; one, unless texts compete

KIND: Final = "file"
NEW: Final[Version] = ()  # the version of a file that does not exist
PATH_CHARS: Final = 1_000  # a key has at most 1,024

_KEY: Final = "file:"
_LAST: Final = "\U0010ffff"
_ATTEMPTS: Final = 8  # of an edit, while others change the same file


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file.

    Attributes:
        path: Its path in the tree, without a slash at the start.
        text: Its text.
        version: The version to expect in the next change.
        updated_at: The time of its last change.
        rivals: The texts that devices wrote while disconnected and nobody has settled; empty if there is one text.
        id: The id of the memory.
        metadata: What the last write said about itself.
    """

    path: str
    text: str
    version: Version
    updated_at: datetime
    rivals: tuple[str, ...]
    id: str
    metadata: Mapping[str, Any]

    @property
    def others(self) -> tuple[str, ...]:
        """The competing texts that `text` does not show."""
        return tuple(rival for rival in self.rivals if rival != self.text)


class FileTree:
    """Files of one scope. Each method has an awaitable twin, such as `aread`.

    A method that takes `expected` raises StaleRevisionError if the file is at another version. The comparison is under
    the write lock, so no change of another process gets lost.

    Args:
        service: The calls over the memory.
        scope: The scope; None for the project, or `global` outside of projects.
        space: The space of new files; None for the usual one.
        root: A folder that all paths are in. Trees with the same root, scope and space have the same files.

    Example:
        >>> tree = FileTree(Service(memory), root="notes")
        >>> draft = tree.write("todo.md", "Ask Ada")
        >>> tree.write("todo.md", "Ask Ada and Ben", expected=draft.version).text
        'Ask Ada and Ben'
    """

    def __init__(self, service: Service, *, scope: str | None = None, space: str | None = None, root: str = "") -> None:
        self._memories = Collection(service, kind=KIND, scope=scope, space=space)
        self._root = f"{_checked(root)}/" if root else ""

    def read(self, path: str) -> StoredFile:
        """Return a file. Raises NotFoundError if there is none."""
        file = self.find(path)
        if file is None:
            raise _missing(path)
        return file

    def find(self, path: str) -> StoredFile | None:
        """Return a file, or None if there is none."""
        record = self._memories.get(_KEY + self._full(path))
        return self._file(record) if record else None

    def exists(self, path: str) -> bool:
        """Return whether there is a file, or a folder with a file in it or below it."""
        return self.find(path) is not None or self._memories.first(**self._inside(path)) is not None

    def file_above(self, path: str) -> StoredFile | None:
        """Return the file that has the place of a folder of this path, or None."""
        parts = path.strip("/").split("/")
        found = (self.find("/".join(parts[:length])) for length in range(1, len(parts)))
        return next(filter(None, found), None)

    def write(
        self, path: str, text: str, *, expected: Version | None = None, metadata: Mapping[str, Any] | None = None
    ) -> StoredFile:
        """Create a file or replace its text, and return the file as it is then.

        Args:
            path: The path.
            text: The whole text. Maximum: 64 KiB of UTF-8.
            expected: The version that is replaced; NEW if there must be no file yet; None for any.
            metadata: What the write says about itself, up to the next one. The keys `path` and `blank` are taken.

        Raises:
            InputError: The path, the text or the metadata is not valid.
            StaleRevisionError: The file is at another version.
        """
        full = self._full(path)
        own = _as_memory(full, text)
        about = {**(metadata or {}), **own.pop("metadata")}
        self._memories.add(**own, metadata=about, replace=True, expected=expected)
        return self.read(path)

    def edit(self, path: str, change: Callable[[str], str]) -> StoredFile:
        """Replace the text of a file by what a function returns for it, again if the file changes meanwhile.

        Raises:
            NotFoundError: There is no such file.
            StaleRevisionError: Others kept changing the file.
        """
        for attempt in range(_ATTEMPTS):
            file = self.read(path)
            try:
                return self.write(path, change(file.text), expected=file.version)
            except StaleRevisionError:
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def delete(self, path: str, *, expected: Version | None = None) -> None:
        """Delete a file on every device, with its history. Raises NotFoundError and StaleRevisionError."""
        file = self.read(path)
        try:
            self._memories.forget([file.id], expected=expected)
        except NotFoundError as exc:
            raise _missing(path) from exc

    def clear(self, folder: str = "") -> int:
        """Delete the files in a folder and below it, or all files, on every device, and return their number."""
        return self._memories.forget_matching(**self._inside(folder)).count

    def rename(self, old: str, new: str) -> list[StoredFile]:
        """Give a file, or every file in a folder, another path, under which its history begins anew.

        All or nothing: up to 200 files with 2 MiB of text are one transaction.

        Raises:
            InputError: Two devices wrote different texts, and a rename would drop one: write the file first.
            NotFoundError: There is no file at `old` or below it.
            StaleRevisionError: There is a file at a new path, or a file has changed meanwhile.
        """
        file = self.find(old)
        moved = [file] if file else self.files(old)
        if not moved:
            raise _missing(old)
        paths = [new.strip("/") + each.path.removeprefix(old.strip("/")) for each in moved]
        try:
            self._memories.rename(self._renamed(each, path) for each, path in zip(moved, paths, strict=True))
        except NotFoundError as exc:
            raise _missing(old) from exc
        return list(map(self.read, paths))

    def files(self, folder: str = "") -> list[StoredFile]:
        """Return the files in a folder and below it, sorted by path; all files without a folder."""
        found = self._memories.iterate(**self._inside(folder))
        return sorted(map(self._file, found), key=lambda file: file.path)

    def search(self, query: str, folder: str = "", *, limit: int = LIMIT) -> list[tuple[StoredFile, Hit]]:
        """Return the files in a folder and below it that best answer a query, best first.

        Args:
            query: A question or keywords; a blank one finds nothing.
            folder: The folder; empty for all files.
            limit: Maximum number of files, up to 1,000.
        """
        hits = self._memories.search(query, limit=limit, **self._inside(folder))
        return [(self._file(hit.memory), hit) for hit in hits]

    def _inside(self, folder: str) -> dict[str, Any]:
        """Return the filters for the files in a folder and below it."""
        start = f"{self._full(folder)}/" if folder.strip("/") else self._root
        path = {"$gte": start, "$lt": start + _LAST} if start else {"$exists": True}
        return {"metadata": {"path": path}}

    def _renamed(self, file: StoredFile, path: str) -> dict[str, Any]:
        """Return the arguments of Memory.rename_key() for a file. Raises InputError."""
        if file.rivals:
            raise InputError(
                f"two devices wrote {file.path[:60]!r} while disconnected; write one text before you rename it"
            )
        renamed = _as_memory(self._full(path), file.text)
        if file.text.strip():
            del renamed["text"]  # it stays, also one that was accepted as a secret
        return {"id": file.id, "expected": file.version[0], **renamed}

    def _file(self, record: MemoryRecord) -> StoredFile:
        """Return the file of a memory. Text and version come from one read, so that they fit together."""
        full = str(record.metadata.get("path", ""))
        heads = [(record.revision, record.text)]
        if record.conflicted:
            heads = [(each.revision, each.text) for each in self._memories.history(record) if each.head]
        blank = record.metadata.get("blank")
        texts = [blank if isinstance(blank, str) and text == _shown_blank(full, blank) else text for _, text in heads]
        return StoredFile(
            path=full.removeprefix(self._root),
            text=texts[-1],
            version=tuple(revision for revision, _ in heads),
            updated_at=record.updated_at,
            rivals=tuple(texts) if len(texts) > 1 else (),
            id=record.id,
            metadata={name: value for name, value in record.metadata.items() if name not in ("path", "blank")},
        )

    def _full(self, path: str) -> str:
        return _checked(self._root + path.strip("/"))

    aread = in_thread(read)
    afind = in_thread(find)
    awrite = in_thread(write)
    aedit = in_thread(edit)
    adelete = in_thread(delete)
    aclear = in_thread(clear)
    arename = in_thread(rename)
    afiles = in_thread(files)
    asearch = in_thread(search)


def _checked(path: str) -> str:
    """Return a path if it names a file or a folder in the tree. Raises InputError."""
    if len(path) > PATH_CHARS or not all(
        part.isprintable() and part.strip() not in ("", ".", "..") for part in path.split("/")
    ):
        raise InputError(
            f"the path {path[:60]!r} is not valid; use printable names separated by /, without . and .., at most"
            f" {PATH_CHARS:,} characters"
        )
    return path


def _missing(path: str) -> NotFoundError:
    return NotFoundError(f"there is no file {path[:60]!r}; list the files to see what there is")


def _as_memory(path: str, text: str) -> dict[str, Any]:
    """Return the text, the key and the metadata of the memory of a file."""
    key = _KEY + path
    if text.strip():
        return {"text": text, "key": key, "metadata": {"path": path}}
    return {"text": _shown_blank(path, text), "key": key, "metadata": {"path": path, "blank": text}}


def _shown_blank(path: str, text: str) -> str:
    """Return the text of the memory of a blank file: a memory needs one."""
    return f"{path} is blank: {json.dumps(text)}"
