"""How answers look: memories with their entity tags, pages with a link to the next one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from memcrdt.errors import InputError
from memcrdt.model.records import MemoryRecord
from memcrdt.model.serialization import Record
from memcrdt.service import resources
from memcrdt.service.resources import Found, MemoryResource
from memcrdt.service.service import Saved, Service

ANY: Final = "*"
_TAG: Final = re.compile(r'(?P<weak>W/)?"(?P<tag>[\x21\x23-\x7e\x80-\xff]*)"')
_HEADER_CHARS: Final = 4_096
_PRIVATE: Final = {"Cache-Control": "private, no-cache"}  # a client may keep it, and asks each time whether it stands
_SECRET: Final = {"Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPage(Record):
    """A page of memories. `next` is the cursor of the next page, None on the last one."""

    items: tuple[MemoryResource, ...]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult(Record):
    """The memories that best answer a question, best first."""

    items: tuple[Found, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedMemories(Record):
    """Memories that were added or were known, in the order of the request."""

    items: tuple[Saved, ...]


def json_of(value: Any, status: int = 200, headers: Mapping[str, str] = _SECRET) -> JSONResponse:
    """Return JSON values as a response that nobody keeps."""
    return JSONResponse(value, status, dict(headers))


def memory_response(
    service: Service, record: MemoryRecord, status: int = 200, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return a memory as a response, with its entity tag."""
    (shown,) = resources.resources(service, [record])
    tag = f'"{resources.version(service, record)}"'
    return json_of(shown.to_dict(), status, {**_PRIVATE, "ETag": tag, **(headers or {})})


def conditional_response(service: Service, record: MemoryRecord, request: Request) -> Response:
    """Return a memory, or 304 if the client has it: If-None-Match names its present version."""
    known = _tags(request, "if-none-match")
    version = resources.version(service, record) if known else ""
    if known and (ANY in known or version in {tag.removeprefix("W/") for tag in known}):
        return Response(status_code=304, headers={**_PRIVATE, "ETag": f'"{version}"'})
    return memory_response(service, record)


def expected_versions(request: Request) -> list[str] | None:
    """Return the versions that a change may be made from; None for any. If-Match names them.

    A weak tag fits nothing, and so does a malformed one: the change is then refused.
    """
    tags = _tags(request, "if-match")
    if not tags or ANY in tags:
        return None
    return tags


def expected_versions_of_key(request: Request) -> list[str] | None:
    """Return as expected_versions() does; an empty list if there must be no memory yet: If-None-Match is `*`."""
    tags = _tags(request, "if-none-match")
    if tags and tags != [ANY]:
        raise InputError("If-None-Match of a PUT takes only *: create the memory, or change nothing")
    return [] if tags else expected_versions(request)


def page_response(request: Request, items: Iterable[MemoryResource], next_cursor: str | None) -> JSONResponse:
    """Return a page, with the address of the next one in the header Link."""
    headers = dict(_SECRET)
    if next_cursor is not None:
        following = request.url.include_query_params(cursor=next_cursor)
        headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
    return json_of({"items": [each.to_dict() for each in items], "next": next_cursor}, headers=headers)


def _tags(request: Request, name: str) -> list[str]:
    """Return the entity tags of a header, weak ones with their mark. An empty header has one tag, that fits nothing."""
    if name not in request.headers:
        return []
    value = ", ".join(request.headers.getlist(name)).strip()
    if value == ANY:
        return [ANY]
    found = [f"{match['weak'] or ''}{match['tag']}" for match in _TAG.finditer(value[:_HEADER_CHARS])]
    return found or [value]
