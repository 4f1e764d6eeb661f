"""Exports and imports of a caller, as lines of JSON: the form of Memory.export(), within the spaces of the caller."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from io import BytesIO
from typing import Any, Final

from memcrdt.errors import InputError, NotFoundError
from memcrdt.importing.forms import JSONL
from memcrdt.importing.lines import LINE_BYTES
from memcrdt.memory.exporting import Export
from memcrdt.memory.transfer import ImportReport
from memcrdt.model.filters import INCLUDES, check_filters
from memcrdt.model.serialization import Record
from memcrdt.model.values import parse_json
from memcrdt.service.service import Service

BATCH: Final = 100  # lines of one transaction

_EMPTY: Final = ImportReport(
    added=0, updated=0, conflicting=0, known=0, forgotten=0, repeated=0, refused=0, refusals=(), dry_run=False
)
_COUNTS: Final = tuple(each.name for each in fields(ImportReport) if each.name not in ("refusals", "dry_run"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedLine(Record):
    """The result of one line of an import.

    Attributes:
        line: The number of the line, from 1.
        ok: Whether it was taken: its memory is there, or was forgotten and stays so.
        reason: Why it was refused.
    """

    line: int
    ok: bool
    reason: str | None = None


def exported(service: Service, *, scope: str | None = None, history: bool = False, **filters: Any) -> Iterator[bytes]:
    """Return an iterator of the lines of the memories, oldest first. Expired and superseded ones are included.

    Args:
        service: The service of the caller.
        scope: As for Service.list().
        history: Whether to write all texts of each memory.
        **filters: As for Service.list().
    """
    asked = service.filters(service.context.to_read(scope), {"include": INCLUDES, **filters})
    return Export(service.memory.store, check_filters(asked), JSONL, history=history).pieces()


class LineImport:
    """One import, whose lines arrive in parts.

    Args:
        service: The service of the caller.
        again: Whether to add forgotten memories again.
        dry_run: Whether to count without adding.

    Attributes:
        report: The counts of all lines so far.

    Raises:
        ReadOnlyError: The caller may not write.
    """

    def __init__(self, service: Service, *, again: bool = False, dry_run: bool = False) -> None:
        service.access.check("write")
        self.report = replace(_EMPTY, dry_run=dry_run)
        self._service = service
        self._again, self._dry_run = again, dry_run
        self._number = 0

    def take(self, lines: Iterable[bytes]) -> list[ImportedLine]:
        """Import lines, and return the result of each that is not empty. Raises StoreError.

        The lines of one memory with its history have to be given together: cut only where begins_memory().
        """
        results: list[ImportedLine] = []
        given: dict[int, bytes] = {}
        for line in lines:
            self._number += 1
            if not line.strip():
                continue
            try:
                given[self._number] = self._allowed(line)
            except (InputError, NotFoundError) as exc:
                results.append(ImportedLine(line=self._number, ok=False, reason=str(exc)))
        if given:
            results += self._import(given)
        self._count({"refused": len(results) - len(given)})
        return sorted(results, key=lambda each: each.line)

    def _import(self, given: dict[int, bytes]) -> list[ImportedLine]:
        stream = BytesIO(b"\n".join(given.values()))
        report = self._service.memory.files.import_(stream, format=JSONL, again=self._again, dry_run=self._dry_run)
        refused = {each.line: each.reason for each in report.refusals}
        self._count(report.to_dict())
        return [
            ImportedLine(line=number, ok=place not in refused, reason=refused.get(place))
            for place, number in enumerate(given, 1)
        ]

    def _count(self, more: dict[str, Any]) -> None:
        counts = {name: getattr(self.report, name) + more.get(name, 0) for name in _COUNTS}
        self.report = replace(self.report, **counts)

    def _allowed(self, line: bytes) -> bytes:
        """Return a line whose memory goes into a space of the caller. Raises InputError, NotFoundError."""
        access = self._service.access
        if access.spaces is None or len(line) > LINE_BYTES:
            return line
        try:
            item = parse_json(line)
        except ValueError:
            return line  # the import says why
        if isinstance(item, str):
            item = {"text": item}
        if not isinstance(item, dict) or "revision" in item:
            return line
        space = item.get("space")
        if not isinstance(space, str | None):
            raise InputError("the space is not a text")
        return json.dumps({**item, "space": access.to_write(space)}).encode()


def begins_memory(line: bytes) -> bool:
    """Return whether a line is not an earlier text of the memory of the line before."""
    return b'"revision"' not in line
