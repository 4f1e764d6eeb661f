"""The ten tools: each turns its arguments into one call of the service, and the answer into text and JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

from mcp.server import MCPServer
from mcp.server.elicitation import AcceptedElicitation, ElicitationResult
from mcp.server.mcpserver import Context, Elicit, Resolve
from mcp_types import CallToolResult, ToolAnnotations
from pydantic import BaseModel, Field

from memcrdt.errors import InputError, MemcrdtError
from memcrdt.mcp.calls import Calls, result, text_of
from memcrdt.mcp.texts import DESCRIPTIONS, PARAMETERS
from memcrdt.model.serialization import to_json

if TYPE_CHECKING:  # they load the store, which is loaded while the client has its tools already
    from memcrdt.service.answers import Answer
    from memcrdt.service.service import Saved, Service

Tags: TypeAlias = list[str] | None
Json: TypeAlias = dict[str, Any] | None
Revisions: TypeAlias = str | list[str] | None

_READ: Final = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_ADD: Final = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
_CHANGE: Final = _ADD.model_copy(update={"destructive_hint": True})
_NONE_TO_FORGET: Final = "nothing to forget: no memory fits, or it was forgotten before"


class Confirmation(BaseModel):
    """The answer of the user to the question whether several memories are to be forgotten."""

    forget: bool = Field(description="Forget them everywhere")


class Tools:
    """The tools over one workspace.

    Args:
        calls: Makes the calls.
    """

    def __init__(self, calls: Calls) -> None:
        self.calls = calls

    def add_to(self, server: MCPServer[Any]) -> None:
        """Register the tools, in a fixed order."""
        told: set[str] = set()
        for tool, hints in (
            (self.add_memory, _ADD),
            (self.search_memories, _READ),
            (self.add_memories, _ADD),
            (self.get_memory, _READ),
            (self.list_memories, _READ),
            (self.update_memory, _CHANGE),
            (self.forget_memory(), _CHANGE),
            (self.memory_history, _READ),
            (self.link_memories, _ADD),
            (self.sync_status, _READ),
        ):
            server.add_tool(tool, description=DESCRIPTIONS[tool.__name__], annotations=hints)
            made = server._tool_manager.get_tool(tool.__name__)  # the SDK has no other way to a short schema
            assert made is not None
            made.parameters = compact(made.parameters, told)

    def search_memories(
        self,
        ctx: Context[Any, Any],
        *,
        query: str,
        limit: int = 10,
        scope: str | None = None,
        category: str | None = None,
        tags: Tags = None,
        tag_match: str | None = None,
        kind: str | None = None,
        after: str | None = None,
        before: str | None = None,
        metadata: Json = None,
        agent: str | None = None,
        max_chars: int | None = None,
    ) -> CallToolResult:
        return self._answer(
            ctx,
            lambda service: service.search(
                query,
                limit=limit,
                scope=scope,
                max_chars=max_chars,
                category=category,
                tags=tags,
                tag_match=tag_match,
                kind=kind,
                after=after,
                before=before,
                metadata=metadata,
                agent=agent,
            ),
        )

    def list_memories(
        self,
        ctx: Context[Any, Any],
        *,
        limit: int = 10,
        scope: str | None = None,
        category: str | None = None,
        tags: Tags = None,
        tag_match: str | None = None,
        kind: str | None = None,
        after: str | None = None,
        before: str | None = None,
        metadata: Json = None,
        agent: str | None = None,
        max_chars: int | None = None,
        cursor: str | None = None,
    ) -> CallToolResult:
        return self._answer(
            ctx,
            lambda service: service.list(
                limit=limit,
                scope=scope,
                max_chars=max_chars,
                cursor=cursor,
                category=category,
                tags=tags,
                tag_match=tag_match,
                kind=kind,
                after=after,
                before=before,
                metadata=metadata,
                agent=agent,
            ),
        )

    def get_memory(self, ctx: Context[Any, Any], id: str) -> CallToolResult:
        return self._answer(ctx, lambda service: service.get(id))

    def add_memory(
        self,
        ctx: Context[Any, Any],
        *,
        text: str,
        scope: str | None = None,
        kind: str | None = None,
        tags: Tags = None,
        metadata: Json = None,
        importance: float | None = None,
        pinned: bool | None = None,
        expires_at: str | None = None,
        key: str | None = None,
        expected: Revisions = None,
    ) -> CallToolResult:
        options = _given(
            scope=scope,
            kind=kind,
            tags=tags,
            metadata=metadata,
            importance=importance,
            pinned=pinned,
            expires_at=expires_at,
            key=key,
            expected=expected,
        )
        return self._saved(ctx, lambda service: [service.add(text, **options)])

    def add_memories(self, ctx: Context[Any, Any], memories: list[str | dict[str, Any]]) -> CallToolResult:
        items = [{"text": item} if isinstance(item, str) else item for item in memories]

        def add(service: Service) -> list[Saved]:
            if not items:  # an answer without a word would look like a success
                raise InputError("there is no memory to store; give at least one")
            return service.add_many(items)

        return self._saved(ctx, add)

    def update_memory(
        self,
        ctx: Context[Any, Any],
        *,
        id: str,
        text: str | None = None,
        scope: str | None = None,
        kind: str | None = None,
        tags: Tags = None,
        metadata: Json = None,
        importance: float | None = None,
        pinned: bool | None = None,
        expires_at: str | None = None,
        superseded_by: str | None = None,
        expected: Revisions = None,
    ) -> CallToolResult:
        changes = _given(
            text=text,
            scope=scope,
            kind=kind,
            tags=tags,
            metadata=metadata,
            importance=importance,
            pinned=pinned,
            expires_at=expires_at,
            superseded_by=superseded_by,
            expected=expected,
        )
        return self._saved(ctx, lambda service: [service.update(id, **changes)], "changed")

    def link_memories(self, ctx: Context[Any, Any], id: str, rel: str, to: str) -> CallToolResult:
        return self._saved(ctx, lambda service: [service.link(id, rel, to)], "linked")

    def memory_history(self, ctx: Context[Any, Any], id: str) -> CallToolResult:
        def call(service: Service) -> CallToolResult:
            revisions = [to_json(revision) for revision in service.history(id)]
            lines = [
                f"{each['at']} {each['by'] or ''} {'(now)' if each['head'] else ''}: {each['text']}"
                for each in revisions
            ]
            return result("\n".join(lines), {"revisions": [{**each, "text": None} for each in revisions]})

        return self.calls.call(ctx, call)

    def sync_status(self, ctx: Context[Any, Any]) -> CallToolResult:
        def call(service: Service) -> CallToolResult:
            state = service.sync_state()
            why = (state["text"], self.calls.workspace.sync_error)
            return result("\n".join(line for line in why if line), {**state, "error": self.calls.workspace.sync_error})

        return self.calls.call(ctx, call)

    def forget_memory(self) -> Callable[..., CallToolResult]:
        """Return the tool that forgets. If the client can ask the user, the user confirms several memories."""

        def ask(ctx: Context[Any, Any], filters: Json, dry_run: bool) -> Elicit[Confirmation] | Confirmation:
            count = 0 if dry_run or not can_ask(ctx) else self._count(ctx, filters or {})
            if count < 2:
                return Confirmation(forget=False)
            return Elicit(f"Forget {count:,} memories on every device, permanently?", Confirmation)

        def forget_memory(
            ctx: Context[Any, Any],
            *,
            asked: ElicitationResult[Confirmation],
            id: str | None = None,
            filters: Json = None,
            dry_run: bool = False,
            confirm: str | None = None,
            expected: Revisions = None,
        ) -> CallToolResult:
            def call(service: Service) -> CallToolResult:
                given = filters or {}
                token = confirm
                if not dry_run and can_ask(ctx) and service.count_to_forget(id, **given) > 1:
                    if not (isinstance(asked, AcceptedElicitation) and asked.data.forget):
                        return result("The user declined. Nothing was forgotten.", {"count": 0, "declined": True})
                    token = service.confirmation(id, **given)
                done = service.forget(id, dry_run=dry_run, confirm=token, expected=expected, **given)
                said = "would be forgotten" if dry_run else "forgotten here, and on every other device when it syncs"
                told = f"{counted(done.count)} {said}" if done.count else _NONE_TO_FORGET
                return result(told, done.to_dict())

            return self.calls.call(ctx, call)

        forget_memory.__annotations__["asked"] = Annotated[ElicitationResult[Confirmation], Resolve(ask)]
        return forget_memory

    def _count(self, ctx: Context[Any, Any], filters: Mapping[str, Any]) -> int:
        """Return the number of memories that would be forgotten; 0 if the tool itself will report a problem."""
        try:
            return self.calls.service(ctx).count_to_forget(None, **filters)
        except MemcrdtError:
            return 0

    # --- inside -------------------------------------------------------------------------------------------------------

    def _answer(self, ctx: Context[Any, Any], call: Callable[[Service], Answer]) -> CallToolResult:
        def answer(service: Service) -> CallToolResult:
            found = call(service)
            said = {name: value for name, value in found.to_dict().items() if name != "text"}
            told = {name: value for name, value in said.items() if value not in (None, [], 0)}
            return result(text_of(found), told, *(f"revision {each}" for each in found.revisions))

        return self.calls.call(ctx, answer)

    def _saved(
        self, ctx: Context[Any, Any], call: Callable[[Service], list[Saved]], done: str = "stored"
    ) -> CallToolResult:
        def saved(service: Service) -> CallToolResult:
            memories = call(service)
            lines = [
                f"{'known already' if each.known and done == 'stored' else done}: {each.id} in {each.scope}"
                f" on {each.device}"
                for each in memories
            ]
            notes = [warning.text for warning in service.warnings()]
            return result("\n".join([*lines, *notes]), {"memories": [each.to_dict() for each in memories]})

        return self.calls.call(ctx, saved)


def can_ask(ctx: Context[Any, Any]) -> bool:
    """Return whether the client can ask the user."""
    capabilities = ctx.client_capabilities
    return capabilities is not None and capabilities.elicitation is not None


def compact(schema: dict[str, Any], told: set[str]) -> dict[str, Any]:
    """Return the schema of a tool's arguments in short: no titles, no null beside a type, no default of null.

    The list of tools is in every session of every client. A parameter that may be left out need not accept null too;
    the arguments are checked by the original, longer form. Only the first tool that has a parameter describes it.

    Args:
        schema: The schema, as pydantic writes it.
        told: The parameters that are described already. The new ones are added.
    """
    properties = {}
    for name, given in schema.get("properties", {}).items():
        kept = next((each for each in given.get("anyOf", ()) if each.get("type") != "null"), given)
        kept = {key: value for key, value in kept.items() if key not in ("title", "default", "additionalProperties")}
        if kept.get("type") == "array" and isinstance(kept.get("items"), dict) and "anyOf" in kept["items"]:
            kept["items"] = {}
        properties[name] = kept if name in told else {**kept, "description": PARAMETERS[name]}
        told.add(name)
    required = schema.get("required")
    return {"type": "object", "properties": properties, **({"required": required} if required else {})}


def counted(count: int) -> str:
    """Return a number of memories in words."""
    return "1 memory" if count == 1 else f"{count:,} memories"


def _given(**arguments: Any) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}
