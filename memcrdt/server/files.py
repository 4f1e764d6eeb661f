"""/v1/export and /v1/import: memories as lines of JSON (NDJSON), one memory or one result a line."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from memcrdt.errors import StoreError
from memcrdt.importing.lines import LINE_BYTES
from memcrdt.model import limits
from memcrdt.server.bodies import FilterQuery
from memcrdt.server.callers import in_thread, service_of
from memcrdt.server.problems import members_of, problem
from memcrdt.service.transfer import BATCH, ImportedLine, LineImport, begins_memory, exported

NDJSON: Final = "application/x-ndjson"
LINES: Final = limits.BATCH_ITEMS  # of one import
BATCH_BYTES: Final = limits.TRANSACTION_BYTES
CHUNK: Final = 100  # lines that a thread reads at once

router = APIRouter(prefix="/v1", tags=["files"])

_LINES: Final = '{"id": "01K9XQ3V7M2ZC4T8N6B5R1D0PE", "text": "Deploys go out on Tuesdays"}\n'
_EXPORT: Final[dict[str, Any]] = {NDJSON: {"schema": {"type": "string"}, "example": _LINES}}
_RESULTS: Final[dict[str, Any]] = {
    NDJSON: {
        "schema": {"type": "string"},
        "example": '{"line": 1, "ok": true}\n{"line": 2, "ok": false, "reason": "the text is empty"}\n{"report": {}}\n',
    }
}


class ExportQuery(FilterQuery):
    """What to export."""

    history: bool = Field(False, description="Whether to write all texts of each memory")


@router.get("/export", response_class=StreamingResponse, responses={200: {"content": _EXPORT}})
def export_memories(request: Request, asked: Annotated[ExportQuery, Query()]) -> Response:
    """Return the memories that match the filters, oldest first, one per line. Expired and superseded ones are included.

    Importing the lines elsewhere gives the same memories. The stream is complete if it ends properly.
    """
    lines = exported(service_of(request), history=asked.history, **asked.filters("history"))
    return StreamingResponse(_chunks(lines), media_type=NDJSON, headers={"Cache-Control": "no-store"})


def _chunks(lines: Iterator[bytes]) -> Iterator[bytes]:
    while chunk := b"".join(islice(lines, CHUNK)):
        yield chunk


@router.post(
    "/import",
    response_class=StreamingResponse,
    responses={200: {"content": _RESULTS}},
    openapi_extra={"requestBody": {"required": False, "content": {NDJSON: {"example": _LINES}}}},
)
async def import_memories(
    request: Request,
    again: Annotated[bool, Query(description="Whether to add forgotten memories again")] = False,
    dry_run: Annotated[bool, Query(description="Whether to count without adding")] = False,
) -> Response:
    """Add up to 100,000 memories, one per line, in the spaces of the token. The answer has a line for each of them.

    A line has the arguments of POST /v1/memories and those of an export, or is a text. Existing memories do not change,
    unless a line has their key; forgotten ones stay forgotten. Lines that are refused do not stop the others. The last
    line is `report` with the counts, or `error` with the problem that ended the import; earlier lines are imported.
    """
    taken = LineImport(service_of(request), again=again, dry_run=dry_run)
    results: list[str] = []  # sent when all is read: a client that sends may not read yet
    count = 0
    try:
        async for batch in _batches(request):
            count += len(batch)
            if count > LINES:
                return problem("too_large", f"over {LINES:,} lines; the first {count - len(batch):,} are imported")
            results += map(_line, await in_thread(taken.take, batch))
    except StoreError as exc:
        results.append(json.dumps({"error": members_of(exc)}) + "\n")
    else:
        report = {name: value for name, value in taken.report.to_dict().items() if name != "refusals"}
        results.append(json.dumps({"report": report}) + "\n")
    return Response("".join(results), media_type=NDJSON, headers={"Cache-Control": "no-store"})


def _line(result: ImportedLine) -> str:
    return json.dumps({name: value for name, value in result.to_dict().items() if value is not None}) + "\n"


async def _batches(request: Request) -> AsyncIterator[list[bytes]]:
    """Yield the lines of a request in batches. A memory and its earlier texts are in one batch."""
    batch: list[bytes] = []
    size = 0
    async for line in _lines(request):
        if begins_memory(line) and (len(batch) >= BATCH or size >= BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line)
    if batch:
        yield batch


async def _lines(request: Request) -> AsyncIterator[bytes]:
    """Yield the lines of a request; of a line that is too long only so much that it is refused."""
    rest = b""
    async for part in request.stream():
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            yield line[: LINE_BYTES + 1]
        rest = rest[: LINE_BYTES + 1]
    if rest:
        yield rest
