"""Memories as files: JSON Lines, one memory per line, with the argument names of Memory.add().

With its history, the line of a memory also has `updated_at` and `device`, and is followed by a line for each of its
texts, if there were several. Such a line has the id of the memory and a `revision`, so each line stays short.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from memcrdt import paths
from memcrdt.errors import InputError, StoreError
from memcrdt.importing.rows import ImportRow
from memcrdt.importing.sources import check_source
from memcrdt.memory.writer import given_vectors
from memcrdt.model import limits
from memcrdt.model.attributes import taken_by
from memcrdt.model.edits import TOO_MANY_REVISIONS
from memcrdt.model.filters import CheckedFilters
from memcrdt.model.records import MemoryRecord
from memcrdt.model.requests import AddRequest, check_imported, check_item, check_past_text
from memcrdt.model.serialization import Record
from memcrdt.model.values import Vector
from memcrdt.paths import Stream
from memcrdt.store import listing, reads
from memcrdt.store.importing import Importing
from memcrdt.store.spaces import find_space, space_number
from memcrdt.store.store import Store

File: TypeAlias = Path | Stream

EXPORTED: Final = ("jsonl",)  # formats
BATCH: Final = 100  # memories in one transaction: each takes several times as long as one that is added
BATCH_BYTES: Final = limits.TRANSACTION_BYTES  # of lines, which a memory with its history may exceed
REFUSED: Final = 100  # refused lines in a report

# The fields of a line: the arguments of add(), and two more that only imports take.
_SAID: Final = (
    *("id", "text", "space", "tags", "metadata", "created_at"),
    *(attribute.name for attribute in taken_by("import")),
    "links",
)
_PAST_TEXT: Final = ("id", "revision", "text", "at", "by", "device", "base")  # the fields of the line of a text


@dataclass(frozen=True, slots=True)
class RefusedLine(Record):
    """A line or item that an import refused.

    Attributes:
        line: The number of the line or item, from 1.
        reason: The reason, as a sentence.
        name: The name of the item in its source, such as a file; None for a line.
    """

    line: int
    reason: str
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport(Record):
    """The result of an import, or with `dry_run` its preview.

    Attributes:
        added: The number of new memories.
        updated: The number of memories whose text changed under their key.
        known: The number of memories that existed already.
        forgotten: The number of memories that were forgotten and stay forgotten.
        repeated: The number of lines that repeat the memory of another line. Of lines with a key the last one counts,
            of other lines the first one.
        refused: The number of refused lines.
        refusals: The first 100 refused lines, with reasons.
        dry_run: Whether the import was a preview.
    """

    added: int
    updated: int
    known: int
    forgotten: int
    repeated: int
    refused: int
    refusals: tuple[RefusedLine, ...]
    dry_run: bool


def check_file(home: Path | None, given: object, format: str | None, what: str, formats: Collection[str]) -> File:
    """Return the path or stream to import or export. Raises InputError for an unsuitable file or an unknown format.

    `what` names the file in the message.
    """
    file = paths.check_file(given, what)
    _check_format(format, file, formats)
    if home is not None:
        _check_apart(home, file)
    return file


def check_place(home: Path | None, source: object, path: object) -> Path:
    """Return the file or folder of a source. Raises InputError for an unknown source or an unsuitable path."""
    place = check_source(str(source), None if path is None else paths.check_path(path, "the file or folder to import"))
    if home is not None:
        _check_apart(home, place)
    return place


def _check_format(given: str | None, file: File, formats: Collection[str]) -> None:
    """Raise InputError for an unknown format. None takes the suffix of the file name, or jsonl for a stream."""
    known = ", ".join(formats)
    if given is None and isinstance(file, Path) and file.suffix != ".jsonl":
        raise InputError(
            f"{file} has no known suffix; name a file that ends in .jsonl, or give the format (format= in Python, "
            f"--format on the command line): {known}"
        )
    if given is not None and given not in formats:
        raise InputError(f"the format {given!r} is unknown; the formats are {known}")


def _check_apart(home: Path, file: File) -> None:
    """Raise InputError for a file in the home that may be a file of the store.

    Writing would destroy the file. Closing it after a read would drop SQLite's locks.
    """
    if not isinstance(file, Path):
        return
    real = Path(os.path.realpath(file))
    if real.suffix != ".jsonl" and real.parent == Path(os.path.realpath(home)):
        raise InputError(f"{file} is in the folder of the store; choose another folder, or a name that ends in .jsonl")


def check_defaults(store: Store, defaults: Mapping[str, Any]) -> None:
    """Raise InputError or NotFoundError for invalid defaults, which would otherwise refuse every line."""
    with store.reading() as db:
        space_number(db, check_item({"text": "any", **defaults}, {}, store.now_ms()).space)


class Import:
    """One import. `add` writes a batch: it takes a plan for Store.commit, the new texts, and their vectors."""

    def __init__(
        self,
        store: Store,
        add: Callable[[Any, list[str], Mapping[str, Vector]], None],
        *,
        again: bool,
        dry_run: bool,
    ) -> None:
        self._store = store
        self._add = add
        self._dry_run = dry_run
        self._plan = Importing(again=again)
        self._refused = 0
        self._refusals: list[RefusedLine] = []

    def run(
        self,
        rows: Iterator[ImportRow],
        name: object,
        defaults: Mapping[str, Any],
        progress: Callable[[int], None] | None,
    ) -> ImportReport:
        """Import the rows in batches of one transaction each. Call `progress` with the number of rows read.

        `name` names the file in messages. Raises InputError if it cannot be read, and StoreError if a batch cannot be
        written. Earlier batches stay.
        """
        taken = 0
        try:
            for done, requests in self._store.in_turns(self._batches(rows, defaults)):
                self._take(requests)
                taken = done
                if progress is not None:
                    progress(done)
        except OSError as exc:
            raise InputError(f"{name} cannot be read ({exc.strerror or exc}); name another file or folder") from exc
        except StoreError as exc:
            if not taken:
                raise
            raise type(exc)(f"the first {taken:,} lines or items are imported; the next batch failed: {exc}") from exc
        counts = self._plan.counts
        return ImportReport(
            added=counts["added"],
            updated=counts["updated"],
            known=counts["known"],
            forgotten=counts["forgotten"],
            repeated=self._plan.repeated,
            refused=self._refused,
            refusals=tuple(self._refusals),
            dry_run=self._dry_run,
        )

    def _batches(
        self, rows: Iterator[ImportRow], defaults: Mapping[str, Any]
    ) -> Iterator[tuple[int, list[AddRequest]]]:
        batch: list[AddRequest] = []
        number = size = 0
        for row in rows:
            before, request = self._read(row, defaults, batch[-1] if batch else None)
            if before is not None:
                batch[-1] = before
            if request is not None:
                if len(batch) == BATCH or size >= BATCH_BYTES:
                    yield number, batch
                    batch, size = [], 0
                batch.append(request)
            number = row.number
            size += row.size
        yield number, batch

    def _read(
        self, row: ImportRow, defaults: Mapping[str, Any], before: AddRequest | None
    ) -> tuple[AddRequest | None, AddRequest | None]:
        """Return the request before this row with the text that the row adds to it, and the request of the row.

        Either may be None. Both are for a refused row.
        """
        try:
            if isinstance(row.given, InputError):
                raise row.given
            if "revision" in row.given:
                return _with_past_text(before, row.given, defaults, self._store.now_ms()), None
            return None, _request(row.given, defaults, self._store)
        except InputError as exc:
            self._refused += 1
            if len(self._refusals) < REFUSED:
                self._refusals.append(RefusedLine(row.number, str(exc), row.name))
            return None, None

    def _take(self, requests: list[AddRequest]) -> None:
        if not requests:
            return
        if self._dry_run:
            with self._store.reading() as db:
                self._plan.weigh(db, requests)
        else:
            texts = [request.text for request in requests]
            self._add(partial(self._plan.plan, requests), texts, given_vectors(requests))


def export(store: Store, path: Path, filters: CheckedFilters, *, history: bool) -> int:
    """Write the memories that match the filters to a file, oldest first, and return their number.

    The file appears when it is complete. Raises StoreError, and InputError if the path is not a regular file.
    """
    real = Path(os.path.realpath(path))  # a symbolic link stays a link
    temporary = real.parent / f"{real.name}.new"
    try:
        _check_replaceable(path, real)
        temporary.unlink(missing_ok=True)  # left by a crash, perhaps with another mode
        with os.fdopen(_created(temporary), "wb") as file:
            count = write(store, file, filters, history=history)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(real)
    except OSError as exc:
        with suppress(OSError):  # the path may be invalid
            temporary.unlink()
        raise StoreError(f"{path} cannot be written ({exc.strerror}); name another file") from exc
    return count


def write(store: Store, file: Stream, filters: CheckedFilters, *, history: bool) -> int:
    """Write memories to a stream, oldest first, and return their number. Raises the errors of the stream."""
    count = 0
    for record in listing.every(store, "oldest", filters):
        for line in _with_history(store, record) if history else [_said(record, _SAID)]:
            _write_all(file, json.dumps(line, ensure_ascii=False).encode() + b"\n")
        count += 1
    return count


def _with_history(store: Store, record: MemoryRecord) -> Iterator[dict[str, Any]]:
    """Yield the line of a memory with its dates and its device, and the lines of its texts if there are several."""
    yield _said(record, (*_SAID, "updated_at", "device"))
    with store.reading() as db:
        texts = reads.revisions(db, record.id)
    for each in texts if len(texts) > 1 else ():
        yield {name: value for name, value in each.to_dict().items() if name in _PAST_TEXT and value is not None}


def _write_all(file: Stream, line: bytes) -> None:
    """Write the whole line. An unbuffered stream, such as stdout, may write only a part at once."""
    rest = memoryview(line)
    while rest:
        rest = rest[file.write(rest) or 0 :]


def _check_replaceable(path: Path, real: Path) -> None:
    """Raise InputError for an existing path that is not a regular file, because the export would replace it."""
    is_there = path.exists() or os.path.lexists(real)  # a link in a circle resolves to itself
    if is_there and not path.is_file():
        raise InputError(f"{path} exists and is not a regular file; an export would replace it; name another file")


def _created(path: Path) -> int:
    """Create a file that only its owner can read, because memories are private."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def _with_past_text(
    before: AddRequest | None, given: Mapping[str, Any], defaults: Mapping[str, Any], now_ms: int
) -> AddRequest:
    """Return the request before a line with the earlier text of the line. Raises InputError."""
    allowed = {"allow_secret": defaults["allow_secret"]} if "allow_secret" in defaults else {}
    memory_id, text = check_past_text({**given, **allowed}, now_ms)
    if before is None or before.id != memory_id:
        raise InputError("an earlier text must follow the line of its memory, which is not before it, or was refused")
    if len(before.history) >= TOO_MANY_REVISIONS:
        raise InputError(f"a memory has at most {TOO_MANY_REVISIONS} earlier texts")
    return replace(before, history=(*before.history, text))


def _request(given: Mapping[str, Any], defaults: Mapping[str, Any], store: Store) -> AddRequest:
    request = check_imported(given, defaults, store.now_ms())
    with store.reading() as db:
        _check_space(db, request.space)
    return request


def _check_space(db: Any, name: str) -> None:
    if find_space(db, name) is None:
        raise InputError(
            f"the space {name!r} does not exist here; create it, or import into another space (space= in Python, "
            "--space on the command line)"
        )


def _said(record: MemoryRecord, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields with these names that differ from the defaults, as JSON values."""
    values = {name: getattr(record, name) for name in names}
    values["links"] = [[link.rel, link.to] for link in record.links]
    for name, value in values.items():
        if isinstance(value, datetime):
            values[name] = value.isoformat(timespec="milliseconds")
    return {name: value for name, value in values.items() if value is not False and value not in (None, (), {}, [])}
