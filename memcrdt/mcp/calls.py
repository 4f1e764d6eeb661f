"""What every set of tools shares: the service for the caller, and problems that a model can act on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mcp.server.mcpserver import Context
from mcp_types import CallToolResult, TextContent

from memcrdt.errors import MemcrdtError
from memcrdt.mcp.workspace import Workspace
from memcrdt.model import limits
from memcrdt.service.access import Access
from memcrdt.service.problems import problem_of

if TYPE_CHECKING:
    from memcrdt.service.answers import Answer
    from memcrdt.service.service import Service


class Calls:
    """Makes calls of the service for a client.

    Args:
        workspace: The memory.
        access: Returns the rights of the request that is being answered.
    """

    def __init__(self, workspace: Workspace, access: Callable[[], Access] = Access) -> None:
        self.workspace = workspace
        self.access = access

    def service(self, ctx: Context[Any, Any] | None) -> Service:
        """Return the service for the client, with its rights. Raises what opening the memory raised.

        Args:
            ctx: The request. None if its client need not be known, because it writes nothing.
        """
        return self.workspace.service(None if ctx is None else client_name(ctx), self.access())

    def call(self, ctx: Context[Any, Any], call: Callable[[Service], CallToolResult]) -> CallToolResult:
        """Make a call for the client. A failure becomes a problem that the model can act on."""
        try:
            return call(self.service(ctx))
        except MemcrdtError as exc:
            problem = problem_of(exc)
            return CallToolResult(
                content=[TextContent(type="text", text=str(problem))],
                structured_content=problem.to_dict(),
                is_error=True,
            )


def client_name(ctx: Context[Any, Any]) -> str | None:
    """Return the name that the client gives itself, such as `claude-code`."""
    params = ctx.session.client_params
    return None if params is None else params.client_info.name[: limits.LABEL_CHARS]


def text_of(found: Answer) -> str:
    """Return the fenced memories of an answer, or a sentence if there are none."""
    return found.text or f"No memories found in {', '.join(found.scopes) or 'any scope'}."


def result(text: str, said: dict[str, Any] | None = None, *notes: str) -> CallToolResult:
    """Return a result with a text for the model and notes after it, and JSON for programs."""
    return CallToolResult(
        content=[TextContent(type="text", text=each) for each in (text, *notes)], structured_content=said
    )
