"""Imports: rows, whatever they come from, become memories in batches of one transaction each."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from memcrdt import paths
from memcrdt.errors import InputError, StoreError
from memcrdt.importing.rows import ImportRow
from memcrdt.importing.sources import check_source
from memcrdt.memory.writer import given_vectors
from memcrdt.model import limits
from memcrdt.model.edits import TOO_MANY_REVISIONS
from memcrdt.model.requests import AddRequest, check_imported, check_item, check_past_text
from memcrdt.model.serialization import Record
from memcrdt.model.values import Vector
from memcrdt.paths import Stream
from memcrdt.store.base import AnyStore
from memcrdt.store.importing import Importing
from memcrdt.store.indexer import Indexable
from memcrdt.store.spaces import find_space, space_number

File: TypeAlias = Path | Stream

BATCH: Final = 300  # memories in one transaction: each takes somewhat longer than one that is added
BATCH_BYTES: Final = limits.TRANSACTION_BYTES  # of lines, which a memory with its history may exceed
REFUSED: Final = 100  # refused lines in a report


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
        conflicting: The number of memories whose text was edited here and changed in the source since the last import.
            Both texts are kept, as a conflict.
        known: The number of memories that existed already, and to which the source has no new text.
        forgotten: The number of memories that were forgotten and stay forgotten.
        repeated: The number of lines that repeat the memory of another line. Of lines with a key the last one counts,
            of other lines the first one.
        refused: The number of refused lines.
        refusals: The first 100 refused lines, with reasons.
        dry_run: Whether the import was a preview.
    """

    added: int
    updated: int
    conflicting: int
    known: int
    forgotten: int
    repeated: int
    refused: int
    refusals: tuple[RefusedLine, ...]
    dry_run: bool


def check_source_file(home: Path | None, given: object, format: str | None, formats: Collection[str]) -> File:
    """Return the path or stream to import. Raises InputError for an unsuitable file or an unknown format."""
    file = paths.check_file(given, "the file to import")
    if format is None and isinstance(file, Path) and file.suffix != ".jsonl":
        if not os.access(file, os.F_OK):
            raise InputError(f"{file} cannot be found; name another file or folder")
        raise InputError(
            f"{file} is no .jsonl file; name the program that it is from (import_from() in Python, --from on the "
            f"command line), or the format of an export (format=, --format): {', '.join(formats)}"
        )
    check_format(format, file, formats)
    check_apart(home, file)
    return file


def check_place(home: Path | None, source: object, path: object) -> Path:
    """Return the file or folder of a source. Raises InputError for an unknown source or an unsuitable path."""
    place = check_source(str(source), None if path is None else paths.check_path(path, "the file or folder to import"))
    check_apart(home, place)
    return place


def check_format(given: str | None, file: File, formats: Collection[str]) -> None:
    """Raise InputError for an unknown format. None takes the suffix of the file name, or jsonl for a stream."""
    known = ", ".join(formats)
    if given is None and isinstance(file, Path) and file.suffix != ".jsonl":
        raise InputError(
            f"{file} has no known suffix; name a file that ends in .jsonl, or give the format (format= in Python, "
            f"--format on the command line): {known}"
        )
    if given is not None and given not in formats:
        raise InputError(f"the format {given!r} is unknown; the formats are {known}")


def check_apart(home: Path | None, file: File) -> None:
    """Raise InputError for the home, or a file in it that may be a file of the store.

    Writing would destroy the file. Closing it after a read would drop SQLite's locks.
    """
    if home is None or not isinstance(file, Path):
        return
    real, store = Path(os.path.realpath(file)), Path(os.path.realpath(home))
    if real == store or (real.suffix != ".jsonl" and real.parent == store):
        raise InputError(f"{file} is in the folder of the store; choose another folder, or a name that ends in .jsonl")


def check_defaults(store: AnyStore, defaults: Mapping[str, Any]) -> None:
    """Raise InputError or NotFoundError for invalid defaults, which would otherwise refuse every line."""
    with store.reading() as db:
        space_number(db, check_item({"text": "any", **defaults}, {}, store.now_ms()).space)


class Import:
    """One import. `add` writes a batch: it takes a plan for Store.commit, the new texts, and their vectors."""

    def __init__(
        self,
        store: AnyStore,
        add: Callable[[Any, Sequence[Indexable], Mapping[str, Vector]], None],
        *,
        again: bool,
        dry_run: bool,
        is_foreign: bool,
    ) -> None:
        self._store = store
        self._add = add
        self._dry_run = dry_run
        self._plan = Importing(again=again, is_foreign=is_foreign)
        self._spaces: set[str] = set()  # that were there
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
            missing = exc.filename or name  # a source may look for a file in the folder that was named
            raise InputError(f"{missing} cannot be read ({exc.strerror or exc}); name another file or folder") from exc
        except StoreError as exc:
            if not taken:
                raise
            raise type(exc)(f"the first {taken:,} lines or items are imported; the next batch failed: {exc}") from exc
        counts = self._plan.counts
        return ImportReport(
            added=counts["added"],
            updated=counts["updated"],
            conflicting=counts["conflicting"],
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
            return None, self._request(row.given, defaults)
        except InputError as exc:
            self._refused += 1
            if len(self._refusals) < REFUSED:
                self._refusals.append(RefusedLine(row.number, str(exc), row.name))
            return None, None

    def _request(self, given: Mapping[str, Any], defaults: Mapping[str, Any]) -> AddRequest:
        request = check_imported(given, defaults, self._store.now_ms())
        if request.space not in self._spaces:
            with self._store.reading() as db:
                _check_space(db, request.space)
            self._spaces.add(request.space)
        return request

    def _take(self, requests: list[AddRequest]) -> None:
        if not requests:
            return
        if self._dry_run:
            with self._store.reading() as db:
                self._plan.weigh(db, requests)
        else:
            with self._store.reading() as db:  # what is there already needs neither a vector nor room
                new = self._plan.changing(db, requests)
            self._add(partial(self._plan.plan, requests), new, given_vectors(new))


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


def _check_space(db: Any, name: str) -> None:
    if find_space(db, name) is None:
        raise InputError(
            f"the space {name!r} does not exist here; create it, or import into another space (space= in Python, "
            "--space on the command line)"
        )
