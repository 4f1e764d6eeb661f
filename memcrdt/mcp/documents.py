"""`search` and `fetch`: the two tools that ChatGPT's connectors and other research tools look for.

Those clients read a JSON object from the text of the result, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp_types import CallToolResult, ToolAnnotations

from memcrdt.mcp.calls import Calls, result
from memcrdt.mcp.texts import DOCUMENTS
from memcrdt.service import documents
from memcrdt.service.service import Service

_HINTS: Final = ToolAnnotations(read_only_hint=True, open_world_hint=False)


class DocumentTools:
    """The two tools.

    Args:
        calls: Makes the calls.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def add_to(self, server: MCPServer[Any]) -> None:
        """Register the tools."""
        for tool in (self.search, self.fetch):
            server.add_tool(tool, description=DOCUMENTS[tool.__name__], annotations=_HINTS)

    def search(self, ctx: Context[Any, Any], query: str) -> CallToolResult:
        return self._call(
            ctx,
            lambda service: {
                "results": [
                    {"id": each.id, "title": each.title, "url": each.url, "text": each.text}
                    for each in documents.search(service, query)
                ]
            },
        )

    def fetch(self, ctx: Context[Any, Any], id: str) -> CallToolResult:
        return self._call(ctx, lambda service: documents.fetch(service, id).to_dict())

    def _call(self, ctx: Context[Any, Any], call: Callable[[Service], dict[str, Any]]) -> CallToolResult:
        return self._calls.call(ctx, lambda service: result(json.dumps(call(service), ensure_ascii=False)))
