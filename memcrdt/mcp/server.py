"""The server: tools, resources and prompts over one workspace."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import anyio.to_thread
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import ValidationError

import memcrdt
from memcrdt.mcp.calls import Calls
from memcrdt.mcp.resources import Resources
from memcrdt.mcp.subscriptions import Subscriptions
from memcrdt.mcp.texts import (
    ALIASES,
    DOCUMENTS_INSTRUCTIONS,
    INSTRUCTIONS,
    RECALL_ANYWHERE,
    RECALL_IN,
    RECALL_PROMPT,
    SERVER_MEMORY_INSTRUCTIONS,
    WRAP_UP_PROMPT,
)
from memcrdt.mcp.tools import Tools
from memcrdt.mcp.workspace import Workspace
from memcrdt.service.access import Access
from memcrdt.service.problems import Problem
from memcrdt.service.refused_arguments import reason_of

if TYPE_CHECKING:
    from mcp_types import CallToolResult, InputRequiredResult

#: What a server offers: the ten tools, `search` and `fetch` alone, or the tools of the MCP server server-memory.
Offer: TypeAlias = Literal["memories", "documents", "server-memory"]

_INSTRUCTIONS: Final[Mapping[Offer, str]] = {
    "memories": INSTRUCTIONS,
    "documents": DOCUMENTS_INSTRUCTIONS,
    "server-memory": SERVER_MEMORY_INSTRUCTIONS,
}


class MemoryServer(MCPServer[Any]):
    """An MCP server over a workspace, for every transport.

    Args:
        workspace: The memory. It is opened when the server starts, and closed when it ends.
        url: The address of the server, if it speaks HTTP. Every request then needs a token, and has its rights.
        offer: What the server offers.
    """

    def __init__(self, workspace: Workspace, url: str | None = None, offer: Offer = "memories") -> None:
        @asynccontextmanager
        async def lifespan(server: MCPServer[Any]) -> AsyncIterator[None]:
            workspace.start()
            try:
                async with subscriptions.running():
                    yield
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(workspace.close)

        options: dict[str, Any] = {}
        access: Callable[[], Access] = Access
        subscriptions = Subscriptions(workspace, lambda: Access)
        if url is not None:
            from memcrdt.mcp.http import Tokens  # loads what a server over stdio never needs

            tokens = Tokens(workspace)
            options, access = tokens.options(url), tokens.access
            subscriptions = Subscriptions(workspace, tokens.lasting_access)
        # The SDK sets up logging unless there is a handler. Its own prints messages of any library with tracebacks.
        logging.getLogger().addHandler(logging.NullHandler())
        super().__init__(
            "memcrdt",
            title="memcrdt",
            instructions=_INSTRUCTIONS[offer],
            version=memcrdt.__version__,
            lifespan=lifespan,
            **options,
        )
        self._offer(offer, Calls(workspace, access))
        subscriptions.add_to(self)

    def _offer(self, offer: Offer, calls: Calls) -> None:
        if offer == "documents":
            from memcrdt.mcp.documents import DocumentTools

            DocumentTools(calls).add_to(self)
        elif offer == "server-memory":
            from memcrdt.mcp.server_memory import ServerMemoryTools

            ServerMemoryTools(calls).add_to(self)
        else:
            Tools(calls).add_to(self)
            Resources(calls).add_to(self)
            self._add_prompts()

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool. Accept the names that models use for parameters, and refuse unknown and missing ones by name."""
        tool = self._tool_manager.get_tool(name)
        known = {} if tool is None else tool.parameters["properties"]
        given = {
            key if key in known or ALIASES.get(key) not in known else ALIASES[key]: value
            for key, value in arguments.items()
        }
        names = f"Its parameters are {', '.join(known)}."
        if unknown := sorted(given.keys() - known) if tool is not None else ():
            raise _refusal(f"{name} has no parameter {unknown[0]!r}", names)
        required = [] if tool is None else tool.parameters.get("required", [])
        if missing := [each for each in required if each not in given]:
            raise _refusal(f"{name} needs the parameter {missing[0]!r}", names)
        try:
            return await super().call_tool(name, given, context)
        except ToolError as exc:
            if isinstance(exc.__cause__, ValidationError):
                raise _unfit(name, exc.__cause__) from exc
            raise

    def _add_prompts(self) -> None:
        @self.prompt("recall", title="Recall", description="Recall what we know about a topic")
        def recall(topic: str, scope: str = "") -> str:
            return RECALL_PROMPT.format(topic=topic, where=RECALL_IN.format(scope=scope) if scope else RECALL_ANYWHERE)

        @self.prompt("wrap-up", title="Wrap up this session", description="Store what the next session needs")
        def wrap_up() -> str:
            return WRAP_UP_PROMPT


def _refusal(reason: str, remedy: str = "Correct the argument and repeat the call.") -> ToolError:
    """Return a refusal of arguments, in the form of all refusals."""
    return ToolError(str(Problem(code="invalid_input", reason=reason, remedy=remedy)))


def _unfit(tool: str, error: ValidationError) -> ToolError:
    """Return a refusal of a value of another type. The SDK would show the classes and the web site of pydantic."""
    errors = error.errors(include_url=False)
    name = errors[0]["loc"][0] if errors[0]["loc"] else ""
    # A parameter of several types has an error for each of them.
    reasons = dict.fromkeys(reason_of(each) for each in errors if each["loc"][:1] == (name,))
    return _refusal(f"the parameter {name!r} of {tool} does not fit: {' or '.join(reasons)}")
