"""What the listener reads from an HTTP request, and its answer to a browser that asks before it sends one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from memcrdt.errors import NotFoundError
from memcrdt.net.connection_gate import refusing_response

if TYPE_CHECKING:
    from aiohttp import web

    from memcrdt.store.membership.tokens import StoredToken

PREFLIGHT_S: Final = 600  # how long a browser may remember that a page may send the token in a header

_HOST: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:[0-9]{1,5})?", re.ASCII)


def host(request: web.BaseRequest) -> str | None:
    """Return the host that the Host header names, without port and brackets, or None if the header is malformed."""
    headers = request.headers.getall("Host", [])
    match = _HOST.fullmatch(headers[0]) if len(headers) == 1 else None
    return match["host"].strip("[]").lower() if match else None


def asked(request: web.BaseRequest) -> tuple[str, int | None]:
    """Return the requested space and shard. The shard is None if the space as a whole is requested.

    Raises:
        NotFoundError: Another path or method is requested.
    """
    match request.method, request.rel_url.parts:
        case "GET", ("/", "yjs", space):
            return space, None
        case "GET", ("/", "yjs", space, shard) if shard.isascii() and shard.isdigit() and len(shard) < 8:
            return space, int(shard)
    raise NotFoundError(f"there is nothing at {request.path}")


def secret(request: web.BaseRequest) -> str:
    """Return the token of a request. It may be in the query, because browsers cannot set a WebSocket's headers."""
    scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
    return shown.strip() if scheme.lower() == "bearer" else request.query.get("token", "")


def origins(tokens: Iterable[StoredToken]) -> set[str]:
    """Return the origins of all web pages that may use one of the tokens."""
    return {origin for token in tokens for origin in token.origins}


def is_preflight(request: web.BaseRequest) -> bool:
    """Return whether a browser asks if a page may send a request."""
    return request.method == "OPTIONS" and {"Origin", "Access-Control-Request-Method"} <= request.headers.keys()


def preflight_response() -> web.Response:
    """Return the permission to send a GET with the token in its header, from a public page to this machine, too."""
    response = refusing_response(204)
    response.headers["Access-Control-Allow-Methods"] = "GET"
    response.headers["Access-Control-Allow-Headers"] = "Authorization"
    response.headers["Access-Control-Allow-Private-Network"] = "true"
    response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_S)
    return response
