"""/v1/forget and /v1/receipts: forget several memories, and see which devices have done so."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse

from memcrdt import ForgetStatus, Forgotten
from memcrdt.errors import InputError
from memcrdt.model import limits
from memcrdt.server.answers import json_of
from memcrdt.server.bodies import ForgetRequest, Id
from memcrdt.server.callers import service_of
from memcrdt.server.description import PROBLEM
from memcrdt.service import resources

router = APIRouter(prefix="/v1", tags=["forget"])


@router.post("/forget", response_model=Forgotten, responses={409: PROBLEM})
def forget_memories(request: Request, given: ForgetRequest) -> JSONResponse:
    """Forget memories on every device, permanently: by their ids, or all that match filters.

    Over one memory, the first answer is the problem `confirmation_required` with their `count` and the value of
    `confirm`, which stands for exactly these memories. Show the user what would be forgotten, and ask again with it.
    """
    if (given.ids is None) == (given.filters is None):
        raise InputError("give ids or filters")
    filters = {} if given.filters is None else given.filters.filters()
    if given.filters is not None and filters == {"scope": "all"} and given.filters.scope is None:
        raise InputError("the filters are empty; this would forget everything")
    done = service_of(request).forget(given.ids, dry_run=given.dry_run, confirm=given.confirm, **filters)
    return json_of(done.to_dict())


@router.get("/receipts", response_model=ForgetStatus)
def get_receipts(
    request: Request, id: Annotated[list[Id], Query(), Field(min_length=1, max_length=limits.RESULTS)]
) -> JSONResponse:
    """Return which devices have confirmed that no byte of forgotten memories is left in their file."""
    return json_of(resources.receipts(service_of(request), id).to_dict())
