"""Memories as resources, and the completion of scopes and tags."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote, unquote

import anyio.to_thread
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp_types import Completion, CompletionArgument, PromptReference, ResourceTemplateReference

from memcrdt.errors import InputError, MemcrdtError, NotFoundError
from memcrdt.mcp.calls import Calls, text_of
from memcrdt.service.problems import problem_of

if TYPE_CHECKING:
    from memcrdt.service.answers import Answer
    from memcrdt.service.service import Service

RECENT: Final = "memory://recent"
SCOPE: Final = "memory://scope/"  # and the scope
ONE: Final = "memory://"  # and the id
GRAPH: Final = "memory://knowledge-graph"  # as in the MCP server server-memory
SCOPE_TEMPLATE: Final = SCOPE + "{+scope}"

_LIMIT: Final = 20
_COMPLETIONS: Final = 100  # of one answer, as the protocol allows
_RESERVED: Final = ":/?#[]@!$&'()*+,;="  # what {+scope} leaves as it is


def uri_of_scope(scope: str) -> str:
    """Return the address of a scope, as the template makes it."""
    return SCOPE + quote(scope, safe=_RESERVED)


def scope_of(uri: str) -> str | None:
    """Return the scope that an address names, or None for another address."""
    return unquote(uri.removeprefix(SCOPE)) if uri.startswith(SCOPE) else None


class Resources:
    """The resources over one workspace.

    Args:
        calls: Makes the calls.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def add_to(self, server: MCPServer[Any]) -> None:
        """Register the resources, their templates, and completion."""

        @server.resource(
            RECENT, name="recent", title="Recent memories", description="The newest memories of the project"
        )
        def recent() -> str:
            return self._read(lambda service: service.list(limit=_LIMIT))

        @server.resource(SCOPE_TEMPLATE, name="scope", title="A scope", description="The newest memories of a scope")
        def scope(scope: str) -> str:
            return self._read(lambda service: service.list(limit=_LIMIT, scope=scope))

        @server.resource(ONE + "{id}", name="memory", title="A memory", description="One memory with its whole text")
        def memory(id: str) -> str:
            return self._read(lambda service: service.get(id))

        @server.completion()  # type: ignore[no-untyped-call, untyped-decorator]
        async def complete(
            ref: PromptReference | ResourceTemplateReference, argument: CompletionArgument, context: object
        ) -> Completion:
            label = _label(ref, argument.name)
            values = await anyio.to_thread.run_sync(self._complete, label, argument.value) if label else []
            return Completion(values=values[:_COMPLETIONS], has_more=len(values) > _COMPLETIONS)

    def _read(self, call: Callable[[Service], Answer]) -> str:
        return read(self._calls, lambda service: text_of(call(service)))

    def _complete(self, label: Literal["scope", "tag"], part: str) -> list[str]:
        """Return labels that contain a text, and one more than fit. A failure is reported by the call itself later."""
        try:
            return self._calls.service(None).labels(label, part, limit=_COMPLETIONS + 1)
        except MemcrdtError:
            return []


def read(calls: Calls, call: Callable[[Service], str]) -> str:
    """Return the text of a resource. Raises ResourceError, or ResourceNotFoundError if the address names nothing."""
    try:
        return call(calls.service(None))
    except (NotFoundError, InputError) as exc:
        raise ResourceNotFoundError(str(problem_of(exc))) from exc
    except MemcrdtError as exc:
        raise ResourceError(str(problem_of(exc))) from exc


def _label(ref: PromptReference | ResourceTemplateReference, argument: str) -> Literal["scope", "tag"] | None:
    """Return what an argument of a prompt or a template is completed with. A topic is often a tag."""
    if isinstance(ref, ResourceTemplateReference):
        return "scope" if (ref.uri, argument) == (SCOPE_TEMPLATE, "scope") else None
    if ref.name != "recall":
        return None
    return "scope" if argument == "scope" else "tag" if argument == "topic" else None
