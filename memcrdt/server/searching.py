"""/v1/search, /v1/tags, /v1/scopes, /v1/stats and /v1/activity: find memories, and see what there is."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import JSONResponse

from memcrdt import Stats
from memcrdt.server.answers import SearchResult, json_of
from memcrdt.server.bodies import ActivityQuery, FilterQuery, LabelQuery, SearchQuery
from memcrdt.server.callers import service_of
from memcrdt.service import resources

router = APIRouter(prefix="/v1", tags=["search"])


@router.get("/search", response_model=SearchResult)
def search_memories(request: Request, asked: Annotated[SearchQuery, Query()]) -> JSONResponse:
    """Return the memories that best answer a question, best first, with scores that can be compared between questions.

    With `explain=true`, `parts` of each result says what each part of the ranking adds.
    """
    service = service_of(request)
    options = {name: getattr(asked, name) for name in ("limit", "min_score", "explain", "fold")}
    hits = service.find(asked.q, **options, **asked.filters("q", *options))
    return json_of({"items": [each.to_dict() for each in resources.found(service, hits)]})


@router.get("/tags", response_model=dict[str, int])
def get_tags(request: Request, asked: Annotated[FilterQuery, Query()]) -> JSONResponse:
    """Return the tags of the memories that match the filters, each with the number of these memories."""
    return json_of(service_of(request).tags(**asked.filters()))


@router.get("/scopes", response_model=list[str])
def get_scopes(request: Request, asked: Annotated[LabelQuery, Query()]) -> JSONResponse:
    """Return the scopes that contain a text, sorted."""
    return json_of(service_of(request).labels("scope", asked.contains, limit=asked.limit))


@router.get("/stats", response_model=Stats)
def get_stats(request: Request) -> JSONResponse:
    """Count the memories in the spaces of the token."""
    return json_of(service_of(request).stats().to_dict())


@router.get("/activity", response_model=list[int])
def get_activity(request: Request, asked: Annotated[ActivityQuery, Query()]) -> JSONResponse:
    """Count the memories that were last added or changed in each of the past hours, the oldest hour first.

    Each memory in the spaces of the token counts once, at its last change. Forgotten ones do not count.
    """
    return json_of(service_of(request).activity(asked.hours))
