"""The server of memcrdt over HTTP for the conformance package: `python server.py HOME TOKEN [--fixtures]`.

The package cannot send a token, so each request gets one here. It prints its address.
"""

from __future__ import annotations

import asyncio
import sys
import warnings
from pathlib import Path
from typing import Any

from mcp.shared.exceptions import MCPDeprecationWarning
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

import memcrdt
from memcrdt.mcp.http import listen, serve, url_of
from memcrdt.mcp.server import MemoryServer
from memcrdt.mcp.workspace import Workspace
from memcrdt.service.context import Context
from tests.mcp.conformance import fixtures


class WithToken:
    """Adds the header with a token to each request."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._header = (b"authorization", f"Bearer {token}".encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "headers": [*scope["headers"], self._header]}
        await self._app(scope, receive, send)


class OpenServer(MemoryServer):
    """The server with a token for everybody."""

    token = ""

    def streamable_http_app(self, **options: Any) -> Starlette:
        app = super().streamable_http_app(**options)
        app.add_middleware(WithToken, token=self.token)
        return app


def main(home: str, token: str, *options: str) -> None:
    """Serve until the process is ended."""
    with listen("127.0.0.1:0") as listener:
        workspace = Workspace(lambda: memcrdt.open(Path(home), embedder=None), Context(), sync=False)
        server = OpenServer(workspace, url_of(listener))
        server.token = token
        if "--fixtures" in options:
            fixtures.add_contents(server)
            fixtures.add_resources_and_prompts(server)
            fixtures.add_questions(server)
            fixtures.add_older_questions(server)
        print(url_of(listener), flush=True)
        asyncio.run(serve(server, listener))


if __name__ == "__main__":
    warnings.simplefilter("ignore", MCPDeprecationWarning)  # the older revision still has sampling and logging
    main(*sys.argv[1:])
