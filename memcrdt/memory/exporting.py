"""Memories as files: JSON Lines, one memory per line, with the argument names of Memory.add(); and forms of others.

With its history, the line of a memory also has `updated_at` and `device`, and is followed by a line for each of its
texts, if there were several. Such a line has the id of the memory and a `revision`, so each line stays short.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

from memcrdt.errors import InputError, StoreError
from memcrdt.importing import forms, notes, own
from memcrdt.memory.transfer import File, check_apart, check_format
from memcrdt.model.filters import CheckedFilters
from memcrdt.model.records import MemoryRecord
from memcrdt.paths import Stream, check_file, make_private
from memcrdt.store import listing, reads
from memcrdt.store.base import AnyStore

_HISTORY: Final = (*own.FIELDS, "updated_at", "device")
_NOTE_BYTES: Final = 1024 * 1024  # more than any note has
_PAST_TEXT: Final = ("id", "revision", "text", "at", "by", "device", "base")  # the fields of the line of a text


class Export:
    """One export.

    Args:
        store: The store.
        filters: Which memories it has.
        form: The name of a form in forms.NAMES.
        history: Whether it has all texts of each memory. Only JSON Lines has a place for them.
    """

    def __init__(self, store: AnyStore, filters: CheckedFilters, form: str, *, history: bool) -> None:
        if history and form != forms.JSONL:
            raise InputError(f"the form {form} has no place for earlier texts; export without history, or as jsonl")
        self._store = store
        self._filters = filters
        self._form = form
        self._history = history
        self._count = 0

    def to(self, file: Path | Stream) -> int:
        """Write the memories, oldest first, and return their number.

        A file appears when it is complete. In a folder each note does.

        Raises:
            InputError: The path is something else than the form needs.
            StoreError: A file cannot be written. A stream raises its own errors.
        """
        if not isinstance(file, Path):
            if self._form == forms.MARKDOWN:
                raise InputError("the form markdown is a folder of files; name a folder")
            self._write(file)
        else:
            try:
                self._fill(file) if self._form == forms.MARKDOWN else self._replace(file)
            except OSError as exc:
                raise StoreError(f"{file} cannot be written ({exc.strerror}); name another place") from exc
        return self._count

    def pieces(self) -> Iterator[bytes]:
        """Yield the content of the file in pieces: of JSON Lines, a line each."""
        return forms.encoded(self._form, self._elements())

    def _records(self) -> Iterator[MemoryRecord]:
        for record in listing.every(self._store, "oldest", self._filters):
            yield record
            self._count += 1

    def _replace(self, path: Path) -> None:
        real = Path(os.path.realpath(path))  # a symbolic link stays a link
        if (path.exists() or os.path.lexists(real)) and not path.is_file():  # a link in a circle resolves to itself
            raise InputError(f"{path} exists and is not a regular file; an export would replace it; name another file")
        with _appearing(real) as file:
            self._write(file)
            file.flush()
            os.fsync(file.fileno())

    def _write(self, file: Stream | BinaryIO) -> None:
        for data in self.pieces():
            rest = memoryview(data)
            while rest:  # an unbuffered stream, such as stdout, may write only a part at once
                rest = rest[file.write(rest) or 0 :]

    def _elements(self) -> Iterator[dict[str, Any]]:
        for record in self._records():
            if self._history:
                yield own.said(record, _HISTORY)
                yield from self._past_texts(record)
            else:
                yield forms.ELEMENTS[self._form](record)

    def _past_texts(self, record: MemoryRecord) -> Iterator[dict[str, Any]]:
        """Yield the lines of the texts of a memory if there are several."""
        with self._store.reading() as db:
            texts = reads.revisions(db, record.id)
        for each in texts if len(texts) > 1 else ():
            yield {name: value for name, value in each.to_dict().items() if name in _PAST_TEXT and value is not None}

    def _fill(self, folder: Path) -> None:
        """Write a note for each memory. A memory that has one in the folder keeps its name, as git and links expect."""
        make_private(folder)
        known = {file.name[-notes.ENDING_CHARS :]: file.name for file in folder.iterdir()}
        for record in self._records():
            _write_note(folder, known.get(notes.name_ending(record.id)), record)


def _write_note(folder: Path, known: str | None, record: MemoryRecord) -> None:
    """Write the note of a memory, unless it is there already. Raises InputError rather than replace another file."""
    data = notes.note(record).encode()
    for name in filter(None, (known, notes.note_name(record), notes.note_name(record, whole_id=True))):
        file = folder / name
        there = _content(file)
        if there == data:
            return
        if there is None or there.startswith(notes.head(record.id).encode()):
            with _appearing(file) as target:
                target.write(data)
            return
    raise InputError(f"{file} is no note of the memory {record.id}, and would be replaced; name another folder")


def _content(file: Path) -> bytes | None:
    """Return the content of a note with the ends of lines that memcrdt writes; nothing of what can be no note."""
    if not os.path.lexists(file):
        return None
    if file.is_symlink() or not file.is_file():
        return b""
    with file.open("rb") as source:
        return source.read(_NOTE_BYTES).replace(b"\r\n", b"\n")


@contextmanager
def _appearing(path: Path) -> Iterator[BinaryIO]:
    """Lend a file that takes the place of `path` when it is complete. Only its owner can read it. Raises OSError."""
    temporary = path.parent / f"{path.name}.new"
    try:
        temporary.unlink(missing_ok=True)  # left by a crash, perhaps with another mode
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            yield file
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):  # the path may be invalid
            temporary.unlink()
        raise


def check_form(home: Path | None, given: object, form: str | None) -> tuple[File, str]:
    """Return the file or folder to export to, and the name of the form. Raises InputError."""
    file = check_file(given, "the file to export to")
    check_format(form, file, forms.NAMES)
    check_apart(home, file)
    return file, form or forms.JSONL
