"""Memories as files: JSON Lines, one memory a line, with the names of Memory.add()'s arguments."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from memcrdt import paths
from memcrdt.errors import InputError, StoreError
from memcrdt.memory.writer import given_vectors
from memcrdt.model import limits
from memcrdt.model.attributes import taken_by
from memcrdt.model.filters import CheckedFilters
from memcrdt.model.records import MemoryRecord
from memcrdt.model.requests import AddRequest, check_imported, check_item
from memcrdt.model.serialization import Record
from memcrdt.model.values import Vector
from memcrdt.paths import Stream
from memcrdt.store import listing
from memcrdt.store.importing import Importing
from memcrdt.store.spaces import find_space, space_number
from memcrdt.store.store import Store

File: TypeAlias = Path | Stream

FORMATS: Final = ("jsonl",)
LINE_BYTES: Final = 512 * limits.KIB  # a text of 64 KiB, escaped, with all else that a memory may have
BATCH: Final = 1_000  # memories in one transaction
REFUSED: Final = 100  # lines that a report names

# What an export says of a memory, and an import takes: add()'s arguments, and two that only imports know.
_SAID: Final = (
    *("id", "text", "space", "tags", "metadata", "created_at"),
    *(attribute.name for attribute in taken_by("import")),
    "links",
)


@dataclass(frozen=True, slots=True)
class Refusal(Record):
    """A line, counted from 1, that an import refused, and the reason."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport(Record):
    """What an import did, or with `dry_run` would do.

    Attributes:
        added: The number of new memories.
        updated: The number of memories that got another text under their key.
        known: The number of memories that were here already.
        forgotten: The number of memories that were forgotten and stay so.
        repeated: The number of lines that name the memory of another line. With a key the last line counts, else the
            first.
        refused: The number of lines refused.
        refusals: The first 100 of them, with reasons.
        dry_run: Whether nothing was changed.
    """

    added: int
    updated: int
    known: int
    forgotten: int
    repeated: int
    refused: int
    refusals: tuple[Refusal, ...]
    dry_run: bool


def check_file(home: Path | None, given: object, format: str | None, what: str) -> File:
    """Return the path or the stream to import or export. Raises InputError for one that can't serve, or for a format
    that is not known; `what` names it in the message."""
    file = paths.check_file(given, what)
    _check_format(format, file)
    if home is not None:
        _check_apart(home, file)
    return file


def _check_format(given: str | None, file: File) -> None:
    """Raise InputError for an unknown format. None goes by the name of the file, and means jsonl for a stream."""
    known = ", ".join(FORMATS)
    if given is None and isinstance(file, Path) and file.suffix[1:] not in FORMATS:
        raise InputError(
            f"the name of {file} tells no format; name one that ends in .jsonl, or give the format (format=, --format):"
            f" {known}"
        )
    if given is not None and given not in FORMATS:
        raise InputError(f"the format {given!r} is not known; the formats are {known}")


def _check_apart(home: Path, file: File) -> None:
    """Raises InputError for a file in the home that may be one of its own: written, it would be lost; read and closed,
    it would lose SQLite's locks."""
    if not isinstance(file, Path):
        return
    real = Path(os.path.realpath(file))
    if real.suffix != ".jsonl" and real.parent == Path(os.path.realpath(home)):
        raise InputError(f"{file} stands where the store keeps its own files; name one elsewhere, or one in .jsonl")


def check_defaults(store: Store, defaults: Mapping[str, Any]) -> None:
    """Raise InputError, or NotFoundError for a missing space, before any line is refused for it."""
    with store.reading() as db:
        space_number(db, check_item({"text": "any", **defaults}, {}, store.now_ms()).space)


class Import:
    """One import. `add` writes a batch: it takes a plan for Store.commit, the texts that come, and their vectors."""

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
        self._refusals: list[Refusal] = []

    def run(self, source: File, defaults: Mapping[str, Any], progress: Callable[[int], None] | None) -> ImportReport:
        """Takes the lines in batches, each in one transaction. `progress` is told how many lines are done.

        Raises InputError when the file can't be read, StoreError when a batch can't be written; batches before that
        stay.
        """
        taken = 0
        try:
            with source.open("rb") if isinstance(source, Path) else nullcontext(source) as file:
                for done, requests in self._batches(file, defaults):
                    self._take(requests)
                    taken = done
                    if progress is not None:
                        progress(done)
        except OSError as exc:
            name = source if isinstance(source, Path) else "the stream"
            raise InputError(f"{name} can't be read ({exc.strerror}); name a file of one JSON object a line") from exc
        except StoreError as exc:
            if not taken:
                raise
            raise type(exc)(f"the lines up to {taken:,} are in; what came then failed: {exc}") from exc
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

    def _batches(self, file: Stream, defaults: Mapping[str, Any]) -> Iterator[tuple[int, list[AddRequest]]]:
        batch: list[AddRequest] = []
        number = 0
        for number, line in enumerate(_lines(file), 1):
            if request := self._read(number, line, defaults):
                batch.append(request)
            if len(batch) == BATCH:
                yield number, batch
                batch = []
        yield number, batch

    def _read(self, number: int, line: bytes | None, defaults: Mapping[str, Any]) -> AddRequest | None:
        """The request of one line; None for an empty one, and for one that is refused."""
        if line is not None and not line.strip():
            return None
        try:
            return _request(line, defaults, self._store)
        except InputError as exc:
            self._refused += 1
            if len(self._refusals) < REFUSED:
                self._refusals.append(Refusal(number, str(exc)))
            return None

    def _take(self, requests: list[AddRequest]) -> None:
        if not requests:
            return
        if self._dry_run:
            with self._store.reading() as db:
                self._plan.weigh(db, requests)
        else:
            texts = [request.text for request in requests]
            self._add(partial(self._plan.plan, requests), texts, given_vectors(requests))


def export(store: Store, path: Path, filters: CheckedFilters) -> int:
    """Writes the memories that the filters leave, oldest first. Returns how many.

    The file is there when it is complete, or not at all. Raises StoreError, and InputError when what is there is none.
    """
    real = Path(os.path.realpath(path))  # a link stays one
    temporary = real.parent / f"{real.name}.new"
    try:
        _check_replaceable(path, real)
        temporary.unlink(missing_ok=True)  # what a crash left, perhaps with another mode
        with os.fdopen(_created(temporary), "wb") as file:
            count = write(store, file, filters)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(real)
    except OSError as exc:
        with suppress(OSError):  # it may be no path at all
            temporary.unlink()
        raise StoreError(f"{path} can't be written ({exc.strerror}); name another file") from exc
    return count


def write(store: Store, file: Stream, filters: CheckedFilters) -> int:
    """Write memories to a stream, oldest first, and return their number. Raises the errors of the stream."""
    count = 0
    for record in listing.every(store, "oldest", filters):
        _write_all(file, json.dumps(_said(record), ensure_ascii=False).encode() + b"\n")
        count += 1
    return count


def _write_all(file: Stream, line: bytes) -> None:
    """A stream without a buffer, as stdout may be, takes what it can."""
    rest = memoryview(line)
    while rest:
        rest = rest[file.write(rest) or 0 :]


def _check_replaceable(path: Path, real: Path) -> None:
    """Raises InputError for what is there and no file: put in its place, a file would end it."""
    is_there = path.exists() or os.path.lexists(real)  # a link in a circle leads to itself
    if is_there and not path.is_file():
        raise InputError(f"{path} is there and is no regular file, which an export would replace; name another file")


def _created(path: Path) -> int:
    """A new file for its owner only: memories are private."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def _lines(file: Stream) -> Iterator[bytes | None]:
    """The lines; None in the place of one that is too long, which is not held in memory."""
    while line := file.readline(LINE_BYTES + 1):
        if len(line) <= LINE_BYTES:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = file.readline(LINE_BYTES)
        yield None


def _why(problem: Exception) -> str:
    """Why a line is no JSON, without advice on Python."""
    match problem:
        case json.JSONDecodeError():
            return f"{problem.msg} at character {problem.pos + 1}"
        case UnicodeDecodeError():
            return "it is not UTF-8"
        case RecursionError():
            return "it is nested too deep"
    return "a number has too many digits"


def _request(line: bytes | None, defaults: Mapping[str, Any], store: Store) -> AddRequest:
    if line is None:
        raise InputError(f"the line has over {LINE_BYTES // limits.KIB} KiB; no memory is that long")
    try:
        item = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise InputError(f"the line is no JSON: {_why(exc)}") from exc
    given = {"text": item} if isinstance(item, str) else item
    if not isinstance(given, dict):
        raise InputError("the line is neither a JSON object nor a text")
    request = check_imported(given, defaults, store.now_ms())
    with store.reading() as db:
        _check_space(db, request.space)
    return request


def _check_space(db: Any, name: str) -> None:
    if find_space(db, name) is None:
        raise InputError(
            f"there is no space called {name!r} here; create it, or import into another one (space=, --space)"
        )


def _said(record: MemoryRecord) -> dict[str, Any]:
    """What differs from the defaults, as JSON."""
    values = {name: getattr(record, name) for name in _SAID}
    values["links"] = [[link.rel, link.to] for link in record.links]
    for name, value in values.items():
        if isinstance(value, datetime):
            values[name] = value.isoformat(timespec="milliseconds")
    return {name: value for name, value in values.items() if value is not False and value not in (None, (), {}, [])}
