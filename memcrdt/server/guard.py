"""The first thing that each request meets: it lets in nobody but the clients of a token.

- A page whose name resolves to this machine (DNS rebinding) names its own host, which is refused.
- A page of another site, or a link or form on it, says so in Origin or Sec-Fetch-Site, and is refused, with any method.
- All else needs a token in a header, which no page can make a browser send. So there is nothing to forge.

Only static files, the description of the interface and /healthz need no token: they say nothing about the memory.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memcrdt.errors import MemcrdtError
from memcrdt.server.callers import STATE, Authenticator
from memcrdt.server.problems import problem, refusal

OPENAPI: Final = "/v1/openapi.json"
HEALTHZ: Final = "/healthz"

#: Of every answer. Scripts, styles and data come from the server itself, and nothing is inline but images in styles.
HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'; object-src 'none'; require-trusted-types-for 'script'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_PROTECTED: Final = ("v1", "mcp")  # the first part of a path
_HOST: Final = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[\w.-]+)(:[0-9]{1,5})?", re.ASCII)
_OWN_SITE: Final = frozenset({"same-origin", "none"})  # `none`: typed by the user, or opened by a program


class Guard:
    """Refuses requests before anything reads their content.

    Args:
        app: Answers the requests that are let in.
        authenticators: Each may find out who sends a request.
        names: Names of this server that a Host header may have, besides addresses of `local` ones.
        local: Whether only this machine can connect. Then a Host header has to name the loopback interface.
    """

    def __init__(
        self, app: ASGIApp, authenticators: Iterable[Authenticator], names: Iterable[str], *, local: bool
    ) -> None:
        self._app = app
        self._authenticators = tuple(authenticators)
        self._names = frozenset(name.lower() for name in (*names, "localhost"))
        self._local = local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or hand it on with its caller."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # a WebSocket: closing it before it is accepted is a 403
            await send({"type": "websocket.close"})
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        answer = await self._refused(scope)
        await (self._app if answer is None else answer)(scope, receive, with_headers)

    async def _refused(self, scope: Scope) -> JSONResponse | None:
        """Return the refusal of a request; None after noting its caller, if it has to have one."""
        headers = Headers(scope=scope)
        host = headers.getlist("host")
        if len(host) != 1 or not self._is_own(host[0]):
            return problem("wrong_host", f"this server is not {host[0][:100] if host else 'named in the request'}")
        is_opened = scope["method"] == "GET" and is_public(scope["path"]) and _is_navigation(headers)
        if not is_opened and not _is_same_site(headers, f"{scope['scheme']}://{host[0]}"):
            return problem("cross_site", "pages of other web sites may not use this server, with any token")
        if is_public(scope["path"]):
            return None
        try:
            for authenticator in self._authenticators:
                caller = await authenticator.caller(headers)
                if caller is not None:
                    scope.setdefault("state", {})[STATE] = caller
                    return None
        except MemcrdtError as exc:
            return refusal(exc)
        return problem("unauthorized", "the request has no token, or one that is unknown or was revoked")

    def _is_own(self, host: str) -> bool:
        """Return whether a Host header names this server. An address cannot be rebound; a name can."""
        match = _HOST.fullmatch(host.lower())
        if match is None:
            return False
        name = match["host"].strip("[]")
        if name in self._names:
            return True
        with suppress(ValueError):
            return ipaddress.ip_address(name).is_loopback or not self._local
        return False


def is_public(path: str) -> bool:
    """Return whether a path needs no token."""
    return path in (OPENAPI, HEALTHZ) or path.lstrip("/").partition("/")[0] not in _PROTECTED


def _is_navigation(headers: Headers) -> bool:
    """Return whether the user's browser opens a page, from a link in a file or on another site.

    The other site gets nothing of it: no content, no frame and no handle of the window.
    """
    return (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("navigate", "document")


def _is_same_site(headers: Headers, own: str) -> bool:
    origins, sites = headers.getlist("origin"), headers.getlist("sec-fetch-site")
    return all(each.lower() == own.lower() for each in origins) and all(each.lower() in _OWN_SITE for each in sites)
