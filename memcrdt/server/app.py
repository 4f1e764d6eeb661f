"""The app: REST under /v1, MCP at /mcp, static files at /, all behind one guard."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from memcrdt.server import changing, files, forgetting, memories, network, problems, searching
from memcrdt.server.answers import json_of
from memcrdt.server.bodies import Body
from memcrdt.server.body_limits import BodyLimits
from memcrdt.server.callers import Authenticator, BearerTokens
from memcrdt.server.description import describe
from memcrdt.server.guard import HEALTHZ, OPENAPI, Guard, is_public
from memcrdt.server.idempotency import Idempotency
from memcrdt.server.mcp_app import McpApp
from memcrdt.server.sessions import Sessions
from memcrdt.server.watching import ChangeWatchers
from memcrdt.service.pairings import Pairings

if TYPE_CHECKING:
    from memcrdt.memory.memory import Memory

STATIC: Final = Path(__file__).parent / "static"
mimetypes.add_type("text/javascript", ".js")  # the registry of Windows may name a type that browsers refuse
SESSION: Final = "/session"  # of the dashboard, whose page has no token yet
ROUTERS: Final = (memories.router, searching.router, forgetting.router, changing.router, network.router, files.router)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppOptions:
    """How an app recognizes its own clients.

    Attributes:
        names: Names of this machine that a Host header may have.
        local: Whether only this machine can connect.
        authenticators: Further ways to find out who sends a request, besides tokens.
        static: The folder of the files at `/`.
    """

    names: Sequence[str] = ()
    local: bool = True
    authenticators: Sequence[Authenticator] = ()
    static: Path = STATIC


class App:
    """The ASGI app over an open memory, which the caller closes after the app has ended.

    Args:
        memory: The memory.
        options: How it recognizes its clients.

    Example:
        >>> uvicorn.run(App(memory), port=8000)
    """

    def __init__(self, memory: Memory, options: AppOptions = AppOptions()) -> None:
        mcp = McpApp(memory)
        sessions = Sessions(memory.home)
        self._rest = _rest(memory, mcp, sessions)
        dispatcher = _Dispatcher(self._rest, mcp, StaticFiles(directory=options.static, html=True))
        callers: list[Authenticator] = [sessions, BearerTokens(memory), *options.authenticators]
        inner = BodyLimits(Idempotency(dispatcher))
        self._guard = Guard(inner, callers, options.names, local=options.local)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await self._guard(scope, receive, send)

    def end_streams(self) -> None:
        """End all streams of changes, which would otherwise hold up the end of the server."""
        watchers: ChangeWatchers = self._rest.state.watchers
        watchers.end_all()


class _Dispatcher:
    """Hands /mcp to the MCP server, /v1 and /healthz to REST, and all else to the static files."""

    def __init__(self, rest: FastAPI, mcp: McpApp, static: StaticFiles) -> None:
        self._rest, self._mcp, self._static = rest, mcp, static

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await self._app_for(scope)(scope, receive, send)

    def _app_for(self, scope: Scope) -> ASGIApp:
        if scope["type"] == "http" and scope["path"] == self._mcp.path:
            return self._mcp
        if scope["type"] != "http" or scope["path"] in (HEALTHZ, SESSION) or not is_public(scope["path"]):
            return self._rest
        return self._rest if scope["path"] == OPENAPI else problems.answering(self._static)


def _rest(memory: Memory, mcp: McpApp, sessions: Sessions) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with mcp.running(), app.state.watchers.running(), app.state.pairings.running():
            yield

    app = FastAPI(
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
    )
    app.state.memory = memory
    app.state.watchers = ChangeWatchers(memory)
    app.state.pairings = Pairings(memory)
    app.state.methods = _methods()
    for router in ROUTERS:
        app.include_router(router)
    _add_descriptions(app)
    _add_sessions(app, sessions)
    problems.add_handlers(app)
    return app


def _add_descriptions(app: FastAPI) -> None:
    """Add what needs no token or says nothing about the memory."""

    @app.get(OPENAPI, include_in_schema=False)
    async def openapi(request: Request) -> JSONResponse:
        if app.openapi_schema is None:
            app.openapi_schema = describe(app)
        return JSONResponse(app.openapi_schema)

    @app.get(HEALTHZ, include_in_schema=False)
    async def healthz() -> Response:
        return Response(status_code=204)

    @app.get("/v1/problems/{code}", tags=["problems"])
    async def get_problem_type(code: str) -> JSONResponse:
        """Describe a type of problem."""
        return problems.described(code)


class SessionCode(Body):
    """The code of a link that `memcrdt dashboard` opened."""

    code: Annotated[str, Field(max_length=64)]


def _add_sessions(app: FastAPI, sessions: Sessions) -> None:
    """Add how the page of the dashboard begins and ends a session. It is no part of the interface for programs."""

    @app.post(SESSION, include_in_schema=False)
    async def begin_session(given: SessionCode) -> JSONResponse:
        secret = await sessions.begin(given.code)
        if secret is None:
            return problems.problem(
                "unauthorized",
                "this link was used before, or has expired",
                remedy="Run `memcrdt dashboard` for another one.",
            )
        return json_of({"secret": secret})

    @app.delete(SESSION, include_in_schema=False)
    async def end_session(request: Request) -> Response:
        sessions.end(request.headers)
        return Response(status_code=204)


def _methods() -> list[tuple[re.Pattern[str], list[str]]]:
    """Return the pattern and the methods of each path, in the order in which paths are tried."""
    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    methods: dict[str, set[str]] = {}
    for route in routes:
        methods.setdefault(route.path, set()).update(route.methods or ())
    return [(route.path_regex, sorted(methods[route.path])) for route in routes]


def _operation_id(route: APIRoute) -> str:
    return route.name
