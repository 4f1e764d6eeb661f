"""The MCP server as a part of the app: the same tools as `memcrdt mcp --http`, over the memory that is open already."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import Receive, Scope, Send

from memcrdt.mcp.http import PATH
from memcrdt.mcp.server import MemoryServer
from memcrdt.mcp.workspace import Workspace
from memcrdt.service.context import Context

if TYPE_CHECKING:
    from memcrdt.memory.memory import Memory

# The guard has checked Host and Origin already.
_CHECKED: Final = TransportSecuritySettings(enable_dns_rebinding_protection=False)


class McpApp:
    """An ASGI app with the MCP server at /mcp.

    Attributes:
        path: The path of the endpoint.
    """

    path = PATH

    def __init__(self, memory: Memory) -> None:
        self._server = MemoryServer(Workspace.over(memory, Context()), url=f"http://localhost{PATH}")
        self._app = self._server.streamable_http_app(streamable_http_path=PATH, transport_security=_CHECKED)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for the endpoint."""
        await self._app(scope, receive, send)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve while the context is entered."""
        async with self._app.router.lifespan_context(self._app):
            yield
