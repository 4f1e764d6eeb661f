"""Problems of RFC 9457: every refusal of the server, with the code, reason and remedy that all faces have."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from memcrdt.errors import MemcrdtError, StaleRevisionError
from memcrdt.server.callers import service_of
from memcrdt.service import resources
from memcrdt.service.problems import ConfirmationError, problem_of, remedy_of
from memcrdt.service.refused_arguments import reason_of

MEDIA_TYPE: Final = "application/problem+json"
TYPES: Final = "/v1/problems/"  # the address of the description of a type

log = logging.getLogger("memcrdt.server")

#: The status and the title of each type of problem.
KINDS: Final[Mapping[str, tuple[int, str]]] = {
    "invalid_input": (422, "An argument is invalid"),
    "secret_refused": (422, "The text contains what looks like a secret"),
    "not_found": (404, "There is no such thing for this token"),
    "stale_revision": (412, "The memory has changed since it was read"),
    "confirmation_required": (409, "Nobody has confirmed that these memories are to be forgotten"),
    "read_only": (403, "The token, the device or the space may not do this"),
    "locked": (503, "Another process is writing"),
    "corrupt": (500, "The store is damaged"),
    "wrong_schema": (500, "The store is of another version"),
    "disk_full": (507, "The disk is full"),
    "store_failed": (500, "The store failed"),
    "untrusted_device": (409, "The device is not accepted"),
    "unreachable": (504, "The device does not answer"),
    "not_paired": (409, "The devices were not paired"),
    "device_failed": (502, "The device failed"),
    "protocol_broken": (502, "The device breaks the protocol"),
    "model_missing": (503, "The model is not on this machine"),
    "embedder_failed": (503, "The model failed"),
    "failed": (500, "The server failed"),
    # Only over HTTP:
    "unauthorized": (401, "The request has no token that stands"),
    "cross_site": (403, "The request comes from another web site"),
    "wrong_host": (421, "The request is for another host"),
    "malformed": (400, "The request is malformed"),
    "no_such_route": (404, "There is nothing at this address"),
    "method_not_allowed": (405, "The address does not take this method"),
    "too_slow": (408, "The content of the request does not arrive"),
    "too_large": (413, "The request is too large"),
    "wrong_media_type": (415, "The server does not read this type of content"),
    "key_in_use": (409, "The first request with this Idempotency-Key is not answered yet"),
    "key_reused": (422, "The Idempotency-Key belongs to another request"),
    "busy": (503, "Too many clients"),
}

_REMEDIES: Final = {
    "unauthorized": "Send `Authorization: Bearer TOKEN` with a token of `memcrdt token create`.",
    "cross_site": "Call the server from a program, or from its own page.",
    "wrong_host": "Use the address that `memcrdt serve --http` printed, or allow the name with --http-name.",
    "malformed": "Correct the request.",
    "no_such_route": "See /v1/openapi.json for the addresses.",
    "method_not_allowed": "See the header Allow.",
    "too_slow": "Send the request again.",
    "too_large": "Send it in parts.",
    "wrong_media_type": "Send JSON with Content-Type: application/json.",
    "key_in_use": "Wait for the answer, or try again in a moment.",
    "key_reused": "Use another key for another request.",
    "busy": "Close some streams, or try again later.",
    "failed": "Look at the output of `memcrdt serve`.",
}
_BY_STATUS: Final = {
    400: "malformed",
    404: "no_such_route",
    405: "method_not_allowed",
    408: "too_slow",
    413: "too_large",
    415: "wrong_media_type",
}
_RETRY_S: Final = 1  # after a 503
_MOST_ERRORS: Final = 20
_SHOWN_CHARS: Final = 200


def problem(code: str, detail: str, *, remedy: str | None = None, **more: Any) -> JSONResponse:
    """Return a problem as a response.

    Args:
        code: A key of KINDS.
        detail: What happened, to what.
        remedy: The next step. Default: the usual one of the type.
        **more: Further members of the problem.
    """
    return _response(_members(code, detail, remedy, more))


def refusal(error: MemcrdtError, **more: Any) -> JSONResponse:
    """Return an exception of memcrdt as a response."""
    return _response(members_of(error, **more))


def members_of(error: MemcrdtError, **more: Any) -> dict[str, Any]:
    """Return an exception of memcrdt as the members of a problem, for an answer that has already begun."""
    known = problem_of(error)
    if isinstance(error, ConfirmationError):
        more.update(count=error.count, confirm=error.confirm)
    return _members(known.code, known.reason, known.remedy, more)


def _members(code: str, detail: str, remedy: str | None, more: Mapping[str, Any]) -> dict[str, Any]:
    status, title = KINDS[code]
    return {
        "type": TYPES + code,
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "remedy": _REMEDIES.get(code, "") if remedy is None else remedy,
        **more,
    }


def _response(members: dict[str, Any]) -> JSONResponse:
    status = members["status"]
    headers = {"Cache-Control": "no-store"}
    if status == 503:
        headers["Retry-After"] = str(_RETRY_S)
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="memcrdt"'
    return JSONResponse(members, status, headers, MEDIA_TYPE)


def add_handlers(app: FastAPI) -> None:
    """Make every exception a problem."""
    app.add_exception_handler(StaleRevisionError, _stale)
    app.add_exception_handler(MemcrdtError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(Exception, _failed)


def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, MemcrdtError)
    return refusal(error)


def _stale(request: Request, error: Exception) -> JSONResponse:
    """Say what is there, so that the client can make its change again without another request."""
    assert isinstance(error, StaleRevisionError)
    service = service_of(request)
    try:
        record = None if error.id is None else service.record(error.id)
        if record is None:
            return refusal(error, memory=None)
        (shown,) = resources.resources(service, [record])
        response = refusal(error, memory=shown.to_dict())
        response.headers["ETag"] = f'"{resources.version(service, record)}"'
    except MemcrdtError as exc:  # it was forgotten in the meantime
        return refusal(exc)
    return response


def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors = [
        {"location": "/".join(map(str, each["loc"]))[:_SHOWN_CHARS], "detail": reason_of(each)[:_SHOWN_CHARS]}
        for each in error.errors()[:_MOST_ERRORS]
    ]
    first = f"{errors[0]['location']}: {errors[0]['detail']}" if errors else "the request does not fit"
    return problem("invalid_input", first, remedy=remedy_of("invalid_input"), errors=errors)


def _of_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    response = problem(_BY_STATUS.get(error.status_code, "malformed"), str(error.detail))
    response.headers.update(error.headers or {})
    if error.status_code == 405 and (methods := _allowed(request)):
        response.headers["Allow"] = ", ".join(methods)
    return response


def _allowed(request: Request) -> list[str]:
    """Return the methods of a path. A framework names only those of the first route of the path."""
    app: FastAPI | None = request.scope.get("app")
    known = [] if app is None else app.state.methods  # static files have no app
    return next((methods for pattern, methods in known if pattern.match(request.url.path)), [])


def answering(app: ASGIApp) -> ASGIApp:
    """Return an app without routes, such as static files, whose refusals are problems."""
    return ExceptionMiddleware(app, handlers={HTTPException: _of_http})


def _failed(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem("failed", "the server failed on this request; nothing is known to be lost")


def described(code: str) -> JSONResponse:
    """Return the description of a type of problem as a response."""
    if code not in KINDS:
        return problem("no_such_route", f"there is no type of problem {code[:_SHOWN_CHARS]!r}")
    status, title = KINDS[code]
    remedy = _REMEDIES.get(code) or remedy_of(code)
    return JSONResponse({"type": TYPES + code, "title": title, "status": status, "remedy": remedy})
