"""/v1/memories: add, read, change and forget memories."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from memcrdt.model.records import Forgotten, Revision
from memcrdt.server.answers import (
    MemoryPage,
    SavedMemories,
    conditional_response,
    expected_versions,
    expected_versions_of_key,
    json_of,
    memory_response,
    page_response,
)
from memcrdt.server.bodies import (
    AddedLink,
    AddedMemories,
    AddedMemory,
    Id,
    Key,
    Label,
    ListQuery,
    MemoryContent,
    MemoryPatch,
    Resolution,
    Scope,
)
from memcrdt.server.callers import service_of
from memcrdt.server.description import IF_MATCH, IF_NONE_MATCH, conditional, created
from memcrdt.service import resources
from memcrdt.service.resources import MemoryResource

router = APIRouter(prefix="/v1/memories", tags=["memories"])

MemoryId = Annotated[Id, Path(description="The id of the memory")]


@router.get("", response_model=MemoryPage)
def list_memories(request: Request, asked: Annotated[ListQuery, Query()]) -> JSONResponse:
    """Return a page of memories, without ranking. The header Link has the address of the next page."""
    service = service_of(request)
    page = service.page(
        limit=asked.limit, cursor=asked.cursor, order=asked.order, **asked.filters("limit", "cursor", "order")
    )
    return page_response(request, resources.resources(service, page), page.next_cursor)


@router.post("", status_code=201, response_model=MemoryResource, responses=created(MemoryResource))
def add_memory(request: Request, given: AddedMemory) -> JSONResponse:
    """Add a memory. It is on disk when the answer comes.

    The answer is 201 for a new memory, and 200 for a known one: the same text in the same space and scope, or the same
    key. With `Idempotency-Key`, a repeated request gets the first answer.
    """
    service = service_of(request)
    saved = service.add(**given.given())
    headers = {"Location": f"{request.url.path}/{saved.id}"}
    return memory_response(service, service.record(saved.id), 200 if saved.known else 201, headers)


@router.post("/batch", response_model=SavedMemories)
def add_memories(request: Request, given: AddedMemories) -> JSONResponse:
    """Add up to 200 memories with 2 MiB of text: all or none."""
    saved = service_of(request).add_many([each.given() for each in given.memories])
    return json_of({"items": [each.to_dict() for each in saved]})


@router.get("/by-key/{key:path}", response_model=MemoryResource, responses=conditional())
def get_memory_by_key(
    request: Request, key: Annotated[Key, Path()], scope: Scope | None = None, space: Label | None = None
) -> Response:
    """Return the memory that a PUT to this address would change."""
    service = service_of(request)
    return conditional_response(service, service.get_by_key(key, scope=scope, space=space), request)


@router.put(
    "/by-key/{key:path}",
    response_model=MemoryResource,
    responses=created(MemoryResource),
    openapi_extra={"parameters": [IF_MATCH, IF_NONE_MATCH]},
)
def put_memory_by_key(request: Request, key: Annotated[Key, Path()], given: MemoryContent) -> JSONResponse:
    """Add a memory under a key, or update the memory of the key. The id follows from the key, on every device.

    Given values replace those of the memory; others stay. `If-None-Match: *` only creates.
    """
    service = service_of(request)
    versions = expected_versions_of_key(request)
    saved = resources.create_by_key(service, key, versions=versions, **given.given())
    headers = {"Location": f"{router.prefix}/{saved.id}"}
    return memory_response(service, service.record(saved.id), 200 if saved.known else 201, headers)


@router.get("/{id}", response_model=MemoryResource, responses=conditional())
def get_memory(request: Request, id: MemoryId) -> Response:
    """Return one memory. With `If-None-Match` and its present ETag, the answer is 304 and has no content."""
    service = service_of(request)
    return conditional_response(service, service.record(id), request)


@router.patch("/{id}", response_model=MemoryResource, openapi_extra={"parameters": [IF_MATCH]})
def update_memory(request: Request, id: MemoryId, given: MemoryPatch) -> JSONResponse:
    """Change the given parts of a memory. The old text stays in the history.

    Without `If-Match`, the change merges with what others have changed meanwhile. With it, a memory that is at another
    version is left as it is, and the answer is 412 with the memory that is there.
    """
    service = service_of(request)
    versions = expected_versions(request)
    changes = given.given()
    if versions is not None:
        changes["expected"] = resources.expected_heads(service, id, versions)
    service.update(id, **changes)
    return memory_response(service, service.record(id))


@router.delete("/{id}", response_model=Forgotten, openapi_extra={"parameters": [IF_MATCH]})
def forget_memory(request: Request, id: MemoryId) -> JSONResponse:
    """Forget a memory on every device, permanently. Its receipts say which devices have done so."""
    service = service_of(request)
    return json_of(resources.forget_one(service, id, expected_versions(request)).to_dict())


@router.get("/{id}/history", response_model=list[Revision])
def get_history(request: Request, id: MemoryId) -> JSONResponse:
    """Return every text that the memory has had, oldest first."""
    return _texts(service_of(request).history(id))


@router.get("/{id}/revisions/{revision}", response_model=Revision)
def get_revision(request: Request, id: MemoryId, revision: Annotated[Id, Path()]) -> JSONResponse:
    """Return one text of the memory."""
    return json_of(resources.revision(service_of(request), id, revision).to_dict())


@router.get("/{id}/conflicts", response_model=list[Revision])
def get_conflicts(request: Request, id: MemoryId) -> JSONResponse:
    """Return the texts that devices wrote while they were apart; an empty list if there is one current text."""
    return _texts(resources.conflicts(service_of(request), id))


@router.post("/{id}/resolve", response_model=MemoryResource, openapi_extra={"parameters": [IF_MATCH]})
def resolve_conflict(request: Request, id: MemoryId, given: Resolution) -> JSONResponse:
    """Settle a conflict: keep one of the competing texts, or write another. The others stay in the history."""
    service = service_of(request)
    versions = expected_versions(request)
    expected = None if versions is None else resources.expected_heads(service, id, versions)
    resources.resolve(service, id, keep=given.keep, text=given.text, expected=expected)
    return memory_response(service, service.record(id))


@router.get("/{id}/links", response_model=list[MemoryResource])
def get_linked_memories(request: Request, id: MemoryId, rel: Label | None = None) -> JSONResponse:
    """Return the memories that the memory links to, by any relation or by one. Its `links` have the relations."""
    service = service_of(request)
    return json_of([each.to_dict() for each in resources.resources(service, resources.linked(service, id, rel))])


@router.post("/{id}/links", response_model=MemoryResource)
def link_memories(request: Request, id: MemoryId, given: AddedLink) -> JSONResponse:
    """Link the memory to another one. A link that exists stays as it is."""
    service = service_of(request)
    resources.link(service, id, given.rel, given.to)
    return memory_response(service, service.record(id))


@router.delete("/{id}/links/{to}", response_model=MemoryResource)
def unlink_memories(
    request: Request, id: MemoryId, to: Annotated[Id, Path()], rel: Label | None = None
) -> JSONResponse:
    """Remove the links to another memory, by every relation or by one. There may be none."""
    service = service_of(request)
    return memory_response(service, resources.unlink(service, id, to, rel))


def _texts(revisions: list[Revision]) -> JSONResponse:
    return json_of([each.to_dict() for each in revisions])
